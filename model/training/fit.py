"""Training of a network by gradient."""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from features.device import resolve
from features.errors import FeatureError
from features.weights import load_weights, map_tensors, save_weights
from model.base import Network
from model.batches import Batch, Dataset, batches, shuffled
from model.errors import BadCheckpoint, BadSetting, NotFinite, NothingToTrain
from model.quantiles import pinball
from model.targets import QuartileEdges, TargetTransform
from model.training.world import Precision, World

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(__name__)


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


KIND = "training_state"


@dataclass(frozen=True)
class EpochReport:
    """Losses of one epoch on the target's scale; val_loss is None where nothing validates."""

    epoch: int
    train_loss: float
    val_loss: float | None
    seconds: float

    @property
    def loss(self) -> float:
        """What decides which epoch is best."""
        return self.train_loss if self.val_loss is None else self.val_loss


@dataclass
class TrainingState:
    """How far a training has come.

    best: weights of the best epoch, in memory or mapped from the state's file; empty while the
    network itself has them.
    """

    curve: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_loss(self) -> float:
        """Loss of the best epoch so far; infinite before the first."""
        return self.curve[self.best_epoch - 1].loss if self.best_epoch else float("inf")

    @property
    def is_last_best(self) -> bool:
        """Whether no epoch was better than the last one."""
        return self.best_epoch == len(self.curve)

    def add(self, report: EpochReport) -> None:
        """Note an epoch. Its weights are kept by `copy_if_best` or by `save_state`."""
        better = report.loss < self.best_loss
        self.curve.append(report)
        if better or not self.best_epoch:
            self.best_epoch = report.epoch

    def copy_if_best(self, network: Network) -> None:
        """Keep a copy of the network's weights in memory where its last epoch is the best."""
        if self.is_last_best:
            self.best = {
                name: value.detach().cpu().clone() for name, value in network.state_dict().items()
            }


def save_state(
    path: Path,
    state: TrainingState,
    network: Network,
    optimiser: torch.optim.Optimizer,
    set_up: Mapping[str, Any],
) -> None:
    """Write everything the next epoch depends on, in one file, atomically.

    Copies nothing in memory: the best weights go from file to file, and afterwards the state has
    them from the new one.
    """
    tensors = {f"last.{name}": value for name, value in network.state_dict().items()}
    if not state.is_last_best:
        tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in slots.items()}
    extra = {
        "curve": [asdict(report) for report in state.curve],
        "best_epoch": state.best_epoch,
        "set_up": set_up,
    }
    save_weights(path, KIND, {}, tensors, extra)
    state.best = _best(map_tensors(path), state)


def load_state(
    path: Path | None,
    network: Network,
    optimiser: torch.optim.Optimizer,
    set_up: Mapping[str, Any],
) -> TrainingState | None:
    """State to go on from, put into network and optimiser; None where no file is.

    Raises BadCheckpoint where the file belongs to a training of another set-up.
    """
    if path is None or not path.exists():
        return None
    try:
        held = load_weights(path)
    except FeatureError as error:
        raise BadCheckpoint(f"{path} holds no training state: {error}") from error
    found = held.extra.get("set_up")
    if held.kind != KIND or found != set_up:
        raise BadCheckpoint(
            f"{path} is the {held.kind} of another training ({found}); this one is {set_up}. "
            "Remove the file to start anew"
        )
    network.load_state_dict(_below(held.tensors, "last"))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(held.tensors, "optimiser").items():
        index, slot = name.split(".", 1)
        # Copied: the optimiser changes them where they are, and this file will be replaced.
        slots.setdefault(int(index), {})[slot] = value.clone()
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    curve = [EpochReport(**report) for report in held.extra["curve"]]
    state = TrainingState(curve, int(held.extra["best_epoch"]))
    state.best = _best(held.tensors, state)
    return state


def set_up_of(
    network: Network,
    config: "DataclassInstance",
    target: TargetTransform,
    edges: QuartileEdges | None,
    *,
    n_rows: int,
) -> dict[str, Any]:
    """What a training's state must have been made with to be gone on with, as JSON has it."""
    settings = asdict(config)
    # How long a call may take, and where, says nothing about where the training is.
    for name in ("max_minutes", "device"):
        settings.pop(name, None)
    document = {
        "network": asdict(network.config),
        "fit": settings,
        "target": target.to_json(),
        "edges": None if edges is None else edges.to_json(),
        "n_rows": n_rows,
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))  # tuples become lists
    return plain


def _best(tensors: Mapping[str, Tensor], state: TrainingState) -> dict[str, Tensor]:
    return _below(tensors, "last" if state.is_last_best else "best")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }


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
    device = torch.device(resolve(config.device))
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
