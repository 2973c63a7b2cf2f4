-- One row per scored video with a count: how far it ran ahead of or behind its newest prediction.
CREATE VIEW v_performance_gap AS
SELECT
    s.video_id,
    s.tiktok_id,
    s.url,
    s.model_name,
    s.model_version,
    s.part,
    s.predicted_k,
    o.views_k,
    o.observed_at,
    s.scored_at,
    o.views_k - s.predicted_k AS gap_k,
    (o.views_k + 1.0) / (s.predicted_k + 1.0) AS ratio,
    CASE
        WHEN o.views_k + 1.0 >= 2.0 * (s.predicted_k + 1.0) THEN 'over'
        WHEN 2.0 * (o.views_k + 1.0) <= s.predicted_k + 1.0 THEN 'under'
        ELSE 'as predicted'
    END AS verdict
FROM v_latest_score s
JOIN video v ON v.id = s.video_id
JOIN view_observation o ON o.id = v.latest_observation_id AND o.views_k IS NOT NULL;
