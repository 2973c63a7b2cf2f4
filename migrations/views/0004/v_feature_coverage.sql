-- One row per feature set: how many of the videos have the feature, and how the rest stand.
CREATE VIEW v_feature_coverage AS
SELECT
    fs.id AS feature_set_id,
    fs.kind,
    fs.config_hash,
    fs.extractor,
    fs.extractor_version,
    a.n_videos,
    a.n_media,
    COALESCE(c.n_done, 0) AS n_done,
    COALESCE(c.n_skipped, 0) AS n_skipped,
    COALESCE(c.n_pending, 0) AS n_pending,
    COALESCE(c.n_leased, 0) AS n_leased,
    COALESCE(c.n_failed, 0) AS n_failed,
    COALESCE(c.n_dead, 0) AS n_dead,
    a.n_videos - COALESCE(c.n_rows, 0) AS n_not_enrolled
FROM feature_set fs
CROSS JOIN (
    SELECT
        (SELECT COUNT(*) FROM video) AS n_videos,
        (SELECT COUNT(*) FROM media_file WHERE status = 'ok') AS n_media
) a
LEFT JOIN (
    SELECT
        g.feature_set_id,
        CAST(SUM(g.n) AS BIGINT) AS n_rows,
        CAST(SUM(CASE WHEN g.status = 'done' THEN g.n ELSE 0 END) AS BIGINT) AS n_done,
        CAST(SUM(CASE WHEN g.status = 'skipped' THEN g.n ELSE 0 END) AS BIGINT) AS n_skipped,
        CAST(SUM(CASE WHEN g.status = 'pending' THEN g.n ELSE 0 END) AS BIGINT) AS n_pending,
        CAST(SUM(CASE WHEN g.status = 'leased' THEN g.n ELSE 0 END) AS BIGINT) AS n_leased,
        CAST(SUM(CASE WHEN g.status = 'failed' THEN g.n ELSE 0 END) AS BIGINT) AS n_failed,
        CAST(SUM(CASE WHEN g.status = 'dead' THEN g.n ELSE 0 END) AS BIGINT) AS n_dead
    FROM (
        SELECT feature_set_id, status, COUNT(*) AS n
        FROM feature
        GROUP BY feature_set_id, status
    ) g
    GROUP BY g.feature_set_id
) c ON c.feature_set_id = fs.id;
