"""Gradient boosting over encoded blocks: scikit-learn grows the trees, ours are kept and read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn

from model.base import Network, Outputs, SolveRequest, learned
from model.batches import Batch, InputShapes
from model.blocks.encoder import (
    BlockConfig,
    BlockEncoder,
    LabelledRows,
    newest,
    row_chunks,
    with_sizes,
)
from model.blocks.wide import Floats
from model.errors import BadSetting
from model.quantiles import ENOUGH_ERRORS, point_and_ends
from model.training.world import one_thread


class Boosted(Protocol):
    """What is read of scikit-learn's HistGradientBoostingRegressor; both are its private parts."""

    _predictors: Sequence[Sequence[Any]]
    _baseline_prediction: NDArray[np.float64]


class Trees(nn.Module):
    """T trees of at most N nodes, and the number they start from.

    A node with `left` of itself is a leaf. Left is taken where the column is at most the
    threshold; NaN goes where `nan_left` says.
    """

    column: Tensor
    threshold: Tensor
    nan_left: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    start: Tensor

    def __init__(self, n_trees: int, n_nodes: int) -> None:
        super().__init__()
        shape = (n_trees, n_nodes)
        self.register_buffer("column", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("nan_left", torch.zeros(shape, dtype=torch.bool))
        self.register_buffer("left", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("right", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("start", torch.zeros(1, dtype=torch.float64))

    @classmethod
    def export(cls, fitted: Boosted, n_trees: int | None = None) -> "Trees":
        """The first `n_trees` trees (None: all) of a fitted regressor without categories.

        Raises BadSetting for one whose nodes ask for categories.
        """
        every = [tree.nodes for tree in chain.from_iterable(fitted._predictors)][:n_trees]
        trees = cls(len(every), max((len(nodes) for nodes in every), default=1))
        trees.start.copy_(torch.from_numpy(np.ravel(fitted._baseline_prediction)[:1].copy()))
        for at, nodes in enumerate(every):
            if nodes["is_categorical"].any():
                raise BadSetting("a tree asks for categories; only numeric columns are exported")
            leaf = nodes["is_leaf"].astype(bool)
            own = np.arange(len(nodes))
            filled = {
                "column": np.where(leaf, 0, nodes["feature_idx"]),
                "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
                "nan_left": nodes["missing_go_to_left"].astype(bool),
                "left": np.where(leaf, own, nodes["left"]),
                "right": np.where(leaf, own, nodes["right"]),
                "value": nodes["value"],
            }
            for name, values in filled.items():
                kept: Tensor = getattr(trees, name)
                kept[at, : len(nodes)] = torch.from_numpy(np.ascontiguousarray(values)).to(
                    kept.dtype
                )
        return trees

    def read(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Prediction for each row of x (n, columns), NaN where unknown; (n,)"""
        arrays = (self.column, self.threshold, self.nan_left, self.left, self.right, self.value)
        # Nodes of all trees behind each other: one number to look a node up by, not two.
        column, threshold, nan_left, left, right, value = (a.cpu().numpy().ravel() for a in arrays)
        n_trees, n_nodes = self.column.shape
        roots = np.arange(0, n_trees * n_nodes, n_nodes)
        left, right = (side + np.repeat(roots, n_nodes) for side in (left, right))
        predicted = np.full(len(x), float(self.start[0]))
        for row, numbers in enumerate(x.astype(np.float64)):
            node = roots
            while True:
                asked = numbers[column[node]]
                goes_left = (asked <= threshold[node]) | (np.isnan(asked) & nan_left[node])
                below = np.where(goes_left, left[node], right[node])
                if (below == node).all():
                    break
                node = below
            predicted[row] += value[node].sum()
        return predicted


FEW_ROWS = 5_000  # up to here every fold is held out in turn; above, one says enough
VAL_ROWS = 10_000


@dataclass(frozen=True)
class BoostedConfig(BlockConfig):
    """Settings of the blocks and the trees; n_trees and n_nodes are learned.

    max_trees: at most; the number is where held-out absolute error is lowest. newest_rows: of
    the training rows, what the trees are grown on.
    """

    max_trees: int = 300
    learning_rate: float = 0.05
    max_leaves: int = 8
    min_leaf_rows: int = 20
    l2: float = 1.0
    newest_rows: int = 50_000
    n_trees: int = learned(0)
    n_nodes: int = learned(1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_trees < 1 or self.max_leaves < 2 or self.min_leaf_rows < 1:
            raise BadSetting(
                f"max_trees {self.max_trees} and min_leaf_rows {self.min_leaf_rows} must be 1 or "
                f"more, max_leaves {self.max_leaves} 2 or more"
            )
        if self.newest_rows < 2 or not self.learning_rate > 0:
            raise BadSetting(
                f"newest_rows {self.newest_rows} must be 2 or more, "
                f"learning_rate {self.learning_rate} above 0"
            )


class BoostedTrees(Network):
    """A sum of small trees for the median, and an interval from held-out errors."""

    offsets: Tensor

    def __init__(self, config: BoostedConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.encoder = BlockEncoder(config)
        self.trees = Trees(config.n_trees, config.n_nodes)
        self.register_buffer("offsets", torch.zeros(2, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """Median of each row on the target's scale, (B,) float64."""
        x = self.encoder.encode(batch.examples).matrix(missing=np.nan)
        return torch.from_numpy(self.trees.read(x)).to(self.offsets.device)

    def outputs(self, batch: Batch) -> Outputs:
        """Median and 80 % interval of each row."""
        point = self(batch)
        return Outputs(point, point + self.offsets[0], point + self.offsets[1])


@one_thread()
def solve_boosted(config: BoostedConfig, request: SolveRequest) -> BoostedTrees:
    """Fit blocks, number of trees, trees and interval; two passes over train, one over val.

    Raises NothingToTrain where no row has a label, or says anything of itself.
    """
    request.progress("reading the training rows")
    encoder = BlockEncoder.fit(
        request.train,
        target=request.target,
        seed=request.seed,
        use_author=config.use_author,
        settings=config,
    )
    request.progress("encoding the newest rows")
    train = row_chunks(encoder, request.train, request.target, training=True, missing=np.nan)
    rows, n_seen = newest(train, config.newest_rows)
    if len(rows.y) < n_seen:
        request.note("boosted_newest_rows", {"rows": len(rows.y), "of": n_seen})
    unseen = row_chunks(encoder, request.val, request.target, training=False, missing=np.nan)
    val, _ = newest(unseen, VAL_ROWS)
    request.progress("growing trees")
    grown = grow(config, rows.x, rows.y, request.seed)
    by_val = len(val.y) >= ENOUGH_ERRORS
    held = [(grown, val)] if by_val else _held_out(config, rows, grown, request.seed)
    n_trees, errors = _best_number(held)
    trees = Trees.export(grown, n_trees)
    settings = replace(
        with_sizes(config, encoder), n_trees=n_trees, n_nodes=int(trees.column.shape[1])
    )
    network = BoostedTrees(settings)
    network.encoder, network.trees = encoder, trees
    _, low, high = point_and_ends(errors)
    network.offsets.copy_(torch.tensor([min(low, 0.0), max(high, 0.0)], dtype=torch.float64))
    request.note(
        "boosted_solved",
        {
            "blocks": {block.name: block.width for block in encoder.blocks},
            "trees": n_trees,
            "interval_from": "validation" if by_val else "folds",
        },
    )
    return network.eval()


def grow(
    config: BoostedConfig, x: NDArray[np.float32], y: Floats, seed: int
) -> HistGradientBoostingRegressor:
    """All of max_trees, on rows x (n, columns) with NaN where unknown and labels y (n,)."""
    grower = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=config.max_trees,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaves,
        min_samples_leaf=config.min_leaf_rows,
        l2_regularization=config.l2,
        early_stopping=False,
        categorical_features=None,
        random_state=seed,
    )
    return grower.fit(x, y)


def staged_errors(
    grown: HistGradientBoostingRegressor, x: NDArray[np.float32], y: Floats
) -> NDArray[np.float32]:
    """Actual minus predicted by the first 0, 1, … of the trees, (trees + 1, n)."""
    start = np.full(len(y), np.ravel(grown._baseline_prediction)[0])
    stages = chain([start], grown.staged_predict(x))
    return np.stack([(y - predicted).astype(np.float32) for predicted in stages])


def _held_out(
    config: BoostedConfig, rows: LabelledRows, grown: HistGradientBoostingRegressor, seed: int
) -> list[tuple[HistGradientBoostingRegressor, LabelledRows]]:
    """Regressors with the rows of the fold that each has not seen."""
    folds = np.unique(rows.fold)
    if len(folds) < 2:
        # With one fold alone there is nothing to hold out; its own errors are the best there is.
        return [(grown, rows)]
    held = []
    for fold in folds if len(rows.y) <= FEW_ROWS else folds[:1]:
        out = rows.fold == fold
        unseen = LabelledRows(rows.x[out], rows.y[out], rows.fold[out])
        held.append((grow(config, rows.x[~out], rows.y[~out], seed), unseen))
    return held


def _best_number(
    held: list[tuple[HistGradientBoostingRegressor, LabelledRows]],
) -> tuple[int, Floats]:
    """Number of trees with the lowest held-out absolute error, 0 included, and the errors there."""
    errors = np.concatenate([staged_errors(grown, rows.x, rows.y) for grown, rows in held], axis=1)
    best = int(np.argmin(np.abs(errors).sum(axis=1, dtype=np.float64)))
    return best, errors[best].astype(np.float64)
