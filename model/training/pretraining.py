"""Train the autoencoder on clips without labels (paper, section 3.1)."""

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from catalog.files import sha256_text
from features.video.convlstm import (
    KIND,
    ConvLstmAutoencoder,
    ConvLstmConfig,
    reconstruction_loss,
)
from features.video.visual import pad
from features.weights import load_weights, save_weights
from model.batches import shuffled
from model.errors import NotFinite, NothingToTrain
from model.settings import PretrainConfig
from model.training.world import World

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
    return {**settings, "clips_sha256": sha256_text(clips)}


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


ReadClip = Callable[[int], NDArray[np.uint8]]
PIXEL_MAX = 255


@dataclass(frozen=True)
class Pretrained:
    """What a training left: the networks of its best and its last epoch, in eval mode, on the CPU.

    Without a train clip and an epoch there is none, so `curve` is never empty.
    """

    best: ConvLstmAutoencoder
    last: ConvLstmAutoencoder
    curve: tuple[Epoch, ...]

    @property
    def best_epoch(self) -> Epoch:
        """The first epoch of the lowest validation loss."""
        return min(self.curve, key=lambda epoch: epoch.val_mse)


def pretrain(
    read_clip: ReadClip,
    train: Sequence[int],
    val: Sequence[int],
    config: PretrainConfig,
    *,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
    on_network: Callable[[int, ConvLstmAutoencoder], None] | None = None,
    world: World | None = None,
) -> Pretrained:
    """Train on clips (3, D, H, W) of any length and keep the best and the last epoch.

    Every epoch is kept in `checkpoint`; a call that finds one of the same settings and clips goes
    on from it along the same curve. on_epoch hears of each epoch, those of an earlier call too;
    on_network sees the network after each new one and leaves it as it is. In a world of several
    processes each calls this, and only the first writes and tells.
    Raises NothingToTrain, NotFinite (the last good checkpoint stays).
    """
    if not train or not val:
        raise NothingToTrain(
            f"{len(train)} clips to train on and {len(val)} to validate, both must be 1 or more"
        )
    world = world or World()
    settings = identity(config, train, val)
    state = _start(config, world)
    load_state(state, settings, checkpoint)
    session = _Session(state, read_clip, config, world)
    world.wait()  # all have read the checkpoint before one writes the next
    if world.rank == 0:
        for epoch in state.curve:
            on_epoch(epoch)
    while not _is_finished(state, config):
        number = len(state.curve) + 1
        order = [train[i] for i in shuffled(len(train), seed=config.seed, epoch=number)]
        train_mse = session.run(order, learn=True)
        epoch = Epoch(number, train_mse, val_mse=session.run(val, learn=False))
        state.add(epoch)
        if world.rank == 0:
            save_state(state, settings, checkpoint)
            on_epoch(epoch)
            if on_network is not None:
                on_network(number, state.network.eval())
    last = state.network.cpu().eval()
    best = copy.deepcopy(last)  # a new one would draw random numbers
    best.load_state_dict(state.best)
    return Pretrained(best, last, tuple(state.curve))


def save_autoencoder(path: Path, network: ConvLstmAutoencoder, extra: Mapping[str, Any]) -> str:
    """Write the network as a weights file that `extract visual` reads; return its sha256."""
    return save_weights(path, KIND, asdict(network.config), network.state_dict(), extra)


@dataclass(frozen=True)
class _Session:
    state: PretrainingState
    read_clip: ReadClip
    config: PretrainConfig
    world: World

    def run(self, order: Sequence[int], *, learn: bool) -> float:
        """One pass over the clips; returns the mean squared error, each frame counting the same."""
        network = self.state.network.train(learn)
        total, n_frames = 0.0, 0
        with torch.set_grad_enabled(learn):
            for clips in self._batches(order):
                squared, n = self._step(network, clips, learn=learn)
                total += squared
                n_frames += n
        # By frames, not by batches: what a clip weighs must not depend on its neighbours.
        return total / n_frames * (PIXEL_MAX**2 if self.config.normalised else 1)

    def _step(
        self, network: ConvLstmAutoencoder, clips: list[NDArray[np.uint8]], *, learn: bool
    ) -> tuple[float, int]:
        """Sum of the frames' squared errors and their number, over all processes."""
        device = self.world.device
        # In a small last batch a process may have no clip; it must still add its zeros.
        n_mine = 0
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        loss: torch.Tensor | None = None
        if clips:
            padded, lengths = pad(clips, network.config)
            padded, n_mine = padded.to(device), int(lengths.sum())
            with self.world.computing(self.config.precision):
                _embedding, reconstruction = network(padded, lengths)
            loss = reconstruction_loss(reconstruction, padded, lengths)
            sums[0], sums[1] = loss.detach() * n_mine, n_mine
        self.world.add_up([sums])
        squared, n_frames = sums.tolist()
        if not math.isfinite(squared):
            raise NotFinite(
                f"the autoencoder's loss became {squared / n_frames} in epoch "
                f"{len(self.state.curve) + 1}; lower lr {self.config.lr}"
            )
        if learn:
            self.state.optimiser.zero_grad()
            if loss is not None:
                # Weighed by frames, so that the sum over processes is the whole batch's gradient.
                (loss * (n_mine / n_frames)).backward()
            self.world.add_up(_gradients(network))
            self.state.optimiser.step()
        return squared, int(n_frames)

    def _batches(self, order: Sequence[int]) -> Iterator[list[NDArray[np.uint8]]]:
        for start in range(0, len(order), self.config.batch):
            batch = order[start : start + self.config.batch]
            yield [self.read_clip(index) for index in self.world.share(batch)]


def _start(config: PretrainConfig, world: World) -> PretrainingState:
    # Forked, so that building a network here leaves the caller's random numbers as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        sizes = ConvLstmConfig(
            hidden=config.hidden,
            normalised=config.normalised,
            depth=config.depth,
            depth_frames=config.depth_frames,
        )
        network = ConvLstmAutoencoder(sizes)
    network = network.to(world.device)
    if world.device.type == "cuda":
        # On a CPU it costs: each gate is then a slice of 64 numbers at a time.
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.lr)
    return PretrainingState(network, optimiser)


def _gradients(network: ConvLstmAutoencoder) -> Iterator[torch.Tensor]:
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        yield parameter.grad


def _is_finished(state: PretrainingState, config: PretrainConfig) -> bool:
    n_done = len(state.curve)
    is_stale = config.patience is not None and n_done - state.best_epoch >= config.patience
    return n_done >= config.epochs or (n_done > 0 and is_stale)
