"""Run the stages of a night one after the other, each of which may fail without the others."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from catalog.runs import FailureBudget, Outcome, record_run
from catalog.session import Catalog

# Takes the id of the parent run.
Stage = Callable[[int], Outcome]


def run_stages(
    catalog: Catalog,
    stages: Sequence[tuple[str, Stage]],
    *,
    known_errors: tuple[type[Exception], ...],
    report: Callable[[str], object],
    slot: str | None = None,
    scheduled_for: datetime | None = None,
) -> tuple[Outcome, list[dict[str, Any]]]:
    """Run stage after stage under one parent run; a known error costs its stage only.

    report: gets one line per stage as it ends. scheduled_for: naive UTC. Returns how all went, and
    what each stage was, took and counted.
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
            start = time.monotonic()
            line: dict[str, Any] = {"stage": name}
            try:
                outcome = stage(run.id)
            except known_errors as error:
                code = getattr(error, "code", type(error).__name__)
                line |= {"status": "failed", "error": str(error)}
                run.failed(name, code, str(error))
            else:
                line |= outcome.as_dict()
                if outcome.exit_code:
                    run.failed(name, f"stage_{outcome.status}", f"run {outcome.run_id}")
                else:
                    run.done()
            line["seconds"] = round(time.monotonic() - start, 1)
            lines.append(line)
            report(stage_line(line))
    return run.outcome, lines


def stage_line(line: Mapping[str, Any]) -> str:
    """Lay out what one stage was, took and counted."""
    if "error" in line:
        return f"{line['stage']:<15} failed: {line['error']}"
    counts = f"{line['n_done']:>4} done {line['n_skipped']:>4} skipped {line['n_failed']:>3} failed"
    codes = ", ".join(f"{code} {n}" for code, n in sorted(line["codes"].items()))
    return f"{line['stage']:<15} {line['status']:<8} {counts} {line['seconds']:>7.1f} s  {codes}"
