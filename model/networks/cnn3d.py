"""The paper's small baseline: one convolution in time and space over the whole clip."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from model.batches import Batch, InputShapes
from model.errors import BadSetting
from model.network import Network
from model.networks.clips import ClipConfig, clip_size, watched

KERNEL, POOL = 3, 2


@dataclass(frozen=True)
class Cnn3dConfig(ClipConfig):
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
