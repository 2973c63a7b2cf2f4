-- One row per stretch of sound whose words were refused: why, the words, and the numbers that spoke
-- against them.
CREATE VIEW v_unheard_window AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(JSON_EXTRACT(d.value, '$.start_s') AS REAL) AS start_s,
    JSON_EXTRACT(d.value, '$.reason') AS reason
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
JOIN video v ON v.id = f.video_id
JOIN JSON_EACH(f.detail, '$.dropped') d
WHERE f.status = 'done';
