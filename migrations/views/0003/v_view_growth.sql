-- One row per readable observation of a video, with how the count has grown since the one before.
CREATE VIEW v_view_growth AS
SELECT
    g.video_id,
    g.tiktok_id,
    g.observed_at,
    g.views_k,
    g.step_k,
    g.since,
    g.views_k_before,
    g.days,
    g.views_k - g.views_k_before AS growth_k,
    -- What the two displays leave open: a growth below it may be none at all.
    (g.step_k + g.step_k_before) / 2 AS growth_slack_k,
    (g.views_k - g.views_k_before) / NULLIF(g.days, 0) AS growth_k_per_day,
    g.age_days,
    g.source
FROM (
    SELECT
        o.video_id,
        v.tiktok_id,
        o.observed_at,
        o.views_k,
        o.step_k,
        o.source,
        LAG(o.observed_at) OVER seen AS since,
        LAG(o.views_k) OVER seen AS views_k_before,
        LAG(o.step_k) OVER seen AS step_k_before,
        JULIANDAY(o.observed_at) - JULIANDAY(LAG(o.observed_at) OVER seen) AS days,
        JULIANDAY(o.observed_at) - JULIANDAY(v.posted_at) AS age_days
    FROM view_observation o
    JOIN video v ON v.id = o.video_id
    WHERE o.views_k IS NOT NULL
    WINDOW seen AS (PARTITION BY o.video_id ORDER BY o.observed_at)
) g;
