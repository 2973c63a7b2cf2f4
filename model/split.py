"""Who trains, who validates and who is held out: a pure function of the candidates."""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import combinations
from statistics import median
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from catalog.ages import Label, read_label
from catalog.facts import Candidate, Member, PartName, posted_at_of, uploaded_at
from features.settings import STRICT

Strategy = Literal["time", "author", "hash", "paper"]

# Section IV of the paper: 1,100 videos, 800 to train, 200 to validate, 100 held out.
PAPER_TRAIN, PAPER_VAL, PAPER_ALL = 800, 200, 1100
PARTS: tuple[PartName, ...] = ("train", "val", "holdout")
DAY_S = 86_400
#: Labels whose ages differ by more than this, as the 90th percentile over the 10th, say how old a
#: video was as much as how it did.
UNEQUAL: Final = 2.0
#: What is then proposed instead.
EQUAL_LABEL: Final = Label("at", 7 * DAY_S)


@pydantic_dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """How to divide videos; `val` and `holdout` are fractions of all of them.

    time: the newest are held out, the next newest validate; scoring always looks ahead.
    author: no account is in two parts. hash: seeded, by the video's own id.
    paper: 800/200/100 in order of id, scaled to however many there are (fractions are not used).
    label: which count of a video is its label: "latest"; "at:7d", the views at that age (see
    `catalog.ages`); "from:7d", the first readable count seen at that age or later. A video that has
    none is left out.
    """

    strategy: Strategy = "time"
    val: float = Field(default=0.15, ge=0, lt=1)
    holdout: float = Field(default=0.15, ge=0, lt=1)
    seed: int = 0
    label: Annotated[str, AfterValidator(lambda text: str(read_label(text)))] = Field(
        default="latest", description="which count is the label: latest, at:7d, from:7d"
    )

    def __post_init__(self) -> None:
        """Refuse what leaves nobody to train on."""
        if self.val + self.holdout >= 1:
            raise ValueError(
                f"val {self.val} and holdout {self.holdout} must be fractions that leave "
                "something to train on (their sum below 1)"
            )

    def to_json(self) -> dict[str, Any]:
        """As the catalog keeps it; what could be said before "label" was there keeps its hash."""
        settings = asdict(self)
        label = read_label(settings.pop("label"))
        if label.kind == "from":
            settings["label_age_s"] = float(label.age_s)
        elif label.kind == "at":
            settings["label"] = self.label
        return settings


def assign_parts(
    candidates: Sequence[Candidate],
    config: SplitConfig,
    *,
    first_videos: Mapping[int, str] | None = None,
) -> dict[int, PartName]:
    """Part of every candidate by video_id, whatever the order they come in.

    first_videos: the tiktok_id of each author's first video, by author, that is their name in an
    author split; None: of the first among the candidates.
    """
    if config.strategy == "author":
        return _by_author(candidates, config, first_videos or _first_videos(candidates))
    return STRATEGIES[config.strategy](candidates, config)


def label_place(
    candidate: Candidate, seen_at: Sequence[datetime], label_age_s: float
) -> int | None:
    """Place of the first label of that age among the times of a video's readable counts.

    The oldest come first. None where no count is old enough yet. A video whose upload time nobody
    knows counts from its first sight, so that its label is never younger than asked for.
    """
    uploaded = uploaded_at(candidate)
    # Ages and not times are compared: an age of centuries would be a time beyond the calendar.
    place = bisect_left(seen_at, label_age_s, key=lambda at: (at - uploaded).total_seconds())
    return place if place < len(seen_at) else None


def _by_time(candidates: Sequence[Candidate], config: SplitConfig) -> dict[int, PartName]:
    ordered = sorted(candidates, key=lambda c: (uploaded_at(c), _id_order(c)))
    n = len(ordered)
    n_holdout, n_val = _share(n, config.holdout), _share(n, config.val)
    return _in_order(ordered, n - n_val - n_holdout, n_val)


