"""Several models and the constants side by side on the same rows, each pair with its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from catalog.facts import Verdict, verdict_of
from model.errors import BadSetting, NothingToTrain
from model.evaluation.metrics import (
    ERRORS,
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
    seed: int = 0,
) -> Comparison:
    """Compare each two models, and each model with each constant.

    actual_k: (n,) thousands of views; predicted_k: (n,) for each model. `part`: of the split that
    the rows are of; what the models were trained on gives no verdict.
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
    differences: list[Difference] = []
    if actual_k.size > 1:
        for name, by_metric in errors.items():
            intervals = mean_intervals(np.stack(list(by_metric.values())), seed=seed)
            for metric, ends in zip(by_metric, intervals, strict=True):
                metrics[name] |= {f"{metric}.low": ends.low, f"{metric}.high": ends.high}
        differences = _error_differences(errors, pairs, part, actual_k.size, seed)
        differences += _rank_differences(actual_k, predicted_k, metrics, part, seed)
    order = {metric: place for place, metric in enumerate((*ERRORS, "spearman"))}
    differences.sort(key=lambda d: (pairs.index((d.first, d.second)), order[d.metric]))
    return Comparison(int(actual_k.size), metrics, tuple(differences))


def _error_differences(
    errors: Mapping[str, Mapping[str, Floats]],
    pairs: list[tuple[str, str]],
    part: str,
    n: int,
    seed: int,
) -> list[Difference]:
    found = []
    # A pair at a time: with many models, all of them together would be many times the rows.
    for first, second in pairs:
        rows = np.stack([errors[first][metric] - errors[second][metric] for metric in ERRORS])
        for metric, of_row, ends in zip(ERRORS, rows, mean_intervals(rows, seed=seed), strict=True):
            verdict = verdict_of([ends], n=n, part=part)
            value = float(of_row.mean())
            found.append(Difference(metric, first, second, value, ends.low, ends.high, verdict))
    return found


def _rank_differences(
    actual_k: Floats,
    predicted_k: Mapping[str, Floats],
    metrics: dict[str, dict[str, float]],
    part: str,
    seed: int,
) -> list[Difference]:
    """Add each model's rank correlation to its metrics; give the differences."""
    names = list(predicted_k)
    values, alone, paired = rank_intervals(actual_k, list(predicted_k.values()), seed=seed)
    for name, value, ends in zip(names, values, alone, strict=True):
        if value is not None:
            metrics[name]["spearman"] = value
        if ends is not None:
            metrics[name] |= {"spearman.low": ends.low, "spearman.high": ends.high}
    found = []
    for (i, j), ends in paired.items():
        value = metrics[names[i]]["spearman"] - metrics[names[j]]["spearman"]
        verdict = verdict_of([ends], n=actual_k.size, part=part, higher_is_better=True)
        first, second = names[i], names[j]
        found.append(Difference("spearman", first, second, value, ends.low, ends.high, verdict))
    return found
