-- One row per scoring run, model name and part: its errors, and how well its intervals were
-- calibrated (an 80 % interval should hold 80 % of the counts), beside the mean of the seven before of
-- versions that forecast the same (`label`, `horizon_s`).
CREATE VIEW v_error_drift AS
SELECT
    d.night,
    d.run_id,
    d.model_name,
    d.model_version,
    d.part,
    d.label,
    d.horizon_s,
    d.n,
    d.mae_k,
    d.mse_k2,
    d.mae_k_before,
    d.mae_k / NULLIF(d.mae_k_before, 0) AS ratio,
    d.log_mae,
    d.log_mae_before,
    d.coverage_80,
    d.coverage_80_before,
    d.interval_width_log,
    d.started_at
FROM (
    SELECT
        DATE(b.started_at) AS night,
        b.run_id,
        b.model_name,
        b.model_version,
        b.part,
        b.label,
        b.horizon_s,
        b.n,
        b.mae_k,
        b.mse_k2,
        b.log_mae,
        b.coverage_80,
        b.interval_width_log,
        b.started_at,
        AVG(b.mae_k) OVER earlier AS mae_k_before,
        AVG(b.log_mae) OVER earlier AS log_mae_before,
        AVG(b.coverage_80) OVER earlier AS coverage_80_before
    FROM v_run_leaderboard b
    WHERE b.kind = 'score' AND b.status IN ('ok', 'partial')
    WINDOW earlier AS (
        PARTITION BY b.model_name, b.part, b.label, b.horizon_s
        ORDER BY b.started_at, b.run_id
        ROWS BETWEEN 7 PRECEDING AND 1 PRECEDING
    )
) d;
