"""Training of one member of the modern ensemble on rows in a scratch file."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.blocks.encoder import Block
from model.modern.table import Floats32, RowFile
from model.modern.tower import ModernConfig, Tower
from model.quantiles import pinball
from model.training.loop import Limits, Training
from model.training.world import seeded

SEEN_AT_MOST = 5_000  # rows that stop a member: more tell it nothing new, and cost every epoch
SCORED_AT_ONCE = 512


@dataclass(frozen=True)
class Lesson:
    """What one member learns from: a file of rows, their targets, and which are for what.

    actual (n,) on the target's scale; learn, stop (n,) bool: rows that set its weights, and rows
    that tell when to stop.
    """

    rows: RowFile
    actual: NDArray[np.float64]
    learn: NDArray[np.bool_]
    stop: NDArray[np.bool_]


def train_tower(
    lesson: Lesson,
    blocks: Sequence[Block],
    config: ModernConfig,
    *,
    seed: int,
    progress: Callable[[str], None],
) -> Tower:
    """The weights of the epoch that did best on the rows to stop on; a function of the seed.

    Raises NotFinite where a loss is no number.
    """
    epochs = epochs_for(int(lesson.learn.sum()), config)
    with seeded(seed):
        tower = Tower(blocks, config)
        tower.learn_bins(lesson.rows.chosen(_some(lesson.learn, 20_000)))
        passes = _Passes(tower, lesson, config, seed, epochs)
        # No file to go on from: the rows are in a scratch file, which goes with its process.
        training = Training(tower, passes.optimiser, Limits(epochs, config.patience))
        training.run(passes, lambda report: progress(f"epoch {report.epoch}/{epochs}"))
        training.finish()
    return tower


def epochs_for(n: int, config: ModernConfig) -> int:
    """Epochs over n rows: as many as set, fewer where rows are many."""
    return min(config.epochs, max(config.min_epochs, config.visits // max(1, n)))


def quantiles_of(tower: Tower, rows: Floats32) -> Floats32:
    """(n, 7) of rows (n, columns and flags), without dropout."""
    tower.eval()
    with torch.inference_mode():
        parts = [
            tower(torch.from_numpy(rows[at : at + SCORED_AT_ONCE])).numpy()
            for at in range(0, len(rows), SCORED_AT_ONCE)
        ]
    return np.concatenate(parts) if parts else np.zeros((0, 7), np.float32)


class _Passes:
    def __init__(
        self, tower: Tower, lesson: Lesson, config: ModernConfig, seed: int, epochs: int
    ) -> None:
        self.tower, self.lesson, self.seed = tower, lesson, seed
        n = int(lesson.learn.sum())
        self.batch = _batch_for(n, config)
        self.optimiser = torch.optim.AdamW(_groups(tower, config), lr=config.lr, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.lr, epochs=epochs, steps_per_epoch=math.ceil(n / self.batch)
        )
        self.actual = torch.from_numpy(lesson.actual.astype(np.float32))
        self.stop_places = _some(lesson.stop, SEEN_AT_MOST)
        self.stop_rows = lesson.rows.chosen(self.stop_places)

    def learn(self, epoch: int) -> float:
        self.tower.train()
        total, n = 0.0, 0
        batches = self.lesson.rows.shuffled(self.lesson.learn, self.batch, self.seed * 1009 + epoch)
        for places, rows in batches:
            loss = pinball(self.tower(torch.from_numpy(rows)), self.actual[places])
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(self.tower.parameters(), 1.0)
            self.optimiser.step()
            self.schedule.step()
            total += float(loss.detach()) * len(places)
            n += len(places)
        return total / n

    def judge(self) -> float:
        said = torch.from_numpy(quantiles_of(self.tower, self.stop_rows))
        return float(pinball(said, self.actual[self.stop_places]))


def _batch_for(n: int, config: ModernConfig) -> int:
    # Where rows are many, four times the batch costs a third less time and no accuracy.
    return config.batch * (4 if n >= 5_000 else 1)


def _groups(tower: Tower, config: ModernConfig) -> list[dict[str, object]]:
    """Weight decay is for matrices: tokens, scales and offsets have no reason to be small."""
    matrices = [p for name, p in tower.named_parameters() if p.ndim == 2 and "." in name]
    held = {id(p) for p in matrices}
    rest = [p for p in tower.parameters() if id(p) not in held]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def _some(marked: NDArray[np.bool_], at_most: int) -> NDArray[np.int64]:
    """Places of the marked rows, evenly thinned out to so many."""
    places = np.flatnonzero(marked)
    if len(places) <= at_most:
        return places
    return places[np.linspace(0, len(places) - 1, at_most).astype(np.int64)]
