"""Read what a split is made of, and what one could be made of, a page of videos at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.lookup import find_split
from catalog.paging import by_video_id
from catalog.rows import among, chunks
from catalog.tables import DatasetSplit, SplitMember, Video, ViewObservation


@dataclass(frozen=True, slots=True)
class Observed:
    """One readable count of a video, in thousands, and when it was seen."""

    id: int
    observed_at: datetime
    views_k: float


@dataclass(frozen=True, slots=True)
class VideoHistory:
    """A video that could enter a split, with every readable count of it, the oldest first."""

    video_id: int
    tiktok_id: str
    author_id: int | None
    posted_at: datetime | None
    first_seen_at: datetime
    observations: tuple[Observed, ...]


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """One video of a split: its part, and when its label was seen."""

    video_id: int
    tiktok_id: str
    author_id: int | None
    posted_at: datetime | None
    first_seen_at: datetime
    part: str
    observed_at: datetime
    views_k: float | None


@dataclass(frozen=True)
class SplitRow:
    """A split as it was frozen."""

    id: int
    name: str
    strategy: str
    params: dict[str, Any]
    sha256: str
    created_at: datetime
    n_by_part: dict[str, int]


def video_histories(session: Session) -> Iterator[VideoHistory]:
    """Yield each video that is not gone and has a readable count, in the order of its id."""
    page = (
        select(
            Video.id, Video.tiktok_id, Video.account_id, Video.posted_at, Video.first_seen_at
        )
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(Video.gone_at.is_(None), ViewObservation.views_k.is_not(None))
    )
    for videos in chunks(by_video_id(session, page)):
        seen = _observations(session, [video[0] for video in videos])
        for video_id, tiktok_id, author_id, posted_at, first_seen_at in videos:
            yield VideoHistory(
                video_id, tiktok_id, author_id, posted_at, first_seen_at, tuple(seen[video_id])
            )


def find_split_row(session: Session, name: str | None) -> SplitRow:
    """Return the split of that name, the newest for None. Raises NotFound, listing what exists."""
    found = find_split(session, name)
    row = session.get(DatasetSplit, found.id)
    if row is None:  # deleted between the two questions
        raise NotFound(f"no split {found.name}")
    return _row(row, dict(found.n_by_part))


def all_splits(session: Session) -> list[SplitRow]:
    """Return every split, the newest first."""
    counts: dict[int, dict[str, int]] = {}
    counted = select(SplitMember.split_id, SplitMember.part, func.count()).group_by(
        SplitMember.split_id, SplitMember.part
    )
    for split_id, part, n in session.execute(counted):
        counts.setdefault(split_id, {})[part] = n
    splits = session.scalars(select(DatasetSplit).order_by(DatasetSplit.id.desc()))
    return [_row(split, counts.get(split.id, {})) for split in splits]


def split_members(session: Session, split_id: int) -> Iterator[MemberFacts]:
    """Yield the videos of a split with their labels, in the order of their ids."""
    page = (
        select(
            Video.id,
            Video.tiktok_id,
            Video.account_id,
            Video.posted_at,
            Video.first_seen_at,
            SplitMember.part,
            ViewObservation.observed_at,
            ViewObservation.views_k,
        )
        .join(SplitMember, SplitMember.video_id == Video.id)
        .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
        .where(SplitMember.split_id == split_id)
    )
    for row in by_video_id(session, page):
        yield MemberFacts(*row)


def _row(row: DatasetSplit, n_by_part: dict[str, int]) -> SplitRow:
    return SplitRow(
        row.id, row.name, row.strategy, dict(row.params), row.sha256, row.created_at, n_by_part
    )


def _observations(session: Session, video_ids: list[int]) -> dict[int, list[Observed]]:
    found: dict[int, list[Observed]] = {video_id: [] for video_id in video_ids}
    rows = session.execute(
        select(
            ViewObservation.video_id,
            ViewObservation.id,
            ViewObservation.observed_at,
            ViewObservation.views_k,
        )
        .where(among(session, ViewObservation.video_id, video_ids))
        .where(ViewObservation.views_k.is_not(None))
        .order_by(ViewObservation.video_id, ViewObservation.observed_at)
    )
    for video_id, observation_id, observed_at, views_k in rows:
        if views_k is not None:
            found[video_id].append(Observed(observation_id, observed_at, views_k))
    return found
