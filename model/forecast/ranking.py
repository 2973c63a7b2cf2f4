"""Drafts in the order of their forecasts, and how likely each beats each of the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
#: Of a normal, so much of it on either side holds 80 %.
Z_80: Final = 1.2815515655446004
#: Middles of so many equally likely slices of an error: the chances are right to 1e-4 or better.
SLICES: Final = ndtri((np.arange(2_000) + 0.5) / 2_000)
#: With fewer pairs of held-out videos of one author it is not known how much their errors share.
FEWEST_PAIRS, FEWEST_AUTHORS = 200, 20
MOST_SHARED: Final = 0.95
CUT_AT: Final = 4.0


@dataclass(frozen=True)
class Said:
    """A forecast and the ends of its 80 % interval, in thousands of views; low <= views <= high."""

    views_k: float
    low_k: float
    high_k: float


@dataclass(frozen=True)
class Shared:
    """How much of the forecasts' errors two videos of one author share, as a correlation.

    Measured on n_pairs pairs of held-out videos of n_authors.
    """

    correlation: float
    n_pairs: int
    n_authors: int


@dataclass(frozen=True)
class Ranking:
    """Drafts by their forecast, the highest first.

    order: places among the cards that were given. chances: of the draft in a row to beat the one
    in a column, by places in `order`, 0.5 with itself; None where the model states no intervals.
    shared None: the errors are taken as independent, for nobody could measure it.
    """

    files: tuple[str, ...]
    order: tuple[int, ...]
    views_k: tuple[float, ...]
    chances: tuple[tuple[float, ...], ...] | None
    shared: Shared | None = None


def ranking_of(
    files: Sequence[str], forecasts: Sequence[Said | float], shared: Shared | None = None
) -> Ranking:
    """Rank drafts; a forecast without an interval is its thousands of views alone."""
    points = [one.views_k if isinstance(one, Said) else one for one in forecasts]
    order = sorted(range(len(points)), key=lambda place: (-points[place], place))
    said = [one for place in order if isinstance(one := forecasts[place], Said)]
    chances = None
    if len(said) == len(points):
        rho = 0.0 if shared is None else shared.correlation
        chances = tuple(tuple(chance_to_beat(a, b, rho) for b in said) for a in said)
    return Ranking(
        tuple(files[place] for place in order),
        tuple(order),
        tuple(points[place] for place in order),
        chances,
        shared,
    )


def chance_to_beat(first: Said, second: Said, correlation: float = 0.0) -> float:
    """Probability that the first gets more views than the second; of equals 0.5.

    On the scale of ln(1 + views) each error is a normal of two halves, so that half of it lies
    on either side of the forecast and the interval holds 80 %. correlation: of the two errors, in
    [0, 1).
    """
    # Each from both sides: the slices' own error cancels, and the two sum to 1.
    return (_above(first, second, correlation) + 1 - _above(second, first, correlation)) / 2


def _above(first: Said, second: Said, correlation: float) -> float:
    at, below, above = _scale(second)
    drawn = at + np.where(SLICES < 0, below, above) * SLICES
    wanted = _place(drawn, first)
    rest = math.sqrt(1 - correlation**2)
    with np.errstate(invalid="ignore"):  # inf - inf: both are certain, and then they are equal
        chances = ndtr((correlation * SLICES - wanted) / rest)
    return float(np.where(np.isnan(chances), 0.5, chances).mean())


def _scale(said: Said) -> tuple[float, float, float]:
    """Where a forecast stands on the log scale, and the sd below and above it."""
    low, at, high = (math.log1p(1_000 * k) for k in (said.low_k, said.views_k, said.high_k))
    return at, max(0.0, at - low) / Z_80, max(0.0, high - at) / Z_80


def _place(logs: Floats, said: Said) -> Floats:
    """At which standardised error a forecast would come out at these."""
    at, below, above = _scale(said)
    apart = logs - at
    with np.errstate(divide="ignore", invalid="ignore"):  # a certain side: infinitely far, or there
        places = apart / np.where(apart < 0, below, above)
    return np.where(apart == 0, 0.0, places)


def shared_error(
    authors: Sequence[int | None],
    actual_k: Floats,
    predicted_k: Floats,
    low_k: Floats,
    high_k: Floats,
) -> Shared | None:
    """How much the errors of two held-out videos of one author share; None where too few pairs.

    Each error in units of its interval's half-width on its own side, less their mean. Authors
    count by their videos less one, so that one of hundreds does not count by ten thousands of
    pairs. low_k, high_k NaN: no interval, and then the row is left out.
    """
    named = np.array([-1 if author is None else author for author in authors], dtype=np.int64)
    actual, point, low, high = (np.log1p(1_000 * k) for k in (actual_k, predicted_k, low_k, high_k))
    gap = actual - point
    width = np.where(gap < 0, point - low, high - point) / Z_80
    usable = (named >= 0) & np.isfinite(low + high) & (width > 0)
    # A few absurd errors would be all that a product of two says.
    named, errors = named[usable], np.clip(gap[usable] / width[usable], -CUT_AT, CUT_AT)
    _, group, size = np.unique(named, return_inverse=True, return_counts=True)
    n_pairs = int((size * (size - 1) // 2).sum())
    several = size > 1
    if n_pairs < FEWEST_PAIRS or several.sum() < FEWEST_AUTHORS:
        return None
    errors = errors - errors.mean()
    total = np.bincount(group, errors)
    squares = np.bincount(group, errors**2)
    pairs = (total[several] ** 2 - squares[several]) / 2
    per_pair = pairs / (size[several] * (size[several] - 1) / 2)
    weight = (size[several] - 1).astype(np.float64)
    variance = float(squares.sum() / len(errors))
    if variance <= 0:
        return None
    found = float(np.average(per_pair, weights=weight)) / variance
    return Shared(min(max(found, 0.0), MOST_SHARED), n_pairs, int(several.sum()))
