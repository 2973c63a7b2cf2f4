-- One row per row of an import that was not taken, with the run that met it first.
CREATE VIEW v_rejected_row AS
SELECT
    j.source,
    j.line,
    j.tiktok_id,
    j.reason,
    j.detail,
    j.at,
    j.run_id,
    r.kind
FROM rejected_row j
JOIN run r ON r.id = j.run_id;
