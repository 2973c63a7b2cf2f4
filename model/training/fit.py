"""Fitting a network to labelled rows: losses, learning rate, and the two passes of an epoch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from features.device import resolve
from model.base import Network
from model.batches import Batch, IndexedRows, batches, shuffled
from model.errors import BadSetting, NothingToTrain
from model.quantiles import pinball
from model.settings import Precision
from model.targets import QuartileEdges, TargetTransform
from model.training.loop import EpochReport, Limits, StateFile, Stopped, Training, require_finite
from model.training.world import World, seeded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Loss = Literal["mse", "mae", "huber", "pinball", "cross_entropy"]
CLASS_LOSS: Loss = "cross_entropy"

#: Predicted and wanted, both (B,), to their mean loss.
REGRESSION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.smooth_l1_loss,
}
LOSSES: tuple[str, ...] = (*REGRESSION_LOSSES, "pinball", CLASS_LOSS)


def loss_of(name: Loss, *, tau: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of that name; of classes it takes scores (B, 4) and quarters (B,) int64."""
    if name == CLASS_LOSS:
        return nn.functional.cross_entropy
    return partial(pinball, tau=tau) if name == "pinball" else REGRESSION_LOSSES[name]


OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "optimiser": tuple(OPTIMISERS),
    "loss": LOSSES,
    "keep": ("best", "last"),
    "decay": ("none", "cosine"),
    "lr_every": ("step", "epoch"),
    "precision": ("auto", "fp32", "bf16"),
}


@dataclass(frozen=True)
class FitConfig:
    """How to train. The defaults are those of `registry.PRESETS["fused"]`, which learn.

    epochs: at most. patience: epochs without a better validation loss before stopping (None:
    never). max_minutes: of wall time for one call, checked after each epoch (None: no limit).
    keep: whose weights the network has in the end.
    loss: cross_entropy is a classifier's. tau: of pinball, the share of rows below a prediction.
    clip_norm: of the whole gradient (None: not cut). warmup_epochs: linear rise to `lr` from
    `warmup_from` times it. decay: "cosine" falls to zero at the last epoch, "none" stays.
    lr_every: whether the rate moves with each step, or stays for an epoch.
    precision: of the products, the weights are always fp32; "auto" is bf16 where the device
    computes in it, and then other numbers on another machine. device: where; changes nothing but
    rounding.
    """

    epochs: int = 20
    batch: int = 8
    lr: float = 3e-5  # measured on 50 videos: from 3e-4 on it learns the rows, not the rule
    weight_decay: float = 0.05
    optimiser: Literal["adam", "adamw"] = "adamw"
    loss: Loss = "huber"
    tau: float = 0.5
    seed: int = 0
    patience: int | None = 6
    max_minutes: float | None = None
    keep: Literal["best", "last"] = "best"
    clip_norm: float | None = 1.0
    warmup_epochs: float = 2.0
    warmup_from: float = 0.0
    decay: Literal["none", "cosine"] = "cosine"
    lr_every: Literal["step", "epoch"] = "step"
    precision: Precision = "fp32"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise BadSetting(f"epochs {self.epochs} and batch {self.batch} must be 1 or more")
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf):
            raise BadSetting(
                f"lr {self.lr} must be a number above 0, weight_decay {self.weight_decay} one of 0 "
                "or more"
            )
        if self.max_minutes is not None and not self.max_minutes >= 0:
            raise BadSetting(f"max_minutes {self.max_minutes} must be 0 or more, or None")
        if self.patience is not None and self.patience < 1:
            raise BadSetting(f"patience {self.patience} must be 1 or more, or None")
        if not (0 < self.tau < 1 and 0 <= self.warmup_from <= 1 and self.warmup_epochs >= 0):
            raise BadSetting(
                f"tau {self.tau} must be in (0, 1), warmup_from {self.warmup_from} in [0, 1], "
                f"warmup_epochs {self.warmup_epochs} 0 or more"
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise BadSetting(f"clip_norm {self.clip_norm} must be above 0, or None")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise BadSetting(f"{name} {value!r} must be one of {', '.join(choices)}")

    def lr_at(self, epoch: float) -> float:
        """Learning rate after `epoch` epochs, a fraction counts the steps inside one."""
        rise = 1.0
        if self.warmup_epochs > 0:
            begun = min(1.0, epoch / self.warmup_epochs)
            rise = self.warmup_from + (1 - self.warmup_from) * begun
        if self.decay == "none":
            return self.lr * rise
        return self.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs)))


