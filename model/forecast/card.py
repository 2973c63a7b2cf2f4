"""What is said of one file: the forecast, and all that stands beside it."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from catalog.errors import readable
from catalog.facts import KnownAccount
from catalog.verdict import LEAST_GAIN, Paired, verdict_of
from model.evaluation.metrics import CONSTANT_NAMES
from model.forecast.cautions import Caution
from model.forecast.opening_facts import Against, Measured
from model.forecast.what_if import WhatIf

RecordVerdict = Literal["better", "unclear", "not_better", "constant", "unmeasured"]

NAME_CHARS = 200


@dataclass(frozen=True)
class Standing:
    """Where a forecast stands among comparable videos: percentile 0 to 100 of n counts.

    hashtags: those of which each comparable video has at least one; empty: all videos of the
    catalog with a readable count. percentile None: there is no such video. age_d: half of the
    videos were younger when their count was seen, in days; None: not known of any.
    """

    percentile: float | None
    n: int
    hashtags: tuple[str, ...] = ()
    age_d: float | None = None


@dataclass(frozen=True)
class AuthorStanding:
    """Where a forecast stands among the author's last n posts that have a count.

    wanted_age_d: at which age each post's count was wanted, and the nearest taken; None: the
    newest was. age_d: half of them were younger than that when it was seen.
    """

    percentile: float
    n: int
    age_d: float | None
    wanted_age_d: float | None


@dataclass(frozen=True)
class LikeIt:
    """What the n training videos most like the file got: the ends of the middle 80 %."""

    n: int
    low_k: float
    high_k: float


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
    """Which model says it. is_shuffled: it was trained on counts of other videos, as a test.

    as_of, history: the rules of what it read of accounts, sounds and earlier posts; None: neither.
    label: which count of a video it forecasts. horizon_s: the age that its forecasts are of; None:
    none is stated.
    """

    name: str
    version: int
    kind: str
    objective: str
    is_shuffled: bool = False
    as_of: str | None = None
    history: str | None = None
    label: str = "latest"
    horizon_s: int | None = None


@dataclass(frozen=True)
class ForecastCard:
    """All that is said of one file; counts in thousands of views.

    file: its name, which may be anything. quartile 0 to 3, by edges_k. similar None: the model
    looks at no other videos, or was not asked to. absent: why each kind of feature that the model
    reads is not there. known_as: the catalog's video that has this very file, and known_part the
    part it plays in the model's split. cautions: what the forecast does not rest on. seconds: of
    each part of the work on this file. account: the author's, as it was known. among_own None: no
    author is known, or no post of theirs with a count. like_it None: the model looks at no other
    videos, or there are too few. likeness: by block, per cent of training videos that are less
    like the others than this one. opening: beside the catalog's, and whether they go with what
    the model's forecasts missed or with views. what_if None: not asked for.
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
    account: KnownAccount | None = None
    among_own: AuthorStanding | None = None
    like_it: LikeIt | None = None
    likeness: Mapping[str, float] = field(default_factory=dict)
    opening: tuple[Measured, ...] = ()
    opening_against: Against = "forecast"
    what_if: WhatIf | None = None

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
                beside.get(name),
                found.get(f"log_mae_diff.{name}.low"),
                found.get(f"log_mae_diff.{name}.high"),
            )
            for name in CONSTANT_NAMES  # one that is missing is no evidence, as on the leaderboard
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


def _is_control(char: str) -> bool:
    # Cc: controls. Cf: among them the marks that turn the direction of writing, and the joiners
    # of emoji, which are kept. Cs: halves of pairs, which no encoding takes.
    if char in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}":
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs")
