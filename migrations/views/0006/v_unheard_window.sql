-- One row per stretch of sound whose words were refused: why, the words, and the numbers that spoke
-- against them. `text` is null where nothing was decoded; sets older than version 3 of the extractor
-- have only `start_s` and `reason`.
CREATE VIEW v_unheard_window AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(JSON_EXTRACT(d.value, '$.start_s') AS REAL) AS start_s,
    CAST(JSON_EXTRACT(d.value, '$.end_s') AS REAL) AS end_s,
    JSON_EXTRACT(d.value, '$.reason') AS reason,
    JSON_EXTRACT(d.value, '$.text') AS text,
    JSON_EXTRACT(d.value, '$.language') AS language,
    CAST(JSON_EXTRACT(d.value, '$.language_prob') AS REAL) AS language_prob,
    CAST(JSON_EXTRACT(d.value, '$.no_speech_prob') AS REAL) AS no_speech_prob,
    CAST(JSON_EXTRACT(d.value, '$.avg_logprob') AS REAL) AS avg_logprob,
    CAST(JSON_EXTRACT(d.value, '$.compression') AS REAL) AS compression,
    CAST(JSON_EXTRACT(d.value, '$.voice_s') AS REAL) AS voice_s
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
JOIN video v ON v.id = f.video_id
JOIN JSON_EACH(f.detail, '$.dropped') d
WHERE f.status = 'done';
