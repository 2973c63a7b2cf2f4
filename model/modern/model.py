"""The modern model: ridge, boosted trees and small transformers over whatever a post says."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn

from model.base import Network, Outputs
from model.batches import Batch, Example, InputShapes
from model.blocks.encoder import Block, BlockEncoder, Chunk, Encoded
from model.modern.neighbours import BLOCK, Neighbour, Neighbours, width_of
from model.modern.neighbours import NAME as NEIGHBOURS
from model.modern.table import Floats32, Ledger, Table, posted_s, with_neighbours
from model.modern.tower import ModernConfig, Tower
from model.modern.tower_training import quantiles_of
from model.quantiles import HIGH, LOW, MEDIAN
from model.solved.boosted import BoostedConfig, Trees, grow, staged_errors
from model.solved.ridge import FoldSums, Solution, chosen_penalties

Floats = NDArray[np.float64]


class Line(nn.Module):
    """A weighted sum of all columns and flags but the neighbours'."""

    weights: Tensor
    bias: Tensor

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(n_columns, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(1, dtype=torch.float64))

    def read(self, rows: Floats32) -> Floats:
        """(n,) of rows (n, columns and flags)."""
        weights, bias = self.weights.numpy(), float(self.bias)
        # A sum per row: a matrix product would depend on the rows beside it.
        found: Floats = (rows * weights).sum(axis=1) + bias
        return found


def fit_line(table: Table, ledger: Ledger) -> Line:
    """Ridge over the rows the table learned from, its penalty by block chosen on folds.

    Labels of neighbours are left to the others: few rows do not carry them.
    """
    group = groups(table.blocks)
    used = group >= 0
    sums = FoldSums(int(used.sum()), table.encoder.config.n_folds)
    for start, page in table.rows.pages():
        stop = min(start + len(page), table.before)
        if start >= stop:
            break
        at = slice(start, stop)
        age = np.zeros((stop - start, 2), dtype=np.int64)
        folds = table.folds[at].astype(np.int64)
        sums.add(Chunk(page[: stop - start, used], ledger.actual[at], folds, age))
    penalties = chosen_penalties(sums, group[used])[group[used]]
    weights, mean, centre = sums.solve(penalties)
    line = Line(len(group))
    line.weights[torch.from_numpy(used)] = torch.from_numpy(weights)
    shift = _median_error(table, ledger, sums.held_out(penalties), used)
    line.bias.fill_(centre - float(mean @ weights) + shift)
    return line


def groups(blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Number of the block that each column and flag belongs to, -1 for the neighbours'."""
    numbers = [-1 if block.name == NEIGHBOURS else at for at, block in enumerate(blocks)]
    return np.concatenate([np.repeat(numbers, [block.width for block in blocks]), numbers])


def grow_trees(
    table: Table, ledger: Ledger, config: ModernConfig, seed: int
) -> HistGradientBoostingRegressor:
    """Boosted trees on the newest of the rows that the table learned from."""
    start = max(0, table.before - config.boost_rows)
    rows = np.concatenate(
        [
            page[max(0, start - at) : max(0, table.before - at)]
            for at, page in table.rows.pages()
            if at + len(page) > start and at < table.before
        ]
    )
    leaves = config.leaves * (1 if len(rows) < 5_000 else 2)
    settings = BoostedConfig(max_trees=config.trees, max_leaves=leaves)
    actual = ledger.actual[start : table.before]
    return grow(settings, with_gaps(rows, table.blocks), actual, seed)


def fewest_trees(grown: HistGradientBoostingRegressor, rows: Floats32, actual: Floats) -> int:
    """Fewest trees that are as good as the best on rows they have not seen, at least 1.

    As good is a mean absolute error within half a standard error of the difference.
    """
    errors = np.abs(staged_errors(grown, rows, actual)[1:])
    worse = errors - errors[np.argmin(errors.mean(axis=1))]
    enough = worse.mean(axis=1) <= worse.std(axis=1) / np.sqrt(len(actual)) / 2
    return int(np.argmax(enough)) + 1


def with_gaps(rows: Floats32, blocks: Sequence[Block]) -> Floats32:
    """The rows with NaN where a block is not present, as trees ask for it."""
    n_flags = len(blocks)
    has = rows[:, -n_flags:] > 0
    widths = [block.width for block in blocks]
    lacks = np.repeat(~has, widths, axis=1)
    columns = np.where(lacks, np.float32(np.nan), rows[:, :-n_flags])
    return np.concatenate((columns, rows[:, -n_flags:]), axis=1, dtype=np.float32)


def _median_error(
    table: Table, ledger: Ledger, held_out: Sequence[Solution], used: NDArray[np.bool_]
) -> float:
    """What turns the mean that least squares finds into the median, on folds held out in turn."""
    errors = np.zeros(table.before)
    for start, page in table.rows.pages():
        for fold in np.unique(table.folds[start : min(start + len(page), table.before)]):
            at = start + np.flatnonzero(table.folds[start : start + len(page)] == fold)
            at = at[at < table.before]
            errors[at] = ledger.actual[at] - held_out[fold].read(page[at - start][:, used])
    return float(np.median(errors))


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
        self.towers = nn.ModuleList(Tower(self.blocks, config) for _ in range(config.n_members))
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
