"""What is said of one file: the forecast with all that stands beside it, also as JSON."""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from model.evaluation.comparing import MIN_EVIDENCE

Verdict = Literal["better", "unclear", "not_better", "constant", "unmeasured"]

CONSTANTS = ("train_mean", "train_median", "geometric_mean")
NAME_CHARS = 200


@dataclass(frozen=True)
class Standing:
    """Where a forecast stands among comparable videos: percentile 0 to 100 of n counts.

    hashtags: those of which each comparable video has at least one; empty: all videos of the
    catalog with a readable count. percentile None: there is no such video.
    """

    percentile: float | None
    n: int
    hashtags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Similar:
    """A video of the catalog that is like the file; views_k None: no count was readable."""

    tiktok_id: str
    url: str
    caption: str
    views_k: float | None
    similarity: float


@dataclass(frozen=True)
class Move:
    """What one modality did: the forecast over the forecast without it; above 1: it moved it up."""

    modality: str
    factor: float


@dataclass(frozen=True)
class TrackRecord:
    """How the model did on videos it had not seen, from the run that trained it.

    part None: it was measured on none. best_constant is the one with the smallest log-MAE.
    """

    verdict: Verdict
    part: str | None = None
    n: int = 0
    log_mae: float | None = None
    best_constant: str | None = None
    best_constant_log_mae: float | None = None
    spearman: float | None = None
    spearman_low: float | None = None
    spearman_high: float | None = None
    coverage_80: float | None = None


@dataclass(frozen=True)
class ModelLine:
    """Which model says it. is_shuffled: it was trained on counts of other videos, as a test."""

    name: str
    version: int
    kind: str
    objective: str
    is_shuffled: bool = False


@dataclass(frozen=True)
class ForecastCard:
    """All that is said of one file; counts in thousands of views.

    quartile 0 to 3, by edges_k. similar None: the model looks at no other videos, or was not
    asked to. absent: why each kind of feature that the model reads is not there. known_as: the
    catalog's video that has this very file, and known_part the part it plays in the model's split.
    seconds: of each part of the work on this file.
    """

    file: str
    model: ModelLine
    views_k: float
    low_k: float | None
    high_k: float | None
    quartile: int | None
    edges_k: tuple[float, ...]
    standing: Standing
    similar: tuple[Similar, ...] | None
    moves: tuple[Move, ...]
    record: TrackRecord
    duration_s: float | None
    width_px: int
    height_px: int
    caption: str = ""
    hashtags: tuple[str, ...] = ()
    posted_at: str | None = None
    transcript: str | None = None
    language: str | None = None
    read: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    known_as: str | None = None
    known_part: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A file of which nothing can be forecast."""

    file: str
    code: str
    message: str


def judge(metrics: Mapping[str, Mapping[str, float]], *, is_constant: bool = False) -> TrackRecord:
    """Say how a model did by the metrics of its training, by part: its holdout, else validation.

    "better" only where the whole 95 % interval of its lead over the best constant says so, on
    enough videos.
    """
    part = next((name for name in ("holdout", "val") if metrics.get(name, {}).get("n")), None)
    if part is None:
        return TrackRecord("constant" if is_constant else "unmeasured")
    found = metrics[part]
    beside = {name: found[f"log_mae.{name}"] for name in CONSTANTS if f"log_mae.{name}" in found}
    best = min(beside, key=beside.__getitem__, default=None)
    log_mae = found.get("log_mae")
    verdict: Verdict = "unmeasured"
    if is_constant:
        verdict = "constant"
    elif best is not None and log_mae is not None:
        ends = (found.get(f"log_mae_diff.{best}.{end}", math.inf) for end in ("low", "high"))
        if log_mae >= beside[best]:
            verdict = "not_better"
        else:
            is_clear = max(ends) < 0 and found["n"] >= MIN_EVIDENCE
            verdict = "better" if is_clear else "unclear"
    return TrackRecord(
        verdict=verdict,
        part=part,
        n=round(found["n"]),
        log_mae=log_mae,
        best_constant=best,
        best_constant_log_mae=None if best is None else beside[best],
        spearman=found.get("spearman"),
        spearman_low=found.get("spearman.low"),
        spearman_high=found.get("spearman.high"),
        coverage_80=found.get("coverage_80"),
    )


def percentile_of(views_k: float, others_k: ArrayLike) -> float | None:
    """Percent of the other counts that are below, those that are equal counted half; None of 0."""
    others = np.asarray(others_k, dtype=np.float64)
    if not others.size:
        return None
    below, equal = (others < views_k).sum(), (others == views_k).sum()
    return float(100.0 * (below + equal / 2) / others.size)


def plain(text: str, n_chars: int = NAME_CHARS) -> str:
    """Make a text one line that steers no terminal: no control or direction marks, not too long."""
    kept = "".join(
        " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" if _is_control(char) else char
        for char in text
    )
    line = " ".join(kept.split())
    return line if len(line) <= n_chars else line[: n_chars - 1] + "…"


def card_document(card: ForecastCard) -> dict[str, Any]:
    """Give the whole card as JSON values; ids are text, counts are thousands, nothing is rounded.

    Texts are as they were given, but that no character is a control or half a pair.
    """
    record = card.record
    return {
        "file": plain(card.file),
        "status": "ok",
        "model": {
            "name": card.model.name,
            "version": card.model.version,
            "kind": card.model.kind,
            "objective": card.model.objective,
            "shuffled_labels": card.model.is_shuffled,
        },
        "views_k": card.views_k,
        "low_k": card.low_k,
        "high_k": card.high_k,
        "quartile": card.quartile,
        "quartile_edges_k": list(card.edges_k),
        "percentile": card.standing.percentile,
        "comparable": {
            "n": card.standing.n,
            "sharing": [plain(name) for name in card.standing.hashtags] or None,
        },
        "similar": None
        if card.similar is None
        else [
            {
                "tiktok_id": plain(video.tiktok_id),
                "url": plain(video.url, 2_000),
                "caption": plain(video.caption, 10_000),
                "views_k": video.views_k,
                "similarity": video.similarity,
            }
            for video in card.similar
        ],
        "moved_by": {move.modality: move.factor for move in card.moves},
        "inputs": {
            "read": list(card.read),
            "absent": {kind: plain(why) for kind, why in card.absent.items()},
            "duration_s": card.duration_s,
            "width_px": card.width_px,
            "height_px": card.height_px,
            "caption": plain(card.caption, 10_000),
            "hashtags": [plain(name) for name in card.hashtags],
            "posted_at": card.posted_at,
            "transcript": None if card.transcript is None else plain(card.transcript, 10_000),
            "language": card.language,
        },
        "known_video": card.known_as,
        "known_part": card.known_part,
        "model_record": {
            "verdict": record.verdict,
            "part": record.part,
            "n": record.n,
            "log_mae": record.log_mae,
            "best_constant": record.best_constant,
            "best_constant_log_mae": record.best_constant_log_mae,
            "spearman": record.spearman,
            "spearman_low": record.spearman_low,
            "spearman_high": record.spearman_high,
            "coverage_80": record.coverage_80,
        },
        "seconds": dict(card.seconds),
    }


def refused_document(refused: Refused) -> dict[str, Any]:
    """Give a file without a forecast as JSON values."""
    return {
        "file": plain(refused.file),
        "status": "failed",
        "code": refused.code,
        "message": plain(refused.message, 1000),
    }


def _is_control(char: str) -> bool:
    # Cc: controls. Cf: among them the marks that turn the direction of writing, and the joiners
    # of emoji, which are kept. Cs: halves of pairs, which no encoding takes.
    if char in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}":
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs")
