"""Ridge regression over encoded blocks: what few videos can carry."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.base import Network, Outputs, SolveRequest, learned
from model.batches import Batch, InputShapes
from model.blocks.encoder import BlockConfig, BlockEncoder, Chunk, row_chunks, with_sizes
from model.blocks.history import TAG_COLUMNS
from model.blocks.wide import Floats, Reservoir
from model.errors import BadSetting
from model.quantiles import ENOUGH_ERRORS, point_and_ends
from model.training.world import one_thread

PENALTIES: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e7)
KEPT_ROWS: Final = 5_000


@dataclass(frozen=True)
class RidgeConfig(BlockConfig):
    """Settings of the blocks; n_columns is learned.

    penalty: of every block, on columns of sd 1 (None: chosen for each block by folds). More axes
    of hashtags than other models have: a penalty bears them, a tree or a network does not.
    """

    tag_width: int = 64
    penalty: float | None = None
    n_columns: int = learned(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.penalty is not None and not self.penalty > 0:
            raise BadSetting(f"penalty {self.penalty} must be above 0, or null")


class Ridge(Network):
    """A weighted sum of the columns; its point is the median, not the mean."""

    weights: Tensor
    mean: Tensor
    offsets: Tensor

    def __init__(self, config: RidgeConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.encoder = BlockEncoder(config)
        self.register_buffer("weights", torch.zeros(config.n_columns, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(config.n_columns, dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(3, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """Median of each row on the target's scale, (B,) float64."""
        return self._raw(batch) + self.offsets[0]

    def read(self, x: NDArray[np.float32]) -> Floats:
        """Raw prediction of each row of the encoder's matrix, (n,)."""
        # A sum per row: a matrix product would depend on the rows beside it.
        parts = (x - self.mean.cpu().numpy()) * self.weights.cpu().numpy()
        return np.array([row.sum() for row in parts])

    def outputs(self, batch: Batch) -> Outputs:
        """Median and 80 % interval of each row."""
        raw = self._raw(batch)
        return Outputs(raw + self.offsets[0], raw + self.offsets[1], raw + self.offsets[2])

    def _raw(self, batch: Batch) -> Tensor:
        raw = self.read(self.encoder.encode(batch.examples).matrix())
        return torch.from_numpy(raw).to(self.weights.device)


class Solution(NamedTuple):
    """A ridge that is solved: weights and column means (columns,), and the mean label."""

    weights: Floats
    mean: Floats
    centre: float

    def read(self, x: NDArray[np.float32]) -> Floats:
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

    def add(self, chunk: Chunk) -> None:
        """Count in the rows of a chunk."""
        for fold in np.unique(chunk.fold):
            x = chunk.x[chunk.fold == fold].astype(np.float64)
            y = chunk.y[chunk.fold == fold]
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


@one_thread()
def solve_ridge(config: RidgeConfig, request: SolveRequest) -> Ridge:
    """Fit blocks, penalties, weights and interval; two passes over train, one over val.

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
    groups, group = _groups(encoder)
    sums = FoldSums(len(group), encoder.config.n_folds)
    sample: Reservoir[tuple[NDArray[np.float32], float, int]] = Reservoir(KEPT_ROWS, request.seed)
    request.progress("summing the columns")
    for chunk in row_chunks(encoder, request.train, request.target, training=True, missing=0.0):
        sums.add(chunk)
        for x, y, fold in zip(chunk.x, chunk.y, chunk.fold, strict=True):
            sample.add((x, float(y), int(fold)))
    request.progress("choosing the penalties")
    by_group = chosen_penalties(sums, group, config.penalty)
    penalties = by_group[group]
    solution = sums.solve(penalties)
    settings = replace(with_sizes(config, encoder), n_columns=len(group))
    network = Ridge(settings)
    network.encoder = encoder
    network.weights.copy_(torch.from_numpy(solution.weights))
    network.mean.copy_(torch.from_numpy(solution.mean))
    held_out = sums.held_out(penalties)
    shifts = point_and_ends(np.array([y - held_out[fold].read(x) for x, y, fold in sample.items]))
    errors = [
        chunk.y - solution.read(chunk.x)
        for chunk in row_chunks(encoder, request.val, request.target, training=False, missing=0.0)
    ]
    measured_on = "folds"
    if sum(map(len, errors)) >= ENOUGH_ERRORS:
        # The validation rows are newer: their errors hold the drift that the next rows will have.
        shifts[1:] = point_and_ends(np.concatenate(errors))[1:]
        measured_on = "validation"
    shifts = np.array([shifts[0], min(shifts[:2]), max(shifts[0], shifts[2])])
    network.offsets.copy_(torch.from_numpy(solution.centre + shifts))
    request.note(
        "ridge_solved",
        {
            "blocks": {block.name: block.width for block in encoder.blocks},
            "penalties": dict(zip(groups, by_group.tolist(), strict=True)),
            "interval_from": measured_on,
        },
    )
    return network.eval()


def _groups(encoder: BlockEncoder) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """What each penalty is for, and the place of each column's among them.

    A block's flag belongs to it. The few means of hashtags are apart from their many axes.
    """
    names = [block.name for block in encoder.blocks]
    of_column: list[str] = []
    for block in encoder.blocks:
        means = TAG_COLUMNS if block.name == "tags" else block.width
        of_column += [block.name] * means + ["tag_axes"] * (block.width - means)
    of_column += names
    groups = tuple(dict.fromkeys(of_column))
    return groups, np.array([groups.index(name) for name in of_column], dtype=np.int64)


def chosen_penalties(
    sums: FoldSums, group: NDArray[np.int64], fixed: float | None = None
) -> Floats:
    """Penalty of each group: one for all first, then each in turn while it lowers the error.

    One for all would weigh a block of three telling columns like one of thirty vague ones.
    group: (columns,), the number of each column's group    returns: (groups,)
    """
    n_groups = int(group.max()) + 1
    if fixed is not None or not sums.folds():
        return np.full(n_groups, 1e3 if fixed is None else fixed)
    _, best = min((sums.held_out_error(np.full(len(group), p)), p) for p in PENALTIES)
    chosen = np.full(n_groups, best)
    for _ in range(2):
        for at in range(n_groups):
            tried = [np.where(np.arange(n_groups) == at, p, chosen) for p in PENALTIES]
            chosen = min(tried, key=lambda one: sums.held_out_error(one[group]))
    return chosen
