"""Record each execution of a step: that it began, that it lives, how it ended and what it found."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from catalog.beginnings import inserted, new_row, resumed
from catalog.errors import BudgetExceeded
from catalog.journal import Journal
from catalog.reaping import cancel_slot, reap
from catalog.session import Catalog
from catalog.types import plain_json

__all__ = [
    "FailureBudget",
    "Outcome",
    "Run",
    "cancel_slot",
    "reap",
    "record_run",
]

log = logging.getLogger(__name__)

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
class Run:
    """A run in progress; its methods may be called inside and outside of catalog.write()."""

    id: int
    uid: str
    kind: str
    _journal: Journal
    _budget: FailureBudget
    _status: str = "running"
    _exit_code: int | None = None
    _has_kept: bool = False
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

    def failed(self, subject: str, code: str, message: str, *, kept: bool = False) -> None:
        """Count and record a unit that failed. Raises BudgetExceeded when they are too many.

        kept: a part of its result was stored, so the run has not failed as a whole.
        """
        self._has_kept |= kept
        self._journal.n_failed += 1
        self._codes[code] = self._codes.get(code, 0) + 1
        self._journal.event("error", code, subject, {"message": message})
        log.info("%s: %s failed, %s: %s", self.kind, subject, code, message)
        self._journal.flush_if_free()
        n_total = max(self._journal.n_total or 0, self._n_tried())
        if self._budget.is_exceeded(self._journal.n_failed, n_total):
            raise BudgetExceeded(
                f"{self._journal.n_failed} of {n_total} failed, the last with {code}: {message}"
            )

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
) -> Iterator[Run]:
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
        run = Run(begun.id, begun.uid, kind, journal, budget or FailureBudget())
    log.info("run %s: %s", run.id, kind)
    stop = threading.Event()
    heart = threading.Thread(
        target=journal.beat, args=(stop, heartbeat_s), name=f"heartbeat-{run.id}", daemon=True
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
        run._finish(_verdict(run.outcome, has_kept=run._has_kept), None, None)
        journal.raise_if_lost()
    finally:
        stop.set()
        heart.join()


def _verdict(outcome: Outcome, *, has_kept: bool) -> str:
    if outcome.n_failed == 0:
        return "ok"
    return "partial" if outcome.n_done or outcome.n_skipped or has_kept else "failed"
