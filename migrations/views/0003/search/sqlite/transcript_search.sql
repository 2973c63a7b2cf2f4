-- The words of v_transcript. A row's number is feature_set_id * 2^40 + video_id: features have no
-- number of their own that outlives a VACUUM.
CREATE VIRTUAL TABLE transcript_search USING fts5(
    text, tokenize = 'unicode61 remove_diacritics 0'
);
