"""Gradient boosting over the columns of a row: scikit-learn grows, ours are kept and read."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn

from model.errors import BadSetting
from model.modern.config import ModernConfig

Floats = NDArray[np.float64]


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


def grow(
    config: ModernConfig, x: NDArray[np.float32], y: Floats, seed: int, n_trees: int | None = None
) -> HistGradientBoostingRegressor:
    """So many trees (None: all), on rows x (n, columns) with NaN where unknown, labels y (n,)."""
    grower = HistGradientBoostingRegressor(
        loss="squared_error",
        max_iter=n_trees or config.trees,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.min_leaf_rows,
        l2_regularization=config.l2,
        max_features=config.tree_columns,
        early_stopping=False,
        categorical_features=None,
        random_state=seed,
    )
    # scikit-learn cannot bin a column of which no row knows anything; one number tells as little.
    nobody = np.isnan(x).all(axis=0)
    return grower.fit(np.where(nobody, np.float32(0.0), x) if nobody.any() else x, y)


def best_number(grown: HistGradientBoostingRegressor, x: NDArray[np.float32], y: Floats) -> int:
    """How many trees err least on rows that they have not seen; at least 1."""
    errors = [float(np.square(y - said).mean()) for said in grown.staged_predict(x)]
    return int(np.argmin(errors)) + 1
