"""Several models and the constants side by side on the same rows, each pair with its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from catalog.verdict import LEAST_GAIN, Paired, Verdict, verdict_of
from model.errors import BadSetting, NothingToTrain
from model.evaluation.metrics import (
    ERRORS,
    Clusters,
    errors_of,
    mean_intervals,
    named_constants,
    rank_intervals,
)
from model.solved.constants import Constants
from model.targets import Floats


@dataclass(frozen=True)
class Difference:
    """One metric of `first` minus that of `second` on the same rows, with its 95 % interval.

    verdict: of `first`, by catalog.facts.verdict_of.
    """

    metric: str
    first: str
    second: str
    value: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Several models and the constants on the same n rows: metrics by name, and differences."""

    n: int
    metrics: Mapping[str, Mapping[str, float]]
    differences: tuple[Difference, ...]


def compare_models(
    actual_k: Floats,
    predicted_k: Mapping[str, Floats],
    *,
    constants: Constants,
    part: str,
    clusters: Clusters | None = None,
    least_gain: float = LEAST_GAIN,
    seed: int = 0,
) -> Comparison:
    """Compare each two models, and each model with each constant.

    actual_k: (n,) thousands of views; predicted_k: (n,) for each model. `part`: of the split that
    the rows are of; what the models were trained on gives no verdict. clusters: of the rows that
    are drawn together, see metrics.clusters_of. Each metric has its own verdict, all by one rule
    and with this least_gain; of a rank correlation what is compared is how far it is from 1.
    Raises NothingToTrain for no row, BadSetting for a model that is named like a constant.
    """
    if actual_k.size == 0:
        raise NothingToTrain(f"no video of part {part} was predicted by every one of these models")
    beside = named_constants(constants)
    if clash := sorted(beside.keys() & predicted_k.keys()):
        raise BadSetting(f"a model cannot be called {clash[0]!r} here, as a constant is")
    everything = dict(predicted_k)
    everything |= {name: np.full_like(actual_k, value) for name, value in beside.items()}
    pairs = list(combinations(predicted_k, 2))
    pairs += [(model, constant) for model in predicted_k for constant in beside]
    errors = {name: errors_of(actual_k, values) for name, values in everything.items()}
    metrics = {
        name: {metric: float(of_row.mean()) for metric, of_row in by_metric.items()}
        for name, by_metric in errors.items()
    }
    measured: list[_Measured] = []
    if actual_k.size > 1:
        for name, by_metric in errors.items():
            rows = np.stack(list(by_metric.values()))
            intervals = mean_intervals(rows, seed=seed, clusters=clusters)
            for metric, ends in zip(by_metric, intervals, strict=True):
                metrics[name] |= {f"{metric}.low": ends.low, f"{metric}.high": ends.high}
        measured = _rank_differences(actual_k, predicted_k, metrics, clusters, seed)
        measured += _error_differences(errors, pairs, clusters, seed)
    order = {metric: place for place, metric in enumerate((*ERRORS, "spearman"))}
    measured.sort(key=lambda d: (pairs.index((d.first, d.second)), order[d.metric]))
    differences = tuple(
        Difference(
            *one,
            verdict_of(
                [_paired(one, metrics)],
                n=actual_k.size,
                part=part,
                spearman_low=metrics[one.first].get("spearman.low"),
                is_rival_a_model=one.second in predicted_k,
                least_gain=least_gain,
            ),
        )
        for one in measured
    )
    return Comparison(int(actual_k.size), metrics, differences)


class _Measured(NamedTuple):
    """A difference before anything is said of it."""

    metric: str
    first: str
    second: str
    value: float
    low: float
    high: float


def _paired(measured: _Measured, metrics: Mapping[str, Mapping[str, float]]) -> Paired:
    own, rival = (metrics[name][measured.metric] for name in (measured.first, measured.second))
    if measured.metric == "spearman":  # no error: what is missing to 1 is
        return Paired(1 - own, 1 - rival, -measured.high, -measured.low)
    return Paired(own, rival, measured.low, measured.high)


def _error_differences(
    errors: Mapping[str, Mapping[str, Floats]],
    pairs: list[tuple[str, str]],
    clusters: Clusters | None,
    seed: int,
) -> list[_Measured]:
    found = []
    # A pair at a time: with many models, all of them together would be many times the rows.
    for first, second in pairs:
        rows = np.stack([errors[first][metric] - errors[second][metric] for metric in ERRORS])
        intervals = mean_intervals(rows, seed=seed, clusters=clusters)
        for metric, of_row, ends in zip(ERRORS, rows, intervals, strict=True):
            found.append(_Measured(metric, first, second, float(of_row.mean()), *ends))
    return found


def _rank_differences(
    actual_k: Floats,
    predicted_k: Mapping[str, Floats],
    metrics: dict[str, dict[str, float]],
    clusters: Clusters | None,
    seed: int,
) -> list[_Measured]:
    """Add each model's rank correlation to its metrics; give the differences."""
    names = list(predicted_k)
    predicted = list(predicted_k.values())
    values, alone, paired = rank_intervals(actual_k, predicted, seed=seed, clusters=clusters)
    for name, value, ends in zip(names, values, alone, strict=True):
        if value is not None:
            metrics[name]["spearman"] = value
        if ends is not None:
            metrics[name] |= {"spearman.low": ends.low, "spearman.high": ends.high}
    found = []
    for (i, j), ends in paired.items():
        first, second = names[i], names[j]
        value = metrics[first]["spearman"] - metrics[second]["spearman"]
        found.append(_Measured("spearman", first, second, value, *ends))
    return found
