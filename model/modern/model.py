"""The modern model: a ridge, boosted trees, words and histories over whatever a post says."""

from collections.abc import Callable, Sequence
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.base import Network, Outputs
from model.batches import Batch, Example, InputShapes
from model.blocks.encoder import BlockEncoder, Encoded
from model.blocks.grams import GramRidge
from model.blocks.past import GRID
from model.modern.config import MEMBERS, ModernConfig
from model.modern.growth import Growth
from model.modern.line import Line
from model.modern.members import GRAMS, with_gaps
from model.modern.neighbours import BLOCK, Neighbour, Neighbours, width_of
from model.modern.stack import SEGMENTS, segment_of
from model.modern.table import level_of, past_of, posted_s, with_neighbours
from model.modern.trees import Trees

#: Of encoded rows, beside their blocks: what views grow by from the horizon to a row's own age.
GROWN: Final = "grown"
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


class ModernNetwork(Network):
    """Reads the facts and features of a row, each if it is there; states an 80 % interval.

    weights (MEMBERS,), shift (1,): of the forecast, a weighted sum. offsets (segments, 2): what is
    added to it for the interval's ends. centre (1,): mean label. log_scale (2,): mean and sd of
    the target that is ln(1 + views). It stays on the CPU, whatever it is moved to: captions and
    tables are there. levels (2, GRID): of the catalog, as `Histories.level_grid` gives them.
    growth: with age, None where labels of all ages were taken as they are.
    """

    config: ModernConfig
    weights: Tensor
    shift: Tensor
    offsets: Tensor
    centre: Tensor
    log_scale: Tensor
    levels: Tensor

    def __init__(self, config: ModernConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.encoder = BlockEncoder(config)
        self.neighbours = Neighbours(
            config.n_store, width_of(self.encoder.blocks), config.neighbours
        )
        self.grams = GramRidge(config.gram_buckets)
        self.line = Line(config.n_columns)
        self.trees = Trees(config.n_trees, config.n_nodes)
        self.growth = Growth(config.n_growth) if config.n_growth else None
        sizes = {
            "weights": (len(MEMBERS),),
            "shift": (1,),
            "offsets": (len(SEGMENTS), 2),
            "centre": (1,),
            "log_scale": (2,),
            "levels": (2, GRID),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))
        self.blocks = (*self.encoder.blocks, BLOCK, GRAMS)

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
        return tuple(block.name for block in self.blocks)

    def encode_rows(self, examples: Sequence[Example]) -> Encoded:
        """The rows' blocks, neighbours and words too; GROWN beside them where ages matter."""
        encoded = self.encoder.encode(examples)
        posted = np.array([posted_s(example) for example in examples])
        found = self.neighbours.block(encoded, [e.video_id for e in examples], posted)
        beside = with_neighbours(encoded, *found)
        said = np.array([[self.grams.read(example.facts)] for example in examples], np.float32)
        columns = {GRAMS.name: said.reshape(-1, 1)}
        everyone = np.ones(len(examples), dtype=np.bool_)
        if self.growth is not None:
            grown = self.growth.read([example.age_s for example in examples])
            columns[GROWN] = grown.astype(np.float32).reshape(-1, 1)
        return Encoded(
            {**beside.values, **columns}, {**beside.present, **dict.fromkeys(columns, everyone)}
        )

    def forecast_encoded(self, encoded: Encoded) -> Floats:
        """Median of encoded rows on the target's scale, (n,)."""
        return self._ends(encoded)[:, 1]

    def nearest(self, example: Example, n: int = 5) -> list[Neighbour]:
        """The n earlier training videos most like it, most alike first."""
        encoded = self.encoder.encode([example])
        return self.neighbours.nearest(encoded, example.video_id, posted_s(example), n)

    def _read(self, examples: Sequence[Example]) -> Floats:
        # One row at a time: products of another height add up in another order.
        return np.concatenate([self._ends(self.encode_rows([row])) for row in examples])

    def _ends(self, encoded: Encoded) -> Floats:
        """Low, point and high of encoded rows, on the target's scale; (n, 3)"""
        grown = encoded.values.get(GROWN, np.zeros((1, 1)))[:, 0]
        rows = encoded.only(self.block_names).matrix()
        apart, n_known = past_of(rows, self.blocks, self.encoder)
        mean, sd = self.log_scale.tolist()
        level = level_of(rows, self.blocks, self.encoder, (mean, sd))
        said = (self._said(rows, apart) * self.weights.numpy()).sum(axis=1)
        point = said + float(self.shift) + level + grown
        offsets = self.offsets.numpy()[segment_of(n_known)]
        return np.stack((point + offsets[:, 0], point, point + offsets[:, 1]), axis=1)

    def _said(self, rows: Floats32, apart: Floats) -> Floats:
        """What each member says, (n, MEMBERS); 0 of who takes no part."""
        found = np.zeros((len(rows), len(MEMBERS)))
        weights, centre = self.weights.numpy(), float(self.centre)
        if weights[0]:
            found[:, 0] = self.line.read(rows)
        if weights[1]:
            found[:, 1] = self.trees.read(with_gaps(rows, self.blocks))
        if weights[2]:
            at = sum(block.width for block in self.blocks) - 1
            found[:, 2] = centre + rows[:, at]
        if weights[3]:
            found[:, 3] = centre + apart / (float(self.log_scale[1]) or np.inf)
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: ARG002
        return self
