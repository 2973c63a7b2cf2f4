CREATE TRIGGER transcript_search_update
AFTER UPDATE OF feature_set_id, video_id, status, detail ON feature
WHEN (OLD.status = 'done' OR NEW.status = 'done')
    AND EXISTS (
        SELECT 1 FROM feature_set
        WHERE id IN (OLD.feature_set_id, NEW.feature_set_id) AND kind IN ('audio', 'ocr')
    )
BEGIN
    DELETE FROM transcript_search
    WHERE rowid = OLD.feature_set_id * 1099511627776 + OLD.video_id;
    INSERT INTO transcript_search (rowid, text)
    SELECT
        NEW.feature_set_id * 1099511627776 + NEW.video_id,
        JSON_EXTRACT(NEW.detail, '$.text')
    FROM feature_set
    WHERE id = NEW.feature_set_id
        AND kind IN ('audio', 'ocr')
        AND NEW.status = 'done'
        AND JSON_EXTRACT(NEW.detail, '$.text') <> '';
END;
