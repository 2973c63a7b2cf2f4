-- One row per prediction and feature set of its model: everything the number was made from.
-- `as_of` and `history_rule` say what its model may read of accounts, sounds and earlier posts.
-- `label_k` is the label of the model's split, and where that is of an age, `label_text` is the count
-- before it (or the one after it, where there is none before) and `label_second_text` the one after.
CREATE VIEW v_lineage AS
SELECT
    p.run_id,
    r.uid AS run_uid,
    r.started_at AS scored_at,
    r.code_version,
    r.git_sha,
    p.video_id,
    v.tiktok_id,
    p.predicted_k,
    p.inputs_sha256,
    m.name AS model_name,
    m.version AS model_version,
    m.sha256 AS model_sha256,
    m.artifact_uri,
    m.as_of,
    m.history_rule,
    m.train_run_id,
    t.code_version AS train_code_version,
    t.git_sha AS train_git_sha,
    ds.name AS split_name,
    ds.sha256 AS split_sha256,
    sm.part AS split_part,
    lo.display_text AS label_text,
    lo.observed_at AS label_observed_at,
    so.display_text AS label_second_text,
    so.observed_at AS label_second_observed_at,
    COALESCE(sm.label_k, lo.views_k) AS label_k,
    sm.label_low_k,
    sm.label_high_k,
    fs.kind AS feature_kind,
    fs.config_hash AS feature_set_hash,
    fs.weights_sha256 AS feature_weights_sha256,
    f.status AS feature_status,
    f.uri AS feature_uri,
    f.row AS feature_row,
    f.sha256 AS feature_sha256,
    f.input_sha256 AS feature_input_sha256,
    mf.uri AS media_uri,
    mf.sha256 AS media_sha256
FROM prediction p
JOIN run r ON r.id = p.run_id
JOIN video v ON v.id = p.video_id
LEFT JOIN model_version m ON m.id = r.model_version_id
LEFT JOIN run t ON t.id = m.train_run_id
LEFT JOIN dataset_split ds ON ds.id = m.split_id
LEFT JOIN split_member sm ON sm.split_id = m.split_id AND sm.video_id = p.video_id
LEFT JOIN view_observation lo ON lo.id = COALESCE(p.observation_id, sm.observation_id)
LEFT JOIN view_observation so ON so.id = sm.second_observation_id
LEFT JOIN model_feature_set mfs ON mfs.model_version_id = m.id
LEFT JOIN feature_set fs ON fs.id = mfs.feature_set_id
LEFT JOIN feature f ON f.feature_set_id = fs.id AND f.video_id = p.video_id
LEFT JOIN media_file mf ON mf.video_id = p.video_id AND mf.kind = 'video';
