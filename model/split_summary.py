"""What a frozen split looks like: sizes, dates, label ages, and who is in more than one part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from statistics import median

from model.split import Candidate, Part, uploaded_at

PARTS: tuple[Part, ...] = ("train", "val", "holdout")
DAY_S = 86_400


@dataclass(frozen=True)
class Member:
    """A video of a split, its part, and when the count that is its label was seen."""

    video: Candidate
    part: Part
    observed_at: datetime


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

    first: Part
    second: Part
    n_authors: int
    n_videos: int


@dataclass(frozen=True)
class SplitSummary:
    """A split by part, and what crosses parts.

    n_labels_later: training labels seen after the first held-out video was posted: a forecaster
    standing at that moment would not have had them.
    """

    parts: Mapping[Part, PartSummary]
    shared: tuple[Shared, ...]
    n_labels_later: int


@dataclass
class _Gathered:
    posted: list[datetime] = field(default_factory=list)
    seen: list[datetime] = field(default_factory=list)
    videos_of: dict[int, int] = field(default_factory=dict)


def summarise(members: Iterable[Member]) -> SplitSummary:
    """Sum up the members, which are read once."""
    gathered: dict[Part, _Gathered] = {}
    for member in members:
        part = gathered.setdefault(member.part, _Gathered())
        part.posted.append(uploaded_at(member.video))
        part.seen.append(member.observed_at)
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
        later = sum(seen > held_out_from for seen in gathered["train"].seen)
    parts = {part: _summary(gathered[part]) for part in present}
    return SplitSummary(parts, tuple(shared), later)


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
    return said


def _summary(part: _Gathered) -> PartSummary:
    pairs = zip(part.seen, part.posted, strict=True)
    ages_d = [(seen - posted).total_seconds() / DAY_S for seen, posted in pairs]
    return PartSummary(
        n=len(part.posted),
        posted_from=min(part.posted),
        posted_to=max(part.posted),
        label_age_d_min=min(ages_d),
        label_age_d_median=median(ages_d),
        label_age_d_max=max(ages_d),
        labels_seen_to=max(part.seen),
        n_authors=len(part.videos_of),
    )
