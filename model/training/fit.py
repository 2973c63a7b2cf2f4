"""Training of a network by gradient."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from model.batches import Batch, Dataset, batches, shuffled
from model.errors import BadSetting, NotFinite, NothingToTrain
from model.network import Network
from model.targets import QuartileEdges, TargetTransform
from model.training.fit_config import OPTIMISERS, FitConfig
from model.training.losses import CLASS_LOSS, loss_of
from model.training.training_state import (
    EpochReport,
    TrainingState,
    load_state,
    save_state,
    set_up_of,
)
from model.training.world import Device, World

__all__ = ["FitConfig", "FitResult", "fit"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """What training left; the weights are already in the network that was passed in."""

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
    edges: QuartileEdges | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    state_file: Path | None = None,
) -> FitResult:
    """Train in place and leave the best epoch's weights in the network, in eval mode, on the CPU.

    Best is the lowest validation loss, or training loss where `val` is empty. edges: of the
    quarters that a classifier learns. With a `state_file` every epoch is kept there, the best
    weights too and not in memory, and a call that finds one goes on from it along the same curve.
    Raises NothingToTrain, NotFinite (loss), BadSetting, BadCheckpoint (state of another set-up).
    """
    if len(train) == 0:
        raise NothingToTrain("the train part has no row; training needs at least 1")
    device = _device(config.device)
    wanted = _Wanted(config, target, edges)
    network.to(device)
    optimiser = OPTIMISERS[config.optimiser](
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    session = _Session(network, optimiser, config, wanted, World(device))
    set_up = set_up_of(network, config, target, edges, n_rows=len(train))
    state = load_state(state_file, network, optimiser, set_up)
    if state is None:
        network.prepare(batches(train, network.shapes, config.batch))
        network.to(device)
        state = TrainingState()
    began = time.monotonic()
    while (stopped := _stop(state, config, began)) is None:
        epoch = len(state.curve) + 1
        epoch_began = time.monotonic()
        train_loss = session.learn(train, epoch)
        val_loss = session.judge(val) if len(val) else None
        report = EpochReport(epoch, train_loss, val_loss, time.monotonic() - epoch_began)
        log.info("epoch %s of %s: train %s, val %s", epoch, config.epochs, train_loss, val_loss)
        state.add(report)
        if state_file is None:
            state.copy_if_best(network)
        else:
            save_state(state_file, state, network, optimiser, set_up)
        if on_epoch is not None:
            on_epoch(report)
    # Before the best weights come in: of a large network these three do not fit side by side.
    optimiser.zero_grad(set_to_none=True)
    optimiser.state.clear()
    if config.keep == "best" and not state.is_last_best:
        network.load_state_dict(state.best)
    network.cpu().eval()
    return FitResult(state.best_epoch, state.best_loss, tuple(state.curve), stopped)


@dataclass(frozen=True)
class _Wanted:
    """What the network shall say of rows, and how far from it what it says is."""

    config: FitConfig
    target: TargetTransform
    edges: QuartileEdges | None

    def __post_init__(self) -> None:
        if self.config.loss == CLASS_LOSS and self.edges is None:
            raise BadSetting(f"loss {CLASS_LOSS} needs the edges of the quarters")

    def loss(self, predicted: Tensor, views_k: Tensor) -> Tensor:
        """Mean loss of the rows; BadSetting where the network says what the loss is not of."""
        if (predicted.ndim == 2) != (self.config.loss == CLASS_LOSS):
            raise BadSetting(
                f"loss {self.config.loss} is not for a network that gives "
                f"{tuple(predicted.shape)}: {CLASS_LOSS} is for classes, the others for one number"
            )
        loss = loss_of(self.config.loss, tau=self.config.tau)
        predicted = predicted.float()
        if self.config.loss == CLASS_LOSS:
            assert self.edges is not None
            quarters = torch.from_numpy(self.edges.classify(views_k.cpu().numpy()))
            return loss(predicted, quarters.to(predicted.device))
        scaled = torch.from_numpy(np.asarray(self.target.apply(views_k.cpu().numpy())))
        return loss(predicted, scaled.to(predicted))


@dataclass
class _Session:
    network: Network
    optimiser: torch.optim.Optimizer
    config: FitConfig
    wanted: _Wanted
    world: World

    def learn(self, train: Dataset[Any], epoch: int) -> float:
        """One epoch of steps; mean loss over its rows."""
        self.network.train()
        order = shuffled(len(train), seed=self.config.seed, epoch=epoch)
        n_steps = math.ceil(len(order) / self.config.batch)
        total = 0.0
        device = self.world.device
        gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            # Dropout is a function of seed and epoch, so a resumed run draws the same.
            torch.manual_seed(self.config.seed * 1_000_003 + epoch)
            stream = batches(train, self.network.shapes, self.config.batch, order)
            for step, batch in enumerate(stream):
                within = (step + 1) / n_steps if self.config.lr_every == "step" else 0.0
                lr = self.config.lr_at(epoch - 1 + within)
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
        with self.world.computing(self.config.precision):
            predicted = self.network(batch.to(self.world.device))
        loss = self.wanted.loss(predicted, batch.views_k)
        if not bool(torch.isfinite(loss)):
            raise NotFinite(
                f"loss is {float(loss.detach())} in {when} for videos {batch.video_ids}; "
                "a lower learning rate or a standardised target keeps it finite"
            )
        return loss


def _device(asked: Device) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        raise BadSetting("device cuda: torch finds no GPU; set device to auto or cpu")
    return torch.device("cuda" if has_gpu and asked != "cpu" else "cpu")


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
