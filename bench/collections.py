"""What the models make of whole collections, beside the constants and an analyst's peer.

`python -m bench.collections [NAME…] [--by author] [--seed N] [--models M,M…]`: a NAME is one of
`bench.invented`, or a file that `import` takes. With `--coverage N [--rows ROWS]` only what share
of counts the 80 % intervals hold, over N seeds of an invented collection. `--seen anytime`: its
counts grow and were seen at many ages; `--age ignore`: labels of all ages are taken alike. Every
forecaster sees the same rows, the same accounts as at the crawl and the same earlier posts, as
`train --as-of crawl` and `score` give them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import ONE_THREAD, ROOT

# Before torch is loaded, which reads them once.
os.environ.update(ONE_THREAD)

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bench import invented, peer
from catalog.facts import PartName, PastPost
from catalog.read.histories import past_posts
from catalog.read.lookup import find_split
from catalog.read.pending import split_rows
from catalog.schema.session import open_catalog
from features.store import FeatureStore
from model.batches import Example
from model.blocks.past import Histories
from model.registry import TrainingInputs, find_kind, find_preset, with_overrides
from model.scoring import Forecast, Scorer
from model.split import PARTS
from model.steps.rows import Part, PartRows, Reader, Wanted, attached
from model.targets import QuartileEdges, TargetTransform

MODELS = ("median", "author_mean", "author_recent", "ridge", "boosted", "modern")
RESAMPLES = 1_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """Rows by part, and all posts that later ones may know."""

    name: str
    parts: Mapping[PartName, list[Example]]
    past: list[PastPost]


@dataclass(frozen=True)
class Said:
    """What a forecaster said of the held-out rows in ln(1 + views), (n,), and its CPU seconds.

    held: share of the counts inside its 80 % intervals, None where it states none.
    """

    log_views: Floats
    cpu_s: float
    held: float | None = None


def invented_study(
    name: str, by: str, seed: int, n_rows: int | None = None, seen: str = "once"
) -> Study:
    """A collection of `bench.invented`, divided."""
    made = invented.collection(name, seed, n_rows)
    rows = invented.seen_at_once(made) if seen == "once" else invented.seen_anytime(made, seed)
    return Study(f"{name} {seed} by {by}", invented.split(rows, by=by), invented.past_posts(rows))


def study_of(path: Path, by: str) -> Study:
    """The rows that `import` and `split create` make of a file, as a training reads them."""
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/catalog.db"
        divide = ["split", "create", "--strategy", by, "--val", "0.1", "--holdout", "0.2"]
        for command in (["db", "upgrade"], ["import", str(path)], divide):
            subprocess.run(
                [sys.executable, "cli.py", "--db", db, *command],
                cwd=ROOT,
                env={**os.environ, "VIEWCAST_DATA": folder},
                check=True,
                capture_output=True,
            )
        catalog = open_catalog(db)
        with catalog.read() as session:
            split = find_split(session, None)
            found: dict[str, Part] = {part: Part() for part in PARTS}
            for row in split_rows(session, split.id, {}, parts=PARTS):
                found[row.part].add(row)
            past = list(past_posts(session, "posted", split_id=split.id))
        wanted = Wanted(split.id, {}, (), True, with_facts=True, as_of="crawl", history="posted")
        reader = Reader(FeatureStore(folder), {})
        parts = {part: list(PartRows(catalog, found[part], wanted, reader)) for part in PARTS}
        catalog.close()
    return Study(f"{path.stem} by {by}", parts, past)


def with_history(study: Study) -> dict[PartName, list[Example]]:
    """The rows with their histories: training knows train and val, held-out rows the catalog."""
    learned = {row.video_id for part in ("train", "val") for row in study.parts[part]}
    ours = Histories([post for post in study.past if post.video_id in learned])
    everyone = Histories(study.past)
    return {
        part: attached(rows, everyone if part == "holdout" else ours)
        for part, rows in study.parts.items()
    }


def said_by_model(
    study: Study, rows: Mapping[PartName, list[Example]], name: str, age: str = "auto"
) -> Said:
    """Train a preset and forecast the held-out rows, one by one as `score` does."""
    preset = find_preset(name)
    if hasattr(preset.network, "age"):
        preset = with_overrides(preset, network={"age": age})
    if hasattr(preset.network, "as_of"):
        preset = with_overrides(preset, network={"as_of": "crawl"})
    kind = find_kind(preset.kind)
    views_k = np.array([row.views_k for row in rows["train"]], dtype=np.float64)
    learned = {row.video_id for part in ("train", "val") for row in study.parts[part]}
    started = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        inputs = TrainingInputs(
            train=rows["train"],
            val=rows["val"],
            target=TargetTransform.fit(views_k, preset.target),
            edges=QuartileEdges.fit(views_k),
            seed=0,
            scratch=Path(scratch),
            state_file=Path(scratch) / "state",
            note=lambda _code, _detail: None,
            progress=lambda _text: None,
            on_epoch=lambda _report: None,
            histories=Histories([post for post in study.past if post.video_id in learned]),
        )
        network = kind.train(preset, inputs)
    cpu_s = time.process_time() - started
    scorer = Scorer(network, inputs.target, inputs.edges)
    with kind.threads():
        said = [scorer(row) for row in rows["holdout"]]
    return Said(
        np.log1p([1_000 * one.views_k for one in said]), cpu_s, _held(said, rows["holdout"])
    )


def said_by_peer(study: Study, *, account: bool = True) -> Said:
    """The same by the analyst's peer."""
    started = time.process_time()
    train, val, holdout = (study.parts[part] for part in PARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of columns, which nobody gave
        said = peer.forecast(train, val, holdout, study.past, peer.Inputs(account=account))
    return Said(said, time.process_time() - started)


def _held(said: Sequence[Forecast], rows: Sequence[Example]) -> float | None:
    inside = [
        one.low_k <= (row.views_k or 0.0) <= one.high_k
        for one, row in zip(said, rows, strict=True)
        if one.low_k is not None and one.high_k is not None
    ]
    return float(np.mean(inside)) if inside else None


def spearman(first: Floats, second: Floats) -> float:
    """Rank correlation; NaN where one of them is flat."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def paired(
    truth: Floats, first: Floats, second: Floats, authors: Sequence[object]
) -> dict[str, tuple[float, float, float]]:
    """First minus second of Spearman and log-MAE: the difference and the ends of 95 %.

    Authors are drawn, not rows: an author's rows err alike.
    """
    _, author = np.unique(np.array([str(one) for one in authors]), return_inverse=True)
    rows_of = [np.flatnonzero(author == one) for one in range(int(author.max()) + 1)]
    if len(rows_of) < 10:  # one creator: rows are all there is to draw
        rows_of = [np.array([at]) for at in range(len(truth))]

    def differences(at: NDArray[np.int64]) -> tuple[float, float]:
        ranks = spearman(first[at], truth[at]) - spearman(second[at], truth[at])
        gaps = np.abs(first[at] - truth[at]) - np.abs(second[at] - truth[at])
        return ranks, float(gaps.mean())

    generator = np.random.default_rng(0)
    drawn = np.array(
        [
            differences(
                np.concatenate(
                    [rows_of[a] for a in generator.integers(len(rows_of), size=len(rows_of))]
                )
            )
            for _ in range(RESAMPLES)
        ]
    )
    point = differences(np.arange(len(truth)))
    ends = np.quantile(drawn, (0.025, 0.975), axis=0)
    names = ("spearman", "log_mae")
    return {name: (point[at], ends[0, at], ends[1, at]) for at, name in enumerate(names)}


def table(study: Study, models: Sequence[str], age: str = "auto") -> str:
    """Lay out every forecaster's figures, and each model's minus the peer's."""
    rows = with_history(study)
    truth = peer.log_views(study.parts["holdout"])
    authors = [row.facts.author or f"v{row.video_id}" for row in study.parts["holdout"]]
    beside = said_by_peer(study)
    said = {"peer": beside, **{name: said_by_model(study, rows, name, age) for name in models}}
    n = {part: len(of_part) for part, of_part in study.parts.items()}
    lines = [
        f"{study.name}: {n['train']} train, {n['val']} val, {n['holdout']} held out",
        "| forecaster | Spearman | log-MAE | 80 % hold | CPU s | minus peer: Spearman | log-MAE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in said.items():
        apart = paired(truth, one.log_views, beside.log_views, authors)
        ends = ["" if name == "peer" else _ends(*apart[m]) for m in ("spearman", "log_mae")]
        lines.append(
            f"| {name} | {spearman(one.log_views, truth):.3f} "
            f"| {np.abs(one.log_views - truth).mean():.3f} "
            f"| {'' if one.held is None else f'{one.held:.3f}'} | {one.cpu_s:.0f} "
            f"| {ends[0]} | {ends[1]} |"
        )
    return "\n".join(lines)


def coverage(name: str, by: str, n_seeds: int, n_rows: int | None, model: str) -> str:
    """Say what share of counts the intervals of a model hold, over the seeds of a collection."""
    held = []
    for seed in range(n_seeds):
        study = invented_study(name, by, seed, n_rows)
        held.append(said_by_model(study, with_history(study), model).held or 0.0)
    low, high = np.quantile(held, (0.1, 0.9))
    return (
        f"{name} by {by}, {len(study.parts['holdout'])} held out, {model}: intervals hold "
        f"{np.mean(held):.3f} of counts over {n_seeds} seeds "
        f"(80 % of seeds {low:.3f} to {high:.3f})"
    )


def _ends(point: float, low: float, high: float) -> str:
    return "" if np.isnan(point) else f"{point:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> int:
    """Print a table for each collection."""
    parser = argparse.ArgumentParser(prog="python -m bench.collections")
    parser.add_argument("names", nargs="*", default=list(invented.WORLDS))
    parser.add_argument("--by", choices=("time", "author"), default="time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--coverage", type=int, default=0)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seen", choices=("once", "anytime"), default="once")
    parser.add_argument("--age", choices=("auto", "ignore"), default="auto")
    asked = parser.parse_args()
    for name in asked.names:
        is_invented = name in invented.WORLDS
        if asked.coverage:
            for model in asked.models.split(","):
                said = coverage(name, asked.by, asked.coverage, asked.rows, model)
                sys.stdout.write(said + "\n")
                sys.stdout.flush()
            continue
        study = (
            invented_study(name, asked.by, asked.seed, asked.rows, asked.seen)
            if is_invented
            else study_of(Path(name), asked.by)
        )
        sys.stdout.write(table(study, asked.models.split(","), asked.age) + "\n\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
