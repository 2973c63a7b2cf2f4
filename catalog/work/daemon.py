"""Start jobs at their times, each in a child process, one after the other: the daemon's loop.

The daemon never does the work itself, so it answers a signal at once. Truth is in the catalog: the
lease row says which daemon may start jobs, the run's slot says which execution is done.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from catalog.errors import BadValue, Busy, NotReady, SchemaBehind
from catalog.schema.session import Catalog, open_catalog
from catalog.schema.tables import Event, Run
from catalog.schema.types import utc_now
from catalog.work.job_lease import KeptLease, acquire
from catalog.work.runs import (
    cancel_slot,
    reap,
)
from catalog.work.schedule import Schedule, Slot

log = logging.getLogger(__name__)


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

    schedule: Schedule
    start: Callable[[Slot], RunningJob]

    @property
    def name(self) -> str:
        """The job's name, which is the kind of its runs."""
        return self.schedule.job


@dataclass(frozen=True)
class Telling:
    """Tells somebody, in the background: of a slot, by its name, or why the catalog is away."""

    of_slot: Callable[[str], object]
    of_absence: Callable[[Exception], object]


SILENT = Telling(lambda _slot: None, lambda _error: None)
# A shorter absence, such as an upgrade, is nobody's concern.
AWAY_TOLD_S = 600.0
LEASE, NIGHTLY = "daemon", "nightly"
TTL_S = 120.0
CATCH_UP_S = 12 * 3600.0
# A slot that is due while another job runs, or that was due a moment before the start, is not late.
GRACE_S = 300.0
# Together with one database write they stay within two seconds of SIGTERM.
STOP_GRACE_S = 1.2
# A database that does not answer must not keep the daemon: the next one finds what is left.
LAST_WORDS_S = 2.0
POLL_S = 0.1
# Doubled each time: how long until an unready catalog is asked again, or a slot tried again.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
FIRST_RETRY_S, LONGEST_RETRY_S = 15.0, 600.0
MAX_FAILURES = 3
EXIT_NOT_STARTED = 127  # as a shell says it
# Partly failed (4) is within the budget.
DONE_CODES = frozenset({0, 4})
# Not ready (3): no database, another schema. Busy (5): somebody else is at it.
PASSING_CODES = frozenset({3, 5})
# Of slots that nobody was there for, so many have a row of their own in the journal.
MOST_MISSED = 100
LONGEST_ABSENCE = timedelta(days=35)
# The catalog is away, or at another schema than ours: both pass.
AWAY = (OperationalError, InterfaceError, ProgrammingError, NotReady, SchemaBehind)


def run_daemon(
    catalog: Catalog,
    jobs: Sequence[Job],
    *,
    stop: threading.Event,
    catch_up_s: float = CATCH_UP_S,
    ttl_s: float = TTL_S,
    now: Callable[[], datetime] = utc_now,
    telling: Telling = SILENT,
) -> None:
    """Start the jobs at their times until `stop` is set. Raises Busy while another daemon lives.

    One child at a time; of jobs that wait the earlier in `jobs` goes first, with its newest slot.
    The newest slot that was missed by less than `catch_up_s` is made up for, older ones are
    recorded as missed. On `stop` a running child is ended, within two seconds, and its run marked
    as cancelled. A catalog that is away for a while is waited for.
    """
    if not jobs:
        raise BadValue("no job has a time: set daemon.nightly, such as 30 4 * * *")
    for job in jobs:
        if warning := job.schedule.dst_warning():
            log.warning("%s", warning)
    lease = KeptLease(catalog, acquire(catalog, LEASE, ttl_s=ttl_s, now=now()), ttl_s, now)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, ended), name="lease", daemon=True)
    keeper.start()
    loop = _Loop(catalog, jobs, lease, timedelta(seconds=catch_up_s + GRACE_S), now, telling)
    try:
        while not stop.wait(POLL_S) and not lease.lost.is_set():
            loop.step()
    finally:
        ended.set()
        loop.end_child()
        _say_last(lease.give_up, "give up the lease")
    if lease.lost.is_set():
        raise Busy("the daemon's lease went to another daemon")


