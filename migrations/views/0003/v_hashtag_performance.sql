-- One row per hashtag and model name: how its videos do, and how well that was predicted.
CREATE VIEW v_hashtag_performance AS
SELECT
    h.name AS hashtag,
    s.model_name,
    c.n_videos,
    c.n_counted,
    c.mean_views_k,
    c.max_views_k,
    CAST(COUNT(s.video_id) AS BIGINT) AS n_scored,
    AVG(s.predicted_k) AS mean_predicted_k,
    AVG(ABS(s.predicted_k - s.actual_k)) AS mae_k
FROM hashtag h
JOIN (
    SELECT
        vh.hashtag_id,
        COUNT(*) AS n_videos,
        COUNT(o.views_k) AS n_counted,
        AVG(o.views_k) AS mean_views_k,
        MAX(o.views_k) AS max_views_k
    FROM video_hashtag vh
    JOIN video v ON v.id = vh.video_id
    LEFT JOIN view_observation o ON o.id = v.latest_observation_id
    GROUP BY vh.hashtag_id
) c ON c.hashtag_id = h.id
JOIN video_hashtag l ON l.hashtag_id = h.id
LEFT JOIN v_latest_score s ON s.video_id = l.video_id
GROUP BY
    h.name, s.model_name, c.n_videos, c.n_counted, c.mean_views_k, c.max_views_k;
