"""Start a job once a day at its time, in a child process: slots and the daemon's lease.

The daemon never does the work itself, so it answers a signal at once. Truth is in the catalog: the
lease row says which daemon may start jobs, the run's slot says which day is done.
"""

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog.errors import BadValue, Busy
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, JobLease, Run
from catalog.schema.types import insert_into, utc_now
from catalog.work.runs import (
    ProcessName,
    cancel_slot,
    reap,
    this_process,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slot:
    """One day's execution of a job, and when it was due."""

    name: str
    scheduled_for: datetime


class RunningJob(Protocol):
    """A child process, as subprocess.Popen is one."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it and what it started; harmless when it has ended."""


@dataclass(frozen=True)
class Job:
    """What to start (a child that records a run of kind `name` under the slot), and when."""

    name: str
    at: time
    timezone: str
    start: Callable[[Slot], RunningJob]

    def __post_init__(self) -> None:
        """Refuse a time zone that nobody knows."""
        self.zone()

    def zone(self) -> ZoneInfo:
        """Return the zone of `at`. Raises BadValue."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BadValue(f"no time zone {self.timezone!r}; one is Europe/Berlin") from error

    def slot_of(self, day: date) -> Slot:
        """Return the slot of a local day."""
        # Where the clocks jump over the time, it is due an hour later; where they repeat it,
        # at the first time. Either way the day has one slot.
        due = datetime.combine(day, self.at.replace(tzinfo=None), tzinfo=self.zone())
        return Slot(f"{self.name}/{day.isoformat()}", due.astimezone(UTC))

    def latest_slot(self, now: datetime) -> Slot:
        """Return the newest slot that is due at `now`."""
        today = now.astimezone(self.zone()).date()
        slot = self.slot_of(today)
        return slot if slot.scheduled_for <= now else self.slot_of(today - timedelta(days=1))

    def dst_warning(self) -> str | None:
        """Return why this time is a poor choice in its zone, None when it is a good one."""
        if not 1 <= self.at.hour < 3:
            return None
        year = utc_now().year
        offsets = {datetime(year, month, 1, tzinfo=self.zone()).utcoffset() for month in (1, 7)}
        if len(offsets) == 1:
            return None
        return (
            f"{self.at:%H:%M} {self.timezone} is skipped on one day of the year and comes twice on"
            " another, as the clocks change; each day is still done once, but 03:00 is safer"
        )


@dataclass(frozen=True)
class Held:
    """A lease that was ours when it was taken; the fence says whether it still is."""

    name: str
    owner: str
    fence: int


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
        holder = _process(row.owner)
        dead = holder is not None and holder.is_dead()
        if row.owner and row.expires_at > now and not dead:
            who = f"process {holder.pid} on {holder.host}" if holder else row.owner
            raise Busy(f"{name} is run by {who}, at least until {row.expires_at:%H:%M:%S} UTC")
        if row.owner:
            _note_takeover(session, row, now)
        row.owner, row.fence = owner, row.fence + 1
        row.acquired_at = row.heartbeat_at = now
        row.expires_at = now + timedelta(seconds=ttl_s)
        return Held(name, owner, row.fence)


def renew_lease(catalog: Catalog, held: Held, *, ttl_s: float, now: datetime) -> bool:
    """Keep the lease for another `ttl_s`; False when it has gone to somebody else."""
    values = {"heartbeat_at": now, "expires_at": now + timedelta(seconds=ttl_s)}
    return _update(catalog, held, values)


def give_up(catalog: Catalog, held: Held, *, now: datetime) -> bool:
    """Let the next one have the lease at once; the row stays, for its fence."""
    return _update(catalog, held, {"owner": "", "heartbeat_at": now, "expires_at": now})


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


def _process(owner: str) -> ProcessName | None:
    try:
        return ProcessName(**json.loads(owner))
    except (ValueError, TypeError):
        return None


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
