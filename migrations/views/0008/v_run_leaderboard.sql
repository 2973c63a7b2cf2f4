-- One row per training or scoring run and part: the model's errors and, beside them, those of
-- always answering the train mean, the train median and the train's geometric mean. A `_diff_` is
-- the model's error minus the constant's, as the low and high end of a paired 95 % bootstrap
-- interval: below 0 the model is better, and an interval that holds 0 shows nothing. `coverage_80`
-- is the share of counts within the model's own 80 % interval. Logs are natural ones of 1 + views;
-- those of runs before revision 0007 were of 1 + thousands and are in run_metric alone, as
-- `log_mae_k` and so on. `as_of` is up to when the model may read of accounts and sounds ("post":
-- strictly before the post; "crawl": else what was seen first afterwards), `history_rule` which
-- counts of earlier posts ("observed": seen by then; "posted": of posts a day older). `label` is what
-- it forecasts ("latest", or the views at an age: "at:7d"), `horizon_s` the age its forecasts are of.
CREATE VIEW v_run_leaderboard AS
SELECT
    r.id AS run_id,
    r.uid AS run_uid,
    r.kind,
    m.name AS model_name,
    m.version AS model_version,
    m.model_kind,
    m.objective,
    m.as_of,
    m.history_rule,
    m.label,
    m.horizon_s,
    x.part,
    CAST(x.n AS BIGINT) AS n,
    x.mse_k2,
    x.mae_k,
    x.mse_k2_train_mean,
    x.mae_k_train_mean,
    x.mse_k2_train_median,
    x.mae_k_train_median,
    x.mse_k2_geometric_mean,
    x.mae_k_geometric_mean,
    x.mse_k2_diff_train_mean_low,
    x.mse_k2_diff_train_mean_high,
    x.mse_k2_diff_train_median_low,
    x.mse_k2_diff_train_median_high,
    x.mse_k2_diff_geometric_mean_low,
    x.mse_k2_diff_geometric_mean_high,
    x.mae_k_diff_train_mean_low,
    x.mae_k_diff_train_mean_high,
    x.mae_k_diff_train_median_low,
    x.mae_k_diff_train_median_high,
    x.mae_k_diff_geometric_mean_low,
    x.mae_k_diff_geometric_mean_high,
    x.spearman,
    x.spearman_low,
    x.spearman_high,
    x.log_mae,
    x.log_mae_train_mean,
    x.log_mae_train_median,
    x.log_mae_geometric_mean,
    x.log_mae_diff_train_mean_low,
    x.log_mae_diff_train_mean_high,
    x.log_mae_diff_train_median_low,
    x.log_mae_diff_train_median_high,
    x.log_mae_diff_geometric_mean_low,
    x.log_mae_diff_geometric_mean_high,
    x.median_ae_k,
    x.r2_log,
    x.quartile_accuracy,
    x.balanced_accuracy,
    x.majority_accuracy,
    x.coverage_80,
    x.interval_width_log,
    r.started_at,
    r.status
