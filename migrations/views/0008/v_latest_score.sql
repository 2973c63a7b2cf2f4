-- One row per video and model name: the newest prediction of a run that did not fail.
CREATE VIEW v_latest_score AS
SELECT
    s.video_id,
    v.tiktok_id,
    v.url,
    s.model_name,
    s.model_version,
    s.model_version_id,
    s.model_kind,
    s.part,
    s.horizon_s,
    s.predicted_k,
    s.low_k,
    s.high_k,
    s.actual_k,
    s.pred_quartile,
    s.actual_quartile,
    s.run_id,
    s.scored_at
FROM (
    SELECT
        p.video_id,
        p.run_id,
        p.part,
        p.horizon_s,
        p.predicted_k,
        p.low_k,
        p.high_k,
        p.actual_k,
        p.pred_quartile,
        p.actual_quartile,
        r.started_at AS scored_at,
        m.id AS model_version_id,
        m.name AS model_name,
        m.version AS model_version,
        m.model_kind,
        ROW_NUMBER() OVER (
            PARTITION BY p.video_id, m.name ORDER BY r.started_at DESC, r.id DESC
        ) AS age
    FROM prediction p
    JOIN run r ON r.id = p.run_id AND r.kind = 'score' AND r.status <> 'failed'
    JOIN model_version m ON m.id = r.model_version_id
) s
JOIN video v ON v.id = s.video_id
WHERE s.age = 1;