def _by_paper(candidates: Sequence[Candidate], config: SplitConfig) -> dict[int, PartName]:
    del config  # the paper's shares are fixed
    ordered = sorted(candidates, key=_id_order)
    n_train = round(len(ordered) * PAPER_TRAIN / PAPER_ALL)
    return _in_order(ordered, n_train, round(len(ordered) * PAPER_VAL / PAPER_ALL))


def _by_author(
    candidates: Sequence[Candidate], config: SplitConfig, first_videos: Mapping[int, str]
) -> dict[int, PartName]:
    # Not by the author's id, which hung on a salt: the same data would be parted in another way.
    # Their first video stays the first whatever is added, for the catalog's ids only grow.
    # A video of nobody we know stands alone: it cannot share an author with another part.
    name = {author: f"author:{tiktok_id}" for author, tiktok_id in first_videos.items()}
    return {
        c.video_id: _by_draw(
            f"video:{c.tiktok_id}" if c.author_id is None else name[c.author_id], config
        )
        for c in candidates
    }


def _first_videos(candidates: Sequence[Candidate]) -> dict[int, str]:
    newest_first = sorted(candidates, key=lambda c: c.video_id, reverse=True)
    return {c.author_id: c.tiktok_id for c in newest_first if c.author_id is not None}


def _by_hash(candidates: Sequence[Candidate], config: SplitConfig) -> dict[int, PartName]:
    return {c.video_id: _by_draw(f"video:{c.tiktok_id}", config) for c in candidates}


