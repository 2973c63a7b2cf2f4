"""Run the stages of a night one after the other, each with its own record and its time."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from types import FrameType
from typing import Any

from catalog.schema.session import Catalog
from catalog.stopping import stop_for
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, cancel_below, record_run

log = logging.getLogger(__name__)

# Takes the id of the parent run.
Stage = Callable[[int], Outcome]


class OutOfTime(SystemExit):
    """A stage that has used up its time.

    It ends as one that somebody has stopped: what it finished is kept, what it holds is given back,
    and the next night goes on with the rest.
    """


def run_stages(
    catalog: Catalog,
    stages: Sequence[tuple[str, Stage]],
    *,
    known_errors: tuple[type[Exception], ...],
    report: Callable[[str], object],
    slot: str | None = None,
    scheduled_for: datetime | None = None,
    hours_of: Callable[[str], float] = lambda _stage: 0.0,
) -> tuple[Outcome, list[dict[str, Any]]]:
    """Run stage after stage under one parent run; an error costs its stage only.

    report: gets one line per stage as it ends. scheduled_for: naive UTC. hours_of: how long a stage
    may take at most; 0: as long as it likes. Returns how all went, and what each stage was, took
    and counted. An error that is none of the known ones is a fault of the program's: its traceback
    is logged, and the night goes on all the same.
    """
    lines: list[dict[str, Any]] = []
    with record_run(
        catalog,
        "nightly",
        params={"stages": [name for name, _stage in stages]},
        trigger="daemon" if slot else "manual",
        slot=slot,
        scheduled_for=None if scheduled_for is None else scheduled_for.replace(tzinfo=UTC),
        # A stage that fails must not keep the later ones from what is there, however many fail.
        budget=FailureBudget(min_failures=len(stages) + 1),
    ) as run:
        run.expect(len(stages))
        for name, stage in stages:
            start = monotonic()
            line = {"stage": name, **_run_one(catalog, run, name, stage, known_errors, hours_of)}
            line["seconds"] = round(monotonic() - start, 1)
            lines.append(line)
            report(stage_line(line))
    return run.outcome, lines


def _run_one(
    catalog: Catalog,
    run: RunInProgress,
    name: str,
    stage: Stage,
    known_errors: tuple[type[Exception], ...],
    hours_of: Callable[[str], float],
) -> dict[str, Any]:
    """Run one stage, count it in and return what it was."""
    hours = hours_of(name)
    try:
        with _limited(hours):
            outcome = stage(run.id)
    except OutOfTime:
        # Should the signal have struck where nobody could answer for the stage's own run.
        cancel_below(catalog, run.id)
        words = f"stopped after {hours:g} h; what is left waits for the next night"
        run.failed(name, "stage_out_of_time", words)
        return {"status": "out_of_time", "error": words}
    except known_errors as error:
        run.failed(name, getattr(error, "code", type(error).__name__), str(error))
        return {"status": "failed", "error": str(error)}
    except Exception as error:
        log.exception("%s ended with an error of the program's", name)
        words = f"{type(error).__name__}: {error}"
        run.failed(name, "stage_broken", words)
        return {"status": "failed", "error": words}
    if outcome.exit_code:
        run.failed(name, f"stage_{outcome.status}", f"run {outcome.run_id}")
    else:
        run.done()
    return outcome.as_dict()


@contextmanager
def _limited(hours: float) -> Iterator[None]:
    """Raise OutOfTime in the block once so many hours have passed; 0: never."""
    if not hours or threading.current_thread() is not threading.main_thread():
        # Only the main thread gets signals; in another one a night has no limit.
        yield
        return

    def strike(_signal: int, _frame: FrameType | None) -> None:
        stop_for(OutOfTime(1))

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, hours * 3600)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stage_line(line: Mapping[str, Any]) -> str:
    """Lay out what one stage was, took and counted."""
    if "error" in line:
        return f"{line['stage']:<15} {line['status'].replace('_', ' ')}: {line['error']}"
    counts = f"{line['n_done']:>4} done {line['n_skipped']:>4} skipped {line['n_failed']:>3} failed"
    codes = ", ".join(f"{code} {n}" for code, n in sorted(line["codes"].items()))
    return f"{line['stage']:<15} {line['status']:<8} {counts} {line['seconds']:>7.1f} s  {codes}"
