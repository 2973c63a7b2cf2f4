"""Bootstrap intervals over rows: of means, of Spearman's rank correlation, and of differences."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.targets import Floats

RESAMPLES = 1000
LEVEL = (0.025, 0.975)
NORMAL_95 = 1.959963984540054
# Beyond this many rows a rank correlation is drawn RANK_RESAMPLES times only.
RANK_ROWS, RANK_RESAMPLES = 20_000, 100


class Interval(NamedTuple):
    """The two ends of a 95 % interval."""

    low: float
    high: float


def mean_intervals(rows: Floats, *, seed: int) -> list[Interval]:
    """95 % percentile intervals of the means of (k, n), all over the same draws; n is 2 or more.

    Memory is a few times n, however many draws there are.
    """
    columns = np.ascontiguousarray(rows.T)
    n = len(columns)
    means = np.stack([drawn @ columns / n for drawn in _draws(n, RESAMPLES, seed)])
    ends = np.quantile(means, LEVEL, axis=0)
    # Rounding must not give the mean of equal numbers a width.
    flat = np.ptp(columns, axis=0) == 0
    ends[:, flat] = columns[0, flat]
    return [Interval(low, high) for low, high in ends.T.tolist()]


def rank_intervals(
    actual: Floats, predicted: Sequence[Floats], *, seed: int
) -> tuple[list[float | None], list[Interval | None], dict[tuple[int, int], Interval]]:
    """Each Spearman correlation with `actual`, its 95 % interval, and those of the differences.

    The differences, first minus second, are keyed by their places in `predicted`; a prediction
    that is flat has neither. Up to RANK_ROWS rows the ends are percentiles of RESAMPLES draws.
    Beyond, where each draw is costly and the correlation is as good as normal, they are the value
    ± 1.96 standard deviations of RANK_RESAMPLES draws.
    Draws in which something is flat are left out; where they are the most, there is no interval.
    """
    n_draws = RESAMPLES if len(actual) <= RANK_ROWS else RANK_RESAMPLES
    truth, codes = _codes(actual), [_codes(values) for values in predicted]
    point = np.array([_or_nan(_correlation(np.ones(len(actual)), truth, code)) for code in codes])
    drawn = np.array(
        [
            [_or_nan(_correlation(weights, truth, code)) for code in codes]
            for weights in _draws(len(actual), n_draws, seed)
        ]
    ).reshape(n_draws, len(codes))
    alone = [_ends(point[i], drawn[:, i], n_draws) for i in range(len(codes))]
    paired = {
        (i, j): _ends(point[i] - point[j], drawn[:, i] - drawn[:, j], n_draws)
        for i in range(len(codes))
        for j in range(i + 1, len(codes))
    }
    values = [float(value) if np.isfinite(value) else None for value in point]
    return values, alone, {pair: ends for pair, ends in paired.items() if ends is not None}


def _ends(point: float, drawn: Floats, n_draws: int) -> Interval | None:
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(point) or 2 * defined.size < n_draws:
        return None
    if n_draws == RESAMPLES:
        low, high = np.quantile(defined, LEVEL).tolist()
    else:
        half = NORMAL_95 * float(defined.std(ddof=1))
        low, high = float(point) - half, float(point) + half
    return Interval(low, high)


def _draws(n: int, n_draws: int, seed: int) -> Iterator[Floats]:
    """How often each of n rows is in each draw of n with replacement, (n,) at a time."""
    generator = np.random.default_rng(seed)
    for _ in range(n_draws):
        yield np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)


def _codes(values: Floats) -> NDArray[np.int64]:
    """Place of each value among the distinct ones, so that a draw need not be sorted again."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _correlation(
    weights: Floats, first: NDArray[np.int64], second: NDArray[np.int64]
) -> float | None:
    """Spearman's correlation of rows that are there `weights` times each."""
    ranks = [_ranks(weights, codes) for codes in (first, second)]
    # Every draw has n rows, so the mean rank is known.
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
