"""Clocks only: start a job once a day at its time, in a child process, whoever else is about.

The daemon never does the work itself, so it answers a signal at once. Truth is in the catalog: the
lease row says which daemon may start jobs, the run's slot says which day is done.
"""

import logging
import queue
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from catalog.errors import Busy
from catalog.lease import Held, acquire, give_up, renew_lease
from catalog.reaping import cancel_slot, reap
from catalog.session import Catalog
from catalog.slots import Job, RunningJob, Slot
from catalog.tables import Event, JobLease, Run
from catalog.types import utc_now

__all__ = ["Job", "RunningJob", "Slot", "daemon_status", "run_daemon"]

log = logging.getLogger(__name__)

TTL_S = 120.0
CATCH_UP_S = 12 * 3600.0
# The library's own default is one second: a busy machine would lose the night without a word.
MISFIRE_GRACE_S = 6 * 3600
# Together with one database write they stay within two seconds of SIGTERM.
STOP_GRACE_S = 1.2
POLL_S = 0.1
LEASE_PREFIX = "daemon/"
TROUBLE = {
    EVENT_JOB_MISSED: "schedule_missed",
    EVENT_JOB_ERROR: "schedule_error",
    EVENT_JOB_MAX_INSTANCES: "schedule_overlap",
}


def run_daemon(
    catalog: Catalog,
    job: Job,
    *,
    stop: threading.Event,
    ttl_s: float = TTL_S,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Start `job` once a day until `stop` is set. Raises Busy while another daemon lives.

    A slot missed by less than twelve hours is made up for at once. On `stop` a running child
    is ended, within two seconds, and its run marked as cancelled.
    """
    if warning := job.dst_warning():
        log.warning("%s", warning)
    held = acquire(catalog, LEASE_PREFIX + job.name, ttl_s=ttl_s, now=now())
    lost, ended = threading.Event(), threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(catalog, held, ttl_s, now, lost, ended), name="lease", daemon=True
    )
    due: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    scheduler = _scheduler(catalog, job, lambda: due.put(job.latest_slot(now())))
    keeper.start()
    try:
        reap(catalog)
        missed = job.latest_slot(now())
        if now() - missed.scheduled_for < timedelta(seconds=CATCH_UP_S):
            due.put(missed)
        scheduler.start()
        log.info("%s is due daily at %s %s", job.name, job.at, job.timezone)
        _serve(catalog, job, due, stop, lost)
    finally:
        ended.set()
        scheduler.shutdown(wait=False)
        keeper.join()
        give_up(catalog, held, now=now())
    if lost.is_set():
        raise Busy(f"the lease on {job.name} went to another daemon")


def daemon_status(
    catalog: Catalog, max_age_h: float = 26.0, *, now: datetime | None = None
) -> dict[str, Any]:
    """Return whether a daemon lives and its job has succeeded within `max_age_h` hours.

    `ok` says both; `why` says what is wrong, None when nothing is.
    """
    moment = now or utc_now()
    with catalog.read() as session:
        lease = session.scalar(
            select(JobLease)
            .where(JobLease.name.startswith(LEASE_PREFIX))
            .order_by(JobLease.heartbeat_at.desc())
            .limit(1)
        )
        kind = lease.name.removeprefix(LEASE_PREFIX) if lease else "nightly"
        of_kind = select(Run).where(Run.kind == kind).order_by(Run.id.desc()).limit(1)
        newest = session.scalar(of_kind)
        good = session.scalar(of_kind.where(Run.status.in_(("ok", "partial"))))
    lives = lease is not None and bool(lease.owner) and lease.expires_at > moment
    oldest = moment - timedelta(hours=max_age_h)
    recent = good is not None and good.finished_at is not None and good.finished_at >= oldest
    why = None
    if not lives:
        why = "no daemon is running"
    elif not recent:
        why = f"no {kind} has succeeded in the last {max_age_h:g} hours"
    return {
        "ok": lives and recent,
        "why": why,
        "running": lives,
        "job": kind,
        "heartbeat_age_s": (moment - lease.heartbeat_at).total_seconds() if lease else None,
        "owner": lease.owner if lease else None,
        "fence": lease.fence if lease else None,
        "last_run": _brief(newest),
        "last_good_run": _brief(good),
    }


def _serve(
    catalog: Catalog,
    job: Job,
    due: "queue.SimpleQueue[Slot]",
    stop: threading.Event,
    lost: threading.Event,
) -> None:
    child: RunningJob | None = None
    slot: Slot | None = None
    try:
        while not stop.wait(POLL_S) and not lost.is_set():
            if child is not None and slot is not None:
                code = child.poll()
                if code is None:
                    continue
                _note_end(catalog, slot, code)
                child = slot = None
            if not due.empty():
                slot = due.get()
                child = _start(catalog, job, slot)
    finally:
        if child is not None and slot is not None and child.poll() is None:
            _end(catalog, job, slot, child)


def _start(catalog: Catalog, job: Job, slot: Slot) -> RunningJob | None:
    with catalog.read() as session:
        held = session.execute(
            select(Run.id, Run.status).where(
                Run.kind == job.name,
                Run.slot == slot.name,
                Run.status.in_(("running", "ok", "partial")),
            )
        ).first()
    if held is not None:
        log.info("%s is already %s: run %s", slot.name, held.status, held.id)
        return None
    log.info("starting %s, due %s", slot.name, slot.scheduled_for.isoformat())
    return job.start(slot)


def _end(catalog: Catalog, job: Job, slot: Slot, child: RunningJob) -> None:
    child.terminate()
    patience = threading.Event()
    for _ in range(round(STOP_GRACE_S / POLL_S)):
        if child.poll() is not None:
            break
        patience.wait(POLL_S)
    # In any case, for the sake of what the child itself may have started.
    child.kill()
    cancelled = cancel_slot(catalog, job.name, slot.name)
    log.info("%s was stopped, runs %s cancelled", slot.name, cancelled or "none")


def _keep(
    catalog: Catalog,
    held: Held,
    ttl_s: float,
    now: Callable[[], datetime],
    lost: threading.Event,
    ended: threading.Event,
) -> None:
    """Renew the lease every third of its time, until `ended`; set `lost` when it is not ours."""
    while not ended.wait(ttl_s / 3):
        try:
            if not renew_lease(catalog, held, ttl_s=ttl_s, now=now()):
                lost.set()
                return
        except OperationalError as error:
            # Two more tries before the lease ends.
            log.warning("the lease was not renewed: %s", error.orig)


def _scheduler(catalog: Catalog, job: Job, fire: Callable[[], None]) -> BackgroundScheduler:
    # In memory: two schedulers on one stored schedule fire almost everything twice.
    scheduler = BackgroundScheduler(
        timezone=job.zone(),
        job_defaults={
            "coalesce": True,
            "max_instances": 1,
            "misfire_grace_time": MISFIRE_GRACE_S,
        },
    )
    at = job.at
    trigger = CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=job.zone())
    scheduler.add_job(fire, trigger, id=job.name, name=job.name)

    def note(trouble: JobEvent) -> None:
        code = TROUBLE[trouble.code]
        log.warning("%s: %s", job.name, code)
        _note(catalog, "error", code, job.name, {"event": trouble.code})

    scheduler.add_listener(note, EVENT_JOB_MISSED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
    return scheduler


def _note_end(catalog: Catalog, slot: Slot, code: int) -> None:
    # Partly failed (4) is within the budget; busy (5): another process did this slot meanwhile.
    fine = code in (0, 4, 5)
    log.log(logging.INFO if fine else logging.ERROR, "%s ended with %s", slot.name, code)
    if not fine:
        _note(catalog, "error", "job_failed", slot.name, {"exit_code": code})


def _note(catalog: Catalog, level: str, code: str, subject: str, detail: dict[str, Any]) -> None:
    with catalog.write() as session:
        session.add(Event(at=utc_now(), level=level, code=code, subject=subject, detail=detail))


def _brief(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    finished = run.finished_at.isoformat() if run.finished_at else None
    return {"id": run.id, "slot": run.slot, "status": run.status, "finished_at": finished}
