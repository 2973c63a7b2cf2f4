"""Conformal calibration: how far an interval's ends must move to hold what they promise."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.errors import BadSetting, NotFinite


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
