-- One row per video and feature set: plain numbers of the first three seconds ("opening_...") and of
-- the whole; what cannot be told is null. `picture` and `sound` are 'ok', or say in a word what is
-- remarkable or why the numbers of that half are null, such as 'no_audio'. `first_word_s` is that of
-- the newest feature set that heard the video's words.
CREATE VIEW v_opening AS
SELECT
    f.video_id,
    v.tiktok_id,
    f.feature_set_id,
    f.detail ->> 'picture' AS picture,
    f.detail ->> 'sound' AS sound,
    CAST(f.detail ->> 'duration_s' AS DOUBLE PRECISION) AS duration_s,
    CAST(f.detail ->> 'opening_cuts' AS DOUBLE PRECISION) AS opening_cuts,
    CAST(f.detail ->> 'opening_motion_levels' AS DOUBLE PRECISION) AS opening_motion_levels,
    CAST(f.detail ->> 'opening_local_motion_levels' AS DOUBLE PRECISION) AS opening_local_motion_levels,
    CAST(f.detail ->> 'opening_pan_widths_s' AS DOUBLE PRECISION) AS opening_pan_widths_s,
    CAST(f.detail ->> 'opening_tilt_heights_s' AS DOUBLE PRECISION) AS opening_tilt_heights_s,
    CAST(f.detail ->> 'opening_still_share' AS DOUBLE PRECISION) AS opening_still_share,
    CAST(f.detail ->> 'opening_brightness_levels' AS DOUBLE PRECISION) AS opening_brightness_levels,
    CAST(f.detail ->> 'opening_contrast_levels' AS DOUBLE PRECISION) AS opening_contrast_levels,
    CAST(f.detail ->> 'opening_dark_share' AS DOUBLE PRECISION) AS opening_dark_share,
    CAST(f.detail ->> 'opening_bright_share' AS DOUBLE PRECISION) AS opening_bright_share,
    CAST(f.detail ->> 'opening_saturation_share' AS DOUBLE PRECISION) AS opening_saturation_share,
    CAST(f.detail ->> 'opening_colourfulness_levels' AS DOUBLE PRECISION) AS opening_colourfulness_levels,
    CAST(f.detail ->> 'opening_hue_deg' AS DOUBLE PRECISION) AS opening_hue_deg,
    CAST(f.detail ->> 'opening_hue_share' AS DOUBLE PRECISION) AS opening_hue_share,
    CAST(f.detail ->> 'opening_sharpness_levels' AS DOUBLE PRECISION) AS opening_sharpness_levels,
    CAST(f.detail ->> 'whole_cuts' AS DOUBLE PRECISION) AS whole_cuts,
    CAST(f.detail ->> 'whole_motion_levels' AS DOUBLE PRECISION) AS whole_motion_levels,
    CAST(f.detail ->> 'whole_local_motion_levels' AS DOUBLE PRECISION) AS whole_local_motion_levels,
    CAST(f.detail ->> 'whole_pan_widths_s' AS DOUBLE PRECISION) AS whole_pan_widths_s,
    CAST(f.detail ->> 'whole_tilt_heights_s' AS DOUBLE PRECISION) AS whole_tilt_heights_s,
    CAST(f.detail ->> 'whole_still_share' AS DOUBLE PRECISION) AS whole_still_share,
    CAST(f.detail ->> 'whole_brightness_levels' AS DOUBLE PRECISION) AS whole_brightness_levels,
    CAST(f.detail ->> 'whole_contrast_levels' AS DOUBLE PRECISION) AS whole_contrast_levels,
    CAST(f.detail ->> 'whole_dark_share' AS DOUBLE PRECISION) AS whole_dark_share,
    CAST(f.detail ->> 'whole_bright_share' AS DOUBLE PRECISION) AS whole_bright_share,
    CAST(f.detail ->> 'whole_saturation_share' AS DOUBLE PRECISION) AS whole_saturation_share,
    CAST(f.detail ->> 'whole_colourfulness_levels' AS DOUBLE PRECISION) AS whole_colourfulness_levels,
    CAST(f.detail ->> 'whole_hue_deg' AS DOUBLE PRECISION) AS whole_hue_deg,
    CAST(f.detail ->> 'whole_hue_share' AS DOUBLE PRECISION) AS whole_hue_share,
    CAST(f.detail ->> 'whole_sharpness_levels' AS DOUBLE PRECISION) AS whole_sharpness_levels,
    CAST(f.detail ->> 'cuts_per_min' AS DOUBLE PRECISION) AS cuts_per_min,
    CAST(f.detail ->> 'first_cut_s' AS DOUBLE PRECISION) AS first_cut_s,
    CAST(f.detail ->> 'bars_share' AS DOUBLE PRECISION) AS bars_share,
    CAST(f.detail ->> 'opening_silence_share' AS DOUBLE PRECISION) AS opening_silence_share,
    CAST(f.detail ->> 'opening_onsets_per_s' AS DOUBLE PRECISION) AS opening_onsets_per_s,
    CAST(f.detail ->> 'opening_centroid_hz' AS DOUBLE PRECISION) AS opening_centroid_hz,
    CAST(f.detail ->> 'opening_flatness_share' AS DOUBLE PRECISION) AS opening_flatness_share,
    CAST(f.detail ->> 'whole_silence_share' AS DOUBLE PRECISION) AS whole_silence_share,
    CAST(f.detail ->> 'whole_onsets_per_s' AS DOUBLE PRECISION) AS whole_onsets_per_s,
    CAST(f.detail ->> 'whole_centroid_hz' AS DOUBLE PRECISION) AS whole_centroid_hz,
    CAST(f.detail ->> 'whole_flatness_share' AS DOUBLE PRECISION) AS whole_flatness_share,
    CAST(f.detail ->> 'loudness_0ms_lufs' AS DOUBLE PRECISION) AS loudness_0ms_lufs,
    CAST(f.detail ->> 'loudness_500ms_lufs' AS DOUBLE PRECISION) AS loudness_500ms_lufs,
    CAST(f.detail ->> 'loudness_1000ms_lufs' AS DOUBLE PRECISION) AS loudness_1000ms_lufs,
    CAST(f.detail ->> 'loudness_1500ms_lufs' AS DOUBLE PRECISION) AS loudness_1500ms_lufs,
    CAST(f.detail ->> 'loudness_2000ms_lufs' AS DOUBLE PRECISION) AS loudness_2000ms_lufs,
    CAST(f.detail ->> 'loudness_2500ms_lufs' AS DOUBLE PRECISION) AS loudness_2500ms_lufs,
    CAST(f.detail ->> 'integrated_lufs' AS DOUBLE PRECISION) AS integrated_lufs,
    CAST(f.detail ->> 'range_lu' AS DOUBLE PRECISION) AS range_lu,
    CAST(f.detail ->> 'peak_dbfs' AS DOUBLE PRECISION) AS peak_dbfs,
    CAST(f.detail ->> 'first_sound_s' AS DOUBLE PRECISION) AS first_sound_s,
    CAST(f.detail ->> 'first_onset_s' AS DOUBLE PRECISION) AS first_onset_s,
    CAST(f.detail ->> 'tempo_bpm' AS DOUBLE PRECISION) AS tempo_bpm,
    CAST(f.detail ->> 'tempo_confidence' AS DOUBLE PRECISION) AS tempo_confidence,
    (
        SELECT CAST(a.detail ->> 'first_word_s' AS DOUBLE PRECISION)
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
