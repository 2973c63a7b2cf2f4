-- One row per video: what had been seen of its account and its sound strictly before it was posted,
-- and what was seen first from then on. Only the columns `..._before` could have been known before the post; those
-- `..._after` may already show what the video did. Without `posted_at` everything is NULL.
CREATE VIEW v_known_at_post AS
SELECT
    v.id AS video_id,
    v.tiktok_id,
    v.platform,
    v.posted_at,
    v.account_id,
    ab.observed_at AS account_seen_before,
    ab.n_followers AS n_followers_before,
    ab.n_following AS n_following_before,
    ab.n_likes AS n_account_likes_before,
    ab.n_posts AS n_posts_before,
    ab.is_verified AS is_verified_before,
    aa.observed_at AS account_seen_after,
    aa.n_followers AS n_followers_after,
    aa.n_following AS n_following_after,
    aa.n_likes AS n_account_likes_after,
    aa.n_posts AS n_posts_after,
    aa.is_verified AS is_verified_after,
    v.sound_id,
    sb.observed_at AS sound_seen_before,
    sb.n_videos AS n_sound_videos_before,
    sa.observed_at AS sound_seen_after,
    sa.n_videos AS n_sound_videos_after
FROM video v
LEFT JOIN account_observation ab ON ab.id = (
    SELECT o.id
    FROM account_observation o
    WHERE o.account_id = v.account_id AND o.observed_at < v.posted_at
    ORDER BY o.observed_at DESC
    LIMIT 1
)
LEFT JOIN account_observation aa ON aa.id = (
    SELECT o.id
    FROM account_observation o
    WHERE o.account_id = v.account_id AND o.observed_at >= v.posted_at
    ORDER BY o.observed_at
    LIMIT 1
)
LEFT JOIN sound_observation sb ON sb.id = (
    SELECT o.id
    FROM sound_observation o
    WHERE o.sound_id = v.sound_id AND o.observed_at < v.posted_at
    ORDER BY o.observed_at DESC
    LIMIT 1
)
LEFT JOIN sound_observation sa ON sa.id = (
    SELECT o.id
    FROM sound_observation o
    WHERE o.sound_id = v.sound_id AND o.observed_at >= v.posted_at
    ORDER BY o.observed_at
    LIMIT 1
);
