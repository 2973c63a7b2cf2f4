"""A training that can be stopped: its curve, its best weights, and the file that keeps both."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from features.errors import FeatureError
from features.weights import load_weights, save_weights
from model.errors import BadCheckpoint
from model.network import Network
from model.targets import TargetTransform

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
    """How far a training has come."""

    n_rows: int
    curve: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_loss(self) -> float:
        """Loss of the best epoch so far; infinite before the first."""
        return self.curve[self.best_epoch - 1].loss if self.best_epoch else float("inf")

    def add(self, report: EpochReport, network: Network) -> None:
        """Note an epoch, and its weights where they are the best so far."""
        better = report.loss < self.best_loss
        self.curve.append(report)
        if better:
            self.best_epoch = report.epoch
            self.best = {
                name: value.detach().cpu().clone() for name, value in network.state_dict().items()
            }


def save_state(
    path: Path,
    state: TrainingState,
    network: Network,
    optimiser: torch.optim.Optimizer,
    config: "DataclassInstance",
    target: TargetTransform,
) -> None:
    """Write everything the next epoch depends on, in one file, atomically."""
    tensors = {f"last.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in slots.items()}
    extra = {
        "curve": [asdict(report) for report in state.curve],
        "best_epoch": state.best_epoch,
        "set_up": _set_up(network, config, target, state.n_rows),
    }
    flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_weights(path, KIND, asdict(config), flat, extra)


def load_state(
    path: Path | None,
    network: Network,
    optimiser: torch.optim.Optimizer,
    config: "DataclassInstance",
    target: TargetTransform,
    *,
    n_rows: int,
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
    asked = _set_up(network, config, target, n_rows)
    found = held.extra.get("set_up")
    if held.kind != KIND or found != asked:
        raise BadCheckpoint(
            f"{path} is the {held.kind} of another training ({found}); this one is {asked}. "
            "Remove the file to start anew"
        )
    network.load_state_dict(_below(held.tensors, "last"))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(held.tensors, "optimiser").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    curve = [EpochReport(**report) for report in held.extra["curve"]]
    best = _below(held.tensors, "best")
    return TrainingState(n_rows, curve, int(held.extra["best_epoch"]), best)


def _set_up(
    network: Network, config: "DataclassInstance", target: TargetTransform, n_rows: int
) -> dict[str, Any]:
    settings = asdict(config)
    # How long a call may take says nothing about where the training is.
    settings.pop("max_minutes", None)
    return {
        "network": asdict(network.config),
        "fit": settings,
        "target": target.to_json(),
        "n_rows": n_rows,
    }


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
