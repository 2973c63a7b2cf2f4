"""The autoencoder's forward and backward pass beside a textbook ConvLSTM loop on the same weights.

The point is equality and parity: what lengths, the swapped states and the frozen steps add must
cost next to nothing. The textbook loop is written from the formulas with the same swap, as plainly
as one would on a first day, for clips of one length.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from bench.measure import REPEATS, Row
from features.convlstm import ConvLstmAutoencoder, ConvLstmConfig, reconstruction_loss

BATCH, N_FRAMES, HEIGHT_PX, WIDTH_PX = 4, 8, 32, 18
TOLERANCE = 1e-4

Weights = Mapping[str, Tensor]


def rows() -> list[Row]:
    """Check that both give equal losses and gradients, then time both in turns."""
    torch.manual_seed(0)
    network = ConvLstmAutoencoder(ConvLstmConfig())
    clips = 255 * torch.rand(BATCH, 3, N_FRAMES, HEIGHT_PX, WIDTH_PX)
    lengths = torch.full((BATCH,), N_FRAMES)
    weights = dict(network.named_parameters())

    def ours() -> Tensor:
        _embedding, reconstruction = network(clips, lengths)
        return reconstruction_loss(reconstruction, clips, lengths)

    def textbook() -> Tensor:
        return functional.mse_loss(_textbook(weights, clips), clips)

    loss, other_loss, apart = _apart(network, ours, textbook)
    if apart > TOLERANCE:
        raise RuntimeError(f"the two ways differ by {apart:.1e}, at most {TOLERANCE:.0e} is equal")
    seconds: dict[str, list[float]] = {"ours": [], "textbook": []}
    for _ in range(REPEATS):
        seconds["ours"].append(_timed(network, ours))
        seconds["textbook"].append(_timed(network, textbook))
    mine, other = (1000 * statistics.median(times) / BATCH for times in seconds.values())
    what = f"autoencoder, forward and backward, {N_FRAMES} frames of {HEIGHT_PX}x{WIDTH_PX}"
    return [
        Row(what, f"{mine:.0f} ms a clip", f"textbook loop {other:.0f} ms", f"{other / mine:.2f}"),
        Row(
            "the same: loss on random pixels; largest relative difference of a gradient",
            f"{loss:.2f}",
            f"textbook loop {other_loss:.2f}",
            f"{apart:.0e} apart",
        ),
    ]


def _textbook(weights: Weights, clips: Tensor) -> Tensor:
    zeros = clips.new_zeros(clips.shape[0], 64, *clips.shape[-2:])
    a, b, c, d = zeros, zeros, zeros, zeros
    for t in range(clips.shape[2]):
        a, b = _cell(weights, "encoder_1", clips[:, :, t], a, b)
        c, d = _cell(weights, "encoder_2", a, c, d)
    value, outputs = c, []
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


def _apart(
    network: ConvLstmAutoencoder, ours: Callable[[], Tensor], other: Callable[[], Tensor]
) -> tuple[float, float, float]:
    """Both losses, and the largest difference of a gradient relative to that gradient's largest."""
    parameters = list(network.parameters())
    loss = ours()
    mine = torch.autograd.grad(loss, parameters)
    other_loss = other()
    theirs = torch.autograd.grad(other_loss, parameters)
    apart = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(mine, theirs, strict=True)
    )
    return loss.item(), other_loss.item(), apart


def _timed(network: ConvLstmAutoencoder, way: Callable[[], Tensor]) -> float:
    network.zero_grad()
    start = time.perf_counter()
    torch.autograd.backward(way())
    return time.perf_counter() - start
