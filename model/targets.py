"""What a network is asked to predict: view counts on a scale it can learn, and their quartiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.errors import BadCheckpoint, BadSetting, NotFinite, NothingToTrain

TargetKind = Literal["raw", "standard", "log1p"]
Objective = Literal["regression", "quartile"]
OBJECTIVES: tuple[Objective, ...] = ("regression", "quartile")
TARGET_KINDS: tuple[TargetKind, ...] = ("raw", "standard", "log1p")
Floats = NDArray[np.float64]
#: One view, in thousands: what is added to a count before its log is taken.
ONE_VIEW_K: Final = 0.001
#: What checkpoints of before `unit_k` add: a thousand views.
OLD_UNIT_K: Final = 1.0


def log_views(views_k: ArrayLike) -> Floats:
    """Natural log of 1 + views, same shape: the scale of every log metric; 0 of no views."""
    return np.log1p(np.asarray(views_k, dtype=np.float64) / ONE_VIEW_K)


def train_views(views_k: ArrayLike) -> Floats:
    """Views of the training rows as (n,) float64; NothingToTrain, NotFinite if they cannot be."""
    views = np.asarray(views_k, dtype=np.float64).reshape(-1)
    if views.size == 0:
        raise NothingToTrain("no training row has a readable view count; there must be at least 1")
    bad = ~np.isfinite(views) | (views < 0)
    if bad.any():
        raise NotFinite(
            f"{int(bad.sum())} of {views.size} view counts are not numbers of 0 or more"
        )
    return views


@dataclass(frozen=True)
class TargetTransform:
    """Thousands of views to the network's scale and back; fitted on train and on nothing else.

    raw: as they are. standard: minus mean, over sd (the paper). log1p: the same after
    ln(1 + views), where a heavy tail becomes a bell; unit_k is what a 1 stands for there. Both of
    log1p only; ceiling_k is the highest count seen in training: beyond it a small step on the log
    scale is an absurd number of views.
    """

    kind: TargetKind
    mean: float = 0.0
    sd: float = 1.0
    ceiling_k: float | None = None
    unit_k: float = ONE_VIEW_K

    def __post_init__(self) -> None:
        if self.kind not in TARGET_KINDS:
            raise BadSetting(f"target {self.kind!r} is none of {', '.join(TARGET_KINDS)}")
        if not (np.isfinite(self.mean) and np.isfinite(self.sd) and self.sd > 0):
            raise NotFinite(f"target mean {self.mean} and sd {self.sd} must be finite, sd above 0")
        if not (np.isfinite(self.unit_k) and self.unit_k > 0):
            raise NotFinite(f"target unit_k {self.unit_k} must be finite and above 0")

    @classmethod
    def fit(cls, views_k: ArrayLike, kind: TargetKind) -> Self:
        """Transform for the views of the training rows."""
        views = train_views(views_k)
        if kind not in TARGET_KINDS or kind == "raw":
            return cls(kind)
        values = log_views(views) if kind == "log1p" else views
        sd = float(values.std())
        # Equal views have no scale; rounding must not invent one.
        tiny = 1e-9 * max(1.0, float(np.abs(values).max()))
        ceiling_k = float(views.max()) if kind == "log1p" else None
        return cls(kind, float(values.mean()), sd if sd > tiny else 1.0, ceiling_k)

    def apply(self, views_k: ArrayLike) -> Floats:
        """Views as the network sees them, same shape, float64."""
        views = np.asarray(views_k, dtype=np.float64)
        values = np.log1p(views / self.unit_k) if self.kind == "log1p" else views
        return (values - self.mean) / self.sd

    def invert(self, scaled: ArrayLike) -> Floats:
        """Thousands of views of a network's output: the exact inverse, so not yet cut at zero."""
        values = np.asarray(scaled, dtype=np.float64) * self.sd + self.mean
        with np.errstate(over="ignore"):  # an infinite score is the caller's NotFinite
            return np.expm1(values) * self.unit_k if self.kind == "log1p" else values

    def score(self, scaled: ArrayLike) -> Floats:
        """Thousands of views to publish for a network's output: inverted, in [0, ceiling_k]."""
        # NaN stays NaN, for the caller to refuse.
        return np.clip(self.invert(scaled), 0.0, self.ceiling_k)

    def to_json(self) -> dict[str, object]:
        """As a JSON document, for a checkpoint or the catalog."""
        return {
            "kind": self.kind,
            "mean": self.mean,
            "sd": self.sd,
            "ceiling_k": self.ceiling_k,
            "unit_k": self.unit_k,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Self:
        """From `to_json`'s document; BadCheckpoint for anything else."""
        kind, mean, sd = (document.get(name) for name in ("kind", "mean", "sd"))
        if kind not in TARGET_KINDS:
            raise BadCheckpoint(f"target kind {kind!r} is none of {', '.join(TARGET_KINDS)}")
        if not isinstance(mean, int | float) or not isinstance(sd, int | float):
            raise BadCheckpoint(f"target mean {mean!r} and sd {sd!r} must be numbers")
        ceiling_k = document.get("ceiling_k")
        if ceiling_k is not None and not isinstance(ceiling_k, int | float):
            raise BadCheckpoint(f"target ceiling_k {ceiling_k!r} must be a number or null")
        unit_k = document.get("unit_k", OLD_UNIT_K)
        if not isinstance(unit_k, int | float):
            raise BadCheckpoint(f"target unit_k {unit_k!r} must be a number")
        return cls(kind, float(mean), float(sd), ceiling_k, float(unit_k))


@dataclass(frozen=True)
class QuartileEdges:
    """Three borders in thousands of views that part the training rows into quarters."""

    edges: tuple[float, float, float]

    @classmethod
    def fit(cls, views_k: ArrayLike) -> Self:
        """Borders at the quartiles of the training rows."""
        low, middle, high = np.quantile(train_views(views_k), (0.25, 0.5, 0.75)).tolist()
        return cls((low, middle, high))

    def classify(self, views_k: ArrayLike) -> NDArray[np.int64]:
        """Quarter of each count, 0 (fewest views) to 3; a border belongs to the quarter above."""
        return np.searchsorted(self.edges, np.asarray(views_k, dtype=np.float64), side="right")

    def medians(self, views_k: ArrayLike) -> tuple[float, float, float, float]:
        """Median of the training rows in each quarter: what a chosen quarter means in views.

        A quarter without a row, where many counts are equal, stands at its lower border.
        """
        views = train_views(views_k)
        quarters = self.classify(views)
        borders = (float(views.min()), *self.edges)
        first, second, third, fourth = (
            float(np.median(views[quarters == quarter])) if (quarters == quarter).any() else border
            for quarter, border in enumerate(borders)
        )
        return first, second, third, fourth

    def to_json(self) -> list[float]:
        """As a JSON list."""
        return list(self.edges)

    @classmethod
    def from_json(cls, document: Sequence[float]) -> Self:
        """From `to_json`'s list; BadCheckpoint for anything else."""
        if len(document) != 3 or list(document) != sorted(document):
            raise BadCheckpoint(f"quartile edges {document!r} must be three ascending numbers")
        low, middle, high = (float(edge) for edge in document)
        return cls((low, middle, high))
