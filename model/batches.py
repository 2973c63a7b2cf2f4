"""Rows with their tensors, and how they become batches that keep absent apart from zero."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from catalog.facts import PostFacts
from model.errors import BadSetting, IncompatibleFeatures, NotFinite, NothingToTrain

NO_FACTS: Final = PostFacts()

Array = Tensor | NDArray[np.floating]
VisualShape = tuple[int, int, int]
AudioShape = tuple[int, int]
ClipShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class InputShapes:
    """What one row's tensors must look like; None: not read.

    visual (C, H, W), audio (S, E), clip (3, D, H, W).
    """

    visual: VisualShape | None = None
    audio: AudioShape | None = None
    clip: ClipShape | None = None


@dataclass(frozen=True)
class Example:
    """One video: its features (None: it has none), what its post says, and its views if known.

    visual (C, H, W) and audio (S, E) float; clip (3, D, H, W) uint8 of the depth that the network
    reads; frames (E,) float, a pooled picture embedding; opening (E,) float, numbers of the first
    seconds, NaN where one could not be measured; sentence (E,) float, a vector of all its texts
    together. history: what earlier posts of the same
    author, sound and hashtags got, `model.blocks.past.COLUMNS`, NaN where there is none. age_s: the
    age of the video that its views are of; None: not known, or as the model states it.
    """

    video_id: int
    visual: Array | None = None
    audio: Array | None = None
    views_k: float | None = None
    clip: Tensor | NDArray[np.uint8] | None = None
    frames: Array | None = None
    facts: PostFacts = NO_FACTS
    opening: Array | None = None
    sentence: Array | None = None
    history: Array | None = None
    age_s: float | None = None


@dataclass(frozen=True)
class Batch:
    """B rows as tensors; a row without a feature is zeros and its `has_` flag is False.

    visual: (B, C, H, W) float32    has_visual: (B,) bool
    audio: (B, S, E) float32        has_audio: (B,) bool
    clip: (B, 3, D, H, W) uint8     has_clip: (B,) bool
    views_k: (B,) float64, None unless every row has them
    examples: the rows themselves, for models that read more than tensors
    """

    examples: tuple[Example, ...]
    visual: Tensor
    has_visual: Tensor
    audio: Tensor
    has_audio: Tensor
    clip: Tensor
    has_clip: Tensor
    views_k: Tensor | None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def video_ids(self) -> tuple[int, ...]:
        """The videos' ids in the catalog."""
        return tuple(example.video_id for example in self.examples)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.examples,
            self.visual.to(device),
            self.has_visual.to(device),
            self.audio.to(device),
            self.has_audio.to(device),
            self.clip.to(device),
            self.has_clip.to(device),
            None if self.views_k is None else self.views_k.to(device),
        )


class IndexedRows(Protocol):
    """Rows that are read when asked for and not kept: memory does not grow with their number."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...

    def __getitem__(self, index: int, /) -> Example: ...


def shapes_of(rows: Iterable[Example]) -> InputShapes:
    """Find what the features look like from the first rows that have them."""
    found = InputShapes()
    for example in rows:
        if found.visual is None and example.visual is not None:
            channels, height, width = example.visual.shape
            found = replace(found, visual=(channels, height, width))
        if found.audio is None and example.audio is not None:
            states, width = example.audio.shape
            found = replace(found, audio=(states, width))
        if example.clip is not None:
            channels, depth, height, width = example.clip.shape
            return replace(found, clip=(channels, depth, height, width))
        if found.visual is not None and found.audio is not None:
            return found
    return found


def collate(examples: Sequence[Example], shapes: InputShapes) -> Batch:
    """One batch of the examples, in their order.

    Raises NothingToTrain for none, IncompatibleFeatures and NotFinite naming the video.
    """
    if not examples:
        raise NothingToTrain("a batch needs at least one row")
    visual, has_visual = _stack(examples, "visual", shapes.visual)
    audio, has_audio = _stack(examples, "audio", shapes.audio)
    known = [e.views_k for e in examples if e.views_k is not None]
    views_k = torch.tensor(known, dtype=torch.float64) if len(known) == len(examples) else None
    clip, has_clip = _stack(examples, "clip", shapes.clip, torch.uint8)
    return Batch(tuple(examples), visual, has_visual, audio, has_audio, clip, has_clip, views_k)


def batches(
    rows: IndexedRows, shapes: InputShapes, batch: int, order: Sequence[int] | None = None
) -> Iterator[Batch]:
    """Batches of up to `batch` rows in the given order (as stored if None), read one at a time."""
    if batch < 1:
        raise BadSetting(f"batch {batch} must be 1 or more")
    positions = range(len(rows)) if order is None else order
    for start in range(0, len(positions), batch):
        yield collate([rows[i] for i in positions[start : start + batch]], shapes)


def shuffled(n: int, *, seed: int, epoch: int) -> list[int]:
    """Order of n rows in an epoch: a function of seed and epoch, so a resumed run sees the same."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(n, generator=generator).tolist()


def _stack(
    examples: Sequence[Example],
    name: str,
    shape: tuple[int, ...] | None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """(B, *shape) of the type with zeros for rows that have none, and (B,) bool who has one."""
    n = len(examples)
    has = torch.zeros(n, dtype=torch.bool)
    if shape is None:
        return torch.zeros(n, 0, dtype=dtype), has
    stacked = torch.zeros(n, *shape, dtype=dtype)
    for position, example in enumerate(examples):
        value: Array | None = getattr(example, name)
        if value is None:
            continue
        tensor = torch.as_tensor(value)
        if tuple(tensor.shape) != shape:
            raise IncompatibleFeatures(
                f"{name} feature of video {example.video_id} has shape {tuple(tensor.shape)}; "
                f"this network reads {shape}"
            )
        if dtype == torch.uint8 and tensor.dtype != torch.uint8:
            raise IncompatibleFeatures(
                f"{name} feature of video {example.video_id} is {tensor.dtype}; pixels are uint8"
            )
        stacked[position] = tensor
        has[position] = True
        if not bool(torch.isfinite(stacked[position]).all()):
            raise NotFinite(
                f"{name} feature of video {example.video_id} holds values that are not finite"
            )
    return stacked, has
