"""How far a feature of a row is from those of the training rows, beside how far theirs are.

The direction on a model's axes does not tell it: a clip of another sort differs most in what those
axes leave out. So the distance counts both, each in what is usual of it (the likelihood of
probabilistic principal components; Tipping and Bishop, 1999).
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]
#: Percentiles that are kept, of one training row in so many; of fewer than FEWEST_ROWS none.
GRID: Final = np.linspace(0, 100, 101)
HELD_OUT_EVERY: Final = 4
FEWEST_ROWS: Final = 400


class Likeness(nn.Module):
    """What is usual of the training rows of one feature.

    spread (width + 1,): mean square along each axis, and in each direction beside them. distances
    (101,): quantiles of the distance of rows that their axes were not fitted on; zeros of too few.
    """

    spread: Tensor
    distances: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(width + 1, dtype=torch.float64))
        self.register_buffer("distances", torch.zeros(len(GRID), dtype=torch.float64))

    def learn(self, scaled: Floats, axes: NDArray[np.float32]) -> None:
        """Learn the spread of scaled training rows, (n, size), about axes (width, size)."""
        along, beside = _parts(scaled, axes)
        n_beside = max(1, scaled.shape[1] - len(axes))
        spread = np.append(np.square(along).mean(axis=0), beside.mean() / n_beside)
        self.spread.copy_(torch.from_numpy(np.maximum(spread, 1e-6)))

    def keep(self, distances: Floats) -> None:
        """Keep how far rows are that were held out, (n,)."""
        self.distances.copy_(torch.from_numpy(np.percentile(distances, GRID)))

    def distance(self, scaled: Floats, axes: NDArray[np.float32]) -> Floats:
        """How far rows (n, size) are, (n,); about their size where they are usual."""
        along, beside = _parts(scaled, axes)
        spread = self.spread.numpy()
        found: Floats = np.square(along) @ (1 / spread[:-1]) + beside / spread[-1]
        return found

    def percentile(self, distance: float) -> float | None:
        """Per cent of training rows that are less like the others than a row; None: not known.

        0: none of them is as far away.
        """
        kept = self.distances.numpy()
        if not kept[-1] > 0:
            return None
        return 100.0 - float(np.interp(distance, kept, GRID))


def _parts(scaled: Floats, axes: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Places on the axes, (n, width), and the squared length beside them, (n,)."""
    along = scaled @ axes.T.astype(np.float64)
    beside = np.square(scaled).sum(axis=1) - np.square(along).sum(axis=1)
    return along, np.maximum(beside, 0.0)
