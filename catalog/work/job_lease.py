"""Who may run a job that must run once: a lease with a fence, kept in the catalog."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from catalog.errors import Busy
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, JobLease
from catalog.schema.types import insert_into
from catalog.work.runs import ProcessName, this_process

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """A lease that was ours when it was taken; the fence says whether it still is.

    seen_at: when the holder before us gave its last sign, None when there was none.
    """

    name: str
    owner: str
    fence: int
    seen_at: datetime | None = None


def acquire(catalog: Catalog, name: str, *, ttl_s: float, now: datetime) -> Held:
    """Take the lease for `ttl_s`. Raises Busy, naming the holder, while somebody else has it.

    A holder on this machine that has died is followed at once, any other when its time is over.
    """
    owner = json.dumps(asdict(this_process()), sort_keys=True)
    with catalog.write() as session:
        # First the row, so that on PostgreSQL too there is something to lock.
        fresh = {"name": name, "owner": "", "fence": 0, "acquired_at": now}
        fresh |= {"heartbeat_at": now, "expires_at": now - timedelta(seconds=1)}
        session.execute(insert_into(session, JobLease).on_conflict_do_nothing(), [fresh])
        row = session.get_one(JobLease, name, with_for_update=True)
        holder = holder_of(row)
        dead = holder is not None and holder.is_dead()
        if row.owner and row.expires_at > now and not dead:
            who = f"process {holder.pid} on {holder.host}" if holder else row.owner
            raise Busy(f"{name} is run by {who}, at least until {row.expires_at:%H:%M:%S} UTC")
        if row.owner:
            _note_takeover(session, row, now)
        seen_at = row.heartbeat_at if row.fence else None
        row.owner, row.fence = owner, row.fence + 1
        row.acquired_at = row.heartbeat_at = now
        row.expires_at = now + timedelta(seconds=ttl_s)
        return Held(name, owner, row.fence, seen_at)


def renew_lease(catalog: Catalog, held: Held, *, ttl_s: float, now: datetime) -> bool:
    """Keep the lease for another `ttl_s`, also one that ended and that nobody has taken since.

    False when it has gone to somebody else.
    """
    values = {"heartbeat_at": now, "expires_at": now + timedelta(seconds=ttl_s)}
    return _update(catalog, held, values)


def give_up(catalog: Catalog, held: Held, *, now: datetime) -> bool:
    """Let the next one have the lease at once; the row stays, for its fence."""
    return _update(catalog, held, {"owner": "", "heartbeat_at": now, "expires_at": now})


@dataclass
class KeptLease:
    """The lease of one who lives on: renewed from two threads, taken again when it was free.

    A database that was away may have come back without our row, or with the one before it.
    """

    catalog: Catalog
    held: Held
    ttl_s: float
    now: Callable[[], datetime]
    lost: threading.Event = field(default_factory=threading.Event)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def renew(self) -> bool:
        """Keep it for another `ttl_s`; False, and `lost` is set, when somebody else has it."""
        with self._one_at_a_time:
            now = self.now()
            if renew_lease(self.catalog, self.held, ttl_s=self.ttl_s, now=now):
                return True
            try:
                self.held = acquire(self.catalog, self.held.name, ttl_s=self.ttl_s, now=now)
            except Busy:
                self.lost.set()
                return False
            return True

    def give_up(self) -> None:
        """Let the next one have it at once, unless it has it already."""
        give_up(self.catalog, self.held, now=self.now())


def holder_of(row: JobLease) -> ProcessName | None:
    """Return which process has the lease; None when none does, or it is not ours to read."""
    try:
        return ProcessName(**json.loads(row.owner))
    except (ValueError, TypeError):
        return None


def _update(catalog: Catalog, held: Held, values: Mapping[str, object]) -> bool:
    with catalog.write() as session:
        kept = session.execute(
            update(JobLease)
            .where(
                JobLease.name == held.name,
                JobLease.owner == held.owner,
                JobLease.fence == held.fence,
            )
            .values(**values)
            .returning(JobLease.fence)
            .execution_options(synchronize_session=False)
        )
        return kept.first() is not None


def _note_takeover(session: Session, row: JobLease, now: datetime) -> None:
    log.warning("taking over %s from %s", row.name, row.owner)
    detail = {"from": row.owner, "fence": row.fence, "expired_at": row.expires_at.isoformat()}
    session.add(
        Event(at=now, level="warning", code="lease_taken_over", subject=row.name, detail=detail)
    )
