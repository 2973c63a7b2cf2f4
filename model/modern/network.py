"""The modern model: ridge, boosted trees and small transformers over whatever a post says."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.batches import Batch, Example, InputShapes
from model.blocks.encoder import BlockEncoder, Encoded
from model.modern.members import Line, with_gaps
from model.modern.neighbours import BLOCK, Neighbour, Neighbours, width_of
from model.modern.quantiles import HIGH, LOW, MEDIAN
from model.modern.rows import Floats32, posted_s
from model.modern.table import with_neighbours
from model.modern.tower import ModernConfig, Tower
from model.modern.towers import quantiles_of
from model.network import Network, Outputs
from model.solved.trees import Trees

Floats = NDArray[np.float64]


class Members(nn.Module):
    """Everyone who takes part in the forecast of a row of numbers, each with its weight.

    weights (3,): of the ridge, the trees, and the mean of the networks; their sum is 1.
    offsets (2,): what calibration takes from the lower end and adds to the upper one.
    """

    weights: Tensor
    offsets: Tensor

    def __init__(self, config: ModernConfig, encoder: BlockEncoder) -> None:
        super().__init__()
        self.blocks = (*encoder.blocks, BLOCK)
        self.line = Line(config.n_columns)
        self.trees = Trees(config.n_trees, config.n_nodes)
        self.towers = nn.ModuleList(
            Tower(self.blocks, config) for _ in range(config.n_members)
        )
        self.register_buffer("weights", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(2, dtype=torch.float64))

    def read(self, rows: Floats32) -> Floats:
        """Low, point and high of rows (n, columns and flags), on the target's scale; (n, 3)"""
        return self.calibrated(*self.said(rows))

    def said(self, rows: Floats32) -> tuple[Floats, Floats]:
        """What each member says, (n, 3), and the networks' quantiles, (n, 7) (zeros of none)."""
        apart = np.zeros((len(rows), 3))
        quantiles = np.zeros((len(rows), 7))
        if self.line.weights.numel():
            apart[:, 0] = self.line.read(rows)
        if len(self.trees.column):
            apart[:, 1] = self.trees.read(with_gaps(rows, self.blocks))
        if len(self.towers):
            every = [quantiles_of(self._tower(at), rows) for at in range(len(self.towers))]
            quantiles = np.mean(every, axis=0, dtype=np.float64)
            apart[:, 2] = quantiles[:, MEDIAN]
        return apart, quantiles

    def calibrated(self, apart: Floats, quantiles: Floats) -> Floats:
        """Low, point and high, (n, 3): the networks' spread about the weighted point."""
        below, above = spread(quantiles)
        point = (apart * self.weights.numpy()).sum(axis=1)
        offsets = self.offsets.numpy()
        low = np.minimum(point, point - below - offsets[0])
        high = np.maximum(point, point + above + offsets[1])
        return np.stack((low, point, high), axis=1)

    def _tower(self, number: int) -> Tower:
        tower = self.towers[number]
        assert isinstance(tower, Tower)
        return tower


def spread(quantiles: Floats) -> tuple[Floats, Floats]:
    """How far the 80 % interval reaches below and above the median, each (n,), 0 or more."""
    middle = quantiles[:, MEDIAN]
    return middle - quantiles[:, LOW], quantiles[:, HIGH] - middle


class ModernNetwork(Network):
    """Reads the facts and features of a row, each if it is there; states an 80 % interval.

    It stays on the CPU, whatever it is moved to: captions and tables are there, and a row costs
    milliseconds.
    """

    config: ModernConfig

    def __init__(self, config: ModernConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.encoder = BlockEncoder(config)
        self.neighbours = Neighbours(
            config.n_store, width_of(self.encoder.blocks), config.neighbours
        )
        self.members = Members(config, self.encoder)

    def forward(self, batch: Batch) -> Tensor:
        """Median of each row on the target's scale, (B,) float64."""
        return torch.from_numpy(self._read(batch.examples)[:, 1].copy())

    def outputs(self, batch: Batch) -> Outputs:
        """Median of each row and, where enough rows calibrated it, the 80 % interval."""
        low, point, high = torch.from_numpy(self._read(batch.examples)).unbind(1)
        if not self.config.has_interval:
            return Outputs(point=point)
        return Outputs(point=point, low=low, high=high)

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks it reads."""
        return tuple(block.name for block in self.members.blocks)

    def encode_rows(self, examples: Sequence[Example]) -> Encoded:
        """The rows' blocks, neighbours too."""
        encoded = self.encoder.encode(examples)
        posted = np.array([posted_s(example) for example in examples])
        found = self.neighbours.block(encoded, [e.video_id for e in examples], posted)
        return with_neighbours(encoded, *found)

    def forecast_encoded(self, encoded: Encoded) -> Floats:
        """Median of encoded rows on the target's scale, (n,)."""
        return self.members.read(encoded.matrix())[:, 1]

    def nearest(self, example: Example, n: int = 5) -> list[Neighbour]:
        """The n earlier training videos most like it, most alike first."""
        encoded = self.encoder.encode([example])
        return self.neighbours.nearest(encoded, example.video_id, posted_s(example), n)

    def _read(self, examples: Sequence[Example]) -> Floats:
        # One row at a time: products of another height add up in another order.
        rows = [self.members.read(self.encode_rows([row]).matrix()) for row in examples]
        return np.concatenate(rows)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: ARG002
        return self
