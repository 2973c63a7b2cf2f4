-- One row per stretch of sound whose words were refused: why, the words, and the numbers that spoke
-- against them.
CREATE VIEW v_unheard_window AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(d.value ->> 'start_s' AS DOUBLE PRECISION) AS start_s,
    d.value ->> 'reason' AS reason
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
JOIN video v ON v.id = f.video_id
CROSS JOIN LATERAL JSONB_ARRAY_ELEMENTS(f.detail -> 'dropped') d (value)
WHERE f.status = 'done';
