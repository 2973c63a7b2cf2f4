"""The constants every model has to beat, as models like any other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from model.base import Network, SolveRequest, learned
from model.batches import Batch, Example, InputShapes
from model.blocks.history import (
    AuthorHistory,
    AuthorRows,
    FoldMeans,
    LabelSums,
    TagMeans,
    TagSums,
    fold_of,
)
from model.errors import BadSetting, NothingToTrain
from model.targets import ONE_VIEW_K, Floats, log_views, train_views

# A tag is known once two folds saw it, so that no single author makes one.
MEAN_FOLDS: Final = 5


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


@dataclass(frozen=True)
class HashtagMeanConfig:
    """prior: rows that the mean of all videos counts for in a tag's mean; n_tags is learned."""

    prior: float = 5.0
    n_tags: int = learned(0)

    def __post_init__(self) -> None:
        if not self.prior > 0:
            raise BadSetting(f"prior {self.prior} must be above 0")


class HashtagMean(Network):
    """What posts with the same hashtags got, each tag shrunk to the mean of all posts."""

    def __init__(self, config: HashtagMeanConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.general = FoldMeans(MEAN_FOLDS)
        self.tags = TagMeans(config.n_tags, MEAN_FOLDS, config.prior)

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the post's known tags, else over all training rows, (B,) float64."""
        mean = self.general.mean()
        apart = [self.tags.read(row.facts.hashtags, mean) for row in batch.examples]
        return mean + torch.tensor(apart, dtype=torch.float64, device=self.general.total.device)


def solve_hashtag_mean(config: HashtagMeanConfig, request: SolveRequest) -> HashtagMean:
    """From the training rows, read once; NothingToTrain without any."""
    labels, tags = LabelSums(MEAN_FOLDS), TagSums(MEAN_FOLDS)
    for example, scaled in labelled(request):
        fold = fold_of(example, seed=request.seed, n_folds=MEAN_FOLDS)
        labels.add(scaled, fold)
        tags.add(example.facts.hashtags, scaled, fold)
    means = tags.finish(config.prior)
    network = HashtagMean(replace(config, n_tags=len(means.bucket)))
    network.general, network.tags = labels.finish(), means
    return network.eval()


@dataclass(frozen=True)
class AuthorMeanConfig:
    """prior: videos that the mean of all counts for in an author's mean; n_history is learned."""

    prior: float = 3.0
    n_history: int = learned(0)

    def __post_init__(self) -> None:
        if not self.prior > 0:
            raise BadSetting(f"prior {self.prior} must be above 0")


class AuthorMean(Network):
    """What the author's earlier training videos got, shrunk to the mean of all videos."""

    def __init__(self, config: AuthorMeanConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.general = FoldMeans(MEAN_FOLDS)
        self.authors = AuthorHistory(config.n_history, config.prior)

    def forward(self, batch: Batch) -> Tensor:
        """Mean of what the author posted strictly before, else of all training rows, (B,)."""
        mean = self.general.mean()
        apart = [self._apart(row, mean) for row in batch.examples]
        return mean + torch.tensor(apart, dtype=torch.float64, device=self.general.total.device)

    def _apart(self, row: Example, mean: float) -> float:
        author, posted_at = row.facts.author, row.facts.posted_at
        if author is None or posted_at is None:
            return 0.0
        return self.authors.read(author, posted_at, mean)


def solve_author_mean(config: AuthorMeanConfig, request: SolveRequest) -> AuthorMean:
    """From the training rows, read once; NothingToTrain without any."""
    labels, authors = LabelSums(MEAN_FOLDS), AuthorRows()
    for example, scaled in labelled(request):
        labels.add(scaled, fold_of(example, seed=request.seed, n_folds=MEAN_FOLDS))
        if example.facts.author is not None and example.facts.posted_at is not None:
            authors.add(example.facts.author, example.facts.posted_at, scaled)
    history = authors.finish(config.prior)
    network = AuthorMean(replace(config, n_history=len(history.author)))
    network.general, network.authors = labels.finish(), history
    return network.eval()


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
