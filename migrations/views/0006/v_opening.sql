-- One row per video and feature set: plain numbers of the first three seconds ("opening_...") and of
-- the whole; what cannot be told is null. `picture` and `sound` are 'ok', or say in a word what is
-- remarkable or why the numbers of that half are null, such as 'no_audio'. `first_word_s` is that of
-- the newest feature set that heard the video's words.
CREATE VIEW v_opening AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    JSON_EXTRACT(f.detail, '$.picture') AS picture,
    JSON_EXTRACT(f.detail, '$.sound') AS sound,
    CAST(JSON_EXTRACT(f.detail, '$.duration_s') AS REAL) AS duration_s,
    CAST(JSON_EXTRACT(f.detail, '$.opening_cuts') AS REAL) AS opening_cuts,
    CAST(JSON_EXTRACT(f.detail, '$.opening_motion_levels') AS REAL) AS opening_motion_levels,
    CAST(JSON_EXTRACT(f.detail, '$.opening_local_motion_levels') AS REAL) AS opening_local_motion_levels,
    CAST(JSON_EXTRACT(f.detail, '$.opening_pan_widths_s') AS REAL) AS opening_pan_widths_s,
    CAST(JSON_EXTRACT(f.detail, '$.opening_tilt_heights_s') AS REAL) AS opening_tilt_heights_s,
    CAST(JSON_EXTRACT(f.detail, '$.opening_still_share') AS REAL) AS opening_still_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_brightness_levels') AS REAL) AS opening_brightness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.opening_contrast_levels') AS REAL) AS opening_contrast_levels,
    CAST(JSON_EXTRACT(f.detail, '$.opening_dark_share') AS REAL) AS opening_dark_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_bright_share') AS REAL) AS opening_bright_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_saturation_share') AS REAL) AS opening_saturation_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_colourfulness_levels') AS REAL) AS opening_colourfulness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.opening_hue_deg') AS REAL) AS opening_hue_deg,
    CAST(JSON_EXTRACT(f.detail, '$.opening_hue_share') AS REAL) AS opening_hue_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_sharpness_levels') AS REAL) AS opening_sharpness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_cuts') AS REAL) AS whole_cuts,
    CAST(JSON_EXTRACT(f.detail, '$.whole_motion_levels') AS REAL) AS whole_motion_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_local_motion_levels') AS REAL) AS whole_local_motion_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_pan_widths_s') AS REAL) AS whole_pan_widths_s,
    CAST(JSON_EXTRACT(f.detail, '$.whole_tilt_heights_s') AS REAL) AS whole_tilt_heights_s,
    CAST(JSON_EXTRACT(f.detail, '$.whole_still_share') AS REAL) AS whole_still_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_brightness_levels') AS REAL) AS whole_brightness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_contrast_levels') AS REAL) AS whole_contrast_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_dark_share') AS REAL) AS whole_dark_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_bright_share') AS REAL) AS whole_bright_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_saturation_share') AS REAL) AS whole_saturation_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_colourfulness_levels') AS REAL) AS whole_colourfulness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.whole_hue_deg') AS REAL) AS whole_hue_deg,
    CAST(JSON_EXTRACT(f.detail, '$.whole_hue_share') AS REAL) AS whole_hue_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_sharpness_levels') AS REAL) AS whole_sharpness_levels,
    CAST(JSON_EXTRACT(f.detail, '$.cuts_per_min') AS REAL) AS cuts_per_min,
    CAST(JSON_EXTRACT(f.detail, '$.first_cut_s') AS REAL) AS first_cut_s,
    CAST(JSON_EXTRACT(f.detail, '$.bars_share') AS REAL) AS bars_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_silence_share') AS REAL) AS opening_silence_share,
    CAST(JSON_EXTRACT(f.detail, '$.opening_onsets_per_s') AS REAL) AS opening_onsets_per_s,
    CAST(JSON_EXTRACT(f.detail, '$.opening_centroid_hz') AS REAL) AS opening_centroid_hz,
    CAST(JSON_EXTRACT(f.detail, '$.opening_flatness_share') AS REAL) AS opening_flatness_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_silence_share') AS REAL) AS whole_silence_share,
    CAST(JSON_EXTRACT(f.detail, '$.whole_onsets_per_s') AS REAL) AS whole_onsets_per_s,
    CAST(JSON_EXTRACT(f.detail, '$.whole_centroid_hz') AS REAL) AS whole_centroid_hz,
    CAST(JSON_EXTRACT(f.detail, '$.whole_flatness_share') AS REAL) AS whole_flatness_share,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_0ms_lufs') AS REAL) AS loudness_0ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_500ms_lufs') AS REAL) AS loudness_500ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_1000ms_lufs') AS REAL) AS loudness_1000ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_1500ms_lufs') AS REAL) AS loudness_1500ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_2000ms_lufs') AS REAL) AS loudness_2000ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.loudness_2500ms_lufs') AS REAL) AS loudness_2500ms_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.integrated_lufs') AS REAL) AS integrated_lufs,
    CAST(JSON_EXTRACT(f.detail, '$.range_lu') AS REAL) AS range_lu,
    CAST(JSON_EXTRACT(f.detail, '$.peak_dbfs') AS REAL) AS peak_dbfs,
    CAST(JSON_EXTRACT(f.detail, '$.first_sound_s') AS REAL) AS first_sound_s,
    CAST(JSON_EXTRACT(f.detail, '$.first_onset_s') AS REAL) AS first_onset_s,
    CAST(JSON_EXTRACT(f.detail, '$.tempo_bpm') AS REAL) AS tempo_bpm,
    CAST(JSON_EXTRACT(f.detail, '$.tempo_confidence') AS REAL) AS tempo_confidence,
    (
        SELECT CAST(JSON_EXTRACT(a.detail, '$.first_word_s') AS REAL)
        FROM feature a
        JOIN feature_set t ON t.id = a.feature_set_id AND t.kind = 'audio'
        WHERE a.video_id = f.video_id AND a.status = 'done'
        ORDER BY a.feature_set_id DESC
        LIMIT 1
    ) AS first_word_s
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'opening'
JOIN video v ON v.id = f.video_id
WHERE f.status = 'done';
