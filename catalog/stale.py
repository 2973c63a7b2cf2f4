"""Which known videos are to be looked at again, and where that is cheapest."""

from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from catalog.facts import RefreshTodo
from catalog.tables import Hashtag, Video, VideoHashtag, ViewObservation

# Whose pages we know how to visit.
SITE_PLATFORM = "tiktok"


def videos_to_refresh(
    session: Session, *, observed_before: datetime, after: int = 0, limit: int = 1_000
) -> list[RefreshTodo]:
    """Return videos that are not gone and were last observed before then, in the order of their id.

    An observation counts whether its count was readable or not. after: begin behind this video id.
    """
    newest = (
        select(func.max(ViewObservation.observed_at))
        .where(ViewObservation.video_id == Video.id)
        .scalar_subquery()
    )
    page = (
        select(Video.id, Video.tiktok_id, newest)
        .where(_is_stale(observed_before), Video.id > after)
        .order_by(Video.id)
        .limit(limit)
    )
    return [RefreshTodo(*row) for row in session.execute(page)]


def count_to_refresh(session: Session, *, observed_before: datetime) -> int:
    """Return how many videos `videos_to_refresh` has in all."""
    counted = select(func.count()).select_from(Video).where(_is_stale(observed_before))
    return session.execute(counted).scalar_one()


def hashtags_to_refresh(
    session: Session, *, observed_before: datetime, at_least: int
) -> list[tuple[str, int]]:
    """Return the hashtags whose page listed that many stale videos or more, most first."""
    n_stale = func.count()
    page = (
        select(Hashtag.name, n_stale)
        .join(VideoHashtag, VideoHashtag.hashtag_id == Hashtag.id)
        .join(Video, Video.id == VideoHashtag.video_id)
        .where(_is_stale(observed_before), VideoHashtag.found_by == "listing")
        .group_by(Hashtag.name)
        .having(n_stale >= at_least)
        .order_by(n_stale.desc(), Hashtag.name)
    )
    return [(name, n) for name, n in session.execute(page)]


def _is_stale(observed_before: datetime) -> ColumnElement[bool]:
    seen_since = exists().where(
        ViewObservation.video_id == Video.id, ViewObservation.observed_at >= observed_before
    )
    return Video.gone_at.is_(None) & (Video.platform == SITE_PLATFORM) & ~seen_since
