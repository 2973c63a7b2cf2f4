"""Run one way of doing a thing in a process of its own and tell what it cost."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Cost:
    """What one way took: the median of the repeats; the peak of the process, its imports too."""

    cpu_s: float
    wall_s: float
    peak_mb: float


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside the other way. ratio > 1: ours is so much better."""

    what: str
    ours: str
    other: str
    ratio: str


def cost_of(module: str, *arguments: str) -> Cost:
    """Run `python -m MODULE ARGUMENTS` so many times; it prints what `report` gives."""
    costs = [_once(module, arguments) for _ in range(REPEATS)]
    return Cost(
        cpu_s=statistics.median(cost.cpu_s for cost in costs),
        wall_s=statistics.median(cost.wall_s for cost in costs),
        peak_mb=statistics.median(cost.peak_mb for cost in costs),
    )


def report(work: Callable[[], object]) -> None:
    """Do the work and write its cost to stdout; imports before this call cost no time."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    cost = {
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.perf_counter() - wall_s,
        "peak_mb": peak_memory_mb(),
    }
    sys.stdout.write(json.dumps(cost))


def markdown(rows: list[Row]) -> str:
    """Lay the rows out as a table."""
    lines = ["| measured | viewcast | beside | ratio |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.ours} | {row.other} | {row.ratio} |" for row in rows]
    return "\n".join(lines)


def peak_memory_mb(pid: int | None = None) -> float:
    """A living process's largest resident memory so far, 0 where the system does not tell."""
    # Not getrusage: what it tells after a fork begins with the parent's memory, torch and all.
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    kilobytes = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(next(kilobytes, "0")) * 1024 / 1e6


def _once(module: str, arguments: tuple[str, ...]) -> Cost:
    environment: Mapping[str, str] = {**os.environ, **ONE_THREAD}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return Cost(**json.loads(done.stdout))
