"""Quantiles of a forecast: the loss that teaches them, their order, and conformal intervals.

Two conformal rules, because there are two kinds of models: one states a point, and gets its
interval from errors on rows it was not fitted on (`point_and_ends`); the other states an interval,
which such rows only move (`calibrate`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from model.errors import BadSetting, NotFinite

LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MEDIAN: Final = LEVELS.index(0.5)
LOW: Final = LEVELS.index(0.1)
HIGH: Final = LEVELS.index(0.9)
COVERAGE: Final = 0.8  # what lies between LOW and HIGH
ENOUGH_ERRORS: Final = 200  # below, the ends of an 80 % interval rest on fewer than 20 errors each


def pinball(predicted: Tensor, wanted: Tensor, *, tau: float | Sequence[float] = LEVELS) -> Tensor:
    """Mean loss that is least where a share `tau` of the rows lies below its prediction.

    predicted: (B,), or (B, levels) for a sequence of levels    wanted: (B,)    returns: ()
    """
    if isinstance(tau, Sequence):
        level, gap = predicted.new_tensor(tau), wanted.unsqueeze(1) - predicted
        return torch.maximum(level * gap, (level - 1) * gap).mean()
    gap = wanted - predicted
    return torch.maximum(tau * gap, (tau - 1) * gap).mean()


def ascending(raw: Tensor) -> Tensor:
    """Quantiles that never cross, from numbers that may be anything.

    The middle one is taken as it is; the others are steps of softplus away from it, so that its
    gradient does not pass through the steps below it.
    raw: (B, 7)    returns: (B, 7), ascending along the last axis
    """
    steps = functional.softplus(raw)
    middle = raw[:, MEDIAN : MEDIAN + 1]
    below = steps[:, :MEDIAN].flip(1).cumsum(1).flip(1)
    above = steps[:, MEDIAN + 1 :].cumsum(1)
    return torch.cat((middle - below, middle, middle + above), dim=1)


def point_and_ends(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to add to a raw prediction for its point and the ends of its 80 % interval.

    errors: actual minus raw prediction, of rows it was not fitted on. The ends are widened as
    split conformal prediction does, so that few errors give a wider interval, not a bolder one.
    returns: (3,) median, low, high
    """
    tail = max(0.0, 0.1 * (len(errors) + 1) - 1) / max(1, len(errors) - 1)
    median, low, high = np.quantile(errors, (0.5, min(0.5, tail), max(0.5, 1 - tail)))
    return np.array([median, low, high])


@dataclass(frozen=True)
class Offsets:
    """What is taken from the lower end and added to the upper one; negative ones narrow."""

    low: float
    high: float


def calibrate(
    low: ArrayLike, high: ArrayLike, actual: ArrayLike, *, coverage: float
) -> Offsets | None:
    """Offsets with which intervals of rows like these hold `coverage` of the actual values.

    Conformalised quantile regression (Romano, Patterson, Candès 2019), each end for itself, so
    that a shift of the level since training moves both the same way: of n rows that no part of the
    forecast has learned from, a new one lies below its lower end with a chance of at most
    (1 - coverage) / 2, and as much above. None where the rows are too few to promise that.
    low, high, actual: (n,)
    """
    if not 0 < coverage < 1:
        raise BadSetting(f"coverage {coverage} must be between 0 and 1")
    below, above = (_floats(end) for end in (low, high))
    values = _floats(actual)
    if not below.shape == above.shape == values.shape:
        raise NotFinite(f"{below.size} lower and {above.size} upper ends for {values.size} rows")
    n = values.size
    rank = math.ceil((n + 1) * (1 - (1 - coverage) / 2))
    if rank > n:
        return None
    return Offsets(
        float(np.partition(below - values, rank - 1)[rank - 1]),
        float(np.partition(values - above, rank - 1)[rank - 1]),
    )


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(found).all():
        raise NotFinite("intervals are calibrated on finite numbers only")
    return found
