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
        WHEN e.code = 'alias_set' THEN SPLIT_PART(e.subject, '@', 2)
        ELSE 'production'
    END AS alias,
    COALESCE(e.detail ->> 'action', 'promoted') AS action,
    f.version AS from_version,
    t.version AS to_version,
    e.detail ->> 'by' AS set_by,
    e.detail ->> 'reason' AS reason,
    e.detail ->> 'metric' AS metric,
    CAST(e.detail ->> 'n' AS BIGINT) AS n,
    e.detail ->> 'rival' AS rival,
    CAST(e.detail ->> 'value' AS DOUBLE PRECISION) AS value,
    CAST(e.detail ->> 'rival_value' AS DOUBLE PRECISION) AS rival_value,
    CAST(e.detail ->> 'low' AS DOUBLE PRECISION) AS diff_low,
    CAST(e.detail ->> 'high' AS DOUBLE PRECISION) AS diff_high,
    e.run_id
FROM event e
JOIN model_version t ON t.id = CAST(e.detail ->> 'to' AS BIGINT)
LEFT JOIN model_version f ON f.id = CAST(e.detail ->> 'from' AS BIGINT)
WHERE e.code IN ('alias_set', 'challenger_refused');
