"""How good a set of predictions is, with the constants it has to beat beside it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from model.errors import NotFinite, NothingToTrain
from model.solved.constants import Constants
from model.targets import Floats, QuartileEdges, log_views

RESAMPLES = 1000
LEVEL = (0.025, 0.975)
NORMAL_95 = 1.959963984540054
# Beyond this many rows a rank correlation is drawn RANK_RESAMPLES times only.
RANK_ROWS, RANK_RESAMPLES = 20_000, 100


class Interval(NamedTuple):
    """The two ends of a 95 % interval."""

    low: float
    high: float


#: Stands for an author whom nobody named.
NOBODY: Final = -1
Clusters = NDArray[np.int64]


def clusters_of(authors: Iterable[int | None]) -> Clusters:
    """Which rows belong together, (n,): those of one author; numbered as they first appear.

    authors: an id of 0 or more for each row; None or NOBODY, whom nobody named, is each time an
    author of its own. Where one author posted all of them the rows stand alone: what is then
    asked is about that author.
    """
    named = (NOBODY if author is None else author for author in authors)
    ids = np.fromiter(named, dtype=np.int64)
    ids = np.where(ids == NOBODY, -1 - np.arange(ids.size), ids)
    _ids, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    if first.size == 1:
        return np.arange(ids.size)
    # By place and not by id: what is drawn must not hang on how the catalog counts its authors.
    place = np.empty(first.size, dtype=np.int64)
    place[np.argsort(first)] = np.arange(first.size)
    return place[inverse.reshape(-1)]


def mean_intervals(rows: Floats, *, seed: int, clusters: Clusters | None = None) -> list[Interval]:
    """95 % intervals of the means of (k, n), all over the same draws; n is 2 or more.

    clusters: numbers from 0 of the rows that are drawn together, see clusters_of; None: each row
    alone. The ends are percentiles, moved apart from the mean as _widening says. Memory is a few
    times n, however many draws there are.
    """
    columns = np.ascontiguousarray(rows.T)
    sums, sizes = columns, np.ones(len(columns))
    if clusters is not None:
        sizes = np.bincount(clusters).astype(np.float64)
        sums = np.stack([np.bincount(clusters, weights=row) for row in rows], axis=1)
    draws = _draws(len(sizes), RESAMPLES, seed)
    means = np.stack([drawn @ sums / (drawn @ sizes) for drawn in draws])
    mean = columns.mean(axis=0)
    ends = mean + (np.quantile(means, LEVEL, axis=0) - mean) * _widening(sizes)
    # No mean is beyond the rows; and rounding must not give the mean of equal numbers a width.
    ends = np.clip(ends, columns.min(axis=0), columns.max(axis=0))
    return [Interval(low, high) for low, high in ends.T.tolist()]


def _widening(sizes: Floats) -> float:
    """By how much percentiles of draws of so many clusters are too narrow, 1 or more.

    As for a mean of few numbers: draws lack one of them, and the normal's 1.96 is to be Student's.
    How many there are is Kish's effective number, as few large clusters weigh the most.
    """
    effective = max(2.0, float(sizes.sum() ** 2 / np.square(sizes).sum()))
    student = float(stdtrit(effective - 1, LEVEL[1]))
    return student / NORMAL_95 * math.sqrt(effective / (effective - 1))


def rank_intervals(
    actual: Floats,
    predicted: Sequence[Floats],
    *,
    seed: int,
    clusters: Clusters | None = None,
) -> tuple[list[float | None], list[Interval | None], dict[tuple[int, int], Interval]]:
    """Each Spearman correlation with `actual`, its 95 % interval, and those of the differences.

    The differences, first minus second, are keyed by their places in `predicted`; a prediction
    that is flat has neither. Up to RANK_ROWS rows the ends are percentiles of RESAMPLES draws.
    Beyond, where each draw is costly and the correlation is as good as normal, they are the value
    ± 1.96 standard deviations of RANK_RESAMPLES draws. clusters, and how far the ends are moved
    apart: as in mean_intervals.
    Draws in which something is flat are left out; where they are the most, there is no interval.
    """
    n_draws = RESAMPLES if len(actual) <= RANK_ROWS else RANK_RESAMPLES
    truth, codes = _codes(actual), [_codes(values) for values in predicted]
    point = np.array([_or_nan(_correlation(np.ones(len(actual)), truth, code)) for code in codes])
    drawn = np.array(
        [
            [_or_nan(_correlation(weights, truth, code)) for code in codes]
            for weights in _row_draws(len(actual), clusters, n_draws, seed)
        ]
    ).reshape(n_draws, len(codes))
    sizes = np.ones(len(actual)) if clusters is None else np.bincount(clusters).astype(np.float64)
    wider = _widening(sizes)
    alone = [_ends(point[i], drawn[:, i], n_draws, wider, 1.0) for i in range(len(codes))]
    paired = {
        (i, j): _ends(point[i] - point[j], drawn[:, i] - drawn[:, j], n_draws, wider, 2.0)
        for i in range(len(codes))
        for j in range(i + 1, len(codes))
    }
    values = [float(value) if np.isfinite(value) else None for value in point]
    return values, alone, {pair: ends for pair, ends in paired.items() if ends is not None}


def _ends(point: float, drawn: Floats, n_draws: int, wider: float, most: float) -> Interval | None:
    """Ends around the point, no farther from 0 than `most`."""
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(point) or 2 * defined.size < n_draws:
        return None
    if n_draws == RESAMPLES:
        apart = np.quantile(defined, LEVEL) - point
    else:
        half = NORMAL_95 * float(defined.std(ddof=1))
        apart = np.array([-half, half])
    low, high = np.clip(point + apart * wider, -most, most).tolist()
    return Interval(low, high)


def _draws(n: int, n_draws: int, seed: int) -> Iterator[Floats]:
    """How often each of n things is in each draw of n with replacement, (n,) at a time."""
    generator = np.random.default_rng(seed)
    for _ in range(n_draws):
        yield np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)


def _row_draws(n: int, clusters: Clusters | None, n_draws: int, seed: int) -> Iterator[Floats]:
    """How often each of n rows is in each draw of their clusters, (n,) at a time."""
    if clusters is None:
        yield from _draws(n, n_draws, seed)
        return
    for drawn in _draws(int(clusters.max()) + 1, n_draws, seed):
        yield drawn[clusters]


def _codes(values: Floats) -> NDArray[np.int64]:
    """Place of each value among the distinct ones, so that a draw need not be sorted again."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _correlation(
    weights: Floats, first: NDArray[np.int64], second: NDArray[np.int64]
) -> float | None:
    """Spearman's correlation of rows that are there `weights` times each."""
    ranks = [_ranks(weights, codes) for codes in (first, second)]
    # The mean of the ranks of so many rows is known.
    gaps = [rank - (weights.sum() + 1) / 2 for rank in ranks]
    squares = [float(weights @ np.square(gap)) for gap in gaps]
    if min(squares) <= 0:
        return None
    return float(weights @ (gaps[0] * gaps[1]) / np.sqrt(squares[0] * squares[1]))


