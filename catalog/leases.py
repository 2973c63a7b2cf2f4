"""The rules of a lease: who may take a unit of work, for how long, and what becomes of it.

A unit is a row of `feature` or `media_file`. Its owner is a run's uid; each claim raises
`attempts`, and owner and attempt together are the fence: whoever finishes must still hold both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.orm import Session

from catalog.session import Catalog
from catalog.types import UtcDateTime, utc_now

LEASE_S = 600.0
MAX_ATTEMPTS = 3
# A killed process is seldom the row's fault, but a row that kills every process must end too.
MAX_CRASHES = 10
BACKOFF_S = 60.0
TABLES = ("feature", "media_file")

# The states are written out: with bound values SQLite cannot use the partial index, and a claim
# among a million rows takes 300 ms instead of 0.02 ms. The order is that of the index as well.
CLAIMABLE = """
    u.status IN ('pending', 'failed', 'leased')
    AND (
        u.status = 'pending'
        OR (u.status = 'failed' AND u.attempts < :max_attempts
            AND (u.not_before IS NULL OR u.not_before <= :now))
        OR (u.status = 'leased' AND u.lease_until < :now)
    )"""
TAKEN = "status = 'leased', lease_owner = :owner, lease_until = :until, attempts = attempts + 1"
WORN_OUT = """
    UPDATE {0} SET status = 'dead', lease_owner = NULL, lease_until = NULL, finished_at = :now,
        error_code = 'lease_expired', error = 'every process that took it died'
    WHERE status = 'leased' AND attempts >= :max_crashes AND {1}"""


@dataclass(frozen=True)
class MediaDone:
    """A fetched file; `uri` is relative to the media folder, `probe` what ffprobe said of it."""

    uri: str
    sha256: str
    n_bytes: int
    probe: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureDone:
    """A stored feature: row `row` of the shard `uri`; `detail` holds facts readable in SQL."""

    uri: str
    row: int
    sha256: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    seconds: float
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Absent:
    """There is nothing to fetch or extract; not an error, and not tried again."""

    code: str
    message: str


@dataclass(frozen=True)
class Failed:
    """It did not work; a permanent failure is not tried again."""

    code: str
    message: str
    permanent: bool


def timed(sql: str) -> TextClause:
    """Return `sql` with its bound times `:now` and `:until` made portable."""
    statement = text(sql)
    times = [name for name in ("now", "until") if f":{name}" in sql]
    return statement.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in times))


def unfinished(result: Absent | Failed, attempt: int, now: datetime) -> dict[str, Any]:
    """Return the columns that a unit without a result gets: skipped, failed for now, or dead."""
    common = {"error_code": result.code, "error": result.message, "finished_at": now}
    if isinstance(result, Absent):
        return common | {"status": "skipped", "not_before": None}
    if result.permanent or attempt >= MAX_ATTEMPTS:
        return common | {"status": "dead", "not_before": None}
    wait_s = BACKOFF_S * 4.0 ** (attempt - 1)
    return common | {"status": "failed", "not_before": now + timedelta(seconds=wait_s)}


def take(
    session: Session,
    table: str,
    key: str,
    own: str,
    inner: str,
    owner: str,
    limit: int,
    lease_s: float,
    now: datetime | None,
    more: dict[str, int],
) -> dict[int, int]:
    """Lease the units that the SELECT `inner` finds; return the attempt of each by its key.

    own: the condition that a unit is of the set in question; more: what both bind.
    """
    moment = now or utc_now()
    worn_out = WORN_OUT.format(table, f"lease_until < :now AND {own}")
    own_values = {name: value for name, value in more.items() if f":{name}" in own}
    session.execute(timed(worn_out), {"now": moment, "max_crashes": MAX_CRASHES, **own_values})
    if session.get_bind().dialect.name == "postgresql":
        # Materialised, so that the planner can neither repeat the SELECT nor lock more than it.
        sql = (
            f"WITH c AS MATERIALIZED ({inner} FOR UPDATE OF u SKIP LOCKED)"
            f" UPDATE {table} SET {TAKEN.replace('attempts + 1', f'{table}.attempts + 1')}"
            f" FROM c WHERE {own} AND {table}.{key} = c.{key}"
            f" RETURNING {table}.{key}, {table}.attempts"
        )
    else:
        sql = (
            f"UPDATE {table} SET {TAKEN} WHERE {own} AND {key} IN ({inner})"
            f" RETURNING {key}, attempts"
        )
    values = {
        "owner": owner,
        "now": moment,
        "until": moment + timedelta(seconds=lease_s),
        "max_attempts": MAX_ATTEMPTS,
        "n": limit,
        **more,
    }
    return {row[0]: row[1] for row in session.execute(timed(sql), values)}


def renew(catalog: Catalog, owner: str, lease_s: float = LEASE_S) -> int:
    """Prolong every lease of `owner` to `lease_s` from now; return how many it holds."""
    with catalog.write() as session:
        return extend(session, owner, utc_now() + timedelta(seconds=lease_s))


def extend(session: Session, owner: str, until: datetime) -> int:
    """Let no lease of `owner` end before `until`; return how many were prolonged."""
    n_renewed = 0
    for table in TABLES:
        sql = (
            f"UPDATE {table} SET lease_until = :until WHERE status = 'leased'"
            " AND lease_owner = :owner AND lease_until < :until RETURNING 1"
        )
        rows = session.execute(timed(sql), {"owner": owner, "until": until})
        n_renewed += len(rows.all())
    return n_renewed


def give_back(session: Session, owner: str, *, crashed: bool) -> int:
    """Make the units of `owner` claimable by others at once; return how many that were.

    crashed: the attempt stays counted, so that a row which kills its process ends as dead.
    """
    n_freed = 0
    for table in TABLES:
        if crashed:
            session.execute(
                timed(WORN_OUT.format(table, "lease_owner = :owner")),
                {"owner": owner, "now": utc_now(), "max_crashes": MAX_CRASHES},
            )
        attempts = "attempts" if crashed else "attempts - 1"
        sql = (
            f"UPDATE {table} SET status = 'pending', lease_owner = NULL, lease_until = NULL,"
            f" attempts = {attempts} WHERE status = 'leased' AND lease_owner = :owner RETURNING 1"
        )
        n_freed += len(session.execute(text(sql), {"owner": owner}).all())
    return n_freed
