"""Topics and hashtags: their names, which stand for which, and which videos have them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue
from catalog.record.accounts import Sightings
from catalog.schema.tables import Hashtag, Topic, TopicHashtag, VideoHashtag
from catalog.schema.types import bulk, chunks, insert_into


@lru_cache(maxsize=8_192)
def plain_hashtag(name: str) -> str:
    """Return a hashtag as the catalog keeps it: lower case, without '#'. Raises BadValue."""
    plain = name.strip().removeprefix("#").lower()
    if not plain or plain.startswith("#") or len(plain) > 200:
        raise BadValue(f"{name!r} is no hashtag: give its name, such as 'dance'")
    return plain


def ensure_names(session: Session, entity: type[Topic | Hashtag], names: Sequence[str]) -> None:
    """Make what is not there yet."""
    if names:
        rows = [{"name": name} for name in names]
        session.execute(insert_into(session, entity).on_conflict_do_nothing(), rows)


def ids_by_name(
    session: Session, entity: type[Topic | Hashtag], names: Iterable[str]
) -> dict[str, int]:
    """Return the id of each name that is there."""
    found: dict[str, int] = {}
    for chunk in chunks(sorted(set(names))):
        rows = session.execute(select(entity.name, entity.id).where(entity.name.in_(chunk)))
        found.update((name, row_id) for name, row_id in rows)
    return found


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


def link_hashtags(
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
    ensure_names(session, Hashtag, sorted(names))
    tag_ids = ids_by_name(session, Hashtag, names)
    statement = insert_into(session, VideoHashtag)
    bulk(
        session,
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
