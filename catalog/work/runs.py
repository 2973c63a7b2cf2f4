"""Record each execution of a step: that it began, that it lives, how it ended and what it found."""

import logging
import os
import platform
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog.errors import AlreadyDone, BudgetExceeded
from catalog.files import sha256_text, started
from catalog.logs import in_run
from catalog.schema.forecasts import Prediction
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, Feature, MediaFile, Run
from catalog.schema.types import canonical_json, plain_json, utc_now
from catalog.work.claims import give_back
from catalog.work.journal import Journal

log = logging.getLogger(__name__)


PROC = Path("/proc")
LIBRARIES = ("numpy", "openai-whisper", "selenium", "sqlalchemy", "torch", "torchvision")


@dataclass(frozen=True)
class ProcessName:
    """A process: its machine, its number, and the moment it started, which the number lacks."""

    host: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Say whether it belongs to this machine, so that its number means something here."""
        return self.host == this_host()

    def is_dead(self) -> bool:
        """Say whether it has certainly ended; False for another machine's."""
        found = started(self.pid)
        return self.is_here() and (found is None or str(found) != self.started)


@cache
def this_host() -> str:
    """Return a name for this machine, since its boot, as far as process numbers reach."""
    # Two containers may share a host name and still count their processes apart.
    boot = _read(PROC / "sys/kernel/random/boot_id")
    try:
        numbers = str((PROC / "self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return " ".join(part for part in (platform.node(), boot, numbers) if part)


def this_process() -> ProcessName:
    """Return the name of the process that asks."""
    pid = os.getpid()
    found = started(pid)
    return ProcessName(this_host(), pid, "" if found is None else str(found))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


@cache
def code_version() -> str:
    """Return the installed version of this program."""
    try:
        return metadata.version("viewcast")
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Return the commit this checkout is at and whether it was changed; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    sha = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return sha or None, None if changes is None else bool(changes)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@cache
def environment() -> dict[str, str]:
    """Return the versions that numbers may depend on, without importing anything heavy."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions


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
    process = this_process()
    git_sha, git_dirty = git_state()
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
        code_version=code_version(),
        git_sha=git_sha,
        git_dirty=git_dirty,
        params=plain_json(params),
        params_hash=sha256_text(canonical_json(params)),
        env=dict(environment()),
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
        family = session.scalars(select(Run).where(Run.kind == kind, Run.slot == slot))
        return _cancel(session, list(family))


def cancel_below(catalog: Catalog, run_id: int) -> list[int]:
    """Mark the running runs below a run, but not itself, as cancelled; return their ids.

    Only for who has just ended what they did.
    """
    with catalog.write() as session:
        return _cancel(session, list(session.scalars(select(Run).where(Run.parent_id == run_id))))


def _cancel(session: Session, family: list[Run]) -> list[int]:
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


HEARTBEAT_S = 20.0
EXIT_CODES = {"running": 0, "ok": 0, "partial": 4, "cancelled": 130}


@dataclass(frozen=True)
class FailureBudget:
    """How many rows may fail before it is not the rows' fault any more."""

    min_failures: int = 5
    max_fraction: float = 0.2

    def is_exceeded(self, n_failed: int, n_total: int) -> bool:
        """Say whether `n_failed` of `n_total` are too many."""
        return n_failed >= self.min_failures and n_failed > self.max_fraction * n_total


@dataclass(frozen=True)
class Outcome:
    """How a run stands or ended, with the failures and skips counted by code."""

    run_id: int
    uid: str
    kind: str
    status: str
    n_total: int
    n_done: int
    n_failed: int
    n_skipped: int
    codes: Mapping[str, int]
    exit_code: int

    def as_dict(self) -> dict[str, Any]:
        """Return the same as one JSON-ready mapping."""
        return asdict(self)


@dataclass
class RunInProgress:
    """A run in progress; its methods may be called inside and outside of catalog.write()."""

    id: int
    uid: str
    kind: str
    _journal: Journal
    _budget: FailureBudget
    _status: str = "running"
    _exit_code: int | None = None
    _has_kept: bool = False
    _n_spared: int = 0
    _is_in_vain: bool = False
    _codes: dict[str, int] = field(default_factory=dict)

    def expect(self, n: int) -> None:
        """Say how many units this run will try from here on."""
        self._journal.n_total = self._n_tried() + n
        self._journal.flush_if_free()

    def done(self, n: int = 1) -> None:
        """Count units that succeeded. Raises RunLost when the run is no longer ours."""
        self._journal.n_done += n
        self._journal.flush_if_due()

    def skipped(self, subject: str, code: str) -> None:
        """Count a unit for which there was nothing to do."""
        self._journal.n_skipped += 1
        self._codes[code] = self._codes.get(code, 0) + 1
        log.debug("%s: %s skipped, %s", self.kind, subject, code)
        self._journal.flush_if_due()

    def failed(
        self, subject: str, code: str, message: str, *, kept: bool = False, spared: bool = False
    ) -> None:
        """Count and record a unit that failed. Raises BudgetExceeded when they are too many.

        kept: a part of its result was stored, so the run has not failed as a whole. spared: others'
        fault, that has a limit of its own: it spends nothing of the budget.
        """
        self._has_kept |= kept
        self._n_spared += spared
        self._journal.n_failed += 1
        self._codes[code] = self._codes.get(code, 0) + 1
        self._journal.event("error", code, subject, {"message": message})
        log.info("%s: %s failed, %s: %s", self.kind, subject, code, message)
        self._journal.flush_if_free()
        n_total = max(self._journal.n_total or 0, self._n_tried())
        if self._budget.is_exceeded(self._journal.n_failed - self._n_spared, n_total):
            raise BudgetExceeded(
                f"{self._journal.n_failed} of {n_total} failed, the last with {code}: {message}"
            )

    def in_vain(self, subject: str, code: str, message: str) -> None:
        """Record that nothing came of any unit: the run has failed, whatever was skipped."""
        self._is_in_vain = True
        self.failed(subject, code, message)

    def refused(self, codes: Mapping[str, int]) -> None:
        """Count units that failed and are on record elsewhere, such as the bad rows of a file.

        They spend nothing of the budget for failures.
        """
        for code, n in codes.items():
            self._journal.n_failed += n
            self._codes[code] = self._codes.get(code, 0) + n
        self._journal.flush_if_free()

    def note(self, subject: str, code: str, detail: Mapping[str, Any]) -> None:
        """Record how one unit went, beyond that it went."""
        self._journal.event("info", code, subject, plain_json(detail))
        self._journal.flush_if_free()

    def metric(self, part: str, name: str, value: float, step: int = -1) -> None:
        """Record a number of this run; one that is not finite is stored as NULL with an event."""
        self._journal.metric(part, name, value, step)
        self._journal.flush_if_free()

    @property
    def outcome(self) -> Outcome:
        """How the run stands; after the block, how it ended."""
        journal = self._journal
        exit_code = EXIT_CODES.get(self._status, 1) if self._exit_code is None else self._exit_code
        return Outcome(
            run_id=self.id,
            uid=self.uid,
            kind=self.kind,
            status=self._status,
            n_total=max(journal.n_total or 0, self._n_tried()),
            n_done=journal.n_done,
            n_failed=journal.n_failed,
            n_skipped=journal.n_skipped,
            codes=dict(self._codes),
            exit_code=exit_code,
        )

    def _n_tried(self) -> int:
        return self._journal.n_done + self._journal.n_failed + self._journal.n_skipped

    def _finish(self, status: str, error: str | None, exit_code: int | None) -> None:
        self._status, self._exit_code = status, exit_code
        if not self._journal.finish(status, error, n_total=self.outcome.n_total):
            self._status = "lost"


@contextmanager
def record_run(
    catalog: Catalog,
    kind: str,
    *,
    params: Mapping[str, Any],
    trigger: str = "manual",
    parent_id: int | None = None,
    slot: str | None = None,
    scheduled_for: datetime | None = None,
    model_version_id: int | None = None,
    budget: FailureBudget | None = None,
    resume: bool = False,
    heartbeat_s: float = HEARTBEAT_S,
) -> Iterator[RunInProgress]:
    """Record the block as a run, whatever becomes of it, and give back the leases it still has.

    resume: go on with the newest lost or cancelled run of the same kind, parameters, model and
    slot, unless one has succeeded since; what it had done counts as done.
    Raises AlreadyDone when the slot is running or done; every exception of the block goes on.
    """
    reap(catalog)
    row = new_row(kind, params, trigger, parent_id, slot, scheduled_for, model_version_id)
    with catalog.write() as session:
        begun = (resumed(session, row) if resume else None) or inserted(session, row)
        journal = Journal(catalog, begun.id, begun.uid)
        journal.n_total, journal.n_done, journal.n_skipped = None, begun.n_done, begun.n_skipped
        run = RunInProgress(begun.id, begun.uid, kind, journal, budget or FailureBudget())
    with in_run(run.id, begun.slot):
        log.info("run %s: %s", run.id, kind)
        stop = threading.Event()
        heart = threading.Thread(
            target=copy_context().run,  # a thread by itself knows of no run
            args=(journal.beat, stop, heartbeat_s),
            name=f"heartbeat-{run.id}",
            daemon=True,
        )
        heart.start()
        try:
            yield run
        except BaseException as error:
            stop.set()
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
            status = "cancelled" if interrupted else "failed"
            exit_code = getattr(error, "exit_code", None)
            run._finish(status, f"{type(error).__name__}: {error}", exit_code)
            raise
        else:
            stop.set()
            verdict = _verdict(run.outcome, has_kept=run._has_kept)
            run._finish("failed" if run._is_in_vain else verdict, None, None)
            journal.raise_if_lost()
        finally:
            stop.set()
            heart.join()


def _verdict(outcome: Outcome, *, has_kept: bool) -> str:
    if outcome.n_failed == 0:
        return "ok"
    return "partial" if outcome.n_done or outcome.n_skipped or has_kept else "failed"
