"""How a run begins: new, new in a slot that must be free, or where a broken-off one stopped."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog import processes
from catalog.errors import AlreadyDone
from catalog.leases import give_back
from catalog.tables import Event, Feature, MediaFile, Prediction, Run
from catalog.types import canonical_json, plain_json, sha256_text, utc_now


def new_row(
    kind: str,
    params: Mapping[str, Any],
    trigger: str,
    parent_id: int | None,
    slot: str | None,
    scheduled_for: datetime | None,
    model_version_id: int | None,
) -> Run:
    """Return the row of a run that this process begins now, not yet stored."""
    now = utc_now()
    process = processes.this_process()
    git_sha, git_dirty = processes.git_state()
    return Run(
        uid=f"{kind}-{uuid.uuid4().hex}",
        kind=kind,
        status="running",
        trigger=trigger,
        parent_id=parent_id,
        slot=slot,
        scheduled_for=scheduled_for,
        started_at=now,
        heartbeat_at=now,
        host=process.host,
        pid=process.pid,
        process=process.started,
        code_version=processes.code_version(),
        git_sha=git_sha,
        git_dirty=git_dirty,
        params=plain_json(params),
        params_hash=sha256_text(canonical_json(params)),
        env=dict(processes.environment()),
        n_done=0,
        n_failed=0,
        n_skipped=0,
        model_version_id=model_version_id,
    )


def inserted(session: Session, row: Run) -> Run:
    """Store a new run. Raises AlreadyDone when its slot is running or done."""
    if row.slot is not None:
        held = session.scalar(
            select(Run).where(
                Run.kind == row.kind,
                Run.slot == row.slot,
                Run.status.in_(("running", "ok", "partial")),
            )
        )
        if held is not None:
            raise AlreadyDone(f"{row.kind} {row.slot} is {held.status}: run {held.id}")
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        # On PostgreSQL another process may have taken the slot since it was looked at.
        if "uq_run_kind_slot" not in str(error):
            raise
        raise AlreadyDone(f"{row.kind} {row.slot} has just been taken") from error
    return row


def resumed(session: Session, row: Run) -> Run | None:
    """Return the broken-off run that `row` would repeat, now ours; None when there is none."""
    same = select(Run).where(
        Run.kind == row.kind,
        Run.params_hash == row.params_hash,
        Run.model_version_id.is_not_distinct_from(row.model_version_id),
        Run.slot.is_not_distinct_from(row.slot),
        Run.status.in_(("lost", "cancelled", "ok", "partial")),
    )
    newest = session.scalar(same.order_by(Run.id.desc()).limit(1))
    if newest is None or newest.status not in ("lost", "cancelled"):
        return None
    # A new uid: should the old process be alive after all, nothing it does counts any more.
    taken = session.execute(
        update(Run)
        .where(Run.id == newest.id, Run.uid == newest.uid, Run.status == newest.status)
        .values(
            uid=row.uid,
            status="running",
            trigger=row.trigger,
            parent_id=row.parent_id,
            heartbeat_at=row.heartbeat_at,
            finished_at=None,
            host=row.host,
            pid=row.pid,
            process=row.process,
            n_done=max(newest.n_done, _n_finished(session, newest.id)),
            n_failed=0,
            error=None,
        )
        .returning(Run.id)
        .execution_options(synchronize_session=False)
    )
    if taken.first() is None:
        return None
    detail = {"was": newest.status, "owner_before": newest.uid, "pid_before": newest.pid}
    give_back(session, newest.uid, crashed=False)
    session.add(
        Event(
            at=row.started_at,
            run_id=newest.id,
            level="info",
            code="run_resumed",
            subject=row.uid,
            detail=detail,
        )
    )
    session.flush()
    session.refresh(newest)
    return newest


def _n_finished(session: Session, run_id: int) -> int:
    # The run's own counter is written now and then; what a killed process did last is only here.
    counted = (
        select(func.count()).where(Feature.run_id == run_id, Feature.status == "done"),
        select(func.count()).where(MediaFile.run_id == run_id, MediaFile.status == "ok"),
        select(func.count()).where(Prediction.run_id == run_id),
    )
    return sum(session.execute(statement).scalar_one() for statement in counted)
