"""The paper's ConvLSTM autoencoder (section 2.3.1): a clip becomes one embedding and comes back.

Left to autograd, one step keeps a dozen tensors of the picture's size and makes as many again on
the way back. Here the activations take the place of the convolution's result, and four tensors are
kept.

All three give each row the same numbers in any batch, in any order. Padding is worth nothing
without the lengths: a network must stop, or look away, where a clip ends (the original did not).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import adaptive_avg_pool1d

aten = torch.ops.aten


def step(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Next cell and hidden state. Overwrites `gates`, which nobody may read any more.

    gates: (B, 4 C, H, W) before their activations, in the order input, forget, output, content
    cell: (B, C, H, W), None for zeros    returns: both (B, C, H, W)
    """
    cell, hidden = _Gates.apply(gates, cell)
    return cell, hidden


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        width = gates.shape[1] // 4
        gates[:, : 3 * width].sigmoid_()
        gates[:, 3 * width :].tanh_()
        enter, forget, output, content = gates.chunk(4, dim=1)
        entered = enter * content
        after = entered if cell is None else torch.addcmul(entered, forget, cell)
        squashed = after.tanh()
        ctx.save_for_backward(gates, cell, squashed)
        ctx.set_materialize_grads(False)
        return after, output * squashed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor, Tensor | None]:
        d_cell, d_hidden = upstream
        gates, cell, squashed = ctx.saved_tensors
        enter, forget, output, content = gates.chunk(4, dim=1)
        d_gates = torch.empty_like(gates)
        d_enter, d_forget, d_output, d_content = d_gates.chunk(4, dim=1)
        if d_hidden is None:
            d_output.zero_()
        else:
            through = aten.tanh_backward(d_hidden * output, squashed)
            d_cell = through if d_cell is None else through.add_(d_cell)
            _sigmoid_backward(d_hidden * squashed, output, d_output)
        assert d_cell is not None  # autograd calls only for an output that was used
        _sigmoid_backward(d_cell * content, enter, d_enter)
        aten.tanh_backward.grad_input(d_cell * enter, content, grad_input=d_content)
        if cell is None:
            d_forget.zero_()
            return d_gates, None
        _sigmoid_backward(d_cell * cell, forget, d_forget)
        return d_gates, d_cell * forget


def _sigmoid_backward(upstream: Tensor, result: Tensor, into: Tensor) -> None:
    aten.sigmoid_backward.grad_input(upstream, result, grad_input=into)


LEVEL_MAX: Final = 255.0  # the brightest of a pixel's 256 levels


def normalise(levels: Tensor) -> Tensor:
    """Scale pixels from 0..255 to 0..1 as float32, the paper's min-max scaler (section 3.1.2).

    The range is that of the format, not of the clip: a dark video stays dark.
    """
    return levels.to(torch.float32) / LEVEL_MAX


