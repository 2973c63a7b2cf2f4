-- One row per training or scoring run and part: the model's errors and, beside them, those of
-- always answering the train mean and the train median. A `_diff_` is the model's error minus the
-- constant's, as the low and high end of a paired 95 % bootstrap interval: below 0 the model is
-- better, and an interval that holds 0 shows nothing.
CREATE VIEW v_run_leaderboard AS
SELECT
    r.id AS run_id,
    r.uid AS run_uid,
    r.kind,
    m.name AS model_name,
    m.version AS model_version,
    m.model_kind,
    m.objective,
    x.part,
    CAST(x.n AS BIGINT) AS n,
    x.mse_k2,
    x.mae_k,
    x.mse_k2_train_mean,
    x.mae_k_train_mean,
    x.mse_k2_train_median,
    x.mae_k_train_median,
    x.mse_k2_diff_train_mean_low,
    x.mse_k2_diff_train_mean_high,
    x.mse_k2_diff_train_median_low,
    x.mse_k2_diff_train_median_high,
    x.mae_k_diff_train_mean_low,
    x.mae_k_diff_train_mean_high,
    x.mae_k_diff_train_median_low,
    x.mae_k_diff_train_median_high,
    x.spearman,
    x.log_mae,
    x.median_ae_k,
    x.r2_log,
    x.quartile_accuracy,
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
        MAX(CASE WHEN name = 'mse_k2_diff.train_mean.low' THEN value END) AS mse_k2_diff_train_mean_low,
        MAX(CASE WHEN name = 'mse_k2_diff.train_mean.high' THEN value END) AS mse_k2_diff_train_mean_high,
        MAX(CASE WHEN name = 'mse_k2_diff.train_median.low' THEN value END) AS mse_k2_diff_train_median_low,
        MAX(CASE WHEN name = 'mse_k2_diff.train_median.high' THEN value END) AS mse_k2_diff_train_median_high,
        MAX(CASE WHEN name = 'mae_k_diff.train_mean.low' THEN value END) AS mae_k_diff_train_mean_low,
        MAX(CASE WHEN name = 'mae_k_diff.train_mean.high' THEN value END) AS mae_k_diff_train_mean_high,
        MAX(CASE WHEN name = 'mae_k_diff.train_median.low' THEN value END) AS mae_k_diff_train_median_low,
        MAX(CASE WHEN name = 'mae_k_diff.train_median.high' THEN value END) AS mae_k_diff_train_median_high,
        MAX(CASE WHEN name = 'spearman' THEN value END) AS spearman,
        MAX(CASE WHEN name = 'log_mae' THEN value END) AS log_mae,
        MAX(CASE WHEN name = 'median_ae_k' THEN value END) AS median_ae_k,
        MAX(CASE WHEN name = 'r2_log' THEN value END) AS r2_log,
        MAX(CASE WHEN name = 'quartile_accuracy' THEN value END) AS quartile_accuracy
    FROM run_metric
    WHERE step = -1
    GROUP BY run_id, split
) x
JOIN run r ON r.id = x.run_id AND r.kind IN ('train', 'score')
LEFT JOIN model_version m ON m.id = COALESCE(
    r.model_version_id,
    (SELECT MAX(t.id) FROM model_version t WHERE t.train_run_id = r.id)
);
