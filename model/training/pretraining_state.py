"""How far a pretraining has come, and the file that keeps it between two processes."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from features.convlstm import ConvLstmAutoencoder
from features.weights import load_weights, save_weights

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHECKPOINT = "pretraining"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam keeps of each parameter


@dataclass(frozen=True)
class Epoch:
    """One epoch's mean squared error on the pixels' own scale (0..255 squared)."""

    number: int
    train_mse: float
    val_mse: float


@dataclass
class PretrainingState:
    """Everything a killed training needs to go on as if nothing had happened."""

    network: ConvLstmAutoencoder
    optimiser: torch.optim.Adam
    best: dict[str, Tensor] = field(default_factory=dict)
    best_val: float = math.inf
    best_epoch: int = 0
    curve: list[Epoch] = field(default_factory=list)

    def add(self, epoch: Epoch) -> None:
        """Note an epoch, and its weights where they are the best so far."""
        self.curve.append(epoch)
        if epoch.val_mse < self.best_val:
            self.best_val, self.best_epoch = epoch.val_mse, epoch.number
            weights = self.network.state_dict()
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


def identity(
    config: "DataclassInstance", train: Sequence[int], val: Sequence[int]
) -> dict[str, Any]:
    """What a checkpoint must have been made with to be gone on with; the machine is no part."""
    settings = asdict(config)
    settings.pop("device", None)
    clips = json.dumps([list(train), list(val)])
    return {**settings, "clips_sha256": hashlib.sha256(clips.encode()).hexdigest()}


def load_state(state: PretrainingState, settings: Mapping[str, Any], checkpoint: Path) -> None:
    """Put what the checkpoint holds into the state, if it is one of these settings.

    Raises WeightsMismatch for a file of another kind.
    """
    if not checkpoint.exists():
        return
    saved = load_weights(checkpoint, kind=CHECKPOINT)
    if saved.config != settings:
        return  # another training's leftovers under the same name are no start for this one
    state.network.load_state_dict(_group(saved.tensors, "last."))
    state.best = _group(saved.tensors, "best.")
    n_parameters = len(list(state.network.parameters()))
    moments = {
        index: {name: saved.tensors[f"adam.{index}.{name}"] for name in MOMENTS}
        for index in range(n_parameters)
    }
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.best_val, state.best_epoch = saved.extra["best_val"], saved.extra["best_epoch"]
    state.curve = [Epoch(**epoch) for epoch in saved.extra["curve"]]


def save_state(state: PretrainingState, settings: Mapping[str, Any], checkpoint: Path) -> None:
    """Write everything the next epoch depends on, in one file, whole or not at all."""
    tensors = {f"last.{name}": t for name, t in state.network.state_dict().items()}
    tensors |= {f"best.{name}": t for name, t in state.best.items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": t for name, t in moments.items()}
    extra = {
        "best_val": state.best_val,
        "best_epoch": state.best_epoch,
        "curve": [asdict(epoch) for epoch in state.curve],
    }
    save_weights(checkpoint, CHECKPOINT, settings, tensors, extra)


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
