"""How often the verdict calls a model better that has learned from the labels of other videos.

Each training is the real one, on an invented collection of 600 posts; the next 300, which it has
not seen, keep their own counts. Beside the verdict stands what was asked for before it: intervals
of log-MAE beside each constant, drawn by row, that exclude zero. The share with the true labels
shows that the verdict can be earned. `python -m bench.shuffled [--n N] [--state FILE] MODEL…` goes
on where FILE ends.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from bench.measure import ONE_THREAD, Row

# Before torch is loaded, which reads them once.
os.environ.update(ONE_THREAD)

import numpy as np

from catalog.facts import PastPost, PostFacts
from catalog.verdict import Paired, verdict_of
from model.base import SolveRequest
from model.batches import Example
from model.blocks.past import Histories
from model.evaluation.metrics import CONSTANT_NAMES, clusters_of, evaluate
from model.registry import Solved, find_kind, find_preset
from model.scoring import Scorer
from model.solved.constants import Constants
from model.steps.rows import attached
from model.targets import QuartileEdges, TargetTransform

MODELS: Final = ("modern", "ridge", "boosted", "author_recent", "author_mean", "hashtag_mean")
N_TRAIN, N_VAL, N_HELD_OUT = 540, 60, 300
N_TRAININGS: Final = 200  # with shuffled labels, of each model; a tenth of it with true ones
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
N_TAGS, N_WORDS = 60, 300
SENTENCE: Final = 8  # words
Generator = np.random.Generator


class Kind(NamedTuple):
    """What a collection is like: its authors (0: none is named), and how views scatter."""

    n_authors: int
    concentration: float  # of posts on few authors: the exponent of Zipf's law
    author_sd: float
    words_sd: float
    noise: Callable[[Generator, int], "np.ndarray"]


def _bell(generator: Generator, n: int) -> "np.ndarray":
    return generator.normal(0, 0.9, n)


def _heavy(generator: Generator, n: int) -> "np.ndarray":
    return 1.2 * generator.standard_t(2, n)


COLLECTIONS: Final[Mapping[str, Kind]] = {
    "many authors, few posts each": Kind(450, 0.0, 0.8, 0.5, _bell),
    "few authors, many posts each": Kind(25, 1.0, 1.6, 0.3, _bell),
    "heavy tail": Kind(120, 0.5, 1.0, 0.4, _heavy),
    "text only": Kind(0, 0.0, 0.0, 0.9, _bell),
}


class Outcome(NamedTuple):
    """What is said of one training, now and by the intervals of before."""

    verdict: bool
    before: bool


def collection(kind: Kind, seed: int) -> list[Example]:
    """Posts in the order of posting, whose views follow from author, words and hashtags."""
    draw = np.random.default_rng(seed)
    n = N_TRAIN + N_VAL + N_HELD_OUT
    n_authors = max(1, kind.n_authors)
    weights = (1.0 + np.arange(n_authors)) ** -kind.concentration
    author = draw.choice(n_authors, n, p=weights / weights.sum())
    # What an author does, he does again: his own words and tags, at a level of his own.
    own_words = draw.integers(N_WORDS, size=(n_authors, SENTENCE))
    own_tags = draw.integers(N_TAGS, size=n_authors)
    words = draw.integers(N_WORDS, size=(n, SENTENCE))
    if kind.n_authors:
        words[:, : SENTENCE // 2] = own_words[author, : SENTENCE // 2]
    tags = np.stack([own_tags[author], draw.integers(N_TAGS, size=n)], axis=1)
    word_level, tag_level = draw.normal(0, 1, N_WORDS), draw.normal(0, 0.3, N_TAGS)
    level = 6.5 + kind.author_sd * draw.normal(0, 1, n_authors)[author]
    level += kind.words_sd * word_level[words].sum(axis=1) / SENTENCE**0.5
    level += tag_level[tags].mean(axis=1) + 0.4 * np.arange(n) / n  # and the catalog grows
    level += kind.noise(draw, n)
    views = np.round(np.exp(np.clip(level, 0, 19)))
    return [
        Example(
            number + 1,
            views_k=float(views[number]) / 1000,
            facts=PostFacts(
                caption=" ".join(f"word{word}" for word in words[number]),
                hashtags=tuple(f"tag{tag}" for tag in dict.fromkeys(tags[number].tolist()))
                if kind.n_authors
                else (),
                author=int(author[number]) if kind.n_authors else None,
                posted_at=FIRST + timedelta(minutes=97 * number),
                duration_s=float(draw.uniform(5, 60)),
            ),
        )
        for number in range(n)
    ]


def shuffled(rows: Sequence[Example], seed: int) -> list[Example]:
    """The same rows with each other's views."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [
        replace(row, views_k=rows[other].views_k) for row, other in zip(rows, order, strict=True)
    ]


