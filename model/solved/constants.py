"""The constants every model has to beat, as models like any other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from model.base import Network, SolveRequest
from model.batches import Batch, Example, InputShapes
from model.errors import NothingToTrain
from model.targets import ONE_VIEW_K, Floats, log_views, train_views


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
    # Of 1 + views: a video nobody has seen yet must not make the mean of all of them zero.
    return float(np.expm1(log_views(views_k).mean()) * ONE_VIEW_K)


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


@dataclass(frozen=True)
class Constants:
    """The constants shown beside every model, in thousands of views of its training rows."""

    train_mean_k: float
    train_median_k: float
    geometric_mean_k: float

    @classmethod
    def fit(cls, views_k: ArrayLike) -> "Constants":
        """From the views of the training rows."""
        views = train_views(views_k)
        return cls(_mean(views), _median(views), _geometric_mean(views))


def labelled(request: SolveRequest) -> Iterator[tuple[Example, float]]:
    """Training rows with their labels on the target's scale; NothingToTrain where there is none."""
    n_rows = 0
    for example in request.train:
        if example.views_k is None:
            raise NothingToTrain(f"training video {example.video_id} has no view count")
        n_rows += 1
        yield example, float(request.target.apply(example.views_k))
    if n_rows == 0:
        raise NothingToTrain("the train part has no row; training needs at least 1")
