-- One row per thing that failed and has not succeeded since; what was absent is no failure.
CREATE VIEW v_failure AS
SELECT
    'media' AS stage,
    v.tiktok_id AS subject,
    m.status,
    m.error_code,
    m.error,
    m.attempts,
    m.not_before,
    m.finished_at AS failed_at,
    m.run_id
FROM media_file m
JOIN video v ON v.id = m.video_id
WHERE m.status IN ('failed', 'dead')
UNION ALL
SELECT
    fs.kind AS stage,
    v.tiktok_id AS subject,
    f.status,
    f.error_code,
    f.error,
    f.attempts,
    f.not_before,
    f.finished_at AS failed_at,
    f.run_id
FROM feature f
JOIN feature_set fs ON fs.id = f.feature_set_id
JOIN video v ON v.id = f.video_id
WHERE f.status IN ('failed', 'dead')
UNION ALL
-- Fetching and extracting keep their failures in their own rows, above. Any other failure counts
-- until a run of its kind has ended without one.
SELECT
    COALESCE(r.kind, 'daemon') AS stage,
    e.subject,
    r.status,
    e.code AS error_code,
    CAST(e.detail AS TEXT) AS error,
    NULL AS attempts,
    NULL AS not_before,
    e.at AS failed_at,
    e.run_id
FROM event e
LEFT JOIN run r ON r.id = e.run_id
WHERE e.level = 'error'
  AND COALESCE(r.kind, 'daemon') <> 'fetch'
  AND SUBSTR(COALESCE(r.kind, 'daemon'), 1, 8) <> 'extract-'
  AND NOT EXISTS (
      SELECT 1 FROM run later
      WHERE later.kind = r.kind AND later.status = 'ok' AND later.started_at > e.at
  );
