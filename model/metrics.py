"""How good a set of predictions is, with the constants it has to beat beside it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from model.baselines import Constants
from model.errors import NotFinite, NothingToTrain
from model.targets import Floats, QuartileEdges

RESAMPLES = 1000
RESAMPLE_CELLS = 1_000_000  # drawn at once: bounds memory, whatever the number of rows


def evaluate(
    actual_k: ArrayLike,
    predicted_k: ArrayLike,
    *,
    constants: Constants,
    edges: QuartileEdges,
    seed: int = 0,
) -> dict[str, float]:
    """Metrics by the names the catalog stores; what is not defined is left out, never NaN.

    mse_k2 (thousands squared), mae_k, median_ae_k, log_mae (natural log of 1 + thousands), r2_log,
    spearman, quartile_accuracy, n. `mse_k2.train_mean` … are the same of the constants, and
    `mae_k_diff.train_median.low`/`.high` the 95 % bootstrap interval of model minus constant over
    the same rows: below zero on both ends means better.
    Raises NothingToTrain for no row, NotFinite for a count that is no number.
    """
    actual, predicted = _checked(actual_k, "actual"), _checked(predicted_k, "predicted")
    if actual.shape != predicted.shape:
        raise NotFinite(f"{actual.size} actual counts for {predicted.size} predicted ones")
    if actual.size == 0:
        raise NothingToTrain("there is no row with both a prediction and a readable view count")
    log_actual, log_predicted = np.log1p(actual), np.log1p(predicted)
    found = {
        "n": float(actual.size),
        **_errors(actual, predicted),
        "median_ae_k": float(np.median(np.abs(predicted - actual))),
        "log_mae": float(np.abs(log_predicted - log_actual).mean()),
        "quartile_accuracy": float((edges.classify(actual) == edges.classify(predicted)).mean()),
    }
    if _moves(log_actual):
        unexplained = float(np.square(log_predicted - log_actual).sum())
        found["r2_log"] = 1.0 - unexplained / float(np.square(log_actual - log_actual.mean()).sum())
        if _moves(predicted):  # a constant ranks nothing
            found["spearman"] = float(spearmanr(actual, predicted).statistic)
    for name, constant_k in _named(constants):
        beside = np.full_like(actual, constant_k)
        found |= {f"{metric}.{name}": v for metric, v in _errors(actual, beside).items()}
        found |= _intervals(actual, predicted, beside, name, seed)
    return found


def _checked(values: ArrayLike, what: str) -> Floats:
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    bad = ~np.isfinite(found) | (found < 0)
    if bad.any():
        raise NotFinite(
            f"{int(bad.sum())} of {found.size} {what} counts are not numbers of 0 or more"
        )
    return found


def _errors(actual: Floats, predicted: Floats) -> dict[str, float]:
    gap = predicted - actual
    return {"mse_k2": float(np.square(gap).mean()), "mae_k": float(np.abs(gap).mean())}


def _named(constants: Constants) -> Iterator[tuple[str, float]]:
    yield "train_mean", constants.train_mean_k
    yield "train_median", constants.train_median_k


def _moves(values: Floats) -> bool:
    # np.ptp of equal floats is exactly 0; a standard deviation of them need not be.
    return values.size > 1 and float(np.ptp(values)) > 0


def _intervals(
    actual: Floats, predicted: Floats, constant: Floats, name: str, seed: int
) -> dict[str, float]:
    """95 % percentile intervals of the paired differences; none for fewer than two rows."""
    if actual.size < 2:
        return {}
    gap, constant_gap = predicted - actual, constant - actual
    differences = {
        "mse_k2_diff": np.square(gap) - np.square(constant_gap),
        "mae_k_diff": np.abs(gap) - np.abs(constant_gap),
    }
    found: dict[str, float] = {}
    means = _resampled_means(np.stack(list(differences.values())), seed)
    for metric, resampled in zip(differences, means, strict=True):
        low, high = np.quantile(resampled, (0.025, 0.975)).tolist()
        found |= {f"{metric}.{name}.low": low, f"{metric}.{name}.high": high}
    return found


def _resampled_means(rows: Floats, seed: int) -> NDArray[np.float64]:
    """Means of (k, n) over RESAMPLES draws of n columns with replacement: (k, RESAMPLES)."""
    generator = np.random.default_rng(seed)
    n = rows.shape[1]
    at_once = max(1, min(RESAMPLES, RESAMPLE_CELLS // n))
    found = []
    for start in range(0, RESAMPLES, at_once):
        size = (min(at_once, RESAMPLES - start), n)
        found.append(rows[:, generator.integers(0, n, size)].mean(axis=2))
    return np.concatenate(found, axis=1)