def pad_to_longest(clips: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Stack clips (3, D, H, W) behind zeros to the longest of them.

    returns: (B, 3, max D, H, W) in the clips' dtype, and the real lengths (B,) int64
    """
    return pad_to_depth(clips, max(_depths(clips)))


def pad_to_depth(clips: Sequence[NDArray[Any]], depth: int) -> tuple[Tensor, Tensor]:
    """Stack clips (3, D, H, W) behind zeros to a fixed depth; longer ones lose their end.

    returns: (B, 3, depth, H, W) in the clips' dtype, and the real lengths (B,) int64
    """
    depths = _depths(clips, depth)
    channels, _, height, width = clips[0].shape
    like = torch.from_numpy(clips[0][:, :0])
    padded = torch.zeros(len(clips), channels, depth, height, width, dtype=like.dtype)
    for row, clip in enumerate(clips):
        padded[row, :, : clip.shape[1]] = torch.from_numpy(np.ascontiguousarray(clip[:, :depth]))
    return padded, torch.tensor([min(found, depth) for found in depths])


def pool_to_depth(clips: Sequence[NDArray[Any]], depth: int) -> tuple[Tensor, Tensor]:
    """Average each clip (3, D, H, W) over equal stretches of its own depth.

    A clip with fewer frames repeats some; depth 1 is the mean picture. No row is padded.
    returns: (B, 3, depth, H, W) float32 in the clips' scale, and lengths (B,) int64, all `depth`
    """
    _depths(clips, depth)
    rows = []
    for clip in clips:
        channels, frames, height, width = clip.shape
        pixels = torch.from_numpy(np.ascontiguousarray(clip)).to(torch.float32)
        flat = pixels.permute(0, 2, 3, 1).reshape(1, -1, frames)
        pooled = adaptive_avg_pool1d(flat, depth).reshape(channels, height, width, depth)
        rows.append(pooled.permute(0, 3, 1, 2))
    return torch.stack(rows), torch.full((len(clips),), depth)


Depth = Literal["longest", "fixed", "pooled"]
Together = Callable[[Sequence[NDArray[Any]], int], tuple[Tensor, Tensor]]

#: The ways by name; "longest" needs no depth and ignores it.
DEPTHS: Final[dict[Depth, Together]] = {
    "longest": lambda clips, _: pad_to_longest(clips),
    "fixed": pad_to_depth,
    "pooled": pool_to_depth,
}


def _depths(clips: Sequence[NDArray[Any]], depth: int = 1) -> list[int]:
    """Give each clip's depth. Raises ValueError where the clips cannot be one batch."""
    if not clips:
        raise ValueError("a batch needs at least one clip")
    if depth < 1:
        raise ValueError(f"depth is {depth}, it must be at least 1")
    sizes = {(clip.shape[0], *clip.shape[2:]) for clip in clips}
    if len(sizes) > 1:
        raise ValueError(f"clips of sizes {sorted(sizes)} cannot be one batch")
    depths = [clip.shape[1] for clip in clips]
    if min(depths) < 1:
        raise ValueError("a clip without frames cannot be in a batch")
    return depths


KIND = "convlstm-autoencoder"

State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ConvLstmConfig:
    """Sizes of the autoencoder; hidden 64, pixels of 0..255 are the paper's (3.1.2, Table II).

    depth, depth_frames: how clips of different length become one batch, see above.
    """

    channels: int = 3
    hidden: int = 64
    normalised: bool = False  # True: pixels of 0..1 in and out
    depth: Depth = "longest"
    depth_frames: int = 16  # of "fixed" and "pooled"

    def __post_init__(self) -> None:
        """Refuse sizes that are no sizes."""
        if self.channels < 1 or self.hidden < 1:
            raise ValueError(f"channels {self.channels} and hidden {self.hidden} must be 1 or more")
        if self.depth not in DEPTHS or self.depth_frames < 1:
            raise ValueError(
                f"depth {self.depth!r} of {self.depth_frames} frames: it must be one of "
                f"{', '.join(DEPTHS)}, of 1 or more"
            )


class ConvLstmCell(nn.Module):
    """One 3x3 convolution of input and hidden state to four gates.

    They stand in the order input, forget, output, content, as in the published weights.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, kernel_size=3, padding=1)

    def forward(
        self, value: Tensor, hidden: Tensor | None = None, cell: Tensor | None = None
    ) -> State:
        """Next hidden and cell state; all of (B, C, H, W), value with the input's channels.

        A state of None is zeros, and costs nothing.
        """
        if hidden is None:
            weight = self.conv.weight[:, : value.shape[1]]
            raw = functional.conv2d(value, weight, self.conv.bias, padding=1)
        else:
            raw = self.conv(torch.cat([value, hidden], dim=1))
        cell, hidden = step(raw, cell)
        return hidden, cell


class ConvLstmAutoencoder(nn.Module):
    """Two cells read the frames, two more unfold the embedding, a 3D convolution paints them.

    Under torch.autocast the convolutions and the states between them have autocast's type; what
    comes out always has the type of what went in.
    """

    def __init__(self, config: ConvLstmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.encoder_1 = ConvLstmCell(config.channels, width)
        self.encoder_2 = ConvLstmCell(width, width)
        self.decoder_1 = ConvLstmCell(width, width)
        self.decoder_2 = ConvLstmCell(width, width)
        self.painter = nn.Conv3d(width, config.channels, kernel_size=(1, 3, 3), padding=(0, 1, 1))

    def encode(self, clip: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embedding of each clip.

        clip: (B, C, D, H, W) float, pixels of 0..255 (0..1 if normalised)
        lengths: (B,) int of 1..D, frames that are real; what stands behind them changes nothing
        returns: (B, hidden, H, W)
        """
        course = _Course.of(lengths, n_rows=clip.shape[0], n_frames=clip.shape[2])
        frames = course.sort(clip).to(_type(clip))
        first = second = None
        embeddings = []
        for t, n_rows in enumerate(course.running):
            if second is not None and n_rows < len(second[0]):
                embeddings.append(second[0][n_rows:])
                first, second = _cut(first, n_rows), _cut(second, n_rows)
            first = _step(self.encoder_1, frames[:n_rows, :, t], first)
            second = _step(self.encoder_2, first[0], second)
        assert second is not None  # a clip has a frame
        # The rows that ended first stand last.
        return course.restore(torch.cat([second[0], *reversed(embeddings)])).to(clip.dtype)

    def decode(self, embedding: Tensor, n_frames: int, lengths: Tensor | None = None) -> Tensor:
        """Frames unfolded from the embedding.

        The first step reads the embedding, each later one what the step before it gave.
        embedding: (B, hidden, H, W)    lengths: (B,) int of 1..n_frames; None: all n_frames
        returns: (B, C, D, H, W), pixels as in `encode`; zeros behind a row's length
        """
        n, height, width = len(embedding), *embedding.shape[-2:]
        course = _Course.of(lengths, n_rows=n, n_frames=n_frames)
        first = second = None
        value = course.sort(embedding).to(_type(embedding))
        outputs = []
        for n_rows in course.running:
            first = _step(self.decoder_1, value[:n_rows], _cut(first, n_rows))
            second = _step(self.decoder_2, first[0], _cut(second, n_rows))
            value = second[0]
            outputs.append(value)
        # Real frames only, as one batch of pictures: the kernel is one frame deep.
        raw = functional.conv2d(
            torch.cat(outputs), self.painter.weight.squeeze(2), self.painter.bias, padding=1
        )
        painted = torch.sigmoid(raw.to(embedding.dtype))
        painted = painted if self.config.normalised else 255 * painted
        clip = painted.new_zeros(n_frames, n, self.config.channels, height, width)
        clip[course.is_real(n_frames, n).to(painted.device)] = painted
        return course.restore(clip.transpose(0, 1)).transpose(1, 2)

    def forward(self, clip: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The embedding and the reconstruction, shaped as in `encode` and `decode`."""
        embedding = self.encode(clip, lengths)
        return embedding, self.decode(embedding, clip.shape[2], lengths)

    def load_original(self, state: Mapping[str, Tensor]) -> None:
        """Take over weights under the research code's names (`decoder_CNN` paints)."""
        renamed = {name.replace("decoder_CNN.", "painter."): value for name, value in state.items()}
        self.load_state_dict(renamed)


def reconstruction_loss(
    reconstruction: Tensor, clip: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Mean squared error, each real frame counting the same; both (B, C, D, H, W), lengths (B,)."""
    squared = (reconstruction - clip).square().mean(dim=(1, 3, 4))
    if lengths is None:
        return squared.mean()
    is_real = torch.arange(clip.shape[2]) < lengths.cpu().unsqueeze(1)
    return torch.where(is_real.to(clip.device), squared, 0).sum() / is_real.sum()


@dataclass(frozen=True)
class _Course:
    """A batch's rows from the longest to the shortest, and how many of them run at each frame.

    A row stops behind its last real frame: its embedding must not depend on how long its
    neighbours in the batch are (a defect of the original), and padding costs no time.
    """

    rows: Sequence[int] | None  # None: the order they came in
    running: Sequence[int]

    @classmethod
    def of(cls, lengths: Tensor | None, *, n_rows: int, n_frames: int) -> "_Course":
        steps = [n_frames] * n_rows if lengths is None else lengths.tolist()
        if len(steps) != n_rows or not all(1 <= step <= n_frames for step in steps):
            raise ValueError(f"lengths must be {n_rows} numbers of 1..{n_frames}, not {steps}")
        rows = sorted(range(n_rows), key=lambda row: -steps[row])
        running = [sum(step > t for step in steps) for t in range(max(steps))]
        return cls(None if rows == list(range(n_rows)) else rows, running)

    def sort(self, batch: Tensor) -> Tensor:
        return batch if self.rows is None else batch[torch.tensor(self.rows)]

    def restore(self, batch: Tensor) -> Tensor:
        return batch if self.rows is None else batch[torch.tensor(self.rows).argsort()]

    def is_real(self, n_frames: int, n_rows: int) -> Tensor:
        """Which (frame, sorted row) exist, (D, B) bool."""
        running = torch.tensor([*self.running, *[0] * (n_frames - len(self.running))])
        return torch.arange(n_rows) < running.unsqueeze(1)


def _type(value: Tensor) -> torch.dtype:
    """The type to compute in."""
    kind = value.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype


def _cut(state: State | None, n_rows: int) -> State | None:
    return None if state is None else (state[0][:n_rows], state[1][:n_rows])


def _step(cell: ConvLstmCell, value: Tensor, state: State | None) -> State:
    """One step with the two states swapped, as the published weights were trained.

    The original's cell returned (cell, hidden) and its loop took them as (hidden, cell), so what
    is called the hidden state everywhere in its network is the cell state, in about (-2, 2). The
    textbook order does not run those weights, so there is no switch for it.
    """
    hidden, cell_state = cell(value) if state is None else cell(value, *state)
    return cell_state, hidden
