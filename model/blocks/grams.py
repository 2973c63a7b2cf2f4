"""A ridge over the words, word pairs, letters and hashtags of a post: one column for the others."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from catalog.facts import PostFacts
from model.blocks.known import named_grams
from model.blocks.text import counted, ngrams, weighed

PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0)
STEPS: Final = 40  # of conjugate gradients; the penalty ends them well before
TOLERANCE: Final = 1e-4
Floats = NDArray[np.float64]


def sources(facts: PostFacts) -> list[list[str]]:
    """The grams of a post by where they come from; each source counts as one text."""
    return [
        ngrams(facts.caption),
        [f"t {tag.lower()}" for tag in facts.hashtags],
        [f"said {gram}" for gram in ngrams(facts.transcript or "")],
        named_grams(facts),
    ]


class GramRows:
    """Hashed grams of rows as they are counted in: buckets and counts, kept small."""

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        self.rows: list[list[tuple[NDArray[np.int32], NDArray[np.int32]]]] = []

    def add(self, facts: PostFacts) -> None:
        """Count in one row."""
        self.rows.append(_counted(facts, self.buckets))

    def take(self, places: NDArray[np.int64]) -> "GramRows":
        """These of the rows, in this order."""
        chosen = GramRows(self.buckets)
        chosen.rows = [self.rows[place] for place in places]
        return chosen

    def rarity(self) -> NDArray[np.float32]:
        """Weight of each bucket: rare ones weigh more, those of a single row nothing."""
        found = [buckets for row in self.rows for buckets, _ in row]
        seen = np.concatenate(found) if found else np.zeros(0, np.int32)
        n_with = np.bincount(seen, minlength=self.buckets)
        rare = np.log((1 + len(self.rows)) / (1 + n_with)) + 1
        return np.where(n_with > 1, rare, 0.0).astype(np.float32)

    def matrix(self, rarity: NDArray[np.float32]) -> csr_array:
        """(n, buckets) float32, each source of a row of length 1 unless nothing of it is known."""
        columns, values, ends = [], [], [0]
        for row in self.rows:
            for buckets, counts in row:
                columns.append(buckets)
                values.append(weighed(counts, rarity[buckets]).astype(np.float32))
            ends.append(ends[-1] + sum(len(buckets) for buckets, _ in row))
        nothing = np.zeros(0)
        return csr_array(
            (
                np.concatenate(values) if values else nothing.astype(np.float32),
                np.concatenate(columns) if columns else nothing.astype(np.int32),
                np.array(ends),
            ),
            shape=(len(self.rows), self.buckets),
        )


class GramRidge(nn.Module):
    """Weights of hashed grams. A plain sum over one row: the same alone or among others."""

    rarity: Tensor
    weights: Tensor

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.register_buffer("rarity", torch.zeros(buckets))
        self.register_buffer("weights", torch.zeros(buckets))

    def read(self, facts: PostFacts) -> float:
        """What a row's grams say, on the target's scale, apart from the mean of all."""
        total = 0.0
        rarity, weights = self.rarity.numpy(), self.weights.numpy()
        for buckets, counts in _counted(facts, self.buckets):
            told = weighed(counts, rarity[buckets]).astype(np.float32).astype(np.float64)
            total += float((told * weights[buckets]).sum())
        return total

    def keep(self, rarity: NDArray[np.float32], weights: Floats) -> None:
        """Set what was learned."""
        self.rarity.copy_(torch.from_numpy(rarity))
        self.weights.copy_(torch.from_numpy(weights.astype(np.float32)))


def solve_grams(grams: csr_array, labels: Floats, penalty: float) -> Floats:
    """Weights (buckets,) of least squared error about the mean label, by conjugate gradients.

    grams (n, buckets), labels (n,).
    """
    wanted = labels - labels.mean()
    turned = csr_array(grams.T)
    weights = np.zeros(grams.shape[1])
    residual = turned @ wanted
    direction, length = residual.copy(), float(residual @ residual)
    enough = TOLERANCE**2 * length
    for _ in range(STEPS):
        if length <= enough or length == 0:
            break
        moved = turned @ (grams @ direction) + penalty * direction
        step = length / float(direction @ moved)
        weights += step * direction
        residual -= step * moved
        before, length = length, float(residual @ residual)
        direction = residual + (length / before) * direction
    return weights


def out_of_fold(
    grams: csr_array, labels: Floats, folds: NDArray[np.int64], penalty: float
) -> Floats:
    """What the weights of the other folds say of each row, apart from their mean label; (n,)"""
    said = np.zeros(len(labels))
    for fold in np.unique(folds):
        out = folds == fold
        if out.all():
            return said
        said[out] = grams[out] @ solve_grams(grams[~out], labels[~out], penalty)
    return said


def best_penalty(
    grams: csr_array, labels: Floats, folds: NDArray[np.int64], among: Sequence[float] = PENALTIES
) -> float:
    """The penalty whose forecasts out of fold have the least squared error."""
    wanted = labels - labels.mean()
    errors = [
        float(np.square(wanted - out_of_fold(grams, labels, folds, penalty)).sum())
        for penalty in among
    ]
    return among[int(np.argmin(errors))]


def _counted(facts: PostFacts, buckets: int) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    return [
        (at.astype(np.int32), n.astype(np.int32))
        for at, n in (counted(grams, buckets) for grams in sources(facts) if grams)
    ]
