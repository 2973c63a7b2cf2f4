"""Quantiles of a forecast: made to ascend, and the loss that teaches them."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MEDIAN: Final = LEVELS.index(0.5)
LOW: Final = LEVELS.index(0.1)
HIGH: Final = LEVELS.index(0.9)
COVERAGE: Final = 0.8  # what lies between LOW and HIGH


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


def pinball(quantiles: Tensor, actual: Tensor) -> Tensor:
    """Mean pinball loss over rows and levels; least at the true quantiles.

    quantiles: (B, 7)    actual: (B,)    returns: ()
    """
    levels = quantiles.new_tensor(LEVELS)
    gap = actual.unsqueeze(1) - quantiles
    return torch.maximum(levels * gap, (levels - 1) * gap).mean()