FROM (
    SELECT
        run_id,
        split AS part,
        MAX(CASE WHEN name = 'n' THEN value END) AS n,
        MAX(CASE WHEN name = 'mse_k2' THEN value END) AS mse_k2,
        MAX(CASE WHEN name = 'mae_k' THEN value END) AS mae_k,
        MAX(CASE WHEN name = 'mse_k2.train_mean' THEN value END) AS mse_k2_train_mean,
        MAX(CASE WHEN name = 'mae_k.train_mean' THEN value END) AS mae_k_train_mean,
        MAX(CASE WHEN name = 'mse_k2.train_median' THEN value END) AS mse_k2_train_median,
        MAX(CASE WHEN name = 'mae_k.train_median' THEN value END) AS mae_k_train_median,
        MAX(CASE WHEN name = 'mse_k2.geometric_mean' THEN value END) AS mse_k2_geometric_mean,
        MAX(CASE WHEN name = 'mae_k.geometric_mean' THEN value END) AS mae_k_geometric_mean,
        MAX(CASE WHEN name = 'mse_k2_diff.train_mean.low' THEN value END) AS mse_k2_diff_train_mean_low,
        MAX(CASE WHEN name = 'mse_k2_diff.train_mean.high' THEN value END) AS mse_k2_diff_train_mean_high,
        MAX(CASE WHEN name = 'mse_k2_diff.train_median.low' THEN value END) AS mse_k2_diff_train_median_low,
        MAX(CASE WHEN name = 'mse_k2_diff.train_median.high' THEN value END) AS mse_k2_diff_train_median_high,
        MAX(CASE WHEN name = 'mse_k2_diff.geometric_mean.low' THEN value END) AS mse_k2_diff_geometric_mean_low,
        MAX(CASE WHEN name = 'mse_k2_diff.geometric_mean.high' THEN value END) AS mse_k2_diff_geometric_mean_high,
        MAX(CASE WHEN name = 'mae_k_diff.train_mean.low' THEN value END) AS mae_k_diff_train_mean_low,
        MAX(CASE WHEN name = 'mae_k_diff.train_mean.high' THEN value END) AS mae_k_diff_train_mean_high,
        MAX(CASE WHEN name = 'mae_k_diff.train_median.low' THEN value END) AS mae_k_diff_train_median_low,
        MAX(CASE WHEN name = 'mae_k_diff.train_median.high' THEN value END) AS mae_k_diff_train_median_high,
        MAX(CASE WHEN name = 'mae_k_diff.geometric_mean.low' THEN value END) AS mae_k_diff_geometric_mean_low,
        MAX(CASE WHEN name = 'mae_k_diff.geometric_mean.high' THEN value END) AS mae_k_diff_geometric_mean_high,
        MAX(CASE WHEN name = 'spearman' THEN value END) AS spearman,
        MAX(CASE WHEN name = 'spearman.low' THEN value END) AS spearman_low,
        MAX(CASE WHEN name = 'spearman.high' THEN value END) AS spearman_high,
        MAX(CASE WHEN name = 'log_mae' THEN value END) AS log_mae,
        MAX(CASE WHEN name = 'log_mae.train_mean' THEN value END) AS log_mae_train_mean,
        MAX(CASE WHEN name = 'log_mae.train_median' THEN value END) AS log_mae_train_median,
        MAX(CASE WHEN name = 'log_mae.geometric_mean' THEN value END) AS log_mae_geometric_mean,
        MAX(CASE WHEN name = 'log_mae_diff.train_mean.low' THEN value END) AS log_mae_diff_train_mean_low,
        MAX(CASE WHEN name = 'log_mae_diff.train_mean.high' THEN value END) AS log_mae_diff_train_mean_high,
        MAX(CASE WHEN name = 'log_mae_diff.train_median.low' THEN value END) AS log_mae_diff_train_median_low,
        MAX(CASE WHEN name = 'log_mae_diff.train_median.high' THEN value END) AS log_mae_diff_train_median_high,
        MAX(CASE WHEN name = 'log_mae_diff.geometric_mean.low' THEN value END) AS log_mae_diff_geometric_mean_low,
        MAX(CASE WHEN name = 'log_mae_diff.geometric_mean.high' THEN value END) AS log_mae_diff_geometric_mean_high,
        MAX(CASE WHEN name = 'median_ae_k' THEN value END) AS median_ae_k,
        MAX(CASE WHEN name = 'r2_log' THEN value END) AS r2_log,
        MAX(CASE WHEN name = 'quartile_accuracy' THEN value END) AS quartile_accuracy,
        MAX(CASE WHEN name = 'balanced_accuracy' THEN value END) AS balanced_accuracy,
        MAX(CASE WHEN name = 'majority_accuracy' THEN value END) AS majority_accuracy,
        MAX(CASE WHEN name = 'coverage_80' THEN value END) AS coverage_80,
        MAX(CASE WHEN name = 'interval_width_log' THEN value END) AS interval_width_log
    FROM run_metric
    WHERE step = -1
    GROUP BY run_id, split
) x
JOIN run r ON r.id = x.run_id AND r.kind IN ('train', 'score')
LEFT JOIN model_version m ON m.id = COALESCE(
    r.model_version_id,
    (SELECT MAX(t.id) FROM model_version t WHERE t.train_run_id = r.id)
);
