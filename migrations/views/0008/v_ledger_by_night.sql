-- One row per model version, horizon and night on which forecasts were judged (UTC): the errors of its judged
-- forecasts and how often the truth lay in the 80 % interval. `bias_log` is above 0 where views were
-- forecast too high.
CREATE VIEW v_ledger_by_night AS
SELECT
    l.model_name,
    l.model_version,
    l.horizon_d,
    DATE(l.judged_at) AS night,
    COUNT(*) AS n,
    AVG(ABS(l.error_k)) AS mae_k,
    AVG(l.error_k * l.error_k) AS mse_k2,
    AVG(ABS(l.error_log)) AS log_mae,
    AVG(l.error_log) AS bias_log,
    COUNT(l.is_inside) AS n_intervals,
    AVG(CASE WHEN l.is_inside THEN 1.0 WHEN NOT l.is_inside THEN 0.0 END) AS coverage,
    AVG(l.days_ahead) AS days_ahead
FROM v_forecast_ledger l
WHERE l.status = 'judged'
GROUP BY l.model_name, l.model_version, l.horizon_d, DATE(l.judged_at);
