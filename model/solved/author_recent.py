"""The mean of an author's last posts: what an analyst would forecast without any model."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from model.base import Network, SolveRequest
from model.batches import Batch, Example, InputShapes
from model.blocks.past import COLUMNS
from model.errors import IncompatibleFeatures
from model.solved.constants import labelled

#: What is asked of a row's history: of the author, else of everybody.
ASKED: Final = tuple(COLUMNS.index(name) for name in ("author recent_20", "level level"))


@dataclass(frozen=True)
class AuthorRecentConfig:
    """history: which counts of earlier posts, as of every model that reads them."""

    history: Literal["auto", "observed", "posted"] = "auto"


class AuthorRecent(Network):
    """What the author's last 20 posts got, the newest most, a little shrunk to what all posts get.

    Without an earlier post of the author it is what all posts got of late. mean: of the training
    rows, for a row of which not even that is known. scale (3,): mean and sd of the target, and
    whether it is of logs.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: AuthorRecentConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.zeros(3, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """Level of the author before the post, on the target's scale, (B,) float64."""
        said = [self._said(row) for row in batch.examples]
        return torch.tensor(said, dtype=torch.float64, device=self.mean.device)

    def _said(self, row: Example) -> float:
        if row.history is None:
            return float(self.mean)
        history = np.asarray(row.history, dtype=np.float64)
        if history.shape != (len(COLUMNS),):
            raise IncompatibleFeatures(
                f"history of video {row.video_id} has {history.size} numbers; "
                f"this model reads {len(COLUMNS)}"
            )
        apart, level = history[list(ASKED)].tolist()
        if np.isnan(level):
            return float(self.mean)
        said = level if np.isnan(apart) else level + apart
        centre, sd, is_log = self.scale.tolist()
        return float(((said if is_log else np.expm1(said) / 1000) - centre) / sd)


def solve_author_recent(config: AuthorRecentConfig, request: SolveRequest) -> AuthorRecent:
    """Nothing is learned but the mean of the training rows; NothingToTrain without any."""
    network = AuthorRecent(config)
    target = request.target
    network.mean.fill_(float(np.mean([scaled for _, scaled in labelled(request)])))
    scale = [target.mean, target.sd, float(target.kind == "log1p")]
    network.scale.copy_(torch.tensor(scale, dtype=torch.float64))
    return network.eval()
