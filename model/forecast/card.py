"""What is said of one file: the forecast with all that stands beside it, also as JSON."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from catalog.errors import name_text, readable
from catalog.facts import LEAST_GAIN, Paired, verdict_of
from model.evaluation.metrics import CONSTANT_NAMES
from model.forecast.cautions import Caution

RecordVerdict = Literal["better", "unclear", "not_better", "constant", "unmeasured"]

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
    """What one modality did: views with it over views without it; above 1: it moved them up."""

    modality: str
    factor: float


@dataclass(frozen=True)
class TrackRecord:
    """How the model did on videos it had not seen, from the run that trained it.

    part None: it was measured on none. best_constant is the one with the smallest log-MAE.
    """

    verdict: RecordVerdict
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

    file: its name, which may be anything. quartile 0 to 3, by edges_k. similar None: the model
    looks at no other videos, or was not asked to. absent: why each kind of feature that the model
    reads is not there. known_as: the catalog's video that has this very file, and known_part the
    part it plays in the model's split. cautions: what the forecast does not rest on. seconds: of
    each part of the work on this file.
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
    cautions: tuple[Caution, ...] = ()
    is_similar_asked: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_partial(self) -> bool:
        """Whether the forecast rests on a part of the file only."""
        return any(caution.is_partial for caution in self.cautions)


@dataclass(frozen=True)
class Refused:
    """A file of which nothing can be forecast; its name may be anything."""

    file: str
    code: str
    message: str


def judge(
    metrics: Mapping[str, Mapping[str, float]],
    *,
    is_constant: bool = False,
    least_gain: float = LEAST_GAIN,
) -> TrackRecord:
    """Say how a model did by the metrics of its training, by part: its holdout, else validation.

    "better" only where verdict_of says so of log-MAE beside every constant. least_gain: the
    setting verdict.least_gain.
    """
    part = next((name for name in ("holdout", "val") if metrics.get(name, {}).get("n")), None)
    if part is None:
        return TrackRecord("constant" if is_constant else "unmeasured")
    found = metrics[part]
    measured = (name for name in CONSTANT_NAMES if f"log_mae.{name}" in found)
    beside = {name: found[f"log_mae.{name}"] for name in measured}
    best = min(beside, key=beside.__getitem__, default=None)
    log_mae = found.get("log_mae")
    verdict: RecordVerdict = "unmeasured"
    if is_constant:
        verdict = "constant"
    elif best is not None and log_mae is not None:
        pairs = [
            Paired(
                log_mae,
                constant,
                found.get(f"log_mae_diff.{name}.low"),
                found.get(f"log_mae_diff.{name}.high"),
            )
            for name, constant in beside.items()
        ]
        said = verdict_of(
            pairs,
            n=found["n"],
            part=part,
            spearman_low=found.get("spearman.low"),
            least_gain=least_gain,
        )
        is_behind = log_mae >= beside[best]
        verdict = "not_better" if is_behind else "better" if said == "better" else "unclear"
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
        for char in readable(text)
    )
    line = " ".join(kept.split())
    return line if len(line) <= n_chars else line[: n_chars - 1] + "…"


def card_document(card: ForecastCard) -> dict[str, Any]:
    """Give the whole card as JSON values; ids are text, counts are thousands, nothing is rounded.

    Texts are as they were given, but that no character is a control or half a pair.
    """
    record = card.record
    return {
        "file": name_text(card.file),
        "status": "ok",
        "warnings": [
            {
                "code": caution.code,
                "part": caution.part,
                "message": plain(caution.message, 1000),
                "is_partial": caution.is_partial,
            }
            for caution in card.cautions
        ],
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
        "similar_asked": card.is_similar_asked,
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
        "file": name_text(refused.file),
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


#: Where a forecast of each quarter stands among the training videos.
QUARTERS = ("the lowest", "the second", "the third", "the highest")
BESIDE = {
    "train_mean": "the mean of the training videos",
    "train_median": "the median of the training videos",
    "geometric_mean": "the geometric mean of the training videos",
}
CAPTION_CHARS = 60
HASHTAGS_SHOWN = 8
SMALLEST_MOVE = 0.005  # on the log scale: what would be shown as × 1.00 moved nothing


def views_text(views_k: float) -> str:
    """Write thousands of views as people read them: 987, 12.3K, 1.2M."""
    views = views_k * 1000
    if views < 999.5:
        return f"{views:.0f}"
    for unit, size in (("K", 1e3), ("M", 1e6), ("B", 1e9)):
        # 999,960 is 1M and not 1000K: what is rounded up past the unit belongs to the next.
        if views < 999.95 * size or unit == "B":
            return f"{views / size:,.1f}".removesuffix(".0") + unit
    raise AssertionError(views)


def card_text(card: ForecastCard) -> str:
    """Lay a card out for people, one line a fact."""
    lines = [
        *[("warning", plain(caution.message, 500)) for caution in card.cautions],
        ("forecast", f"{views_text(card.views_k)} views, {_interval(card)}"),
        ("standing", _standing(card)),
        ("quarter", _quarter(card)),
        *_likes(card),
        *_moves(card),
        *_inputs(card),
        *[("missing", f"{kind}: {plain(why)}") for kind, why in card.absent.items()],
        ("model", f"{plain(card.model.name)} version {card.model.version} ({card.model.kind})"),
        *[("", text) for text in _track_record(card)],
        ("seconds", ", ".join(f"{what} {s:.2f}" for what, s in card.seconds.items())),
    ]
    shown, last = [name_text(card.file)], ""
    for name, text in lines:
        shown.append(f"  {name if name != last else '':<10}{text}")
        last = name or last
    return "\n".join(shown)


def refused_text(refused: Refused) -> str:
    """Write in two lines why a file has no forecast."""
    return f"{name_text(refused.file)}\n  {'no forecast':<12}{plain(refused.message, 500)}"


def _interval(card: ForecastCard) -> str:
    if card.low_k is None or card.high_k is None:
        return "this model states no interval"
    return f"80 % interval {views_text(card.low_k)} to {views_text(card.high_k)}"


def _standing(card: ForecastCard) -> str:
    standing = card.standing
    if standing.percentile is None:
        return "no video of the catalog has a readable count to compare with"
    more = f"more than {standing.percentile:.0f} % of the {standing.n:,} "
    if not standing.hashtags:
        return f"{more}videos of the catalog with a readable count"
    return f"{more}videos with {_names(standing.hashtags)}"


def _quarter(card: ForecastCard) -> str:
    edges = ", ".join(views_text(edge) for edge in card.edges_k)
    if card.quartile is None:
        return "not known"
    text = f"{QUARTERS[card.quartile]} of four; the training videos' borders are {edges}"
    if card.model.objective == "quartile":
        text += "; the model names a quarter, the count is that quarter's median"
    return text


def _likes(card: ForecastCard) -> list[tuple[str, str]]:
    if card.similar is None:
        looks = "this model looks at no other videos"
        return [("similar", looks if card.is_similar_asked else "not asked for")]
    if not card.similar:
        return [("similar", "the model knows no other video")]
    return [
        (
            "similar",
            f"{'–' if video.views_k is None else views_text(video.views_k):>7}  "
            f"likeness {video.similarity:.2f}  {plain(video.tiktok_id)}  "
            f"{plain(video.caption, CAPTION_CHARS)}".rstrip(),
        )
        for video in card.similar
    ]


def _moves(card: ForecastCard) -> list[tuple[str, str]]:
    moved = sorted(
        (move for move in card.moves if abs(math.log(move.factor)) >= SMALLEST_MOVE),
        key=lambda move: -abs(math.log(move.factor)),
    )
    if not moved:
        return [("moved by", "nothing: without any one input the forecast is about the same")]
    return [
        (
            "moved by",
            f"{move.modality}: × {move.factor:.2f} ({'up' if move.factor > 1 else 'down'})",
        )
        for move in moved
    ]


def _inputs(card: ForecastCard) -> list[tuple[str, str]]:
    length = "unknown length" if card.duration_s is None else f"{card.duration_s:.1f} s"
    shown = [("file", f"{length}, {card.width_px}x{card.height_px}")]
    if card.caption:
        shown.append(("caption", plain(card.caption, CAPTION_CHARS)))
    if card.hashtags:
        shown.append(("hashtags", _names(card.hashtags)))
    shown.append(("posted", card.posted_at or "unknown"))
    if card.transcript:
        shown.append(("says", plain(card.transcript, CAPTION_CHARS)))
    if card.known_as is not None:
        trained = card.known_part == "train"
        note = "; the model was trained on it: this is no forecast" if trained else ""
        shown.append(("known", f"this file is video {plain(card.known_as)} of the catalog{note}"))
    return shown


def _track_record(card: ForecastCard) -> list[str]:
    record = card.record
    said = []
    if card.model.is_shuffled:
        said.append("It was trained on other videos' counts, as a test: what it says is chance.")
    if record.verdict == "constant":
        return [*said, "It is a constant: it says the same of every video."]
    if record.part is None or record.log_mae is None or record.best_constant_log_mae is None:
        return [*said, "How good it is was never measured on videos it had not seen."]
    videos = f"{record.n:,} {'held-out' if record.part == 'holdout' else 'validation'} videos"
    beside = (
        f"log-MAE {record.log_mae:.3f} on {videos}, "
        f"{record.best_constant_log_mae:.3f} for {BESIDE[str(record.best_constant)]}"
    )
    verdicts = {
        "better": f"It beats every constant: {beside}.",
        "unclear": f"It is ahead of every constant, but chance may give as much: {beside}.",
        "not_better": f"It does not beat a constant: {beside}. Trust it no more.",
    }
    said.append(verdicts.get(record.verdict, f"{beside}."))
    if record.spearman is not None:
        ends = ""
        if record.spearman_low is not None and record.spearman_high is not None:
            ends = f" (95 %: {record.spearman_low:.2f} to {record.spearman_high:.2f})"
        said.append(f"Rank correlation there {record.spearman:.2f}{ends}.")
    if record.coverage_80 is not None:
        said.append(f"Its 80 % intervals held {100 * record.coverage_80:.0f} % of them.")
    return said


def _names(hashtags: Sequence[str]) -> str:
    shown = " ".join(f"#{plain(name, 40)}" for name in hashtags[:HASHTAGS_SHOWN])
    return shown if len(hashtags) <= HASHTAGS_SHOWN else f"{shown} …"