def _ranks(weights: Floats, codes: NDArray[np.int64]) -> Floats:
    counts = np.bincount(codes, weights=weights)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return ranks


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


N_QUARTERS = 4
#: The metrics that have intervals of their own and paired differences to each constant.
ERRORS = ("mse_k2", "mae_k", "log_mae")
CONSTANT_NAMES = ("train_mean", "train_median", "geometric_mean")


def evaluate(
    actual_k: ArrayLike,
    predicted_k: ArrayLike,
    *,
    constants: Constants,
    edges: QuartileEdges,
    low_k: ArrayLike | None = None,
    high_k: ArrayLike | None = None,
    predicted_quartile: ArrayLike | None = None,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Metrics by the names the catalog stores; what is not defined is left out, never NaN.

    n, mse_k2 (thousands squared), mae_k, median_ae_k, log_mae (of ln(1 + views)),
    r2_log, spearman. Of the quarters that `edges` parts the training rows into:
    quartile_accuracy; balanced_accuracy, the mean of the share found of each quarter that occurs;
    `confusion.<actual>.<predicted>`; and majority_accuracy, what always naming one quarter can
    reach: that of the quarter most frequent among *these* rows, as the paper's 29 to 30 % are. (In
    training all four are equally frequent, so nobody can know beforehand which that will be.)
    With low_k and high_k, the ends of the model's 80 % intervals: coverage_80, the share of rows
    inside, and interval_width_log, the mean width on the scale of log_mae.
    predicted_quartile: a classifier's choice; without it, the quarter of each predicted count.

    `mae_k.low`/`.high` are 95 % bootstrap ends, the same for mse_k2, log_mae and spearman (for
    which see rank_intervals: beyond 20,000 rows by a normal approximation); clusters: of the rows
    that are drawn together, those of an author (clusters_of), None: each alone.
    `mse_k2.train_mean` … are the errors of the constants on the same rows, and
    `mae_k_diff.train_median.low`/`.high` the interval of model minus constant; what may be said by
    them is catalog.facts.verdict_of's.
    Raises NothingToTrain for no row, NotFinite for what is no count, no interval or no quarter.
    """
    actual, predicted = _checked(actual_k, "actual"), _checked(predicted_k, "predicted")
    if actual.shape != predicted.shape:
        raise NotFinite(f"{actual.size} actual counts for {predicted.size} predicted ones")
    if actual.size == 0:
        raise NothingToTrain("there is no row with both a prediction and a readable view count")
    errors = errors_of(actual, predicted)
    found = {
        "n": float(actual.size),
        **{name: float(rows.mean()) for name, rows in errors.items()},
        "median_ae_k": float(np.median(errors["mae_k"])),
        **_ranking(actual, predicted, seed, clusters),
        **_quarters(edges, actual, predicted, predicted_quartile),
        **_coverage(actual, low_k, high_k),
    }
    columns, rows = list(errors), list(errors.values())
    for name, constant_k in named_constants(constants).items():
        for metric, beside in errors_of(actual, np.full_like(actual, constant_k)).items():
            found[f"{metric}.{name}"] = float(beside.mean())
            columns.append(f"{metric}_diff.{name}")
            rows.append(errors[metric] - beside)
    if actual.size > 1:  # one row can be drawn in one way only
        intervals = mean_intervals(np.stack(rows), seed=seed, clusters=clusters)
        for name, (low, high) in zip(columns, intervals, strict=True):
            found |= {f"{name}.low": low, f"{name}.high": high}
    return found


def errors_of(actual: Floats, predicted: Floats) -> dict[str, Floats]:
    """The error of each row, by the name of its mean: squared, absolute, absolute of logs."""
    gap = predicted - actual
    log_gap = log_views(predicted) - log_views(actual)
    return dict(zip(ERRORS, (np.square(gap), np.abs(gap), np.abs(log_gap)), strict=True))


def named_constants(constants: Constants) -> dict[str, float]:
    """The constants in thousands of views, by the names that metrics give them."""
    values = (constants.train_mean_k, constants.train_median_k, constants.geometric_mean_k)
    return dict(zip(CONSTANT_NAMES, values, strict=True))


def _checked(values: ArrayLike, what: str) -> Floats:
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    bad = ~np.isfinite(found) | (found < 0)
    if bad.any():
        raise NotFinite(
            f"{int(bad.sum())} of {found.size} {what} counts are not numbers of 0 or more"
        )
    return found


def _ranking(
    actual: Floats, predicted: Floats, seed: int, clusters: Clusters | None
) -> dict[str, float]:
    # np.ptp of equal floats is exactly 0; a standard deviation of them need not be.
    if actual.size < 2 or np.ptp(actual) == 0:
        return {}
    log_actual, log_predicted = log_views(actual), log_views(predicted)
    found = {}
    scatter = float(np.square(log_actual - log_actual.mean()).sum())
    if scatter > 0:  # counts that differ in the last digit may have equal logs
        found["r2_log"] = 1.0 - float(np.square(log_predicted - log_actual).sum()) / scatter
    [spearman], [ends], _none = rank_intervals(actual, [predicted], seed=seed, clusters=clusters)
    if spearman is not None:  # a constant ranks nothing
        found["spearman"] = spearman
    if ends is not None:
        found |= {"spearman.low": ends.low, "spearman.high": ends.high}
    return found


def _quarters(
    edges: QuartileEdges, actual: Floats, predicted: Floats, chosen: ArrayLike | None
) -> dict[str, float]:
    truth = edges.classify(actual)
    named = edges.classify(predicted) if chosen is None else _quartiles(chosen, actual.size)
    counts = np.zeros((N_QUARTERS, N_QUARTERS), dtype=np.int64)
    np.add.at(counts, (truth, named), 1)
    of_quarter = counts.sum(axis=1)
    occurs = of_quarter > 0
    found = {
        "quartile_accuracy": float(np.trace(counts) / actual.size),
        "balanced_accuracy": float((np.diag(counts)[occurs] / of_quarter[occurs]).mean()),
        "majority_accuracy": float(of_quarter.max() / actual.size),
    }
    for (i, j), count in np.ndenumerate(counts):
        found[f"confusion.{i}.{j}"] = float(count)
    return found


def _quartiles(chosen: ArrayLike, n: int) -> NDArray[np.int64]:
    found = np.asarray(chosen).reshape(-1)
    if found.size != n or not np.isin(found, range(N_QUARTERS)).all():
        raise NotFinite(f"{found.size} chosen quarters for {n} rows; each must be 0, 1, 2 or 3")
    return found.astype(np.int64)


def _coverage(
    actual: Floats, low_k: ArrayLike | None, high_k: ArrayLike | None
) -> dict[str, float]:
    if low_k is None or high_k is None:
        return {}
    low, high = _checked(low_k, "lower"), _checked(high_k, "upper")
    if low.shape != actual.shape or high.shape != actual.shape or (low > high).any():
        raise NotFinite(
            f"{low.size} lower and {high.size} upper ends are no {actual.size} intervals"
        )
    return {
        "coverage_80": float(((low <= actual) & (actual <= high)).mean()),
        "interval_width_log": float((log_views(high) - log_views(low)).mean()),
    }
