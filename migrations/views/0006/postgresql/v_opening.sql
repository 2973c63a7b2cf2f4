-- One row per video and feature set: plain numbers of the first three seconds and of the whole.
CREATE VIEW v_opening AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(f.detail ->> 'duration_s' AS DOUBLE PRECISION) AS duration_s
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'opening'
JOIN video v ON v.id = f.video_id
WHERE f.status = 'done';
