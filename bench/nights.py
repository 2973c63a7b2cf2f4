"""Nights on end, simulated, and what must be so afterwards: `python -m bench.nights`.

The site is the replica, whose posts come and grow by their law. All the rest is real: the command
line, two daemons that race every night, Chromium, mp4 files; only the clock is moved
(`nights_world.py`). Some nights are killed at an instant that follows from the seed, on some the
site is down, and the clocks of Morocco change twice on the way, at the very time at which the night
is due. Forty nights take about an hour on two busy cores. The page goes to stdout, its numbers to
FOLDER/nights.json; the exit code is 1 when something is not as it must be (`nights_check.py`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.nights_check import Findings, Nights, check, stages
from bench.nights_world import Night, Plan, World, do_night, simulate
from scraper.replica.content import build_content

# Two nights on which nothing is new: the first still finds what came since the last.
N_STILL = 2
SPREAD = ("n", "in bounds", "p5", "median", "p95", "largest")


@dataclass(frozen=True)
class Result:
    """What was done, what was found, and what the stages cost."""

    nights: Sequence[Night]
    findings: Findings
    stages: Mapping[str, Mapping[str, Mapping[str, float]]]


def run(
    folder: Path,
    plan: Plan,
    *,
    clips: Path | None = None,
    n_still: int = N_STILL,
    say: Callable[[str], None] = lambda _line: None,
) -> Result:
    """Simulate, check, and measure a night on which nothing is new."""
    world = World(folder, plan, clips)
    try:
        nights = list(simulate(world, say))
        findings = check(world.data, plan.site, planned(plan), world.temporary)
        world.let_site_stand()
        for number in range(plan.n_nights, plan.n_nights + n_still):
            world.clock.set(plan.due(number) + timedelta(minutes=1))
            still = Night(plan.slot(number), 60.0)
            do_night(world, still)
            say(f"{still.slot} {still.seconds:.1f} s, the site as it was")
    finally:
        world.close_site()
    rows = Nights(world.data, build_content(plan.site))
    try:
        kinds = {
            "usual": [n.slot for n in nights[1:] if not n.killed and not n.is_down],
            "killed, then done": [n.slot for n in nights if n.killed],
            "site down": [n.slot for n in nights if n.is_down],
            "nothing new": [plan.slot(plan.n_nights + n_still - 1)] if n_still else [],
        }
        costs = {kind: stages(rows, of_kind) for kind, of_kind in kinds.items()}
    finally:
        rows.close()
    return Result(nights, findings, costs)


def planned(plan: Plan) -> dict[str, list[str]]:
    """The slots that were due, by job."""
    slots = {"nightly": [plan.slot(night) for night in range(plan.n_nights)]}
    for night in range(plan.n_nights):
        for _due, kind, slot in plan.jobs_of_day(night):
            slots.setdefault(kind, []).append(slot)
    return slots


def page(result: Result) -> str:
    """Lay out what came of it in Markdown."""
    found = result.findings
    lines = ["| what | found |", "|---|---|"]
    lines += [f"| {what} | {_words(value)} |" for what, value in found.facts.items()]
    lines += ["", "Not as it must be: " + ("; ".join(found.wrong) or "nothing."), ""]
    lines += [f"| off from the law, ln views | {' | '.join(SPREAD)} |", "|---" * 7 + "|"]
    for what, off in found.against_law.items():
        lines.append(f"| {what} | {' | '.join(str(off.get(name, '')) for name in SPREAD)} |")
    lines.append("")
    kinds = [kind for kind, found in result.stages.items() if found]
    names = list(dict.fromkeys(name for kind in kinds for name in result.stages[kind]))
    lines += [f"| stage, units and seconds (medians) | {' | '.join(kinds)} |"]
    lines += ["|---|" + "---|" * len(kinds)]
    for name in names:
        cells = [result.stages[kind].get(name) for kind in kinds]
        words = [f"{c['units']:g} in {c['seconds']:.1f} s" if c else "" for c in cells]
        lines.append(f"| {name} | {' | '.join(words)} |")
    lines += ["", "| night | started | killed | seconds | stopped in |", "|---|---|---|---|---|"]
    for night in result.nights:
        late = "on time" if night.late_s < 0 else f"{night.late_s / 60:.0f} min late"
        late += ", site down" if night.is_down else ""
        took = f"{night.seconds:.0f} | {night.stop_s:.1f} s"
        lines.append(f"| {night.slot} | {late} | {night.killed or ''} | {took} |")
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(_words(one) for one in value)
    return str(value)


def main() -> int:
    """Simulate, write the page, and tell whether all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new one: data, clips and logs go there")
    parser.add_argument("--nights", type=int, default=Plan.n_nights)
    parser.add_argument("--killed", type=int, default=Plan.n_killed)
    parser.add_argument("--down", type=int, default=Plan.n_down)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--clips", type=Path, help="the site's files, kept between simulations")
    asked = parser.parse_args()
    plan = Plan(asked.nights, asked.killed, asked.down, seed=asked.seed)
    result = run(
        asked.folder.resolve(),
        plan,
        clips=asked.clips and asked.clips.resolve(),
        say=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201 (its progress)
    )
    told = {"plan": asdict(plan), **asdict(result)}
    (asked.folder / "nights.json").write_text(json.dumps(told, indent=1, default=str))
    sys.stdout.write(page(result) + "\n")
    return 1 if result.findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
