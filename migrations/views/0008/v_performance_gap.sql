-- One row per scored video with a count: how far it ran ahead of or behind its newest prediction. Of a
-- forecast of an age (`horizon_s`) `views_k` are its views at that age, as the ledger has them or as
-- they were known when it was made, and `observed_at` is NULL; there is no row before they are known.
-- Of others it is the newest count.
CREATE VIEW v_performance_gap AS
SELECT
    g.video_id,
    g.tiktok_id,
    g.url,
    g.model_name,
    g.model_version,
    g.part,
    g.horizon_s,
    g.predicted_k,
    g.views_k,
    g.observed_at,
    g.scored_at,
    g.views_k - g.predicted_k AS gap_k,
    (g.views_k + 1.0) / (g.predicted_k + 1.0) AS ratio,
    CASE
        WHEN g.views_k + 1.0 >= 2.0 * (g.predicted_k + 1.0) THEN 'over'
        WHEN 2.0 * (g.views_k + 1.0) <= g.predicted_k + 1.0 THEN 'under'
        ELSE 'as predicted'
    END AS verdict
FROM (
    SELECT
        s.video_id,
        s.tiktok_id,
        s.url,
        s.model_name,
        s.model_version,
        s.part,
        s.horizon_s,
        s.predicted_k,
        s.scored_at,
        CASE WHEN s.horizon_s IS NULL THEN o.views_k ELSE COALESCE(j.truth_k, s.actual_k) END AS views_k,
        CASE WHEN s.horizon_s IS NULL THEN o.observed_at END AS observed_at
    FROM v_latest_score s
    JOIN video v ON v.id = s.video_id
    LEFT JOIN view_observation o ON o.id = v.latest_observation_id
    LEFT JOIN judgement j
        ON j.video_id = s.video_id AND j.model_version_id = s.model_version_id AND j.horizon_s = s.horizon_s
) g
WHERE g.views_k IS NOT NULL;
