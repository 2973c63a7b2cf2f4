"""Read what a new video is put beside: videos by their ids, and the views of comparable ones."""

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.paging import by_video_id
from catalog.rows import among, chunks
from catalog.tables import (
    Hashtag,
    MediaFile,
    SplitMember,
    Video,
    VideoHashtag,
    ViewObservation,
)


@dataclass(frozen=True)
class KnownVideo:
    """A video of the catalog; views_k is its latest readable count, None where there is none."""

    video_id: int
    tiktok_id: str
    url: str
    caption: str
    views_k: float | None


def known_videos(session: Session, video_ids: Sequence[int]) -> dict[int, KnownVideo]:
    """Return what is known of some videos, by id; one that is gone from the catalog is left out."""
    found: dict[int, KnownVideo] = {}
    for chunk in chunks(video_ids):
        rows = session.execute(
            select(Video.id, Video.tiktok_id, Video.url, Video.caption, ViewObservation.views_k)
            .outerjoin(ViewObservation, ViewObservation.id == Video.latest_observation_id)
            .where(Video.id.in_(chunk))
        )
        found |= {row.id: KnownVideo(*row) for row in rows}
    return found


def all_views(session: Session) -> "array[float]":
    """Return the latest count, in thousands, of every video that has one."""
    page = (
        select(Video.id, ViewObservation.views_k)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(ViewObservation.views_k.is_not(None))
    )
    return array("d", (views_k for _video_id, views_k in by_video_id(session, page)))


def views_with_hashtags(session: Session, hashtags: Collection[str]) -> "array[float]":
    """Return the latest count, in thousands, of every video with at least one of the hashtags."""
    if not hashtags:
        return array("d")
    tagged = (
        select(VideoHashtag.video_id)
        .join(Hashtag, Hashtag.id == VideoHashtag.hashtag_id)
        .where(among(session, Hashtag.name, hashtags))
        .distinct()
        .subquery()
    )
    # Not by pages: the hashtags' own index would be gone through for each of them.
    rows = session.execute(
        select(ViewObservation.views_k)
        .join(Video, Video.latest_observation_id == ViewObservation.id)
        .join(tagged, tagged.c.video_id == Video.id)
        .where(ViewObservation.views_k.is_not(None))
        .execution_options(yield_per=1_000)
    )
    return array("d", (views_k for (views_k,) in rows if views_k is not None))


def videos_of_files(session: Session, sha256s: Collection[str]) -> dict[str, KnownVideo]:
    """Return the videos whose fetched files have these checksums, by checksum."""
    found = session.execute(
        select(MediaFile.sha256, MediaFile.video_id)
        .where(among(session, MediaFile.sha256, sha256s))
        .order_by(MediaFile.video_id.desc())
    ).all()
    videos = known_videos(session, sorted({video_id for _sha256, video_id in found}))
    return {sha256: videos[video_id] for sha256, video_id in found if sha256 is not None}


def part_in_split(session: Session, split_id: int, video_id: int) -> str | None:
    """Return the part that a video plays in a split; None where it is not in it."""
    return session.scalar(
        select(SplitMember.part).where(
            SplitMember.split_id == split_id, SplitMember.video_id == video_id
        )
    )
