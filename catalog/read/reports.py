"""The rows of reports: leaderboard, runs, coverage, failures, totals, and any read-only SELECT."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.facts import forecast_of
from catalog.schema.forecasts import METADATA, ModelVersion
from catalog.schema.session import Catalog, read_only_rows
from catalog.schema.tables import Event, Run, RunMetric
from catalog.verdict import LEAST_GAIN, Paired, Verdict, verdict_of

Row = dict[str, Any]

N_WEEKS = 24
CONSTANTS = ("train_mean", "train_median", "geometric_mean")


@dataclass(frozen=True)
class QueryResult:
    """The columns of a query, and its rows as they are read; to be used inside query()."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def query(catalog: Catalog, sql: str, limit: int | None = None) -> Iterator[QueryResult]:
    """Run one statement that cannot write, and read at most `limit` of its rows as they come.

    Values are what JSON knows: times are ISO text, documents are JSON text.
    Raises BadQuery with the database's own words.
    """
    with read_only_rows(catalog, sql) as (columns, rows):
        plain = (tuple(plain_value(value) for value in row) for row in rows)
        yield QueryResult(columns, islice(plain, limit))


def plain_value(value: object) -> Any:
    """Return a value of the database as text, number or None."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return plain_value(float(value))
        case float() if not isfinite(value):
            return str(value)  # JSON has no such number
        case Mapping() | list():
            return json.dumps(value, ensure_ascii=False)
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            return value


def leaderboard(session: Session, limit: int = 20, *, least_gain: float = LEAST_GAIN) -> list[Row]:
    """Return the newest training and scoring runs, a row for each part, with a verdict.

    And in words what the model forecasts; None where there is no model.

    least_gain: the setting verdict.least_gain.
    """
    rows = _rows(
        session,
        "SELECT * FROM v_run_leaderboard ORDER BY started_at DESC, run_id DESC, part LIMIT :n",
        n=limit,
    )
    return [
        row
        | {
            "verdict": verdict(row, least_gain),
            "forecasts": row["label"] and forecast_of(row["label"], row["horizon_s"]),
        }
        for row in rows
    ]


def verdict(row: Mapping[str, Any], least_gain: float = LEAST_GAIN) -> Verdict:
    """Return what a leaderboard row allows to say: of log-MAE, beside each of the constants.

    MSE and MAE decide nothing: on counts with a heavy tail they are those of a few rows.
    """
    pairs = [
        Paired(
            row["log_mae"],
            row[f"log_mae_{constant}"],
            row[f"log_mae_diff_{constant}_low"],
            row[f"log_mae_diff_{constant}_high"],
        )
        for constant in CONSTANTS
    ]
    return verdict_of(
        pairs,
        n=row["n"] or 0,
        part=row["part"],
        spearman_low=row["spearman_low"],
        least_gain=least_gain,
    )


def coverage(session: Session) -> list[Row]:
    """Return how far each feature set covers the videos."""
    return _rows(session, "SELECT * FROM v_feature_coverage ORDER BY kind, feature_set_id")


def failures(
    session: Session, *, stage: str | None = None, code: str | None = None, limit: int = 50
) -> list[Row]:
    """Return what failed and has not succeeded since, the newest first."""
    return _rows(
        session,
        "SELECT * FROM v_failure"
        " WHERE (CAST(:stage AS TEXT) IS NULL OR stage = :stage)"
        " AND (CAST(:code AS TEXT) IS NULL OR error_code = :code)"
        " ORDER BY failed_at DESC, subject LIMIT :n",
        stage=stage,
        code=code,
        n=limit,
    )


def failure_counts(session: Session) -> list[Row]:
    """Return how many failures there are of each stage and code."""
    return _rows(
        session,
        "SELECT stage, error_code, status, COUNT(*) AS n FROM v_failure"
        " GROUP BY stage, error_code, status ORDER BY stage, n DESC, error_code",
    )


def gaps(session: Session, limit: int = 10) -> list[Row]:
    """Return the scored videos that ran furthest ahead of or behind their prediction."""
    return _rows(
        session,
        "SELECT * FROM v_performance_gap ORDER BY"
        " CASE WHEN ratio >= 1 THEN ratio ELSE 1 / ratio END DESC, video_id LIMIT :n",
        n=limit,
    )


def weeks(session: Session) -> list[Row]:
    """Return the errors of the model that scored last, by week of posting, the newest first.

    Of videos that it was not trained on.
    """
    return _rows(
        session,
        "SELECT w.* FROM v_error_by_week w JOIN model_version m"
        " ON m.name = w.model_name AND m.version = w.model_version"
        " WHERE w.part <> 'train' AND m.id = (SELECT r.model_version_id FROM run r"
        " WHERE r.kind = 'score' AND r.status <> 'failed' AND r.n_done > 0"
        " ORDER BY r.id DESC LIMIT 1)"
        " ORDER BY w.week DESC, w.part LIMIT :n",
        n=N_WEEKS,
    )


def totals(session: Session) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
        for table in sorted(METADATA.tables.values(), key=lambda table: table.name)
    }


def runs(session: Session, *, kind: str | None = None, limit: int = 20) -> list[Row]:
    """Return the newest runs."""
    wanted = select(
        Run.id,
        Run.kind,
        Run.status,
        Run.trigger,
        Run.slot,
        Run.parent_id,
        Run.started_at,
        Run.finished_at,
        Run.n_total,
        Run.n_done,
        Run.n_failed,
        Run.n_skipped,
        Run.error,
    ).order_by(Run.id.desc())
    if kind is not None:
        wanted = wanted.where(Run.kind == kind)
    return [plain_row(row._mapping) for row in session.execute(wanted.limit(limit))]


@dataclass(frozen=True)
class ExplainedRows:
    """What an explain run found, as report rows."""

    model: str
    importances: list[Row]
    hashtags: list[Row]
    hours: list[Row]


def explained(session: Session) -> ExplainedRows | None:
    """Return what the newest finished `explain` found; None where there is none."""
    newest = session.execute(
        select(Run.id, ModelVersion.name, ModelVersion.version)
        .join(ModelVersion, ModelVersion.id == Run.model_version_id)
        .where(Run.kind == "explain", Run.status == "ok")
        .order_by(Run.id.desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    run_id, name, version = newest
    rows: dict[str, list[Row]] = {"importance": [], "hashtag_effect": [], "hour_effect": []}
    events = session.execute(
        select(Event.code, Event.detail).where(Event.run_id == run_id).order_by(Event.id)
    )
    for code, detail in events:
        if code not in rows:
            continue
        prefix, ends = (
            ("log_mae_", detail.get("log_mae_interval"))
            if code == "importance"
            else ("", detail.get("interval"))
        )
        low, high = ends or (None, None)
        # Of an importance from before schema 0007 the scale is another: its error is left out.
        rows[code].append({"log_mae": None, **detail, f"{prefix}low": low, f"{prefix}high": high})
    return ExplainedRows(f"{name} {version}", *rows.values())


def run_details(session: Session, run_id: int) -> Row:
    """Return all that is recorded of one run, with its metrics, children and events.

    Raises NotFound.
    """
    run = session.get(Run, run_id)
    if run is None:
        newest = session.scalar(select(func.max(Run.id)))
        raise NotFound(f"no run {run_id}; the newest is {newest or 'none'}")
    columns = {column.key: getattr(run, column.key) for column in Run.__mapper__.column_attrs}
    metrics = session.execute(
        select(RunMetric.split.label("part"), RunMetric.name, RunMetric.value)
        .where(RunMetric.run_id == run_id, RunMetric.step == -1)
        .order_by(RunMetric.split, RunMetric.name)
    )
    children = session.scalars(select(Run.id).where(Run.parent_id == run_id).order_by(Run.id))
    events = session.execute(
        select(Event.at, Event.level, Event.code, Event.subject, Event.detail)
        .where(Event.run_id == run_id)
        .order_by(Event.id.desc())
        .limit(100)
    )
    return {
        **{
            name: value if isinstance(value, dict) else plain_value(value)
            for name, value in columns.items()
        },
        "metrics": [plain_row(row._mapping) for row in metrics],
        "children": list(children),
        "events": [plain_row(row._mapping) for row in events],
    }


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the column names of report rows, none for no rows."""
    return list(rows[0]) if rows else []


def _rows(session: Session, sql: str, **values: Any) -> list[Row]:
    return [plain_row(row._mapping) for row in session.execute(text(sql), values)]


def plain_row(row: Mapping[Any, Any]) -> Row:
    """Return a row of a query as names and values that JSON knows."""
    return {str(name): plain_value(value) for name, value in row.items()}
