CREATE TRIGGER transcript_search_insert AFTER INSERT ON feature
WHEN NEW.status = 'done'
    AND JSON_EXTRACT(NEW.detail, '$.text') <> ''
    AND EXISTS (SELECT 1 FROM feature_set WHERE id = NEW.feature_set_id AND kind IN ('audio', 'ocr'))
BEGIN
    INSERT INTO transcript_search (rowid, text)
    VALUES (
        NEW.feature_set_id * 1099511627776 + NEW.video_id,
        JSON_EXTRACT(NEW.detail, '$.text')
    );
END;
