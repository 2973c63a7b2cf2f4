"""The autoencoder's training step and embedding beside the original's method on the same weights.

The original's method is a plain fp32 loop, written here from the formulas: input and state joined,
one convolution, every state from zeros, every clip padded to the longest of its batch and the
padding computed like frames. Ours must give equal losses and gradients where all clips are of one
length, and less work where they are not. CPU seconds of one thread at the paper's size.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bench.measure import REPEATS, Row
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig, reconstruction_loss
from model.training.world import World, precision_on

HEIGHT_PX, WIDTH_PX = 128, 72
EQUAL, MIXED = (3, 3, 3, 3), (4, 3, 2, 1)  # frames of the four clips of a batch
TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2}

Weights = Mapping[str, Tensor]
Ways = Mapping[str, Callable[[], Tensor]]


def rows() -> list[Row]:
    """Check that all ways give equal losses and gradients, then time them in turns."""
    torch.manual_seed(0)
    network = ConvLstmAutoencoder(ConvLstmConfig())
    bf16 = "bf16" if precision_on("auto", torch.device("cpu")) == "bf16" else "bf16 (emulated)"
    equal, mixed = _ways(network, EQUAL), _ways(network, MIXED)
    found = [_agreement(network, equal)]
    for lengths, ways in ((EQUAL, equal), (MIXED, mixed)):
        frames = ", ".join(map(str, lengths))
        seconds = _cpu_s({name: _learning(network, way) for name, way in ways.items()})
        for name in ("fp32", "bf16"):
            label = bf16 if name == "bf16" else name
            what = f"autoencoder, training step, {label}, clips of {frames} frames"
            found.append(_row(what, seconds, name))
    clips, lengths_ = _batch(MIXED)
    weights = dict(network.named_parameters())
    with torch.inference_mode():
        seconds = _cpu_s(
            {
                "original": lambda: _encoded(weights, clips),
                "fp32": lambda: network.encode(clips, lengths_),
            }
        )
    found.append(_row("autoencoder, embeddings, fp32, the same mixed clips", seconds, "fp32"))
    return found


def _batch(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Smooth pictures behind zeros to the longest, and the lengths."""
    clips = torch.zeros(len(lengths), 3, max(lengths), HEIGHT_PX, WIDTH_PX)
    for row, length in enumerate(lengths):
        coarse = 255 * torch.rand(length, 3, 16, 9)
        fine = functional.interpolate(coarse, size=(HEIGHT_PX, WIDTH_PX), mode="bilinear")
        clips[row, :, :length] = fine.round().transpose(0, 1)
    return clips, torch.tensor(lengths)


def _ways(network: ConvLstmAutoencoder, frames: Sequence[int]) -> Ways:
    clips, lengths = _batch(frames)
    weights = dict(network.named_parameters())

    def ours(precision: str) -> Tensor:
        with World().computing("bf16" if precision == "bf16" else "fp32"):
            _embedding, reconstruction = network(clips, lengths)
        return reconstruction_loss(reconstruction, clips, lengths)

    return {
        "original": lambda: functional.mse_loss(_textbook(weights, clips), clips),
        "fp32": lambda: ours("fp32"),
        "bf16": lambda: ours("bf16"),
    }


def _agreement(network: ConvLstmAutoencoder, ways: Ways) -> Row:
    """Compare the whole gradients. Raises RuntimeError where they are not the same."""
    parameters = list(network.parameters())
    gradients, losses = {}, {}
    for name, way in ways.items():
        loss = way()
        parts = torch.autograd.grad(loss, parameters)
        gradients[name] = torch.cat([part.flatten() for part in parts])
        losses[name] = loss.item()
    length = gradients["original"].norm()
    apart = {
        name: float((gradients[name] - gradients["original"]).norm() / length) for name in TOLERANCE
    }
    for name, most in TOLERANCE.items():
        if apart[name] > most:
            raise RuntimeError(f"{name} is {apart[name]:.1e} from the original, at most {most}")
    return Row(
        "autoencoder, loss of a fresh network; distance of the gradient relative to its length",
        f"{losses['fp32']:.3f} in fp32, {losses['bf16']:.3f} in bf16",
        f"original {losses['original']:.3f}",
        f"{apart['fp32']:.0e} and {apart['bf16']:.0e} apart",
    )


def _learning(network: ConvLstmAutoencoder, way: Callable[[], Tensor]) -> Callable[[], object]:
    def step() -> None:
        network.zero_grad()
        torch.autograd.backward(way())

    return step


def _cpu_s(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median of the repeats of each way, the ways taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _row(what: str, seconds: Mapping[str, float], name: str) -> Row:
    ours, original = seconds[name], seconds["original"]
    return Row(what, f"{ours:.2f} CPU s", f"original {original:.2f} s", f"{original / ours:.2f}")


def _textbook(weights: Weights, clips: Tensor) -> Tensor:
    value, outputs = _encoded(weights, clips), []
    zeros = torch.zeros_like(value)
    a, b, c, d = zeros, zeros, zeros, zeros
    for _ in range(clips.shape[2]):
        a, b = _cell(weights, "decoder_1", value, a, b)
        c, d = _cell(weights, "decoder_2", a, c, d)
        value = c
        outputs.append(value)
    painted = functional.conv3d(
        torch.stack(outputs, dim=2),
        weights["painter.weight"],
        weights["painter.bias"],
        padding=(0, 1, 1),
    )
    return 255 * torch.sigmoid(painted)


def _encoded(weights: Weights, clips: Tensor) -> Tensor:
    zeros = clips.new_zeros(clips.shape[0], 64, *clips.shape[-2:])
    a, b, c, d = zeros, zeros, zeros, zeros
    for t in range(clips.shape[2]):
        a, b = _cell(weights, "encoder_1", clips[:, :, t], a, b)
        c, d = _cell(weights, "encoder_2", a, c, d)
    return c


def _cell(
    weights: Weights, name: str, value: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """One step; returns (cell, hidden) in that order: the swap of the paper's network."""
    gates = functional.conv2d(
        torch.cat([value, first], 1),
        weights[f"{name}.conv.weight"],
        weights[f"{name}.conv.bias"],
        padding=1,
    )
    i, f, o, g = torch.split(gates, 64, dim=1)
    cell = torch.sigmoid(f) * second + torch.sigmoid(i) * torch.tanh(g)
    return cell, torch.sigmoid(o) * torch.tanh(cell)