def _by_draw(subject: str, config: SplitConfig) -> PartName:
    # A hash, not a shuffle: adding videos must never move one already assigned.
    digest = hashlib.sha256(f"{config.seed}:{subject}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < config.holdout:
        return "holdout"
    return "val" if draw < config.holdout + config.val else "train"


def _in_order(ordered: Sequence[Candidate], n_train: int, n_val: int) -> dict[int, PartName]:
    parts: dict[int, PartName] = {}
    for position, candidate in enumerate(ordered):
        if position < n_train:
            parts[candidate.video_id] = "train"
        else:
            parts[candidate.video_id] = "val" if position < n_train + n_val else "holdout"
    return parts


def _share(n: int, fraction: float) -> int:
    """Rows of a part: rounded, but never none where three rows could give each part one."""
    return max(round(n * fraction), 1 if fraction > 0 and n >= 3 else 0)


def _id_order(candidate: Candidate) -> tuple[int, str]:
    # Length first: as text "99" would come after "100", as numbers it must not.
    return (len(candidate.tiktok_id), candidate.tiktok_id)


# But `author`, for which the candidates alone do not suffice.
STRATEGIES: dict[str, Callable[[Sequence[Candidate], SplitConfig], dict[int, PartName]]] = {
    "time": _by_time,
    "hash": _by_hash,
    "paper": _by_paper,
}


@dataclass(frozen=True)
class PartSummary:
    """One part: upload times, ages of its labels in days, and its known authors."""

    n: int
    posted_from: datetime
    posted_to: datetime
    label_age_d_min: float
    label_age_d_median: float
    label_age_d_max: float
    labels_seen_to: datetime
    n_authors: int


@dataclass(frozen=True)
class Shared:
    """Authors that are in both parts, and how many videos of the second part are theirs."""

    first: PartName
    second: PartName
    n_authors: int
    n_videos: int


@dataclass(frozen=True)
class SplitSummary:
    """A split by part, and what crosses parts.

    n_labels_later: training labels seen after the first held-out video was posted: a forecaster
    standing at that moment would not have had them. label_age_d_10, label_age_d_90: percentiles of
    the ages of all labels whose video's time of posting is known, days; None: of no one's it is.
    n_equal: how many videos would have the label EQUAL_LABEL, where that is asked for.
    """

    parts: Mapping[PartName, PartSummary]
    shared: tuple[Shared, ...]
    n_labels_later: int
    label_age_d_10: float | None = None
    label_age_d_90: float | None = None
    n_equal: int | None = None

    @property
    def is_unequal(self) -> bool:
        """Whether the labels' ages differ by much."""
        low, high = self.label_age_d_10, self.label_age_d_90
        return low is not None and high is not None and high > UNEQUAL * max(low, 0.0)


@dataclass
class _Gathered:
    posted: list[datetime] = field(default_factory=list)
    known: list[datetime] = field(default_factory=list)
    ages_d: list[float] = field(default_factory=list)
    videos_of: dict[int, int] = field(default_factory=dict)


def summarise(members: Iterable[Member], label: Label | None = None) -> SplitSummary:
    """Sum up the members, which are read once; label: of the split, None: the latest count."""
    gathered: dict[PartName, _Gathered] = {}
    timed_d: list[float] = []
    for member in members:
        part = gathered.setdefault(member.part, _Gathered())
        posted = uploaded_at(member.video)
        age_s = (member.label.observed_at - posted).total_seconds()
        if label is not None and member.at_age is not None:
            age_s = label.age_s
        part.posted.append(posted)
        part.known.append(member.known_at)
        part.ages_d.append(age_s / DAY_S)
        if posted_at_of(member.video) is not None:
            timed_d.append(age_s / DAY_S)
        author = member.video.author_id
        if author is not None:
            part.videos_of[author] = part.videos_of.get(author, 0) + 1
    present = [part for part in PARTS if part in gathered]
    shared = []
    for first, second in combinations(present, 2):
        common = gathered[first].videos_of.keys() & gathered[second].videos_of.keys()
        n_videos = sum(gathered[second].videos_of[author] for author in common)
        shared.append(Shared(first, second, len(common), n_videos))
    later = 0
    if "train" in gathered and "holdout" in gathered:
        held_out_from = min(gathered["holdout"].posted)
        later = sum(known > held_out_from for known in gathered["train"].known)
    parts = {part: _summary(gathered[part]) for part in present}
    timed_d.sort()
    low_d, high_d = (
        timed_d[round(share * (len(timed_d) - 1))] if timed_d else None for share in (0.1, 0.9)
    )
    return SplitSummary(parts, tuple(shared), later, low_d, high_d)


def explain(summary: SplitSummary) -> list[str]:
    """What crosses the parts, in sentences, and what that means."""
    said = []
    for shared in summary.shared:
        if shared.n_authors:
            n = summary.parts[shared.second].n
            said.append(
                f"{shared.n_videos} of {n} {shared.second} videos are by {shared.n_authors} "
                f"authors who also have videos in {shared.first}: a model that reads the author "
                "may know them, and its errors there say nothing of authors it has never met"
            )
    if summary.shared and not said:
        said.append("no known author is in two parts")
    if summary.n_labels_later:
        said.append(
            f"{summary.n_labels_later} of {summary.parts['train'].n} training labels were seen "
            "after the first held-out video was posted: a forecast made on that day could not "
            "have used them"
        )
    if summary.n_equal is not None:
        said.append(
            f"the labels are of unequal age: a tenth of the videos was younger than "
            f"{summary.label_age_d_10:.1f} days when it was counted, a tenth older than "
            f"{summary.label_age_d_90:.1f}; --label {EQUAL_LABEL} makes them equal, and "
            f"{summary.n_equal} videos would have such a label"
        )
    return said


def _summary(part: _Gathered) -> PartSummary:
    return PartSummary(
        n=len(part.posted),
        posted_from=min(part.posted),
        posted_to=max(part.posted),
        label_age_d_min=min(part.ages_d),
        label_age_d_median=median(part.ages_d),
        label_age_d_max=max(part.ages_d),
        labels_seen_to=max(part.known),
        n_authors=len(part.videos_of),
    )
