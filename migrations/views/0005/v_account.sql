-- One row per account as it was last seen, with how many of its videos the catalog has.
CREATE VIEW v_account AS
SELECT
    a.id AS account_id,
    a.platform,
    a.author_key,
    a.handle,
    a.wanted_at,
    a.listed_at,
    (SELECT COUNT(*) FROM video v WHERE v.account_id = a.id) AS n_videos,
    o.observed_at,
    o.n_followers,
    o.n_following,
    o.n_likes,
    o.n_posts,
    o.is_verified,
    o.bio_chars,
    o.region
FROM account a
LEFT JOIN account_observation o ON o.id = (
    SELECT l.id
    FROM account_observation l
    WHERE l.account_id = a.id
    ORDER BY l.observed_at DESC
    LIMIT 1
);
