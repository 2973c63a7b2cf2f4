"""A training that can be stopped: its curve, its best weights, and the file that keeps both."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from features.errors import FeatureError
from features.weights import load_weights, map_tensors, save_weights
from model.errors import BadCheckpoint
from model.network import Network
from model.targets import QuartileEdges, TargetTransform

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
