-- One row per model version, horizon and night on which forecasts were judged (UTC): how many
-- forecasts were judged (`n`) or closed as never looked at (`n_unobserved`), and of
-- the judged ones the errors and how often the truth lay in the 80 % interval. `bias_log` is above 0
-- where views were forecast too high. Without forecasts of videos that the model was trained on.
CREATE VIEW v_ledger_by_night AS
SELECT
    m.id AS model_version_id,
    m.name AS model_name,
    m.version AS model_version,
    j.horizon_s,
    j.horizon_s / CAST(86400 AS DOUBLE PRECISION) AS horizon_d,
    CAST(j.judged_at AT TIME ZONE 'UTC' AS DATE) AS night,
    COUNT(j.truth_k) AS n,
    SUM(CASE WHEN j.status = 'unobserved' THEN 1 ELSE 0 END) AS n_unobserved,
    AVG(ABS(p.predicted_k - j.truth_k)) AS mae_k,
    AVG((p.predicted_k - j.truth_k) * (p.predicted_k - j.truth_k)) AS mse_k2,
    AVG(ABS(j.error_log)) AS log_mae,
    AVG(j.error_log) AS bias_log,
    COUNT(j.is_inside) AS n_intervals,
    AVG(CASE WHEN j.is_inside THEN 1.0 WHEN NOT j.is_inside THEN 0.0 END) AS coverage,
    AVG(CASE WHEN j.status = 'judged' THEN CAST(EXTRACT(EPOCH FROM j.due_at - j.made_at) AS DOUBLE PRECISION) / 86400 END) AS days_ahead
FROM judgement j
JOIN prediction p ON p.run_id = j.run_id AND p.video_id = j.video_id
JOIN model_version m ON m.id = j.model_version_id
WHERE p.part <> 'train' AND j.status <> 'open'
GROUP BY m.id, m.name, m.version, j.horizon_s, CAST(j.judged_at AT TIME ZONE 'UTC' AS DATE);
