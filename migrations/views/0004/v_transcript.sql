-- One row per video and feature set whose sound was read for words: what is said, in which language
-- and for how long. `text` is empty where nothing is. Words are looked up by `viewcast search`, or by
-- the table `transcript_search` on SQLite, an index on `feature` on PostgreSQL.
CREATE VIEW v_transcript AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    JSON_EXTRACT(f.detail, '$.language') AS language,
    CAST(JSON_EXTRACT(f.detail, '$.language_prob') AS REAL) AS language_prob,
    CAST(JSON_EXTRACT(f.detail, '$.speech_s') AS REAL) AS speech_s,
    JSON_EXTRACT(f.detail, '$.text') AS text
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
JOIN video v ON v.id = f.video_id
WHERE f.status = 'done' AND JSON_EXTRACT(f.detail, '$.text') IS NOT NULL;
