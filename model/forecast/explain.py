"""What drives a model's forecasts: importance of each block, effects of hashtags and hours.

All of it is about the model, over rows it is asked about; none of it says what would cause views.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.batches import Example
from model.blocks.encoder import Encoded
from model.errors import NothingToTrain
from model.evaluation.metrics import (
    Clusters,
    Interval,
    clusters_of,
    mean_intervals,
    rank_intervals,
)
from model.forecast.ablation import BlockForecaster, Floats
from model.forecast.what_if import without_hashtag
from model.targets import ONE_VIEW_K, TargetTransform, log_views

HOURS: Final = 24
REPEATS: Final = 5
N_HASHTAGS: Final = 20
FEWEST: Final = 5


@dataclass(frozen=True)
class Importance:
    """How much worse the forecasts get when a block's contents change places between rows.

    log_mae: rise of the mean absolute error of ln(1 + views), over the repeats. spearman:
    fall of the rank correlation, of the first repeat; None where it is not defined. Each with its
    95 % bootstrap interval over authors; an interval that holds 0 says that it may be nothing.
    present: share of the rows that have the block.
    """

    block: str
    present: float
    log_mae: float
    log_mae_interval: Interval
    spearman: float | None
    spearman_interval: Interval | None


@dataclass(frozen=True)
class Effect:
    """Mean factor on the forecast views, over n rows, with its 95 % bootstrap interval.

    what: a hashtag, with it over without it; or an hour of the day (UTC), over the mean hour.
    """

    what: str
    n: int
    factor: float
    interval: Interval


def importances(
    model: BlockForecaster,
    examples: Sequence[Example],
    target: TargetTransform,
    *,
    seed: int,
) -> list[Importance]:
    """Grouped permutation importance of each block, the highest first.

    examples: rows with views that the model has not learned from, two or more; NothingToTrain
    for fewer. A block and whether a row has it move together.
    """
    if len(examples) < 2 or any(example.views_k is None for example in examples):
        raise NothingToTrain("importance needs at least two rows, each with its views")
    encoded = model.encode_rows(examples)
    actual = log_views([example.views_k or 0.0 for example in examples])
    base = _log_of_1_and(model.forecast_encoded(encoded), target)
    error = np.abs(base - actual)
    generator = np.random.default_rng(seed)
    rises, firsts = [], []
    for name in model.block_names:
        rise = np.zeros(len(actual))
        for repeat in range(REPEATS):
            order = generator.permutation(len(actual))
            mixed = _log_of_1_and(model.forecast_encoded(_mixed(encoded, name, order)), target)
            rise += (np.abs(mixed - actual) - error) / REPEATS
            if repeat == 0:
                firsts.append(mixed)
        rises.append(rise)
    clusters = _authors(examples)
    ends = mean_intervals(np.stack(rises), seed=seed, clusters=clusters)
    ranked, _, falls = rank_intervals(actual, [base, *firsts], seed=seed, clusters=clusters)
    found = [
        Importance(
            name,
            float(encoded.present[name].mean()),
            float(rises[at].mean()),
            ends[at],
            _difference(ranked[0], ranked[at + 1]),
            falls.get((0, at + 1)),
        )
        for at, name in enumerate(model.block_names)
    ]
    return sorted(found, key=lambda one: (-one.log_mae, one.block))


def hashtag_effects(
    model: BlockForecaster,
    examples: Sequence[Example],
    target: TargetTransform,
    *,
    seed: int,
    remember: Callable[[Sequence[Example]], list[Example]] = list,
) -> list[Effect]:
    """What each of the N_HASHTAGS most used hashtags does to the forecasts of rows that have it.

    Only hashtags of FEWEST rows or more; highest factor first. A hashtag is also taken out of
    the caption. remember: gives rows that have changed what earlier posts like them got.
    """
    used = Counter(tag.lower() for e in examples for tag in dict.fromkeys(e.facts.hashtags))
    common = sorted(used.items(), key=lambda item: (-item[1], item[0]))[:N_HASHTAGS]
    found = []
    for tag, n in common:
        if n < FEWEST:
            continue
        having = [e for e in examples if tag in map(str.lower, e.facts.hashtags)]
        with_it = _log(model.forecast_encoded(model.encode_rows(having)), target)
        stripped = remember([_without_tag(example, tag) for example in having])
        without_it = _log(model.forecast_encoded(model.encode_rows(stripped)), target)
        found.append(_effect(tag, with_it - without_it, _authors(having), seed))
    return sorted(found, key=lambda one: (-one.factor, one.what))


def hour_effects(
    model: BlockForecaster, examples: Sequence[Example], target: TargetTransform, *, seed: int
) -> list[Effect]:
    """What each hour of posting (UTC) does to the forecasts, 0 to 23; [] where no hour is known.

    Every row is forecast at each hour of its day. Only its own numbers move: what its account did
    before, and which videos are like it, stay as they were.
    """
    timed = [example for example in examples if example.facts.posted_at is not None]
    if len(timed) < 2 or "meta" not in model.block_names:
        return []
    encoded = model.encode_rows(timed)
    by_hour = []
    for hour in range(HOURS):
        moved = model.encode_rows([_at_hour(example, hour) for example in timed])
        values = {**encoded.values, "meta": moved.values["meta"]}
        there = Encoded(values, encoded.present)
        by_hour.append(_log(model.forecast_encoded(there), target))
    apart = np.stack(by_hour) - np.mean(by_hour, axis=0)
    authors = _authors(timed)
    return [_effect(f"{hour:02d}", changes, authors, seed) for hour, changes in enumerate(apart)]


def _mixed(encoded: Encoded, block: str, order: NDArray[np.int64]) -> Encoded:
    return Encoded(
        {**encoded.values, block: encoded.values[block][order]},
        {**encoded.present, block: encoded.present[block][order]},
    )


def _without_tag(example: Example, tag: str) -> Example:
    return replace(example, facts=without_hashtag(example.facts, tag))


def _at_hour(example: Example, hour: int) -> Example:
    posted_at = example.facts.posted_at
    assert posted_at is not None  # the caller chose those
    moved = posted_at.astimezone(UTC).replace(hour=hour)
    return replace(example, facts=replace(example.facts, posted_at=moved))


def _authors(examples: Sequence[Example]) -> Clusters:
    return clusters_of(example.facts.author for example in examples)


def _effect(what: str, changes: Floats, clusters: Clusters, seed: int) -> Effect:
    low, high = mean_intervals(changes[None, :], seed=seed, clusters=clusters)[0]
    ends = Interval(float(np.exp(low)), float(np.exp(high)))
    return Effect(what, len(changes), float(np.exp(changes.mean())), ends)


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _log_of_1_and(scaled: Floats, target: TargetTransform) -> Floats:
    return log_views(target.score(scaled))


def _log(scaled: Floats, target: TargetTransform) -> Floats:
    return np.log(np.maximum(target.score(scaled), ONE_VIEW_K))
