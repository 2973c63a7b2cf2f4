"""From what the members say to a forecast and its interval, by how later rows turned out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import norm

from model.modern.config import MEMBERS, ModernConfig
from model.quantiles import COVERAGE, calibrate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Forecasts that the preset's own weights count for beside those of the rehearsals.
PRIOR_ROWS: Final = 60.0
SHIFT_ROWS: Final = 300  # over so many rows recent errors outweigh old ones
SHIFT_PRIOR: Final = 100  # rows that no shift at all counts for
CALIBRATED_ROWS: Final = 4_000  # newest ones that an interval is measured on
#: Posts of an author that were known, from which on a segment begins.
SEGMENTS: Final = (0, 1, 5)
ENOUGH_OF_SEGMENT: Final = 200
# Weights and level are chosen on the very errors that an interval is measured on, and later authors
# are others: at 80 % of the errors intervals held 78 % of the next rows of 10 invented collections.
MEASURED: Final = COVERAGE + 0.02
SLICES: Final = 8
AHEAD: Final = 3  # slices that a level has to hold for
FEWEST_OF_SLICE: Final = 30
#: Middles of nine parts of equal chance of a normal distribution.
NORMAL_NINE: Final = tuple(norm.ppf((np.arange(9) + 0.5) / 9).tolist())


@dataclass(frozen=True)
class Rehearsed:
    """Forecasts of n rows by members that had not seen them, oldest first.

    said, bare (n, MEMBERS): as they are, and as if nothing were known of their authors; actual
    (n,), on the target's scale; n_known (n,): posts of the author that were known. posted (n,).
    """

    said: Floats
    bare: Floats
    actual: Floats
    n_known: Ints
    posted: Floats

    def in_time(self) -> "Rehearsed":
        """The same rows, oldest first."""
        order = np.argsort(self.posted, kind="stable")
        return Rehearsed(*(column[order] for column in vars(self).values()))


def joined(parts: list[Rehearsed]) -> Rehearsed:
    """All rows of several rehearsals, oldest first."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Rehearsed(*(np.concatenate(column) for column in columns)).in_time()


def default_weights(config: ModernConfig) -> Floats:
    """Weights of the members where nothing was rehearsed: ridge and trees share."""
    names = config.member_names
    first = [name for name in names if name in ("ridge", "trees")] or list(names[:1])
    return np.array([name in first for name in MEMBERS]) / len(first)


def stacked_weights(rehearsed: Rehearsed, config: ModernConfig) -> Floats:
    """Weight of each member, 0 or more: least squared error on rows that came later.

    Their sum may be below 1: where members tell little, the forecast stays near the middle. The
    preset's weights count as PRIOR_ROWS rows more.
    """
    default = default_weights(config)
    active = np.isin(MEMBERS, config.member_names)
    if len(rehearsed.actual) < config.least_stacked:
        return default
    said = rehearsed.said[:, active] - rehearsed.said[:, active].mean(axis=0)
    actual = rehearsed.actual - rehearsed.actual.mean()
    pull = np.sqrt(PRIOR_ROWS * np.square(said).mean(axis=0))
    rows = np.concatenate((said, np.diag(pull)))
    weights = np.zeros(len(MEMBERS))
    weights[active] = nnls(rows, np.concatenate((actual, pull * default[active])))[0]
    return weights


def shift_of(errors: Floats, *, in_time: bool) -> float:
    """What turns the weighted sum into the median of the rows to come, less where errors are few.

    errors (n,): actual minus weighted sum, oldest first. in_time: the rows to come are later, so
    that new errors weigh more than old ones.
    """
    if not len(errors):
        return 0.0
    age = np.arange(len(errors))[::-1] if in_time else np.zeros(len(errors))
    weight = np.exp(-age / SHIFT_ROWS)
    order = np.argsort(errors, kind="stable")
    heard = np.cumsum(weight[order])
    median = errors[order][np.searchsorted(heard, heard[-1] / 2)]
    return float(median) * float(heard[-1] / (heard[-1] + SHIFT_PRIOR))


def drift_of(errors: Floats) -> float:
    """How far the level of later rows came to lie from what the rows before them told; a sd.

    errors (n,): actual minus weighted sum, oldest first. What so few rows of a slice would show by
    chance is taken off; 0 where they are too few to tell.
    """
    slices = np.array_split(errors, SLICES)
    if len(slices[-1]) < FEWEST_OF_SLICE:
        return 0.0
    apart = []
    for number in range(2, SLICES):
        told = shift_of(np.concatenate(slices[:number]), in_time=True)
        apart += [(float(np.median(one)) - told) ** 2 for one in slices[number : number + AHEAD]]
    # The variance of a median of n is about pi / 2 times that of their mean.
    by_chance = np.pi / 2 * float(errors.var()) * (1 / len(slices[-1]) + 1 / SHIFT_ROWS)
    return float(np.sqrt(max(0.0, float(np.mean(apart)) - by_chance)))


def segment_of(n_known: Ints) -> Ints:
    """Number of the segment of each row: nothing known of its author, few posts, many."""
    return np.searchsorted(SEGMENTS, n_known, side="right") - 1


@dataclass(frozen=True)
class Ends:
    """What to add to a point for the ends of its interval, (segments, 2), and how it was found.

    drift: sd by which the level is expected to move, which widened the interval.
    """

    offsets: Floats
    drift: float
    n_rows: int


def interval_ends(rehearsed: Rehearsed, weights: Floats, shift: float) -> Ends | None:
    """Ends by segment, each end for itself, on the newest rows; None where they are too few.

    Split conformal prediction, measured as in use: on forecasts of later rows. The errors are
    those of the rehearsals about the level of their time, moved by what it is expected to drift.
    """
    all_errors = rehearsed.actual - rehearsed.said @ weights
    drift = drift_of(all_errors)
    newest = slice(-CALIBRATED_ROWS, None)
    slices = np.array_split(all_errors, SLICES)
    level = np.full(len(all_errors), shift)
    if len(slices[-1]) >= FEWEST_OF_SLICE:
        level = np.concatenate([np.full(len(one), np.median(one)) for one in slices])
    errors = (all_errors - level)[newest]
    bare = (rehearsed.actual - rehearsed.bare @ weights - level)[newest]
    segment = segment_of(rehearsed.n_known)[newest]
    everyone = _ends(errors, drift)
    if everyone is None:
        return None
    offsets = np.tile(everyone, (len(SEGMENTS), 1))
    for number in range(len(SEGMENTS)):
        of_segment = errors[segment == number]
        if number == 0 and len(of_segment) < ENOUGH_OF_SEGMENT:
            of_segment = bare
        if len(of_segment) >= ENOUGH_OF_SEGMENT:
            found = _ends(of_segment, drift)
            if found is not None:
                offsets[number] = found
    return Ends(offsets, drift, len(errors))


def _ends(errors: Floats, drift: float) -> Floats | None:
    zero = np.zeros(len(errors))
    if calibrate(zero, zero, errors, coverage=MEASURED) is None:
        return None
    moved = (errors[:, None] + drift * np.array(NORMAL_NINE)).ravel() if drift else errors
    zero = np.zeros(len(moved))
    found = calibrate(zero, zero, moved, coverage=MEASURED)
    assert found is not None  # more rows than were enough
    return np.array([min(-found.low, 0.0), max(found.high, 0.0)])
