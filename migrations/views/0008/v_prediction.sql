-- One row per prediction, with its 80 % interval where the model states one, and its error against
-- the count known when it was made.
CREATE VIEW v_prediction AS
SELECT
    r.id AS run_id,
    r.uid AS run_uid,
    r.status AS run_status,
    r.started_at AS scored_at,
    p.made_at,
    p.horizon_s,
    p.video_id,
    v.tiktok_id,
    v.url,
    m.id AS model_version_id,
    m.name AS model_name,
    m.version AS model_version,
    m.model_kind,
    p.part,
    p.predicted_k,
    p.low_k,
    p.high_k,
    p.actual_k,
    p.predicted_k - p.actual_k AS error_k,
    ABS(p.predicted_k - p.actual_k) AS abs_error_k,
    (p.predicted_k - p.actual_k) * (p.predicted_k - p.actual_k) AS squared_error_k2,
    p.pred_quartile,
    p.actual_quartile,
    o.display_text AS actual_text,
    o.observed_at AS actual_observed_at
FROM prediction p
JOIN run r ON r.id = p.run_id
JOIN video v ON v.id = p.video_id
LEFT JOIN model_version m ON m.id = r.model_version_id
LEFT JOIN view_observation o ON o.id = p.observation_id;
