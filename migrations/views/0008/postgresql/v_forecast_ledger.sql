-- One row per forecast that was made before its horizon: the first of each model version of a video
-- at an age. `status` is "open" until the video has come to that age and a count near it is known,
-- then "judged", or "unobserved" where nobody looked at it near that age after the forecast was made.
-- `error_log` is ln(1 + views) forecast minus that of the truth, `days_ahead` how long before the
-- horizon the forecast was made; `is_inside` says whether `truth_k` itself lies in the 80 % interval.
-- `before_id` and `after_id` are the observations around that age. `due_at` goes by the time of
-- posting that was known when the forecast was made, `posted_at` is the one known now.
CREATE VIEW v_forecast_ledger AS
SELECT
    j.video_id,
    v.tiktok_id,
    v.url,
    v.posted_at,
    m.id AS model_version_id,
    m.name AS model_name,
    m.version AS model_version,
    m.label,
    j.run_id,
    p.part,
    j.made_at,
    j.horizon_s,
    j.horizon_s / CAST(86400 AS DOUBLE PRECISION) AS horizon_d,
    j.due_at,
    CAST(EXTRACT(EPOCH FROM j.due_at - j.made_at) AS DOUBLE PRECISION) / 86400 AS days_ahead,
    j.status,
    p.predicted_k,
    p.low_k,
    p.high_k,
    j.truth_k,
    j.truth_low_k,
    j.truth_high_k,
    j.before_id,
    j.after_id,
    p.predicted_k - j.truth_k AS error_k,
    j.error_log,
    j.is_inside,
    j.judged_at,
    j.judged_run_id
FROM judgement j
JOIN prediction p ON p.run_id = j.run_id AND p.video_id = j.video_id
JOIN video v ON v.id = j.video_id
JOIN model_version m ON m.id = j.model_version_id;
