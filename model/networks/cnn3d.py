"""The paper's small baseline: one convolution in time and space over the whole clip."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from features.video.convlstm import normalise
from model.base import N_OUTPUTS, Network
from model.batches import Batch, InputShapes
from model.errors import BadSetting, IncompatibleFeatures

Pixels = Literal["bytes", "unit", "standard"]
PIXELS: tuple[Pixels, ...] = ("bytes", "unit", "standard")
#: Of the three colours, 0..1, in the clips that torchvision's video networks were trained on.
COLOUR_MEAN = (0.485, 0.456, 0.406)
COLOUR_SD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ClipInput:
    """The clips that a network watches, and what it says of them.

    depth: frames; a clip of another length is made that long before. pixels: "bytes" are 0..255
    as the paper's networks see them, "unit" 0..1, "standard" minus mean, over sd of each colour.
    outputs: 1, or 4 class scores.
    """

    height_px: int = 128
    width_px: int = 72
    depth: int = 20
    pixels: Pixels = "bytes"
    outputs: int = 1

    def __post_init__(self) -> None:
        if min(self.height_px, self.width_px, self.depth) < 1:
            raise BadSetting(f"height_px, width_px and depth of a clip must be 1 or more: {self}")
        if self.pixels not in PIXELS:
            raise BadSetting(f"pixels {self.pixels!r} must be one of {', '.join(PIXELS)}")
        if self.outputs not in N_OUTPUTS:
            raise BadSetting(f"outputs {self.outputs} must be 1, or 4 for the quarters")

    @property
    def shapes(self) -> InputShapes:
        """What it reads of a row."""
        return InputShapes(clip=(3, self.depth, self.height_px, self.width_px))


def clip_size(shapes: InputShapes) -> tuple[int, int]:
    """Height and width of the clips in pixels; IncompatibleFeatures without a clip.

    Not their depth: it is the network's own, since clips of one set differ in it.
    """
    if shapes.clip is None:
        raise IncompatibleFeatures(f"the network reads clips; given were {shapes}")
    return shapes.clip[2], shapes.clip[3]


def watched(batch: Batch, pixels: Pixels) -> Tensor:
    """Give the clips of a batch on the network's scale, (B, 3, D, H, W) float32.

    Raises IncompatibleFeatures naming the videos without one: nothing can stand in for it.
    """
    if not bool(batch.has_clip.all()):
        without = [e.video_id for e in batch.examples if e.clip is None]
        raise IncompatibleFeatures(f"videos {without} have no clip, and this network reads it")
    if pixels == "bytes":
        return batch.clip.to(torch.float32)
    scaled = normalise(batch.clip)
    if pixels == "unit":
        return scaled
    mean = scaled.new_tensor(COLOUR_MEAN).view(3, 1, 1, 1)
    return (scaled - mean) / scaled.new_tensor(COLOUR_SD).view(3, 1, 1, 1)


KERNEL, POOL = 3, 2


@dataclass(frozen=True)
class Cnn3dConfig(ClipInput):
    """Sizes of the network; every default is the paper's, which showed it clips at full size.

    reduce: what the clip's sides are divided by before the last layer, rounded down, at least 1.
    """

    height_px: int = 1024
    width_px: int = 576
    depth: int = 30
    channels: int = 15
    reduce: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.channels, self.reduce) < 1 or not 0 <= self.dropout < 1:
            raise BadSetting(f"channels and reduce must be 1 or more, dropout in [0, 1): {self}")
        least = KERNEL + POOL - 1
        if min(self.depth, self.height_px, self.width_px) < least:
            raise BadSetting(f"depth, height_px and width_px must be {least} or more: {self}")

    @property
    def pooled(self) -> tuple[int, int, int]:
        """Depth, height and width before the last layer."""
        depth, height, width = (
            max(1, size // self.reduce) for size in (self.depth, self.height_px, self.width_px)
        )
        return depth, height, width

    def sized(self, shapes: InputShapes) -> "Cnn3dConfig":
        """The same for clips of that height and width."""
        height_px, width_px = clip_size(shapes)
        return replace(self, height_px=height_px, width_px=width_px)


class Cnn3d(Network):
    """Convolution, maximum, dropout, average, one linear layer: 415,951 parameters at full size."""

    config: Cnn3dConfig

    def __init__(self, config: Cnn3dConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = config.shapes
        depth, height, width = config.pooled
        # No activation: the paper has none, the maximum is all that is not linear.
        self.convolution = nn.Conv3d(3, config.channels, KERNEL)
        self.reduced = nn.Sequential(
            nn.MaxPool3d(POOL),
            nn.Dropout(config.dropout),
            nn.AdaptiveAvgPool3d(config.pooled),
            nn.Flatten(),
        )
        self.head = nn.Linear(config.channels * depth * height * width, config.outputs)

    def forward(self, batch: Batch) -> Tensor:
        """Prediction of each row on the target's scale, (B,), or class scores (B, 4)."""
        clip = watched(batch, self.config.pixels)
        predicted: Tensor = self.head(self.reduced(self.convolution(clip)))
        return predicted.squeeze(1) if self.config.outputs == 1 else predicted
