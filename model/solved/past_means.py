"""What earlier posts got, of the same author or with the same hashtags: what needs no model.

These are read as of the moment of each post, in training as at scoring: what has been seen since
the training counts, and nothing that came after the post does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.base import Network, SolveRequest
from model.batches import Batch, Example, InputShapes
from model.blocks.encoder import Encoded
from model.blocks.past import COLUMNS
from model.errors import IncompatibleFeatures
from model.solved.constants import labelled

LEVEL: Final = "level"


@dataclass(frozen=True)
class PastMeanConfig:
    """history: which counts of earlier posts, as of every model that reads them."""

    history: Literal["auto", "observed", "posted"] = "auto"


class PastMean(Network):
    """One mean of earlier posts, shrunk a little to what all posts get of late.

    Where none is known it is what all posts got of late. block, column: what is asked of a row's
    history. mean: of the training rows, for a row of which not even that is known. scale (3,):
    mean and sd of the target, and whether it is of logs.
    """

    block: ClassVar[str]
    column: ClassVar[str]
    mean: Tensor
    scale: Tensor

    def __init__(self, config: PastMeanConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.zeros(3, dtype=torch.float64))

    @classmethod
    def solved(cls, config: PastMeanConfig, request: SolveRequest) -> Self:
        """Nothing is learned but the mean of the training rows; NothingToTrain without any."""
        network = cls(config)
        target = request.target
        network.mean.fill_(float(np.mean([scaled for _, scaled in labelled(request)])))
        scale = [target.mean, target.sd, float(target.kind == "log1p")]
        network.scale.copy_(torch.tensor(scale, dtype=torch.float64))
        return network.eval()

    def forward(self, batch: Batch) -> Tensor:
        """What was known before each post, on the target's scale, (B,) float64."""
        said = self.forecast_encoded(self.encode_rows(batch.examples))
        return torch.tensor(said, dtype=torch.float64, device=self.mean.device)

    @property
    def block_names(self) -> tuple[str, ...]:
        """What it reads, and what it falls back to."""
        return (self.block, LEVEL)

    def encode_rows(self, examples: Sequence[Example]) -> Encoded:
        """The mean apart from the level, and the level; each absent where nobody knows it."""
        told = np.array([self._asked(row) for row in examples], dtype=np.float64).reshape(-1, 2)
        known = ~np.isnan(told)
        columns = dict(zip(self.block_names, np.nan_to_num(told).T[:, :, None], strict=True))
        return Encoded(columns, dict(zip(self.block_names, known.T, strict=True)))

    def forecast_encoded(self, encoded: Encoded) -> NDArray[np.float64]:
        """What was known of encoded rows, on the target's scale, (n,)."""
        said = sum(encoded.values[name][:, 0] for name in self.block_names)
        centre, sd, is_log = self.scale.tolist()
        scaled = ((said if is_log else np.expm1(said) / 1000) - centre) / sd
        return np.where(encoded.present[LEVEL], scaled, float(self.mean))

    def _asked(self, row: Example) -> tuple[float, float]:
        if row.history is None:
            return np.nan, np.nan
        history = np.asarray(row.history, dtype=np.float64)
        if history.shape != (len(COLUMNS),):
            raise IncompatibleFeatures(
                f"history of video {row.video_id} has {history.size} numbers; "
                f"this model reads {len(COLUMNS)}"
            )
        apart = COLUMNS.index(f"{self.block} {self.column}")
        return float(history[apart]), float(history[COLUMNS.index("level level")])


class AuthorMean(PastMean):
    """What the author's earlier posts got, each as much as the other."""

    block, column = "author", "mean"


class AuthorRecent(PastMean):
    """What the author's last 20 posts got, the newest most."""

    block, column = "author", "recent_20"


class HashtagMean(PastMean):
    """What earlier posts with the same hashtags got, the mean over its tags."""

    block, column = "tags_past", "mean"
