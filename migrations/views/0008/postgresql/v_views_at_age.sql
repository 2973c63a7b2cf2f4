-- One row per video and reported age: its views at that age, from the counts around it, and what
-- those allow (`low_k` to `high_k`). `status` is "known"; "not_yet" where the video is too young, or a
-- count near that age may still come; "not_observed" where nobody looked at it near that age. Of
-- "not_yet" and "not_observed" there is no number. Of a video whose time of posting is only in its id
-- there is a row where the views are known.
CREATE VIEW v_views_at_age AS
SELECT
    v.id AS video_id,
    v.tiktok_id,
    v.url,
    v.posted_at,
    a.age_s,
    a.age_s / CAST(86400 AS DOUBLE PRECISION) AS age_d,
    CASE
        WHEN c.video_id IS NOT NULL THEN 'known'
        WHEN EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - v.posted_at) < a.age_s * (1 + a.reach) THEN 'not_yet'
        ELSE 'not_observed'
    END AS status,
    c.views_k,
    c.low_k,
    c.high_k,
    c.method,
    b.observed_at AS before_at,
    b.display_text AS before_text,
    b.step_k AS before_step_k,
    l.observed_at AS after_at,
    l.display_text AS after_text,
    l.step_k AS after_step_k
FROM video v
CROSS JOIN reported_age a
LEFT JOIN views_at_age c ON c.video_id = v.id AND c.age_s = a.age_s
LEFT JOIN view_observation b ON b.id = c.before_id
LEFT JOIN view_observation l ON l.id = c.after_id
WHERE v.posted_at IS NOT NULL OR c.video_id IS NOT NULL;
