"""Read the ledger of forecasts: what waits, its errors by night and by week, and single ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.orm import Session

from catalog.read.reports import Row, plain_row
from catalog.schema.types import UtcDateTime

ONLY = (
    "(CAST(:model_name AS TEXT) IS NULL OR model_name = :model_name)"
    " AND (CAST(:horizon_s AS BIGINT) IS NULL OR horizon_s = :horizon_s)"
)
NEWEST = " ORDER BY {0} DESC, model_name, model_version, horizon_s LIMIT :n"
# In the order of the table's key: of a million forecasts the first few are found at once.
MADE_LAST = " ORDER BY run_id DESC, video_id DESC LIMIT :n"


@dataclass(frozen=True)
class Only:
    """Which forecasts are asked for; None: of every model, at every age."""

    model_name: str | None = None
    horizon_s: int | None = None


EVERY = Only()


def standing(session: Session, now: datetime, only: Only = EVERY) -> list[Row]:
    """Return for each version and horizon how many forecasts wait, and how many of them are due."""
    statement = (
        "SELECT * FROM (SELECT m.id AS model_version_id, m.name AS model_name,"
        " m.version AS model_version, j.horizon_s, j.horizon_s / 86400.0 AS horizon_d,"
        " COUNT(*) AS n_open, SUM(CASE WHEN j.due_at <= :now THEN 1 ELSE 0 END) AS n_due,"
        " MIN(j.due_at) AS next_due_at"
        " FROM judgement j JOIN model_version m ON m.id = j.model_version_id"
        " WHERE j.status = 'open' GROUP BY m.id, m.name, m.version, j.horizon_s) waiting"
        f" WHERE {ONLY} ORDER BY model_name, model_version, horizon_s"
    )
    timed = text(statement).bindparams(bindparam("now", type_=UtcDateTime()))
    return _rows(session, timed, only, now=now)


def nights(session: Session, limit: int, only: Only = EVERY) -> list[Row]:
    """Return the newest rows of v_ledger_by_night."""
    wanted = f"SELECT * FROM v_ledger_by_night WHERE {ONLY}"
    return _rows(session, text(wanted + NEWEST.format("night")), only, n=limit)


def weeks(session: Session, limit: int, only: Only = EVERY) -> list[Row]:
    """Return the newest rows of v_ledger_by_week."""
    wanted = f"SELECT * FROM v_ledger_by_week WHERE {ONLY}"
    return _rows(session, text(wanted + NEWEST.format("week")), only, n=limit)


def forecasts(
    session: Session,
    limit: int,
    only: Only = EVERY,
    *,
    tiktok_id: str | None = None,
    status: str | None = None,
) -> list[Row]:
    """Return forecasts, those of the newest run first."""
    wanted = f"SELECT * FROM v_forecast_ledger WHERE {ONLY}"
    given: dict[str, Any] = {"tiktok_id": tiktok_id, "status": status}
    asked = {name: value for name, value in given.items() if value is not None}
    wanted += "".join(f" AND {name} = :{name}" for name in asked)
    return _rows(session, text(wanted + MADE_LAST), only, n=limit, **asked)


def _rows(session: Session, statement: TextClause, only: Only, **values: object) -> list[Row]:
    given = {"model_name": only.model_name, "horizon_s": only.horizon_s, **values}
    return [plain_row(row._mapping) for row in session.execute(statement, given)]
