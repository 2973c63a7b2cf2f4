"""Train the autoencoder on clips without labels (paper, section 3.1)."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.convlstm import KIND, ConvLstmAutoencoder, ConvLstmConfig, reconstruction_loss
from features.visual import pad
from features.weights import load_weights, save_weights
from model.batches import shuffled
from model.errors import BadSetting, NotFinite, NothingToTrain

CHECKPOINT = "pretraining"
ReadClip = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class PretrainConfig:
    """How the autoencoder is trained. Every default but `patience` is the paper's (Table II).

    patience: stop after so many epochs without a better validation loss; None: never.
    """

    hidden: int = 64
    epochs: int = 200
    batch: int = 4
    lr: float = 1e-4
    patience: int | None = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        patience = 1 if self.patience is None else self.patience
        if min(self.hidden, self.epochs, self.batch, patience) < 1 or not self.lr > 0:
            raise BadSetting(f"hidden, epochs, batch, lr and patience must be above 0: {self}")


@dataclass(frozen=True)
class Epoch:
    """One epoch's mean squared error on the pixels' own scale (0..255 squared)."""

    number: int
    train_mse: float
    val_mse: float


@dataclass
class _State:
    """Everything a killed training needs to go on as if nothing had happened."""

    network: ConvLstmAutoencoder
    optimiser: torch.optim.Adam
    best: dict[str, Tensor]
    best_val: float = math.inf
    best_epoch: int = 0
    curve: list[Epoch] = field(default_factory=list)


def pretrain(
    read_clip: ReadClip,
    train: Sequence[int],
    val: Sequence[int],
    config: PretrainConfig,
    *,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
) -> tuple[ConvLstmAutoencoder, list[Epoch]]:
    """Train, and return the network of the epoch with the lowest validation loss, and the curve.

    read_clip: gives clip i as (3, D, H, W) uint8; called again every epoch, so that memory does
    not grow with their number. checkpoint: written after each epoch; when it is there and was made
    with the same settings and indices, training goes on behind its last epoch and gives the same
    curve as an undisturbed run. It cannot tell whether clip i is still the same clip: name it
    after what the clips are. on_epoch is told every epoch, those of the checkpoint too.
    Raises NotFinite, NothingToTrain, BadSetting.
    """
    if not train or not val:
        raise NothingToTrain(
            f"{len(train)} clips to train on and {len(val)} to validate, both must be 1 or more"
        )
    settings = _settings(config, train, val)
    state = _resume(config, settings, checkpoint)
    for epoch in state.curve:
        on_epoch(epoch)
    while not _is_finished(state, config):
        number = len(state.curve) + 1
        order = [train[i] for i in shuffled(len(train), seed=config.seed, epoch=number)]
        epoch = Epoch(
            number,
            train_mse=_run(state, read_clip, order, config, learn=True),
            val_mse=_run(state, read_clip, val, config, learn=False),
        )
        state.curve.append(epoch)
        if epoch.val_mse < state.best_val:
            state.best_val, state.best_epoch = epoch.val_mse, number
            state.best = {n: t.detach().clone() for n, t in state.network.state_dict().items()}
        _save(state, settings, checkpoint)
        on_epoch(epoch)
    state.network.load_state_dict(state.best)
    return state.network.eval(), state.curve


def save_autoencoder(path: Path, network: ConvLstmAutoencoder, extra: Mapping[str, Any]) -> str:
    """Write the network as a weights file that `extract visual` reads; return its sha256."""
    return save_weights(path, KIND, asdict(network.config), network.state_dict(), extra)


def _is_finished(state: _State, config: PretrainConfig) -> bool:
    n_done = len(state.curve)
    is_stale = config.patience is not None and n_done - state.best_epoch >= config.patience
    return n_done >= config.epochs or (n_done > 0 and is_stale)


def _run(
    state: _State, read_clip: ReadClip, order: Sequence[int], config: PretrainConfig, *, learn: bool
) -> float:
    """One pass over the clips; returns the mean squared error, each frame counting the same."""
    total, n_frames, network = 0.0, 0, state.network.train(learn)
    for clips in _batches(read_clip, order, config.batch):
        padded, lengths = pad(clips, network.config)
        with torch.set_grad_enabled(learn):
            _embedding, reconstruction = network(padded, lengths)
            loss = reconstruction_loss(reconstruction, padded, lengths)
        if not bool(torch.isfinite(loss)):
            raise NotFinite(
                f"the autoencoder's loss became {loss.item()} in epoch {len(state.curve) + 1}; "
                f"lower lr {config.lr}"
            )
        if learn:
            state.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            state.optimiser.step()
        # By frames, not by batches: what a clip weighs must not depend on its neighbours.
        total += loss.item() * int(lengths.sum())
        n_frames += int(lengths.sum())
    return total / n_frames


def _batches(
    read_clip: ReadClip, order: Sequence[int], batch: int
) -> Iterator[list[NDArray[np.uint8]]]:
    for start in range(0, len(order), batch):
        yield [read_clip(index) for index in order[start : start + batch]]


def _settings(config: PretrainConfig, train: Sequence[int], val: Sequence[int]) -> dict[str, Any]:
    """What a checkpoint must have been made with to be gone on with."""
    clips = json.dumps([list(train), list(val)])
    return {**asdict(config), "clips_sha256": hashlib.sha256(clips.encode()).hexdigest()}


def _resume(config: PretrainConfig, settings: Mapping[str, Any], checkpoint: Path) -> _State:
    # Forked, so that building a network here leaves the caller's random numbers as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = ConvLstmAutoencoder(ConvLstmConfig(hidden=config.hidden))
    optimiser = torch.optim.Adam(network.parameters(), lr=config.lr)
    state = _State(network, optimiser, best=network.state_dict())
    if not checkpoint.exists():
        return state
    saved = load_weights(checkpoint, kind=CHECKPOINT)
    if saved.config != settings:
        return state  # another training's leftovers under the same name are no start for this one
    network.load_state_dict(_group(saved.tensors, "last."))
    state.best = _group(saved.tensors, "best.")
    moments = saved.tensors
    optimiser.load_state_dict(
        {
            "state": {
                index: {
                    name: moments[f"adam.{index}.{name}"]
                    for name in ("step", "exp_avg", "exp_avg_sq")
                }
                for index in range(len(list(network.parameters())))
            },
            "param_groups": optimiser.state_dict()["param_groups"],
        }
    )
    state.best_val, state.best_epoch = saved.extra["best_val"], saved.extra["best_epoch"]
    state.curve = [Epoch(**epoch) for epoch in saved.extra["curve"]]
    return state


def _save(state: _State, settings: Mapping[str, Any], checkpoint: Path) -> None:
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
