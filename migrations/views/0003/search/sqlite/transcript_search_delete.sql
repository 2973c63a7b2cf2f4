CREATE TRIGGER transcript_search_delete AFTER DELETE ON feature
WHEN OLD.status = 'done'
BEGIN
    DELETE FROM transcript_search
    WHERE rowid = OLD.feature_set_id * 1099511627776 + OLD.video_id;
END;
