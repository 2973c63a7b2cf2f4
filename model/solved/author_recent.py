"""The mean of an author's last posts: what an analyst would forecast without any model."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import torch
from torch import Tensor

from model.base import Network, SolveRequest, learned
from model.batches import Batch, Example, InputShapes
from model.blocks.history import posted_us
from model.errors import BadSetting
from model.solved.constants import labelled

#: A post's count is known to later ones from this long after it was posted.
KNOWN_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True)
class AuthorRecentConfig:
    """n_posts: how many of the author's posts count; n_history is learned.

    prior: posts that the mean of all counts for.
    """

    n_posts: int = 20
    prior: float = 1.0
    n_history: int = learned(0)

    def __post_init__(self) -> None:
        if not self.n_posts > 0:
            raise BadSetting(f"n_posts {self.n_posts} must be 1 or more")
        if not self.prior > 0:
            raise BadSetting(f"prior {self.prior} must be above 0")


class AuthorRecent(Network):
    """What the author's last posts got, shrunk to the mean of all posts.

    author, posted, label: of the labelled rows, in the order of author and posting.
    """

    config: AuthorRecentConfig
    mean: Tensor
    author: Tensor
    posted: Tensor
    label: Tensor

    def __init__(self, config: AuthorRecentConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("author", torch.zeros(config.n_history, dtype=torch.int64))
        self.register_buffer("posted", torch.zeros(config.n_history, dtype=torch.int64))
        self.register_buffer("label", torch.zeros(config.n_history, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """Mean of the last posts known before the post, else of all training rows, (B,)."""
        said = [self._said(row.facts.author, row.facts.posted_at) for row in batch.examples]
        return torch.tensor(said, dtype=torch.float64, device=self.mean.device)

    def _said(self, author: int | None, posted_at: datetime | None) -> float:
        mean = float(self.mean)
        if author is None or posted_at is None:
            return mean
        start, end = np.searchsorted(self.author.cpu().numpy(), [author, author + 1])
        before = posted_us(posted_at - KNOWN_AFTER)
        n_known = np.searchsorted(self.posted.cpu().numpy()[start:end], before, side="left")
        last = self.label.cpu().numpy()[start : start + n_known][-self.config.n_posts :]
        return mean + float((last - mean).sum()) / (len(last) + self.config.prior)


def solve_author_recent(config: AuthorRecentConfig, request: SolveRequest) -> AuthorRecent:
    """From the labelled rows, read once; NothingToTrain without any in train.

    Those of `val` are history like any other: of a later post they are known.
    """
    everybody: list[float] = []
    known: list[tuple[int, int, float]] = []

    def remember(example: Example, scaled: float) -> None:
        author, posted_at = example.facts.author, example.facts.posted_at
        if author is not None and posted_at is not None:
            known.append((author, posted_us(posted_at), scaled))

    for example, scaled in labelled(request):
        everybody.append(scaled)
        remember(example, scaled)
    for example in request.val:
        if example.views_k is not None:
            remember(example, float(request.target.apply(example.views_k)))
    known.sort()
    network = AuthorRecent(replace(config, n_history=len(known)))
    network.mean.fill_(float(np.mean(everybody)))
    if known:
        author, posted, label = zip(*known, strict=True)
        network.author.copy_(torch.tensor(author))
        network.posted.copy_(torch.tensor(posted))
        network.label.copy_(torch.tensor(label, dtype=torch.float64))
    return network.eval()
