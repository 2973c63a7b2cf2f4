"""The constants every model has to beat, as models like any other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from model.batches import Batch, InputShapes
from model.network import Network
from model.targets import Floats, train_views


@dataclass(frozen=True)
class ConstantConfig:
    """A constant has no settings: it is what the training rows make it."""


class ConstantRegressor(Network):
    """The same number of thousands for every row; its target transform is `raw`."""

    constant_k: Tensor

    def __init__(self, config: ConstantConfig | None = None) -> None:
        super().__init__()
        self.config = config or ConstantConfig()
        self.shapes = InputShapes()
        self.register_buffer("constant_k", torch.zeros(1, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """The constant for each row, (B,) float64."""
        return self.constant_k.expand(len(batch))


def _mean(views_k: Floats) -> float:
    return float(views_k.mean())


def _median(views_k: Floats) -> float:
    return float(np.median(views_k))


def _geometric_mean(views_k: Floats) -> float:
    # Of 1 + thousands: a video nobody has seen yet must not make the mean of all of them zero.
    return float(np.expm1(np.log1p(views_k).mean()))


CONSTANTS: dict[str, Callable[[Floats], float]] = {
    "mean": _mean,
    "median": _median,
    "geometric_mean": _geometric_mean,
}


def solve_constant(name: str, views_k: ArrayLike) -> ConstantRegressor:
    """The constant `name` of the training rows' views; NothingToTrain without any."""
    network = ConstantRegressor()
    network.constant_k.fill_(CONSTANTS[name](train_views(views_k)))
    return network.eval()


SOLVERS: dict[str, Callable[[ArrayLike], ConstantRegressor]] = {
    name: partial(solve_constant, name) for name in CONSTANTS
}


@dataclass(frozen=True)
class Constants:
    """The constants shown beside every model, in thousands of views of its training rows."""

    train_mean_k: float
    train_median_k: float

    @classmethod
    def fit(cls, views_k: ArrayLike) -> "Constants":
        """From the views of the training rows."""
        views = train_views(views_k)
        return cls(_mean(views), _median(views))
