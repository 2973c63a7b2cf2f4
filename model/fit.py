"""Training of a network, and scoring with it one row at a time."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from model.batches import Batch, Dataset, Example, batches, collate, shuffled
from model.errors import BadSetting, NotFinite, NothingToTrain
from model.network import Network
from model.targets import TargetTransform
from model.training_state import EpochReport, TrainingState, load_state, save_state

log = logging.getLogger(__name__)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.smooth_l1_loss,
}
OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@dataclass(frozen=True)
class FitConfig:
    """How to train. The defaults are those of `registry.PRESETS["default"]`, which learn.

    epochs: at most. patience: epochs without a better validation loss before stopping (None:
    never). max_minutes: of wall time for one call, checked after each epoch (None: no limit).
    clip_norm: of the whole gradient (None: not cut). warmup_epochs: linear rise to `lr`.
    decay: "cosine" falls to zero at the last epoch, "none" stays.
    """

    epochs: int = 20
    batch: int = 8
    lr: float = 3e-5  # measured on 50 videos: from 3e-4 on it learns the rows, not the rule
    weight_decay: float = 0.05
    optimiser: Literal["adam", "adamw"] = "adamw"
    loss: Literal["mse", "mae", "huber"] = "huber"
    seed: int = 0
    patience: int | None = 6
    max_minutes: float | None = None
    clip_norm: float | None = 1.0
    warmup_epochs: float = 2.0
    decay: Literal["none", "cosine"] = "cosine"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise BadSetting(f"epochs {self.epochs} and batch {self.batch} must be 1 or more")
        if not (self.lr > 0 and self.weight_decay >= 0):
            raise BadSetting(f"lr {self.lr} must be above 0, weight_decay {self.weight_decay} not")
        if self.loss not in LOSSES or self.optimiser not in OPTIMISERS:
            raise BadSetting(
                f"loss {self.loss!r} must be one of {', '.join(LOSSES)} and "
                f"optimiser {self.optimiser!r} one of {', '.join(OPTIMISERS)}"
            )
        if self.decay not in ("none", "cosine"):
            raise BadSetting(f"decay {self.decay!r} must be 'none' or 'cosine'")

    def lr_at(self, epoch: float) -> float:
        """Learning rate after `epoch` epochs, a fraction counts the steps inside one."""
        rise = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs > 0 else 1.0
        if self.decay == "none":
            return self.lr * rise
        return self.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs)))


@dataclass(frozen=True)
class FitResult:
    """What training left: the best weights are already in the network that was passed in."""

    best_epoch: int
    best_loss: float
    curve: tuple[EpochReport, ...]
    stopped: Literal["epochs", "patience", "minutes"]


def fit(
    network: Network,
    train: Dataset[Any],
    val: Dataset[Any],
    config: FitConfig,
    target: TargetTransform,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    device: torch.device | str = "cpu",
    state_file: Path | None = None,
) -> FitResult:
    """Train in place and leave the best epoch's weights in the network, in eval mode.

    Best is the lowest validation loss, or training loss where `val` is empty. With a
    `state_file` every epoch is kept there, and a call that finds one goes on from it along the
    same curve. Raises NothingToTrain, NotFinite (loss), BadCheckpoint (state of another set-up).
    """
    if len(train) == 0:
        raise NothingToTrain("the train part has no row; training needs at least 1")
    network.to(device)
    optimiser = OPTIMISERS[config.optimiser](
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    session = _Session(network, optimiser, config, target, torch.device(device))
    state = load_state(state_file, network, optimiser, config, target, n_rows=len(train))
    if state is None:
        network.prepare(batches(train, network.shapes, config.batch))
        state = TrainingState(n_rows=len(train))
    began = time.monotonic()
    while (stopped := _stop(state, config, began)) is None:
        epoch = len(state.curve) + 1
        epoch_began = time.monotonic()
        train_loss = session.learn(train, epoch)
        val_loss = session.judge(val) if len(val) else None
        report = EpochReport(epoch, train_loss, val_loss, time.monotonic() - epoch_began)
        state.add(report, network)
        log.info("epoch %s of %s: train %s, val %s", epoch, config.epochs, train_loss, val_loss)
        if state_file is not None:
            save_state(state_file, state, network, optimiser, config, target)
        if on_epoch is not None:
            on_epoch(report)
    network.load_state_dict(state.best)
    network.eval()
    return FitResult(state.best_epoch, state.best_loss, tuple(state.curve), stopped)


class Scorer:
    """Score of one row at a time, so that it cannot depend on the rows beside it.

    Matrix products of another height add up in another order: scored together, the last digits
    of a row move with the size of its batch. A row is already 64 tokens high, and one by one
    costs about a quarter more time on a CPU.
    """

    def __init__(
        self, network: Network, target: TargetTransform, device: torch.device | str = "cpu"
    ) -> None:
        self.network = network.to(device).eval()
        self.target = target
        self.device = device

    def __call__(self, example: Example) -> float:
        """Predicted thousands of views, 0 or more.

        Raises IncompatibleFeatures or NotFinite, which concern this row and no other.
        """
        self.network.eval()  # whoever trained it further may have left dropout on
        with torch.inference_mode():
            scaled = self.network(collate([example], self.network.shapes).to(self.device))
        views_k = float(self.target.score(scaled.double().cpu().numpy())[0])
        if not math.isfinite(views_k):
            raise NotFinite(f"score of video {example.video_id} is {views_k}, not a number")
        return views_k


def predict(
    network: Network,
    dataset: Dataset[Any],
    target: TargetTransform,
    *,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[int, float]]:
    """(video_id, predicted_k) of each row, in order; raises at the first row that has no score.

    A caller that wants the others to go on calls a `Scorer` row by row.
    """
    scorer = Scorer(network, target, device)
    for example in dataset:
        yield example.video_id, scorer(example)


@dataclass
class _Session:
    network: Network
    optimiser: torch.optim.Optimizer
    config: FitConfig
    target: TargetTransform
    device: torch.device

    def learn(self, train: Dataset[Any], epoch: int) -> float:
        """One epoch of steps; mean loss over its rows."""
        self.network.train()
        order = shuffled(len(train), seed=self.config.seed, epoch=epoch)
        n_steps = math.ceil(len(order) / self.config.batch)
        total = 0.0
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            # Dropout is a function of seed and epoch, so a resumed run draws the same.
            torch.manual_seed(self.config.seed * 1_000_003 + epoch)
            stream = batches(train, self.network.shapes, self.config.batch, order)
            for step, batch in enumerate(stream):
                lr = self.config.lr_at(epoch - 1 + (step + 1) / n_steps)
                for group in self.optimiser.param_groups:
                    group["lr"] = lr
                self.optimiser.zero_grad(set_to_none=True)
                loss = self._loss(batch, f"epoch {epoch}")
                loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
                if self.config.clip_norm is not None:
                    nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
                self.optimiser.step()
                total += float(loss.detach()) * len(batch)
        return total / len(order)

    def judge(self, val: Dataset[Any]) -> float:
        """Mean loss over the rows of `val`, without dropout."""
        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for batch in batches(val, self.network.shapes, self.config.batch):
                total += float(self._loss(batch, "validation")) * len(batch)
        return total / len(val)

    def _loss(self, batch: Batch, when: str) -> Tensor:
        if batch.views_k is None:
            raise NothingToTrain(f"a row among videos {batch.video_ids} has no view count")
        wanted = torch.from_numpy(np.asarray(self.target.apply(batch.views_k.numpy())))
        predicted = self.network(batch.to(self.device))
        loss = LOSSES[self.config.loss](predicted, wanted.to(predicted))
        if not bool(torch.isfinite(loss)):
            raise NotFinite(
                f"loss is {float(loss.detach())} in {when} for videos {batch.video_ids}; "
                "a lower learning rate or a standardised target keeps it finite"
            )
        return loss


def _stop(
    state: TrainingState, config: FitConfig, began: float
) -> Literal["epochs", "patience", "minutes"] | None:
    done = len(state.curve)
    if done >= config.epochs:
        return "epochs"
    if done == 0:
        return None
    if config.patience is not None and done - state.best_epoch >= config.patience:
        return "patience"
    if config.max_minutes is not None and time.monotonic() - began >= 60 * config.max_minutes:
        return "minutes"
    return None
