-- One row per stretch of sound whose words were refused: why, the words, and the numbers that spoke
-- against them. `text` is null where nothing was decoded; sets older than version 3 of the extractor
-- have only `start_s` and `reason`.
CREATE VIEW v_unheard_window AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    CAST(d.value ->> 'start_s' AS DOUBLE PRECISION) AS start_s,
    CAST(d.value ->> 'end_s' AS DOUBLE PRECISION) AS end_s,
    d.value ->> 'reason' AS reason,
    d.value ->> 'text' AS text,
    d.value ->> 'language' AS language,
    CAST(d.value ->> 'language_prob' AS DOUBLE PRECISION) AS language_prob,
    CAST(d.value ->> 'no_speech_prob' AS DOUBLE PRECISION) AS no_speech_prob,
    CAST(d.value ->> 'avg_logprob' AS DOUBLE PRECISION) AS avg_logprob,
    CAST(d.value ->> 'compression' AS DOUBLE PRECISION) AS compression,
    CAST(d.value ->> 'voice_s' AS DOUBLE PRECISION) AS voice_s
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
JOIN video v ON v.id = f.video_id
CROSS JOIN LATERAL JSONB_ARRAY_ELEMENTS(f.detail -> 'dropped') d (value)
WHERE f.status = 'done';