@dataclass
class _Waiting:
    """A slot that is to be done, and how it has gone so far."""

    slot: Slot
    not_before_s: float = 0.0
    n_tries: int = 0
    n_failures: int = 0


@dataclass
class _Loop:
    """What waits, what runs, and what is still to be written in the journal."""

    catalog: Catalog
    jobs: Sequence[Job]
    lease: KeptLease
    catch_up: timedelta
    now: Callable[[], datetime]
    telling: Telling
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    running: tuple[Job, _Waiting, RunningJob] | None = None
    notes: list[Event] = field(default_factory=list)
    following: dict[str, Slot | None] = field(default_factory=dict)
    looked_at: datetime | None = None
    is_caught_up: bool = False
    away_since_s: float | None = None
    is_told: bool = False
    wait_s: float = 0.0
    ask_at_s: float = 0.0

    def step(self) -> None:
        """Look what is due, what the child does, and start the next one."""
        self._look()
        if self.running is not None:
            # While a child runs the catalog is not asked: it may be kept busy by the child.
            job, waiting, child = self.running
            code = child.poll()
            if code is None:
                return
            self.running = None
            self._ended(job, waiting, code)
        if monotonic() < self.ask_at_s:
            return
        try:
            self._catch_up()
            self._write_notes()
            self._start_next()
        except AWAY as error:
            self._wait(error)
        else:
            self._came_back()

    def end_child(self) -> None:
        """End the child with all it started, and mark its runs as cancelled."""
        if self.running is None or self.running[2].poll() is not None:
            return
        job, waiting, child = self.running
        child.terminate()
        patience = threading.Event()
        for _ in range(round(STOP_GRACE_S / POLL_S)):
            if child.poll() is not None:
                break
            patience.wait(POLL_S)
        # In any case, for the sake of what the child itself may have started.
        child.kill()
        name = waiting.slot.name

        def cancel() -> None:
            cancelled = cancel_slot(self.catalog, job.name, name)
            log.info("%s was stopped, runs %s cancelled", name, cancelled or "none")

        _say_last(cancel, f"mark {name} as cancelled")

    def _look(self) -> None:
        """Put what has come due on the list."""
        now, before = self.now(), self.looked_at
        if before is not None and (before - now).total_seconds() > GRACE_S:
            # What came due by a wrong clock says nothing of the days until then. What was done
            # is done all the same, as the catalog knows.
            log.warning("the clock was put back by %s", before - now)
            before = None
        for job in self.jobs:
            following = self.following.get(job.name)
            if before is not None and (following is None or now < following.scheduled_for):
                continue
            if before is not None:
                *missed, newest = job.schedule.slots(before, now)
                self._miss(missed, "while the daemon stood still")
                self._put(job, newest)
            self.following[job.name] = job.schedule.following(now)
            log.info("%s is due next at %s", job.name, _due_text(self.following[job.name]))
        # A clock that is put back a little finds nothing due twice.
        self.looked_at = now if before is None else max(before, now)

    def _put(self, job: Job, slot: Slot) -> None:
        older = self.waiting.get(job.name)
        if older is not None and older.slot == slot:  # once more, after the clock was put back
            return
        if older is not None and not older.n_failures and job.schedule.is_daily:
            self._miss([older.slot], f"{slot.name} came due before its turn")
        elif older is not None:
            self._note("info", "schedule_coalesced", older.slot.name, {"into": slot.name})
        self.waiting[job.name] = _Waiting(slot)

    def _catch_up(self) -> None:
        """Once, at the start: see to what was due while no daemon lived."""
        if self.is_caught_up:
            return
        now = self.looked_at or self.now()
        reap(self.catalog)
        with self.catalog.read() as session:
            known = {schedule.job for schedule in known_schedules(session)}
        missed: list[Slot] = []
        for job in self.jobs:
            newest = job.schedule.newest(now)
            is_late = newest is None or now - newest.scheduled_for > self.catch_up
            if newest and not is_late and not self._done(job.name, newest):
                self.waiting.setdefault(job.name, _Waiting(newest))
            # Of a job that the daemon before us did not have, nothing was missed.
            seen_at = self.lease.held.seen_at
            if seen_at is not None and job.name in known:
                since = max(seen_at - self.catch_up, now - LONGEST_ABSENCE)
                slots = job.schedule.slots(since, now)
                waits = job.name in self.waiting and self.waiting[job.name].slot
                missed += _untold(self.catalog, job.name, [s for s in slots if s != waits])
        self._miss(missed, "no daemon was running")
        schedules = [
            [job.name, job.schedule.cron, job.schedule.timezone, job.schedule.second]
            for job in self.jobs
        ]
        self._note("info", "daemon_started", LEASE, {"schedules": schedules})
        self.is_caught_up = True

    def _start_next(self) -> None:
        for job in self.jobs:
            waiting = self.waiting.get(job.name)
            if waiting is not None and waiting.not_before_s <= monotonic():
                self._start(job, waiting)
                return

    def _start(self, job: Job, waiting: _Waiting) -> None:
        slot, now = waiting.slot, self.now()
        if now - slot.scheduled_for > self.catch_up:
            del self.waiting[job.name]
            again = "again " if waiting.n_failures else ""
            self._miss([slot], f"it could not be started {again}in time")
            return
        # Its schema first: what is asked next may not be there in another.
        open_catalog(self.catalog.url).close()
        # The lease may have ended while the catalog was away.
        if not self.lease.renew():
            return
        reap(self.catalog)
        done = self._done(job.name, slot)
        with self.catalog.read() as session:
            # What a daemon that was killed has started goes on without it.
            busy = session.scalar(
                select(Run).where(Run.status == "running", Run.slot.is_not(None)).limit(1)
            )
        if done:
            del self.waiting[job.name]
        elif busy is not None:
            log.info("%s waits for run %s, %s", slot.name, busy.id, busy.slot)
            waiting.not_before_s = monotonic() + FIRST_RETRY_S
        else:
            log.info("starting %s, due %s", slot.name, slot.scheduled_for.isoformat())
            waiting.n_tries += 1
            del self.waiting[job.name]
            try:
                self.running = (job, waiting, job.start(slot))
            except OSError as error:  # no memory, too many processes
                log.error("%s could not be started: %s", slot.name, error)
                self._ended(job, waiting, EXIT_NOT_STARTED)

    def _done(self, kind: str, slot: Slot) -> bool:
        done = Run.status.in_(("ok", "partial"))
        with self.catalog.read() as session:
            run = session.scalar(select(Run).where(Run.kind == kind, Run.slot == slot.name, done))
        if run is not None:
            log.info("%s is already %s: run %s", slot.name, run.status, run.id)
        return run is not None

    def _ended(self, job: Job, waiting: _Waiting, code: int) -> None:
        """Note how a child ended, and put its slot on the list again when that may help."""
        name, fine = waiting.slot.name, code in DONE_CODES or code == 5
        log.log(logging.INFO if fine else logging.ERROR, "%s ended with %s", name, code)
        if code in DONE_CODES:
            if code and job.name == NIGHTLY:
                # Telling is the last part of a night, and may be the one that failed.
                self.telling.of_slot(name)
            return
        if code not in PASSING_CODES:
            waiting.n_failures += 1
            is_last = waiting.n_failures >= MAX_FAILURES or job.name in self.waiting
            detail = {"exit_code": code, "attempt": waiting.n_failures, "is_last": is_last}
            self._note("error", "job_failed", name, detail)
        elif code == 3 and waiting.n_tries == 1:
            self._note("error", "job_not_ready", name, {"exit_code": code})
        # A newer slot that has come due meanwhile does the work of this one.
        if waiting.n_failures < MAX_FAILURES and job.name not in self.waiting:
            wait_s = min(FIRST_RETRY_S * 2 ** (waiting.n_tries - 1), LONGEST_RETRY_S)
            log.info("%s is tried again in %.0f s", name, wait_s)
            waiting.not_before_s = monotonic() + wait_s
            self.waiting[job.name] = waiting

    def _miss(self, slots: Sequence[Slot], why: str) -> None:
        n_folded = max(len(slots) - MOST_MISSED, 0)
        for slot in slots[n_folded:]:
            log.error("%s was missed: %s", slot.name, why)
            told = {"scheduled_for": slot.scheduled_for.isoformat(), "why": why}
            self._note("error", "schedule_missed", slot.name, told)
        if n_folded:
            log.error("%s and %s before it were missed", slots[n_folded - 1].name, n_folded - 1)
            folded = {"first": slots[0].name, "n": n_folded, "why": why}
            self._note("error", "schedule_missed", slots[n_folded - 1].name, folded)

    def _note(self, level: str, code: str, subject: str, detail: dict[str, Any]) -> None:
        self.notes.append(
            Event(at=self.now(), level=level, code=code, subject=subject, detail=detail)
        )

    def _write_notes(self) -> None:
        if not self.notes:
            return
        with self.catalog.write() as session:
            # Copies: those of an attempt that fails belong to its session.
            for note in self.notes:
                session.merge(note)
        # Of many slots that were missed the newest says enough.
        told = {note.subject.partition("/")[0]: note for note in self.notes if _is_final(note)}
        self.notes.clear()
        for note in told.values():
            self.telling.of_slot(note.subject)

    def _wait(self, error: Exception) -> None:
        """Leave a catalog alone that does not answer, longer each time."""
        if self.away_since_s is None:
            self.away_since_s = monotonic()
        self.wait_s = min(max(2 * self.wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        log.warning("the catalog cannot be used, next try in %.0f s: %s", self.wait_s, reason)
        self.ask_at_s = monotonic() + self.wait_s
        if not self.is_told and monotonic() - self.away_since_s >= AWAY_TOLD_S:
            self.is_told = True
            self.telling.of_absence(error)

    def _came_back(self) -> None:
        if self.away_since_s is None:
            return
        away_s = round(monotonic() - self.away_since_s, 1)
        log.warning("the catalog can be used again, after %.0f s", away_s)
        self._note("warning", "catalog_was_away", LEASE, {"seconds": away_s})
        self.away_since_s, self.wait_s, self.is_told = None, 0.0, False


def known_schedules(session: Session) -> list[Schedule]:
    """Return what the newest daemon goes, or went, by."""
    started = select(Event).where(Event.code == "daemon_started")
    newest = session.scalar(started.order_by(Event.id.desc()).limit(1))
    return [] if newest is None else [Schedule(*how) for how in newest.detail["schedules"]]


def _untold(catalog: Catalog, kind: str, slots: Sequence[Slot]) -> list[Slot]:
    """Return the slots that no run, nor the journal, knows of."""
    names = [slot.name for slot in slots]
    with catalog.read() as session:
        known = {*session.scalars(select(Run.slot).where(Run.kind == kind, Run.slot.in_(names)))}
        missed = select(Event.subject).where(Event.code == "schedule_missed")
        known |= {*session.scalars(missed.where(Event.subject.in_(names)))}
    return [slot for slot in slots if slot.name not in known]


def _is_final(note: Event) -> bool:
    """Say whether a note is of a slot that is given up, so that somebody has to know."""
    return note.code == "schedule_missed" or bool(note.detail.get("is_last"))


def _due_text(slot: Slot | None) -> str:
    return "no time" if slot is None else f"{slot.scheduled_for:%Y-%m-%d %H:%M:%S} UTC"


def _keep(lease: KeptLease, ended: threading.Event) -> None:
    """Renew the lease every third of its time, until `ended` or until it is somebody else's."""
    while not ended.wait(lease.ttl_s / 3):
        try:
            if not lease.renew():
                return
        except AWAY as error:
            # Nobody else can take it either; the loop asks once more before it starts anything.
            log.warning("the lease was not renewed: %s", getattr(error, "orig", error))


def _say_last(write: Callable[[], object], what: str) -> None:
    """Write to the catalog on leaving, unless that takes too long."""

    def attempt() -> None:
        try:
            write()
        except AWAY as error:
            log.warning("could not %s: %s", what, getattr(error, "orig", error))

    writer = threading.Thread(target=attempt, name="last words", daemon=True)
    writer.start()
    writer.join(LAST_WORDS_S)
    if writer.is_alive():
        log.warning("could not %s within %.0f s", what, LAST_WORDS_S)
