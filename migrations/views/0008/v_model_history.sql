-- One row per change of what an alias of a model means, and per challenger that was refused: who,
-- when and why. `action` is "promoted", "rolled back" or "refused"; `from_version` is what the alias
-- meant before (of a refused challenger: still means), NULL where there was none. Where a retraining
-- decided, the rest are its numbers: of `metric`, the challenger's `value` and its rival's on the
-- same `n` videos, and the 95 % interval of the difference, below 0 where the challenger is better.
CREATE VIEW v_model_history AS
SELECT
    e.id AS event_id,
    e.at,
    t.name AS model_name,
    CASE
        WHEN e.code = 'alias_set' THEN SUBSTR(e.subject, INSTR(e.subject, '@') + 1)
        ELSE 'production'
    END AS alias,
    COALESCE(JSON_EXTRACT(e.detail, '$.action'), 'promoted') AS action,
    f.version AS from_version,
    t.version AS to_version,
    JSON_EXTRACT(e.detail, '$.by') AS set_by,
    JSON_EXTRACT(e.detail, '$.reason') AS reason,
    JSON_EXTRACT(e.detail, '$.metric') AS metric,
    CAST(JSON_EXTRACT(e.detail, '$.n') AS INTEGER) AS n,
    JSON_EXTRACT(e.detail, '$.rival') AS rival,
    CAST(JSON_EXTRACT(e.detail, '$.value') AS REAL) AS value,
    CAST(JSON_EXTRACT(e.detail, '$.rival_value') AS REAL) AS rival_value,
    CAST(JSON_EXTRACT(e.detail, '$.low') AS REAL) AS diff_low,
    CAST(JSON_EXTRACT(e.detail, '$.high') AS REAL) AS diff_high,
    e.run_id
FROM event e
JOIN model_version t ON t.id = JSON_EXTRACT(e.detail, '$.to')
LEFT JOIN model_version f ON f.id = JSON_EXTRACT(e.detail, '$.from')
WHERE e.code IN ('alias_set', 'challenger_refused');
