-- One row per scoring run, model name and part: its MAE beside the mean of the seven before.
CREATE VIEW v_error_drift AS
SELECT
    d.night,
    d.run_id,
    d.model_name,
    d.model_version,
    d.part,
    d.n,
    d.mae_k,
    d.mse_k2,
    d.mae_k_before,
    d.mae_k / NULLIF(d.mae_k_before, 0) AS ratio,
    d.started_at
FROM (
    SELECT
        DATE(b.started_at) AS night,
        b.run_id,
        b.model_name,
        b.model_version,
        b.part,
        b.n,
        b.mae_k,
        b.mse_k2,
        b.started_at,
        AVG(b.mae_k) OVER (
            PARTITION BY b.model_name, b.part
            ORDER BY b.started_at, b.run_id
            ROWS BETWEEN 7 PRECEDING AND 1 PRECEDING
        ) AS mae_k_before
    FROM v_run_leaderboard b
    WHERE b.kind = 'score' AND b.status IN ('ok', 'partial')
) d;
