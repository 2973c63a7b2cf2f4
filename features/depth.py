"""Make one batch of clips of different depth: the paper's three ways, and its pixel scale.

All three give each row the same numbers in any batch, in any order. Padding is worth nothing
without the lengths: a network must stop, or look away, where a clip ends (the original did not).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

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