def set_up_of(
    network: Network,
    config: "DataclassInstance",
    target: TargetTransform,
    edges: QuartileEdges | None,
    *,
    n_rows: int,
) -> dict[str, Any]:
    """What a training's state must have been made with to be gone on with."""
    settings = asdict(config)
    # How long a call may take, and where, says nothing about where the training is.
    for name in ("max_minutes", "device"):
        settings.pop(name, None)
    return {
        "network": asdict(network.config),
        "fit": settings,
        "target": target.to_json(),
        "edges": None if edges is None else edges.to_json(),
        "n_rows": n_rows,
    }


@dataclass(frozen=True)
class FitResult:
    """What training left; the weights are already in the network that was passed in."""

    best_epoch: int
    best_loss: float
    curve: tuple[EpochReport, ...]
    stopped: Stopped


def fit(
    network: Network,
    train: IndexedRows,
    val: IndexedRows,
    config: FitConfig,
    target: TargetTransform,
    *,
    edges: QuartileEdges | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda _report: None,
    state_file: Path | None = None,
) -> FitResult:
    """Train in place and leave the best epoch's weights in the network, in eval mode, on the CPU.

    Best is the lowest validation loss, or training loss where `val` is empty. edges: of the
    quarters that a classifier learns. With a `state_file` every epoch is kept there, the best
    weights too and not in memory, and a call that finds one goes on from it along the same curve.
    Raises NothingToTrain, NotFinite (loss), BadSetting, BadCheckpoint (a file that is no state).
    """
    if len(train) == 0:
        raise NothingToTrain("the train part has no row; training needs at least 1")
    world = World(torch.device(resolve(config.device)))
    wanted = _Wanted(config, target, edges)
    network.to(world.device)
    optimiser = OPTIMISERS[config.optimiser](
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    set_up = set_up_of(network, config, target, edges, n_rows=len(train))
    training = Training(
        network,
        optimiser,
        Limits(config.epochs, config.patience, config.max_minutes),
        state_file=None if state_file is None else StateFile(state_file, set_up),
    )
    if not training.resume():
        network.prepare(batches(train, network.shapes, config.batch))
        network.to(world.device)
    stopped = training.run(_Passes(network, optimiser, train, val, wanted, world), on_epoch)
    training.finish(keep=config.keep)
    return FitResult(training.best_epoch, training.best_loss, tuple(training.curve), stopped)


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


@dataclass(frozen=True)
class _Passes:
    network: Network
    optimiser: torch.optim.Optimizer
    train: IndexedRows
    val: IndexedRows
    wanted: _Wanted
    world: World

    def learn(self, epoch: int) -> float:
        config = self.wanted.config
        self.network.train()
        order = shuffled(len(self.train), seed=config.seed, epoch=epoch)
        n_steps = math.ceil(len(order) / config.batch)
        total = 0.0
        with seeded(config.seed * 1_000_003 + epoch, self.world.device):  # dropout
            stream = batches(self.train, self.network.shapes, config.batch, order)
            for step, batch in enumerate(stream):
                within = (step + 1) / n_steps if config.lr_every == "step" else 0.0
                lr = config.lr_at(epoch - 1 + within)
                for group in self.optimiser.param_groups:
                    group["lr"] = lr
                self.optimiser.zero_grad(set_to_none=True)
                loss = self._loss(batch, f"epoch {epoch}")
                loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
                if config.clip_norm is not None:
                    nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
                self.optimiser.step()
                total += float(loss.detach()) * len(batch)
        return total / len(order)

    def judge(self) -> float | None:
        if not len(self.val):
            return None
        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for batch in batches(self.val, self.network.shapes, self.wanted.config.batch):
                total += float(self._loss(batch, "validation")) * len(batch)
        return total / len(self.val)

    def _loss(self, batch: Batch, when: str) -> Tensor:
        if batch.views_k is None:
            raise NothingToTrain(f"a row among videos {batch.video_ids} has no view count")
        with self.world.computing(self.wanted.config.precision):
            predicted = self.network(batch.to(self.world.device))
        loss = self.wanted.loss(predicted, batch.views_k)
        require_finite(
            float(loss.detach()),
            f"{when} for videos {batch.video_ids}",
            "a lower learning rate or a standardised target keeps it finite",
        )
        return loss
