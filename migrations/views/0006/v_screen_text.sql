-- One row per video and feature set whose pictures were read for text: what is written on screen.
-- `text` is empty where nothing is.
CREATE VIEW v_screen_text AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(JSON_EXTRACT(f.detail, '$.n_lines') AS INTEGER) AS n_lines,
    JSON_EXTRACT(f.detail, '$.text') AS text
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'ocr'
JOIN video v ON v.id = f.video_id
WHERE f.status = 'done';
