"""Training of the autoencoder on clips without labels (paper, section 3.1)."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from catalog.files import sha256_text
from features.video.convlstm import KIND, ConvLstmAutoencoder, ConvLstmConfig, reconstruction_loss
from features.video.visual import pad
from features.weights import save_weights
from model.batches import shuffled
from model.errors import NothingToTrain
from model.settings import PretrainConfig
from model.training.loop import EpochReport, Limits, StateFile, Training, require_finite
from model.training.world import World, seeded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def identity(
    config: "DataclassInstance", train: Sequence[int], val: Sequence[int]
) -> dict[str, Any]:
    """What a training's state must have been made with; the machine is no part of it."""
    settings = asdict(config)
    settings.pop("device", None)
    clips = json.dumps([list(train), list(val)])
    return {**settings, "clips_sha256": sha256_text(clips)}


ReadClip = Callable[[int], NDArray[np.uint8]]
PIXEL_MAX = 255


@dataclass(frozen=True)
class Pretrained:
    """What a training left: the networks of its best and its last epoch, in eval mode, on the CPU.

    curve: mean squared errors on the pixels' own scale (0..255 squared). Without a train clip and
    an epoch there is no training, so it is never empty.
    """

    best: ConvLstmAutoencoder
    last: ConvLstmAutoencoder
    curve: tuple[EpochReport, ...]

    @property
    def best_epoch(self) -> EpochReport:
        """The first epoch of the lowest validation loss."""
        return min(self.curve, key=lambda report: report.loss)

    def curve_document(self) -> list[dict[str, float | None]]:
        """The curve as an autoencoder's file keeps it, the same for the same training."""
        return [
            {"number": report.epoch, "train_mse": report.train_loss, "val_mse": report.val_loss}
            for report in self.curve
        ]


def pretrain(
    read_clip: ReadClip,
    train: Sequence[int],
    val: Sequence[int],
    config: PretrainConfig,
    *,
    state_file: Path,
    on_epoch: Callable[[EpochReport], None],
    on_network: Callable[[int, ConvLstmAutoencoder], None] | None = None,
    world: World | None = None,
) -> Pretrained:
    """Train on clips (3, D, H, W) of any length and keep the best and the last epoch.

    Every epoch is kept in `state_file`; a call that finds one of the same settings and clips goes
    on from it along the same curve. on_epoch hears of each epoch, those of an earlier call too;
    on_network sees the network after each new one and leaves it as it is. In a world of several
    processes each calls this, and only the first writes and tells.
    Raises NothingToTrain, NotFinite (the last good epoch stays), BadCheckpoint.
    """
    if not train or not val:
        raise NothingToTrain(
            f"{len(train)} clips to train on and {len(val)} to validate, both must be 1 or more"
        )
    world = world or World()
    network = _initial(config, world)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.lr)
    training = Training(
        network,
        optimiser,
        Limits(config.epochs, config.patience),
        state_file=StateFile(state_file, identity(config, train, val)),
        world=world,
    )
    training.resume()
    if world.rank == 0:
        for report in training.curve:
            on_epoch(report)

    def tell(report: EpochReport) -> None:
        on_epoch(report)
        if on_network is not None:
            on_network(report.epoch, network.eval())

    training.run(_Passes(network, optimiser, read_clip, train, val, config, world), tell)
    training.finish(keep="last")
    best = copy.deepcopy(network)  # a new one would draw random numbers
    best.load_state_dict(training.best)
    return Pretrained(best, network, tuple(training.curve))


def save_autoencoder(path: Path, network: ConvLstmAutoencoder, extra: Mapping[str, Any]) -> str:
    """Write the network as a weights file that `extract visual` reads; return its sha256."""
    return save_weights(path, KIND, asdict(network.config), network.state_dict(), extra)


@dataclass(frozen=True)
class _Passes:
    network: ConvLstmAutoencoder
    optimiser: torch.optim.Adam
    read_clip: ReadClip
    train: Sequence[int]
    val: Sequence[int]
    config: PretrainConfig
    world: World

    def learn(self, epoch: int) -> float:
        order = shuffled(len(self.train), seed=self.config.seed, epoch=epoch)
        return self._go_through([self.train[i] for i in order], f"epoch {epoch}", learn=True)

    def judge(self) -> float:
        return self._go_through(self.val, "validation", learn=False)

    def _go_through(self, order: Sequence[int], when: str, *, learn: bool) -> float:
        """One pass over the clips; returns the mean squared error, each frame counting the same."""
        self.network.train(learn)
        total, n_frames = 0.0, 0
        with torch.set_grad_enabled(learn):
            for start in range(0, len(order), self.config.batch):
                mine = self.world.share(order[start : start + self.config.batch])
                squared, n = self._step([self.read_clip(i) for i in mine], when, learn=learn)
                total += squared
                n_frames += n
        # By frames, not by batches: what a clip weighs must not depend on its neighbours.
        return total / n_frames * (PIXEL_MAX**2 if self.config.normalised else 1)

    def _step(self, clips: list[NDArray[np.uint8]], when: str, *, learn: bool) -> tuple[float, int]:
        """Sum of the frames' squared errors and their number, over all processes."""
        network, device = self.network, self.world.device
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
        require_finite(squared / n_frames, when, f"lower lr {self.config.lr}")
        if learn:
            self.optimiser.zero_grad()
            if loss is not None:
                # Weighed by frames, so that the sum over processes is the whole batch's gradient.
                (loss * (n_mine / n_frames)).backward()
            self.world.add_up(_gradients(network))
            self.optimiser.step()
        return squared, int(n_frames)


def _initial(config: PretrainConfig, world: World) -> ConvLstmAutoencoder:
    sizes = ConvLstmConfig(
        hidden=config.hidden,
        normalised=config.normalised,
        depth=config.depth,
        depth_frames=config.depth_frames,
    )
    with seeded(config.seed):
        network = ConvLstmAutoencoder(sizes)
    network = network.to(world.device)
    if world.device.type == "cuda":
        # On a CPU it costs: each gate is then a slice of 64 numbers at a time.
        network = network.to(memory_format=torch.channels_last)
    return network


def _gradients(network: ConvLstmAutoencoder) -> Iterator[torch.Tensor]:
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        yield parameter.grad
