-- One row per model version, part and week of posting (its Monday, UTC): the errors of each video's
-- newest score of that version against the count known then. Logs are natural ones of 1 + views:
-- `bias_log` is the mean of the forecast's minus the count's, above 0 where views are forecast too
-- high; `coverage` the share of counts within the model's 80 % interval, of the `n_intervals` that
-- have one.
CREATE VIEW v_error_by_week AS
SELECT
    e.model_name,
    e.model_version,
    e.part,
    e.week,
    COUNT(*) AS n,
    AVG(ABS(e.predicted_k - e.actual_k)) AS mae_k,
    AVG(e.predicted_k - e.actual_k) AS bias_k,
    AVG(ABS(LN(1 + 1000 * e.predicted_k) - LN(1 + 1000 * e.actual_k))) AS log_mae,
    AVG(LN(1 + 1000 * e.predicted_k) - LN(1 + 1000 * e.actual_k)) AS bias_log,
    COUNT(e.low_k) AS n_intervals,
    AVG(
        CASE
            WHEN e.low_k IS NULL THEN NULL
            WHEN e.actual_k BETWEEN e.low_k AND e.high_k THEN 1.0
            ELSE 0.0
        END
    ) AS coverage
FROM (
    SELECT
        m.name AS model_name,
        m.version AS model_version,
        p.part,
        CAST(DATE_TRUNC('week', v.posted_at) AS DATE) AS week,
        p.predicted_k,
        p.low_k,
        p.high_k,
        p.actual_k,
        ROW_NUMBER() OVER (
            PARTITION BY p.video_id, m.id ORDER BY r.started_at DESC, r.id DESC
        ) AS age
    FROM prediction p
    JOIN run r ON r.id = p.run_id AND r.kind = 'score' AND r.status <> 'failed'
    JOIN model_version m ON m.id = r.model_version_id
    JOIN video v ON v.id = p.video_id
    WHERE p.actual_k IS NOT NULL AND v.posted_at IS NOT NULL
) e
WHERE e.age = 1
GROUP BY e.model_name, e.model_version, e.part, e.week;
