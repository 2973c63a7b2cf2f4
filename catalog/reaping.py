"""Runs whose process is no more: tell them from the living, and let go of what they held."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.leases import give_back
from catalog.processes import ProcessName
from catalog.session import Catalog
from catalog.tables import Event, Run
from catalog.types import utc_now

log = logging.getLogger(__name__)

# Six heartbeats. A shorter silence takes a busy machine for a dead one.
SILENCE_S = 120.0


def reap(catalog: Catalog) -> list[int]:
    """Mark as lost each running run that is certainly dead, free its leases, return the ids.

    On this machine the process is looked at; elsewhere 120 s without a heartbeat decide.
    """
    with catalog.read() as session:
        dead = _dead_runs(session)
    if not dead:
        return []
    with catalog.write() as session:
        # Asked again inside the write: a run may have ended or beaten in between.
        return [run.id for run in _dead_runs(session) if end_run(session, run, "lost")]


def cancel_slot(catalog: Catalog, kind: str, slot: str) -> list[int]:
    """Mark the running runs of a slot, with all below them, as cancelled; return the ids.

    Only for who has just ended the process itself.
    """
    with catalog.write() as session:
        # Also below what has ended: a signal that strikes while a stage begins ends its parent
        # in good order, but finds the stage's row written and nobody yet to answer for it.
        family = list(session.scalars(select(Run).where(Run.kind == kind, Run.slot == slot)))
        for run in family:  # grows while it is walked: children of children follow
            family += session.scalars(select(Run).where(Run.parent_id == run.id))
        running = [run for run in family if run.status == "running"]
        return [run.id for run in running if end_run(session, run, "cancelled")]


def end_run(session: Session, run: Run, status: str) -> bool:
    """End somebody else's running run; False when it has ended by itself meanwhile."""
    now = utc_now()
    ended = session.execute(
        update(Run)
        .where(Run.id == run.id, Run.uid == run.uid, Run.status == "running")
        .values(status=status, finished_at=now)
        .returning(Run.id)
        .execution_options(synchronize_session=False)
    )
    if ended.first() is None:
        return False
    n_freed = give_back(session, run.uid, crashed=status == "lost")
    detail = {"host": run.host, "pid": run.pid, "n_leases_freed": n_freed}
    code = f"run_{status}"
    session.add(
        Event(at=now, run_id=run.id, level="warning", code=code, subject=run.uid, detail=detail)
    )
    log.warning("run %s (%s) was %s; %s leases freed", run.id, run.kind, status, n_freed)
    return True


def _dead_runs(session: Session) -> Sequence[Run]:
    silent_since = utc_now() - timedelta(seconds=SILENCE_S)
    running = session.scalars(select(Run).where(Run.status == "running").order_by(Run.id))
    return [run for run in running if _is_dead(run, silent=run.heartbeat_at < silent_since)]


def _is_dead(run: Run, *, silent: bool) -> bool:
    name = ProcessName(run.host, run.pid, run.process)
    # A process of this machine that lives but is silent has been suspended, and will wake up.
    return name.is_dead() or (silent and not name.is_here())
