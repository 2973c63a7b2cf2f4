"""What every network of this package promises, and the scaling of inputs they share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import torch
from torch import Tensor, nn

from model.batches import Batch, Example, InputShapes
from model.targets import TargetTransform

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from model.blocks.past import Histories

#: Key of a config field's metadata: why nobody sets it.
NOT_SET = "not_set"
Value = TypeVar("Value")


def learned(default: Value, why: str = "is found in training and cannot be set") -> Value:
    """A config's field that training writes: set by hand it would be overwritten, or be wrong."""
    return field(default=default, metadata={NOT_SET: why})


#: Key of the metadata of a config field that models of earlier versions do not have.
LATER = "later"


def later(default: Value, **metadata: str) -> Value:
    """A config's field that a stored model may lack: it then has the default."""
    return field(default=default, metadata={LATER: "", **metadata})


#: Which tensors of a feature are read, joined end to end where there are several.
TENSORS: Final[Mapping[str, tuple[str, ...]]] = {
    "visual": ("embedding",),
    "audio": ("pooled_audio",),
    "clip": ("frames",),
    "frames": ("mean", "std", "max"),
    "opening": ("numbers",),
    "text": ("all",),
    "ocr": (),  # its words are read as facts
}
#: How many numbers a network may say of a row: one, or the scores of the four quarters.
N_OUTPUTS = (1, 4)


@dataclass(frozen=True)
class Outputs:
    """What a network says of B rows, each number on the scale of its target.

    point (B,). low, high (B,): the ends of its 80 % interval, None where it states none.
    classes (B, 4): scores of the quarters, highest is the one it chooses; None for a regressor.
    """

    point: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    classes: Tensor | None = None


class Network(nn.Module, ABC):
    """A batch in, one number (or four class scores) per row out."""

    config: "DataclassInstance"
    shapes: InputShapes

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Prediction of each row on the target's scale, (B,); of a classifier (B, 4)."""

    def outputs(self, batch: Batch) -> Outputs:
        """All that it says of each row; a network that states intervals says more than this."""
        predicted = self(batch)
        return Outputs(classes=predicted) if predicted.ndim == 2 else Outputs(point=predicted)

    def prepare(self, train: Iterable[Batch]) -> None:
        """Learn the inputs' scales from the training rows, before the first epoch."""


class Rows(Protocol):
    """Rows of a part, read anew by every pass over them; how many is known before."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...


@dataclass(frozen=True)
class SolveRequest:
    """What a model that is solved, and not trained by gradient, is given.

    train, val: rows with their views; val may be empty.
    histories: posts of the past whose counts may be known at some moment; None: each of the rows,
    from a day after it was posted. target: fitted on train. scratch: a folder for files that
    nobody needs afterwards.
    note: something the run has to say, a code and its details, such as a fallback.
    progress: a short text for the progress bar. foresaw: hears what was forecast of rows of val, on
    the target's scale, by video id, before they taught anything.
    """

    train: Rows
    val: Rows
    target: TargetTransform
    seed: int
    scratch: Path
    note: Callable[[str, Mapping[str, object]], None]
    progress: Callable[[str], None]
    histories: "Histories | None" = None
    foresaw: Callable[[Sequence[int], Sequence[float]], None] = lambda _ids, _points: None


#: A config of the kind, and what it is solved from, to the finished network.
Solve = Callable[[Any, SolveRequest], Network]


class Standardiser(nn.Module):
    """Inputs minus the training mean, over the training sd, cut at ±`clip_at`; kept with weights.

    One scale per channel: a few loud channels of raw encoder states would otherwise be all that a
    small network sees. The cut bounds what an unusual row can do to its score.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, shape: tuple[int, ...], *, clip_at: float) -> None:
        """shape: of the scales, broadcast against the input without its batch axis."""
        super().__init__()
        self.clip_at = clip_at
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("sd", torch.ones(shape))

    def forward(self, value: Tensor) -> Tensor:
        """value: (B, …) any scale    returns: same shape, in [-clip_at, clip_at]"""
        return ((value - self.mean) / self.sd).clamp(-self.clip_at, self.clip_at)


class Moments:
    """Running mean and sd over a stream of (B, …) tensors, pooled to the shape of the scales."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.n = 0
        self.total = torch.zeros(shape, dtype=torch.float64)
        self.squares = torch.zeros(shape, dtype=torch.float64)

    def add(self, value: Tensor) -> None:
        """Count in the rows of `value`."""
        if len(value) == 0:
            return
        value = value.detach().cpu().double()
        pooled = [0, *(i + 1 for i, size in enumerate(self.shape) if size == 1)]
        self.n += value.numel() // max(1, self.total.numel())
        self.total += value.sum(dim=pooled, keepdim=True)[0]
        self.squares += value.square().sum(dim=pooled, keepdim=True)[0]

    def store(self, scaler: Standardiser) -> None:
        """Set the scaler's buffers; leaves it as it is where no row had a value."""
        if self.n == 0:
            return
        mean = self.total / self.n
        sd = (self.squares / self.n - mean.square()).clamp_min(0).sqrt()
        # A channel that never moved in training has no scale; dividing by its rounding noise
        # would turn any later movement into an extreme.
        still = sd <= 1e-5 * (1 + mean.abs())
        scaler.mean.copy_(mean)
        scaler.sd.copy_(torch.where(still, torch.ones_like(sd), sd))
