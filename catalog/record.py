"""What a scrape or an import found, written down; every function may be repeated without harm."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NotFound
from catalog.facts import ObservationFacts, SightingCounts, VideoFacts
from catalog.lineage import (
    add_model_version,
    ensure_feature_set,
    freeze_split,
    set_alias,
    store_predictions,
)
from catalog.rows import chunks, insert_into
from catalog.tables import (
    Account,
    Hashtag,
    Topic,
    TopicHashtag,
    Video,
    VideoHashtag,
    ViewObservation,
)

__all__ = [
    "add_model_version",
    "add_topics",
    "ensure_feature_set",
    "freeze_split",
    "mark_gone",
    "mark_listed",
    "plain_hashtag",
    "set_alias",
    "store_predictions",
    "store_sightings",
]

PLATFORM = "tiktok"
Sightings = Sequence[tuple[VideoFacts, ObservationFacts]]


def plain_hashtag(name: str) -> str:
    """Return a hashtag as the catalog keeps it: lower case, without '#'. Raises BadValue."""
    plain = name.strip().removeprefix("#").lower()
    if not plain or plain.startswith("#") or len(plain) > 200:
        raise BadValue(f"{name!r} is no hashtag: give its name, such as 'dance'")
    return plain


def store_sightings(
    session: Session, sightings: Sightings, *, run_id: int | None, found_by: str | None
) -> SightingCounts:
    """Add or bring up to date the videos seen, and add what their counts were.

    found_by: the hashtag whose page listed them; each is linked to it whatever its caption says.
    A fact that is None never erases a known one. A video's latest count only moves forward
    in time, so an old export may be imported after a scrape.
    """
    listing = plain_hashtag(found_by) if found_by is not None else None
    new_videos = known_videos = new_observations = 0
    for batch in chunks(sightings):
        known = _video_ids(session, [video.tiktok_id for video, _ in batch])
        ids = _upsert_videos(session, batch, run_id)
        new_videos += len(ids) - len(known)
        known_videos += len(known)
        _link_hashtags(session, batch, ids, listing)
        new_observations += _add_observations(session, batch, ids, run_id)
    return SightingCounts(new_videos, known_videos, new_observations)


def add_topics(session: Session, topics: Mapping[str, Sequence[str]]) -> int:
    """Make each topic and link its hashtags to it; return how many links are new."""
    for name in sorted(topics):
        if not name.strip() or len(name) > 200:
            raise BadValue(f"{name!r} is no topic name")
    _ensure(session, Topic, sorted(topics))
    topic_ids = _ids_by_name(session, Topic, topics)
    tags = {tag: plain_hashtag(tag) for tags in topics.values() for tag in tags}
    _ensure(session, Hashtag, sorted(set(tags.values())))
    tag_ids = _ids_by_name(session, Hashtag, set(tags.values()))
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
    _ensure(session, Hashtag, [name])
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


def _video_ids(session: Session, tiktok_ids: Iterable[str]) -> dict[str, int]:
    wanted = select(Video.tiktok_id, Video.id).where(
        Video.tiktok_id.in_(sorted(set(tiktok_ids))), Video.platform == PLATFORM
    )
    return dict(session.execute(wanted).all())


def _upsert_videos(session: Session, batch: Sightings, run_id: int | None) -> dict[str, int]:
    accounts = _ensure_accounts(session, {v.author_key for v, _ in batch if v.author_key})
    rows: dict[str, dict[str, Any]] = {}
    for video, seen in batch:
        if not video.tiktok_id:
            raise BadValue(f"a video without an id: {video.url!r}")
        before = rows.get(video.tiktok_id, {})
        facts = {
            "tiktok_id": video.tiktok_id,
            "platform": PLATFORM,
            "url": video.url,
            "caption": video.caption,
            "account_id": accounts.get(video.author_key or ""),
            "posted_at": video.posted_at,
            "duration_s": video.duration_s,
            "width_px": video.width_px,
            "height_px": video.height_px,
            "first_seen_at": min(seen.observed_at, before.get("first_seen_at", seen.observed_at)),
            "first_run_id": run_id,
        }
        rows[video.tiktok_id] = before | {
            name: fact for name, fact in facts.items() if fact is not None or name not in before
        }
    statement = insert_into(session, Video)
    new = statement.excluded
    # Rows in the order of their key: two writers then wait for, and never deadlock, each other.
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["tiktok_id", "platform"],
            set_={
                "url": new.url,
                "caption": case((new.caption != "", new.caption), else_=Video.caption),
                "account_id": func.coalesce(new.account_id, Video.account_id),
                "posted_at": func.coalesce(new.posted_at, Video.posted_at),
                "duration_s": func.coalesce(new.duration_s, Video.duration_s),
                "width_px": func.coalesce(new.width_px, Video.width_px),
                "height_px": func.coalesce(new.height_px, Video.height_px),
                "first_seen_at": case(
                    (new.first_seen_at < Video.first_seen_at, new.first_seen_at),
                    else_=Video.first_seen_at,
                ),
                # Seen after it was said to be gone: it is back.
                "gone_at": case((new.first_seen_at > Video.gone_at, None), else_=Video.gone_at),
                "gone_reason": case(
                    (new.first_seen_at > Video.gone_at, None), else_=Video.gone_reason
                ),
            },
        ),
        [rows[tiktok_id] for tiktok_id in sorted(rows)],
    )
    return _video_ids(session, rows)


def _ensure_accounts(session: Session, author_keys: set[str]) -> dict[str, int]:
    if not author_keys:
        return {}
    rows = [{"author_key": key, "platform": PLATFORM} for key in sorted(author_keys)]
    session.execute(insert_into(session, Account).on_conflict_do_nothing(), rows)
    wanted = select(Account.author_key, Account.id).where(
        Account.author_key.in_(sorted(author_keys)), Account.platform == PLATFORM
    )
    return dict(session.execute(wanted).all())


def _link_hashtags(
    session: Session, batch: Sightings, ids: Mapping[str, int], listing: str | None
) -> None:
    links: dict[tuple[int, str], str] = {}
    for video, _ in batch:
        video_id = ids[video.tiktok_id]
        for tag in video.hashtags:
            links.setdefault((video_id, plain_hashtag(tag)), "caption")
        if listing is not None:
            links[video_id, listing] = "listing"
    if not links:
        return
    names = {name for _, name in links}
    _ensure(session, Hashtag, sorted(names))
    tag_ids = _ids_by_name(session, Hashtag, names)
    statement = insert_into(session, VideoHashtag)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["video_id", "hashtag_id"],
            set_={"found_by": statement.excluded.found_by},
            where=statement.excluded.found_by == "listing",
        ),
        [
            {"video_id": video_id, "hashtag_id": tag_ids[name], "found_by": found_by}
            for (video_id, name), found_by in sorted(links.items())
        ],
    )


def _add_observations(
    session: Session, batch: Sightings, ids: Mapping[str, int], run_id: int | None
) -> int:
    rows = {
        (ids[video.tiktok_id], seen.observed_at): {
            "video_id": ids[video.tiktok_id],
            "observed_at": seen.observed_at,
            "display_text": seen.display_text,
            "views_k": seen.views_k,
            "step_k": seen.step_k,
            "source": seen.source,
            "run_id": run_id,
        }
        for video, seen in batch
    }
    statement = insert_into(session, ViewObservation).on_conflict_do_nothing(
        index_elements=["video_id", "observed_at"]
    )
    ordered = [rows[key] for key in sorted(rows)]
    added = session.execute(statement.returning(ViewObservation.id), ordered).all()
    newest = (
        select(ViewObservation.id)
        .where(ViewObservation.video_id == Video.id)
        # One unreadable page must not hide the count that is known.
        .order_by(ViewObservation.views_k.is_(None), ViewObservation.observed_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        update(Video)
        .where(Video.id.in_(sorted(set(ids.values()))))
        .values(latest_observation_id=newest)
        .execution_options(synchronize_session=False)
    )
    return len(added)


def _ensure(session: Session, entity: type[Topic | Hashtag], names: Sequence[str]) -> None:
    if names:
        rows = [{"name": name} for name in names]
        session.execute(insert_into(session, entity).on_conflict_do_nothing(), rows)


def _ids_by_name(
    session: Session, entity: type[Topic | Hashtag], names: Iterable[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(sorted(set(names))):
        rows = session.execute(select(entity.name, entity.id).where(entity.name.in_(chunk)))
        found.update((name, row_id) for name, row_id in rows)
    return found
