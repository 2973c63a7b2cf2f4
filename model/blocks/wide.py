"""Long features of a row and their principal axes; a bounded sample of rows as they stream by."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from model.batches import Example
from model.blocks.likeness import FEWEST_ROWS, HELD_OUT_EVERY, Likeness
from model.errors import IncompatibleFeatures, NotFinite

CLIP_AT: Final = 6.0
SAMPLE_ROWS: Final = 20_000
SAMPLE_BYTES: Final = 64 * 2**20
Item = TypeVar("Item")
Floats = NDArray[np.float64]


class Reservoir(Generic[Item]):
    """A seeded sample of a stream of unknown length: every item has the same chance to be in it."""

    def __init__(self, limit: int, seed: int) -> None:
        self.limit = limit
        self.items: list[Item] = []
        self._seen = 0
        self._generator = np.random.default_rng(seed)

    def add(self, item: Item) -> None:
        """Offer the next item of the stream."""
        self._seen += 1
        if len(self.items) < self.limit:
            self.items.append(item)
        elif (place := int(self._generator.integers(self._seen))) < self.limit:
            self.items[place] = item


class Scale(nn.Module):
    """Columns minus their training mean, over their sd, within ±CLIP_AT; unknown becomes zero."""

    mean: Tensor
    sd: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("sd", torch.ones(width, dtype=torch.float64))

    def fit(self, values: NDArray[np.floating]) -> None:
        """Learn from (n, width) training values, NaN where unknown."""
        known = np.isfinite(values)
        n = np.maximum(1, known.sum(axis=0))
        mean = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64) / n
        sd = np.sqrt(np.square(np.where(known, values - mean, 0.0)).sum(axis=0) / n)
        # A column that never moved has no scale; rounding must not give it one.
        self.mean.copy_(torch.from_numpy(mean))
        self.sd.copy_(torch.from_numpy(np.where(sd > 1e-6 * (1 + np.abs(mean)), sd, 1.0)))

    def read(self, values: NDArray[np.floating]) -> Floats:
        """(…, width) any scale to the same shape, scaled."""
        scaled = (values - self.mean.numpy()) / self.sd.numpy()
        known: Floats = np.where(np.isnan(scaled), 0.0, scaled).clip(-CLIP_AT, CLIP_AT)
        return known


class WideAxes(nn.Module):
    """A wide feature on the axes along which the training rows differ most."""

    axes: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.scale = Scale(size)
        self.register_buffer("axes", torch.zeros(width, size))
        self.likeness = Likeness(width)

    @classmethod
    def fit(cls, values: NDArray[np.float32], *, width: int, seed: int) -> "WideAxes":
        """From (n, size) training values; width must be at most n."""
        fitted = cls._fitted(values, width, seed)
        if len(values) >= FEWEST_ROWS:
            # Rows are closer to axes that were fitted on them than any new one is.
            is_out = np.arange(len(values)) % HELD_OUT_EVERY == 0
            others = cls._fitted(values[~is_out], min(width, int((~is_out).sum())), seed)
            fitted.likeness.keep(others._distances(values[is_out]))
        return fitted

    @classmethod
    def _fitted(cls, values: NDArray[np.float32], width: int, seed: int) -> "WideAxes":
        fitted = cls(values.shape[1], width)
        fitted.scale.fit(values)
        scaled = fitted.scale.read(values)
        _, _, axes = randomized_svd(scaled.astype(np.float32), width, n_iter=4, random_state=seed)
        fitted.axes.copy_(torch.from_numpy(axes))
        fitted.likeness.learn(scaled, axes)
        return fitted

    def likeness_of(self, value: NDArray[np.float32]) -> float | None:
        """Per cent of training rows that are less like the others than a row, (size,)."""
        return self.likeness.percentile(float(self._distances(value[None, :])[0]))

    def _distances(self, values: NDArray[np.float32]) -> Floats:
        return self.likeness.distance(self.scale.read(values), self.axes.numpy())

    def read(self, value: NDArray[np.float32]) -> Floats:
        """Place of one row, (size,) to (width,)."""
        scaled = self.scale.read(value)
        # A plain sum over one row: a matrix product of many would depend on the rows beside it.
        placed: Floats = (self.axes.numpy() * scaled).sum(axis=1)
        return placed


def pooled_visual(example: Example) -> NDArray[np.float32] | None:
    """Mean, sd and maximum of each channel of a visual feature, (3C,)."""
    if example.visual is None:
        return None
    channels = np.asarray(example.visual, dtype=np.float32)
    flat = channels.reshape(len(channels), -1)
    return np.concatenate([flat.mean(axis=1), flat.std(axis=1), flat.max(axis=1)])


def _flat(name: str) -> Callable[[Example], NDArray[np.float32] | None]:
    """All numbers of a feature beside each other, (size,)."""

    def read(example: Example) -> NDArray[np.float32] | None:
        value = getattr(example, name)
        return None if value is None else np.asarray(value, dtype=np.float32).reshape(-1)

    return read


WIDE: Final[dict[str, Callable[[Example], NDArray[np.float32] | None]]] = {
    "visual": pooled_visual,
    "frames": _flat("frames"),
    "audio": _flat("audio"),
    "sentence": _flat("sentence"),
}
#: Features that are a row of named numbers, NaN where one could not be measured.
NUMBERS: Final[dict[str, Callable[[Example], NDArray[np.float32] | None]]] = {
    "opening": _flat("opening"),
}


def wide_feature(name: str, example: Example, size: int | None) -> NDArray[np.float32] | None:
    """A row's feature, None where it has none; `size` None: of any size.

    Raises IncompatibleFeatures for another size and NotFinite, naming the video.
    """
    value = {**WIDE, **NUMBERS}[name](example)
    if value is None:
        return None
    if size is not None and value.size != size:
        raise IncompatibleFeatures(
            f"{name} feature of video {example.video_id} gives {value.size} numbers; "
            f"this encoder reads {size}"
        )
    is_bad = np.isinf(value).any() if name in NUMBERS else not np.isfinite(value).all()
    if is_bad:
        raise NotFinite(
            f"{name} feature of video {example.video_id} holds values that are not finite"
        )
    return value


class Gathered:
    """Training rows as they stream by: a sample of them and of their features, no more."""

    def __init__(self, *, seed: int) -> None:
        self.n_rows = 0
        self.seed = seed
        self.sample: Reservoir[Example] = Reservoir(SAMPLE_ROWS, seed)
        self.wide: dict[str, Reservoir[NDArray[np.float32]]] = {}

    def add(self, example: Example) -> None:
        """Count in one row."""
        self.n_rows += 1
        for name in (*WIDE, *NUMBERS):
            kept = self.wide.get(name)
            size = None if kept is None else kept.items[0].size
            value = wide_feature(name, example, size)
            if value is None:
                continue
            if kept is None:
                limit = min(SAMPLE_ROWS, SAMPLE_BYTES // value.nbytes)
                kept = self.wide[name] = Reservoir(limit, self.seed)
            kept.add(value)
        facts, history = example.facts, example.history
        self.sample.add(Example(example.video_id, facts=facts, history=history))
