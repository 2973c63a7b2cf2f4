"""What a scrape or an import found, written down; every function may be repeated without harm."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NotFound
from catalog.facts import RejectedFacts
from catalog.hashtags import ensure_names, ids_by_name, plain_hashtag
from catalog.leases import MediaDone
from catalog.lineage import (
    add_model_version,
    ensure_feature_set,
    freeze_split,
    set_alias,
    store_predictions,
)
from catalog.rows import chunks, insert_into
from catalog.sightings import store_sightings
from catalog.tables import Hashtag, MediaFile, RejectedRow, Topic, TopicHashtag, Video
from catalog.types import plain_json, utc_now

__all__ = [
    "add_model_version",
    "add_topics",
    "adopt_media",
    "ensure_feature_set",
    "freeze_split",
    "mark_gone",
    "mark_listed",
    "plain_hashtag",
    "set_alias",
    "store_predictions",
    "store_rejected",
    "store_sightings",
]


def add_topics(session: Session, topics: Mapping[str, Sequence[str]]) -> int:
    """Make each topic and link its hashtags to it; return how many links are new."""
    for name in sorted(topics):
        if not name.strip() or len(name) > 200:
            raise BadValue(f"{name!r} is no topic name")
    ensure_names(session, Topic, sorted(topics))
    topic_ids = ids_by_name(session, Topic, topics)
    tags = {tag: plain_hashtag(tag) for tags in topics.values() for tag in tags}
    ensure_names(session, Hashtag, sorted(set(tags.values())))
    tag_ids = ids_by_name(session, Hashtag, set(tags.values()))
    links = {
        (topic_ids[topic], tag_ids[tags[tag]]) for topic, names in topics.items() for tag in names
    }
    if not links:
        return 0
    statement = insert_into(session, TopicHashtag).on_conflict_do_nothing()
    rows = [{"topic_id": topic, "hashtag_id": tag} for topic, tag in sorted(links)]
    made = session.execute(statement.returning(TopicHashtag.topic_id), rows)
    return len(made.all())


def mark_listed(session: Session, hashtag: str, at: datetime) -> None:
    """Note that a hashtag's page was listed to its end at `at`."""
    name = plain_hashtag(hashtag)
    ensure_names(session, Hashtag, [name])
    earlier = or_(Hashtag.listed_at.is_(None), Hashtag.listed_at < at)
    session.execute(update(Hashtag).where(Hashtag.name == name, earlier).values(listed_at=at))


def mark_gone(session: Session, video_id: int, at: datetime, reason: str) -> None:
    """Note that a video is no longer to be had; nothing known of it is deleted."""
    result = session.execute(
        update(Video)
        .where(Video.id == video_id)
        .values(gone_at=at, gone_reason=reason)
        .returning(Video.id)
    )
    if result.first() is None:
        raise NotFound(f"no video with id {video_id}")


def store_rejected(
    session: Session, source: str, rows: Sequence[RejectedFacts], *, run_id: int
) -> int:
    """Note rows of an import that were not taken; return how many were not known yet."""
    statement = insert_into(session, RejectedRow).on_conflict_do_nothing(
        index_elements=["source", "line", "row_sha256"]
    )
    now, n_new = utc_now(), 0
    for chunk in chunks(rows):
        values = [
            {
                "run_id": run_id,
                "source": source,
                "line": row.line,
                "tiktok_id": row.tiktok_id,
                "reason": row.reason,
                "detail": row.detail,
                "row_sha256": row.row_sha256,
                "at": now,
            }
            for row in chunk
        ]
        n_new += len(session.execute(statement.returning(RejectedRow.id), values).all())
    return n_new


def adopt_media(session: Session, platform: str, tiktok_id: str, done: MediaDone) -> bool:
    """Give a video the file that an import brought; False when it has one or one is on its way.

    Raises NotFound for a video that is not in the catalog.
    """
    video_id = session.scalar(
        select(Video.id).where(Video.tiktok_id == tiktok_id, Video.platform == platform)
    )
    if video_id is None:
        raise NotFound(f"no video {tiktok_id} of {platform}")
    values = {
        "status": "ok",
        "uri": done.uri,
        "sha256": done.sha256,
        "n_bytes": done.n_bytes,
        "probe": plain_json(done.probe),
        "error_code": None,
        "error": None,
        "not_before": None,
        "finished_at": utc_now(),
    }
    statement = insert_into(session, MediaFile).on_conflict_do_update(
        index_elements=["video_id", "kind"],
        set_=values,
        where=MediaFile.status.not_in(("ok", "leased")),
    )
    row = {"video_id": video_id, "kind": "video", "attempts": 0, **values}
    return session.execute(statement.returning(MediaFile.id), [row]).first() is not None
