"""What networks that watch whole clips share: the scale of pixels, and refusing rows without."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from features.depth import normalise
from model.batches import Batch, InputShapes
from model.errors import BadSetting, IncompatibleFeatures
from model.network import N_OUTPUTS

Pixels = Literal["bytes", "unit", "standard"]
PIXELS: tuple[Pixels, ...] = ("bytes", "unit", "standard")
#: Of the three colours, 0..1, in the clips that torchvision's video networks were trained on.
COLOUR_MEAN = (0.485, 0.456, 0.406)
COLOUR_SD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ClipConfig:
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
