-- One row per video with its newest readable count, and what viewers did beside viewing by then.
CREATE VIEW v_video AS
SELECT
    v.id AS video_id,
    v.tiktok_id,
    v.platform,
    v.url,
    v.caption,
    v.account_id,
    v.posted_at,
    v.duration_s,
    v.width_px,
    v.height_px,
    v.first_seen_at,
    v.gone_at,
    v.gone_reason,
    o.display_text,
    o.views_k,
    o.step_k,
    o.observed_at,
    o.source AS observed_by,
    m.status AS media_status,
    m.uri AS media_uri,
    v.sound_id,
    v.language,
    v.region,
    v.is_ad,
    v.is_duet,
    v.is_stitch,
    v.n_mentions,
    v.wanted_at,
    o.n_likes,
    o.n_comments,
    o.n_shares,
    o.n_saves
FROM video v
LEFT JOIN view_observation o ON o.id = v.latest_observation_id
LEFT JOIN media_file m ON m.video_id = v.id AND m.kind = 'video';
