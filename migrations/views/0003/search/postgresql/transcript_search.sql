-- The words of v_transcript. What is neither letter nor digit parts words, as on SQLite; PostgreSQL's
-- own parser would take "ill-disposed" or "example.org" for one word more.
CREATE INDEX transcript_search ON feature USING gin (
    TO_TSVECTOR('simple', REGEXP_REPLACE(detail ->> 'text', '[!-/:-@\[-`{-~]+', ' ', 'g'))
)
WHERE status = 'done' AND detail ->> 'text' <> '';
