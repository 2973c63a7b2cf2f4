"""Ridge regression over the columns of a row, with a penalty for each block of them."""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PENALTIES: Final = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e7)
PAGE: Final = 4096  # rows counted in at once
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


class Line(nn.Module):
    """A weighted sum of all columns and flags."""

    weights: Tensor
    bias: Tensor

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(n_columns, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(1, dtype=torch.float64))

    def read(self, rows: Floats32) -> Floats:
        """(n,) of rows (n, columns and flags)."""
        # A sum per row: a matrix product would depend on the rows beside it.
        found: Floats = (rows * self.weights.numpy()).sum(axis=1) + float(self.bias)
        return found

    def keep(self, solution: "Solution") -> None:
        """Set what was learned."""
        self.weights.copy_(torch.from_numpy(solution.weights))
        self.bias.fill_(solution.centre - float(solution.mean @ solution.weights))


class Solution(NamedTuple):
    """A ridge that is solved: weights and column means (columns,), and the mean label."""

    weights: Floats
    mean: Floats
    centre: float

    def read(self, x: Floats32) -> Floats:
        """Predictions of rows to fit on, (…, columns) to (…): quick, but not batch-invariant."""
        said: Floats = (x - self.mean) @ self.weights + self.centre
        return said


class FoldSums:
    """Products of columns and labels by fold: all that any ridge on any of the folds needs."""

    def __init__(self, n_columns: int, n_folds: int) -> None:
        self.n = np.zeros(n_folds)
        self.x = np.zeros((n_folds, n_columns))
        self.xx = np.zeros((n_folds, n_columns, n_columns))
        self.y = np.zeros(n_folds)
        self.xy = np.zeros((n_folds, n_columns))
        self.yy = np.zeros(n_folds)

    def add(self, rows: Floats32, labels: Floats, folds: NDArray[np.int64]) -> None:
        """Count in rows (n, columns) with their labels and folds (n,)."""
        for fold in np.unique(folds):
            x = rows[folds == fold].astype(np.float64)
            y = labels[folds == fold]
            self.n[fold] += len(y)
            self.x[fold] += x.sum(axis=0)
            self.xx[fold] += x.T @ x
            self.y[fold] += y.sum()
            self.xy[fold] += x.T @ y
            self.yy[fold] += y @ y

    def solve(self, penalties: Floats, without: int | None = None) -> Solution:
        """The ridge of all folds but one.

        penalties (columns,): on columns of sd 1, for all rows; a part of the rows gets its share.
        """
        kept = np.arange(len(self.n)) != (-1 if without is None else without)
        n = self.n[kept].sum()
        mean, centre = self.x[kept].sum(axis=0) / n, self.y[kept].sum() / n
        xx = self.xx[kept].sum(axis=0) - n * np.outer(mean, mean)
        xy = self.xy[kept].sum(axis=0) - n * mean * centre
        variance = np.diag(xx) / n
        still = variance < 1e-10  # a column that never moved explains nothing
        per_column = np.where(still, 1.0, penalties * variance * n / self.n.sum())
        xx[still, :], xx[:, still], xy[still] = 0.0, 0.0, 0.0
        weights: Floats = np.linalg.solve(xx + np.diag(per_column), xy)
        return Solution(weights, mean, float(centre))

    def held_out_error(self, penalties: Floats) -> float:
        """Sum of squared errors of each fold by the weights of the others."""
        error = 0.0
        for fold in self.folds():
            weights, mean, centre = self.solve(penalties, without=fold)
            bias = centre - float(mean @ weights)
            error += (
                self.yy[fold]
                - 2 * (weights @ self.xy[fold] + bias * self.y[fold])
                + weights @ self.xx[fold] @ weights
                + 2 * bias * (weights @ self.x[fold])
                + self.n[fold] * bias**2
            )
        return error

    def held_out(self, penalties: Floats) -> list[Solution]:
        """For the rows of each fold the ridge that has not seen them."""
        # With one fold alone there is nothing to hold out; its own errors are the best there is.
        whole, folds = self.solve(penalties), self.folds()
        return [
            self.solve(penalties, without=fold) if fold in folds else whole
            for fold in range(len(self.n))
        ]

    def folds(self) -> list[int]:
        """Folds that have rows, where others have some too."""
        filled = [int(fold) for fold in np.flatnonzero(self.n)]
        return filled if len(filled) > 1 else []


def sums_of(rows: Floats32, labels: Floats, folds: NDArray[np.int64], n_folds: int) -> FoldSums:
    """The products of rows (n, columns), a page at a time."""
    sums = FoldSums(rows.shape[1], n_folds)
    for at in range(0, len(rows), PAGE):
        page = slice(at, at + PAGE)
        sums.add(rows[page], labels[page], folds[page])
    return sums


def chosen_penalties(
    sums: FoldSums, group: NDArray[np.int64], fixed: Floats | None = None
) -> Floats:
    """Penalty of each group: one for all first, then each in turn while it lowers the error.

    One for all would weigh a block of three telling columns like one of thirty vague ones.
    group: (columns,), the number of each column's group; fixed (groups,): those above 0 stay as
    they are    returns: (groups,)
    """
    n_groups = int(group.max()) + 1
    held = np.zeros(n_groups) if fixed is None else fixed
    if not sums.folds():
        return np.where(held > 0, held, 1e3)

    def error(penalties: Floats) -> float:
        return sums.held_out_error(np.where(held > 0, held, penalties)[group])

    best = min(PENALTIES, key=lambda one: error(np.full(n_groups, one)))
    chosen = np.where(held > 0, held, best)
    for at in np.flatnonzero(held == 0):
        tried = [np.where(np.arange(n_groups) == at, p, chosen) for p in PENALTIES]
        chosen = min(tried, key=error)
    return chosen
