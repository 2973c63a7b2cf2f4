-- One row per video and feature set whose pictures were read for text: what is written on screen,
-- line by line, how many different lines that is, how much of the picture they cover at most, and
-- when the first is there. `text` is empty where nothing is. Words are looked up by `viewcast search`,
-- or as those of v_transcript.
CREATE VIEW v_screen_text AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(JSON_EXTRACT(f.detail, '$.n_lines') AS INTEGER) AS n_lines,
    CAST(JSON_EXTRACT(f.detail, '$.share') AS REAL) AS share,
    CAST(JSON_EXTRACT(f.detail, '$.first_text_s') AS REAL) AS first_text_s,
    JSON_EXTRACT(f.detail, '$.text') AS text
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'ocr'
JOIN video v ON v.id = f.video_id
WHERE f.status = 'done';
