"""The two plain members of the modern forecast, ridge and boosted trees, on the table's rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn

from model.blocks.chunks import Chunk
from model.blocks.encoder import Block
from model.modern.neighbours import NAME as NEIGHBOURS
from model.modern.rows import Floats32, Ledger
from model.modern.table import Table
from model.modern.tower import ModernConfig
from model.solved.ridge import FoldSums, chosen_penalties
from model.solved.trees import Trees

Floats = NDArray[np.float64]
LEARNING_RATE = 0.05
FEWEST_PER_LEAF = 20


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
    shift = _median_error(table, ledger, sums, penalties, used)
    line.bias.fill_(centre - float(mean @ weights) + shift)
    return line


def groups(blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Number of the block that each column and flag belongs to, -1 for the neighbours'."""
    numbers = [-1 if block.name == NEIGHBOURS else at for at, block in enumerate(blocks)]
    return np.concatenate([np.repeat(numbers, [block.width for block in blocks]), numbers])


@dataclass(frozen=True)
class Grown:
    """A fitted regressor of scikit-learn, not yet cut to a number of trees."""

    regressor: HistGradientBoostingRegressor

    def best_number(self, rows: Floats32, actual: Floats) -> int:
        """Fewest trees that are as good as the best on rows it has not seen, at least 1.

        As good is a mean absolute error within half a standard error of the difference.
        """
        stages = self.regressor.staged_predict(rows)
        errors = np.stack([np.abs(said - actual).astype(np.float32) for said in stages])
        worse = errors - errors[np.argmin(errors.mean(axis=1))]
        enough = worse.mean(axis=1) <= worse.std(axis=1) / np.sqrt(len(actual)) / 2
        return int(np.argmax(enough)) + 1

    def cut(self, n_trees: int) -> Trees:
        """The first n_trees as tensors."""
        return Trees.export(self.regressor, n_trees)


def grow(table: Table, ledger: Ledger, config: ModernConfig, seed: int) -> Grown:
    """Boosted trees on the newest of the rows that the table learned from."""
    start = max(0, table.before - config.boost_rows)
    rows = np.concatenate(
        [
            page[max(0, start - at) : max(0, table.before - at)]
            for at, page in table.rows.pages()
            if at + len(page) > start and at < table.before
        ]
    )
    regressor = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=config.trees,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=config.leaves * (1 if len(rows) < 5_000 else 2),
        min_samples_leaf=FEWEST_PER_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        categorical_features=None,
        random_state=seed,
    )
    actual = ledger.actual[start : table.before]
    return Grown(regressor.fit(with_gaps(rows, table.blocks), actual))


def with_gaps(rows: Floats32, blocks: Sequence[Block]) -> Floats32:
    """The rows with NaN where a block is not present, as trees ask for it."""
    n_flags = len(blocks)
    has = rows[:, -n_flags:] > 0
    widths = [block.width for block in blocks]
    lacks = np.repeat(~has, widths, axis=1)
    columns = np.where(lacks, np.float32(np.nan), rows[:, :-n_flags])
    return np.concatenate((columns, rows[:, -n_flags:]), axis=1, dtype=np.float32)


def _median_error(
    table: Table, ledger: Ledger, sums: FoldSums, penalties: Floats, used: NDArray[np.bool_]
) -> float:
    """What turns the mean that least squares finds into the median, on folds held out in turn."""
    without = {fold: sums.solve(penalties, without=fold) for fold in sums.folds()}
    whole = sums.solve(penalties)
    errors = np.zeros(table.before)
    for start, page in table.rows.pages():
        for fold in np.unique(table.folds[start : min(start + len(page), table.before)]):
            at = start + np.flatnonzero(table.folds[start : start + len(page)] == fold)
            at = at[at < table.before]
            weights, mean, centre = without.get(int(fold), whole)
            said = (page[at - start][:, used] - mean) @ weights + centre
            errors[at] = ledger.actual[at] - said
    return float(np.median(errors))