def tried(model: str, kind: Kind, seed: int, *, is_shuffled: bool) -> Outcome:
    """Train on the older posts and judge by the newer ones."""
    rows = collection(kind, seed)
    parts = [rows[:N_TRAIN], rows[N_TRAIN : N_TRAIN + N_VAL], rows[N_TRAIN + N_VAL :]]
    train, val = (shuffled(part, seed) if is_shuffled else part for part in parts[:2])
    # What was held out is history of what was held out after it; but where the labels are shuffled
    # that would hand true counts to a model that has learned none.
    past = Histories(_past([*train, *val]))
    later = past if is_shuffled else Histories(_past(rows))
    views_k = [row.views_k or 0.0 for row in train]
    preset = find_preset(model)
    solved = find_kind(preset.kind)
    assert isinstance(solved, Solved)  # what is trained by gradient takes no place here
    target = TargetTransform.fit(views_k, preset.target)
    with tempfile.TemporaryDirectory() as scratch:
        request = SolveRequest(
            attached(train, past),
            attached(val, past),
            target,
            seed,
            Path(scratch),
            lambda _code, _detail: None,
            lambda _text: None,
            past,
        )
        scorer = Scorer(solved.solve(preset.network, request), target)
    said = [scorer(row).views_k for row in attached(parts[2], later)]

    def measured(authors: list[int | None]) -> dict[str, float]:
        return evaluate(
            [row.views_k or 0.0 for row in parts[2]],
            said,
            constants=Constants.fit(views_k),
            edges=QuartileEdges.fit(views_k),
            clusters=clusters_of(authors),
        )

    by_author = measured([row.facts.author for row in parts[2]])
    by_row = measured([None] * N_HELD_OUT)
    verdict = verdict_of(
        [
            Paired(
                by_author["log_mae"],
                by_author[f"log_mae.{name}"],
                by_author[f"log_mae_diff.{name}.low"],
                by_author[f"log_mae_diff.{name}.high"],
            )
            for name in CONSTANT_NAMES
        ],
        n=by_author["n"],
        part="holdout",
        spearman_low=by_author.get("spearman.low"),
    )
    before = all(by_row[f"log_mae_diff.{name}.high"] < 0 for name in CONSTANT_NAMES)
    return Outcome(verdict == "better", before)


def _past(rows: Sequence[Example]) -> Iterator[PastPost]:
    """The rows as history, known from a day after they were posted."""
    for row in rows:
        assert row.facts.posted_at is not None
        assert row.views_k is not None
        yield PastPost(
            video_id=row.video_id,
            author=row.facts.author,
            sound=None,
            hashtags=row.facts.hashtags,
            posted_at=row.facts.posted_at,
            known_at=row.facts.posted_at + timedelta(days=1),
            views_k=row.views_k,
        )


def trainings(n: int) -> Iterator[tuple[str, int, bool]]:
    """Which collections, seeds and labels: n shuffled ones in turn, and a tenth with true ones."""
    names = list(COLLECTIONS)
    for number in range(n):
        yield names[number % len(names)], number, True
    for number in range(n // 10):
        yield names[number % len(names)], number, False


def measure(models: Sequence[str], n: int, state: Path | None) -> list[Row]:
    """Do what is not in the state yet, and tell the shares."""
    known: dict[str, Outcome] = {}
    if state is not None and state.is_file():
        lines = map(json.loads, state.read_text("utf-8").splitlines())
        known = {name: Outcome(*said) for name, said in lines}
    found: list[Row] = []
    for model in models:
        outcomes: dict[tuple[str, bool], list[Outcome]] = {}
        for collected, seed, is_shuffled in trainings(n):
            name = f"{model} | {collected} | {seed} | {is_shuffled}"
            if name not in known:
                kind = COLLECTIONS[collected]
                known[name] = tried(model, kind, seed, is_shuffled=is_shuffled)
                if state is not None:
                    with state.open("a", encoding="utf-8") as out:
                        out.write(json.dumps([name, known[name]]) + "\n")
            outcomes.setdefault((collected, is_shuffled), []).append(known[name])
        found += _rows(model, outcomes)
    return found


def _rows(model: str, outcomes: Mapping[tuple[str, bool], list[Outcome]]) -> list[Row]:
    of_shuffled = {name: outcomes.get((name, True), []) for name in COLLECTIONS}
    of_true = [one for name in COLLECTIONS for one in outcomes.get((name, False), [])]
    lines = {**of_shuffled, "all": [one for said in of_shuffled.values() for one in said]}
    return [
        Row(
            f"`{model}` called better, labels shuffled: {name}",
            _share([one.verdict for one in said]),
            f"before: {_share([one.before for one in said])}",
            f"true labels: {_share([one.verdict for one in of_true])}" if name == "all" else "",
        )
        for name, said in lines.items()
    ]


def _share(said: Sequence[bool]) -> str:
    return f"{sum(said)} of {len(said)}"


def rows() -> list[Row]:
    """All models, as often as the table says."""
    return measure(MODELS, N_TRAININGS, None)


def main(arguments: Sequence[str]) -> int:
    """Print the lines of the table for these models."""
    parser = argparse.ArgumentParser(prog="python -m bench.shuffled")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--n", type=int, default=N_TRAININGS)
    parser.add_argument("--state", type=Path)
    asked = parser.parse_args(arguments)
    for row in measure(asked.models, asked.n, asked.state):
        sys.stdout.write(f"| {row.what} | {row.ours} | {row.other} | {row.ratio} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
