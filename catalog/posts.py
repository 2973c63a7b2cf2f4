"""Read what posts say: caption, hashtags, author, times, and what was heard in the video."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.facts import PostFacts
from catalog.paging import hashtags_of
from catalog.tables import Feature, Video


def posts_of(
    session: Session, video_ids: Sequence[int], *, audio_set_id: int | None
) -> dict[int, PostFacts]:
    """Return what is known of at most a chunk of videos beside how they did, by video.

    audio_set_id: the feature set whose transcripts are read; None: no transcript.
    """
    hashtags = hashtags_of(session, video_ids)
    heard = {} if audio_set_id is None else _heard(session, video_ids, audio_set_id)
    rows = session.execute(
        select(
            Video.id,
            Video.tiktok_id,
            Video.caption,
            Video.account_id,
            Video.posted_at,
            Video.first_seen_at,
            Video.duration_s,
            Video.width_px,
            Video.height_px,
        ).where(Video.id.in_(video_ids))
    )
    found = {}
    for row in rows:
        found[row.id] = PostFacts(
            tiktok_id=row.tiktok_id,
            caption=row.caption,
            hashtags=tuple(hashtags.get(row.id, ())),
            account_id=row.account_id,
            posted_at=row.posted_at,
            first_seen_at=row.first_seen_at,
            duration_s=row.duration_s,
            width_px=row.width_px,
            height_px=row.height_px,
            heard=heard.get(row.id),
        )
    return found


def _heard(
    session: Session, video_ids: Sequence[int], audio_set_id: int
) -> dict[int, dict[str, object]]:
    rows = session.execute(
        select(Feature.video_id, Feature.detail).where(
            Feature.feature_set_id == audio_set_id,
            Feature.video_id.in_(video_ids),
            Feature.status == "done",
        )
    )
    return {video_id: detail for video_id, detail in rows if detail is not None}
