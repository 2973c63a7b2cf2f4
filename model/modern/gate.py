"""Which features earn their place: what each adds to all that is known without them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.blocks.encoder import MEDIA
from model.modern.config import ModernConfig
from model.modern.line import PENALTIES, FoldSums, chosen_penalties, sums_of
from model.modern.members import GRAMS, gram_columns, with_grams
from model.modern.table import Table, owners_of

Floats = NDArray[np.float64]
NEVER = PENALTIES[-1] * 1e6  # of a block that takes no part
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Added:
    """What a feature took off the mean absolute error of ln(1 + views), with its 95 % interval.

    Beside the features kept before it; on rows of train, each fold of authors held out in turn.
    """

    name: str
    gain: float
    low: float
    high: float
    is_kept: bool

    def to_json(self) -> Mapping[str, object]:
        """As the run notes it."""
        return {
            "gain_log_mae": self.gain,
            "low": self.low,
            "high": self.high,
            "kept": self.is_kept,
        }


def media_kept(
    table: Table, config: ModernConfig, spread: float, progress: Callable[[str], None]
) -> tuple[tuple[str, ...], tuple[Added, ...]]:
    """Names of the features to keep, and what each added; forward, the best one first.

    spread: of the target in ln units. A feature is kept where it lowers the error of a ridge by
    more than `media_gain` standard errors, rows of an author counted together.
    """
    offered = [block.name for block in table.blocks if block.name in MEDIA]
    learn = ~table.is_val
    if not offered or learn.sum() < 2 * config.folds:
        return (), ()
    progress("what each feature adds")
    said, *_ = gram_columns(table, learn)
    blocks = (*table.blocks, GRAMS)
    rows = with_grams(table.x, table.blocks, said)[learn]
    trial = _Trial(
        rows,
        table.labels[learn],
        table.folds[learn],
        owners_of(blocks),
        sums_of(rows, table.labels[learn], table.folds[learn], config.folds),
    )
    without = np.array([NEVER if block.name in MEDIA else 0.0 for block in blocks])
    penalties = np.where(without > 0, without, chosen_penalties(trial.sums, trial.owners, without))
    errors = trial.errors(penalties)
    kept: list[str] = []
    told: dict[str, Added] = {}
    while len(kept) < len(offered):
        tried = {}
        for name in offered:
            if name in kept:
                continue
            at = [block.name for block in blocks].index(name)
            with_it = trial.best(penalties, at)
            gains = spread * (errors - trial.errors(with_it))
            gain, error = _mean(gains, table.authors[learn])
            ends = gain - NORMAL_95 * error, gain + NORMAL_95 * error
            is_kept = gain > config.media_gain * error
            tried[name] = (gain, with_it, Added(name, gain, *ends, is_kept))
        told |= {name: one for name, (_, _, one) in tried.items()}
        name, (_, with_it, added) = max(tried.items(), key=lambda one: (one[1][0], one[0]))
        if not added.is_kept:
            break
        kept.append(name)
        penalties, errors = with_it, trial.errors(with_it)
    return tuple(kept), tuple(told[name] for name in offered)


@dataclass(frozen=True)
class _Trial:
    rows: NDArray[np.float32]
    labels: Floats
    folds: NDArray[np.int64]
    owners: NDArray[np.int64]
    sums: FoldSums

    def errors(self, penalties: Floats) -> Floats:
        """Absolute error of each row by the ridge of the other folds, (n,)."""
        found = np.zeros(len(self.labels))
        for fold, solution in enumerate(self.sums.held_out(penalties[self.owners])):
            out = self.folds == fold
            found[out] = np.abs(self.labels[out] - solution.read(self.rows[out]))
        return found

    def best(self, penalties: Floats, at: int) -> Floats:
        """The penalties with the one of a block at its best."""
        tried = [np.where(np.arange(len(penalties)) == at, p, penalties) for p in PENALTIES]
        return min(tried, key=lambda one: self.sums.held_out_error(one[self.owners]))


def _mean(gains: Floats, authors: NDArray[np.int64]) -> tuple[float, float]:
    """Mean of the rows and its standard error, rows of an author counted together."""
    mean = float(gains.mean())
    _, author = np.unique(authors, return_inverse=True)
    sums = np.bincount(author.reshape(-1), weights=gains - mean)
    n = len(sums)
    if n < 2:
        return mean, float("inf")
    return mean, float(np.sqrt(n / (n - 1) * np.square(sums).sum()) / len(gains))
