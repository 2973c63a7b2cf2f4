"""From what the members say to a forecast and its interval, by how later rows turned out."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

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
LEVELS: Final = tuple(level / 100 for level in range(74, 94))
SLICES: Final = 5


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
    pull = np.sqrt(PRIOR_ROWS * np.square(said).mean())
    rows = np.concatenate((said, pull * np.eye(said.shape[1])))
    weights = np.zeros(len(MEMBERS))
    weights[active] = nnls(rows, np.concatenate((actual, pull * default[active])))[0]
    return weights


def shift_of(rehearsed: Rehearsed, weights: Floats) -> float:
    """What turns the weighted sum into the median of the newest rows, less where they are few."""
    errors = rehearsed.actual - rehearsed.said @ weights
    if not len(errors):
        return 0.0
    weight = np.exp(-np.arange(len(errors))[::-1] / SHIFT_ROWS)
    order = np.argsort(errors, kind="stable")
    heard = np.cumsum(weight[order])
    median = errors[order][np.searchsorted(heard, heard[-1] / 2)]
    return float(median) * float(heard[-1] / (heard[-1] + SHIFT_PRIOR))


def segment_of(n_known: Ints) -> Ints:
    """Number of the segment of each row: nothing known of its author, few posts, many."""
    return np.searchsorted(SEGMENTS, n_known, side="right") - 1


@dataclass(frozen=True)
class Ends:
    """What to add to a point for the ends of its interval, (segments, 2), and how it was found.

    level: the share that an interval is measured to hold, so that the next rows' hold COVERAGE.
    """

    offsets: Floats
    level: float
    n_rows: int


def interval_ends(rehearsed: Rehearsed, weights: Floats, shift: float) -> Ends | None:
    """Ends by segment, each end for itself, on the newest rows; None where they are too few.

    Split conformal prediction, measured as in use: forecasts of later rows. The level is raised (or
    lowered) by what intervals of older rows turned out to hold of newer ones.
    """
    newest = slice(-CALIBRATED_ROWS, None)
    errors = (rehearsed.actual - rehearsed.said @ weights - shift)[newest]
    bare = (rehearsed.actual - rehearsed.bare @ weights - shift)[newest]
    segment = segment_of(rehearsed.n_known)[newest]
    level = _level(errors)
    everyone = _ends(errors, level)
    if everyone is None:
        return None
    offsets = np.tile(everyone, (len(SEGMENTS), 1))
    for number in range(len(SEGMENTS)):
        of_segment = errors[segment == number]
        if number == 0 and len(of_segment) < ENOUGH_OF_SEGMENT:
            of_segment = bare
        if len(of_segment) >= ENOUGH_OF_SEGMENT:
            found = _ends(of_segment, level)
            if found is not None:
                offsets[number] = found
    return Ends(offsets, level, len(errors))


def _ends(errors: Floats, level: float) -> Floats | None:
    zero = np.zeros(len(errors))
    found = calibrate(zero, zero, errors, coverage=level)
    if found is None:
        return None
    return np.array([min(-found.low, 0.0), max(found.high, 0.0)])


def _level(errors: Floats) -> float:
    """Share at which intervals of each slice held COVERAGE of the next, half way from COVERAGE."""
    slices = np.array_split(errors, SLICES)
    if len(errors) < SLICES * ENOUGH_OF_SEGMENT:
        return COVERAGE
    held = []
    for level in LEVELS:
        inside = []
        for before, after in pairwise(slices):
            ends = _ends(before, level)
            assert ends is not None  # a slice has enough rows
            inside.append(float(((ends[0] <= after) & (after <= ends[1])).mean()))
        held.append(float(np.mean(inside)))
    best = LEVELS[int(np.argmin(np.abs(np.array(held) - COVERAGE)))]
    return COVERAGE + (best - COVERAGE) * len(errors) / (len(errors) + 1_000)
