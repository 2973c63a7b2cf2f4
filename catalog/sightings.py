"""Write down what was seen of videos and their counts; repeating it does no harm."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue
from catalog.facts import SightingCounts
from catalog.hashtags import ensure_names, ids_by_name, plain_hashtag
from catalog.observing import Sightings, add_observations
from catalog.rows import among, bulk, chunks, insert_into
from catalog.tables import Account, Hashtag, Tombstone, Video, VideoHashtag

# What an export writes in place of a name that a caption mentions.
NO_NAME = "@…"


def store_sightings(
    session: Session,
    sightings: Sightings,
    *,
    run_id: int | None,
    found_by: str | None,
    known_only: bool = False,
    repeat_after: timedelta = timedelta(0),
) -> SightingCounts:
    """Add or bring up to date the videos seen, and add what their counts were.

    found_by: the hashtag whose page listed them; each is linked to it whatever its caption says.
    known_only: leave out and count as unknown what is not in the catalog. What was purged is left
    out and counted as tombstoned. repeat_after: a count that is shown as it was this short a time
    before, as on the pages of two hashtags, is no observation of its own. A fact that is None or
    empty never erases a known one. A video's latest count only moves forward in time, so an old
    export may be imported after a scrape.
    """
    listing = plain_hashtag(found_by) if found_by is not None else None
    totals = SightingCounts(0, 0, 0)
    for chunk in chunks(sightings):
        in_order = sorted(chunk, key=lambda sighting: sighting[0].platform)
        for platform, group in groupby(in_order, key=lambda sighting: sighting[0].platform):
            found = list(group)
            counts = _store_batch(
                session, platform, found, run_id, listing, known_only, repeat_after
            )
            totals = SightingCounts(
                totals.new_videos + counts.new_videos,
                totals.known_videos + counts.known_videos,
                totals.new_observations + counts.new_observations,
                totals.tombstoned + counts.tombstoned,
                totals.unknown + counts.unknown,
            )
    return totals


def _store_batch(
    session: Session,
    platform: str,
    batch: Sightings,
    run_id: int | None,
    listing: str | None,
    known_only: bool,
    repeat_after: timedelta,
) -> SightingCounts:
    n_given = len(batch)
    batch = _without_tombstones(session, platform, batch)
    n_tombstoned = n_given - len(batch)
    known = _video_ids(session, platform, [video.tiktok_id for video, _ in batch])
    n_unknown = 0
    if known_only:
        n_unknown = sum(video.tiktok_id not in known for video, _ in batch)
        batch = [(video, seen) for video, seen in batch if video.tiktok_id in known]
    if not batch:
        return SightingCounts(0, 0, 0, n_tombstoned, n_unknown)
    ids = _upsert_videos(session, platform, batch)
    _bring_back(session, batch, ids)
    _link_hashtags(session, batch, ids, listing)
    new_observations = add_observations(session, batch, ids, run_id, repeat_after)
    n_known = len(known.keys() & ids.keys())
    return SightingCounts(len(ids) - n_known, n_known, new_observations, n_tombstoned, n_unknown)


def _without_tombstones(session: Session, platform: str, batch: Sightings) -> Sightings:
    if session.scalar(select(Tombstone.id).limit(1)) is None:
        return batch
    keys = {video.tiktok_id for video, _ in batch} | {v.author_key for v, _ in batch} - {None}
    rows = session.execute(
        select(Tombstone.kind, Tombstone.key).where(
            among(session, Tombstone.key, keys), Tombstone.platform == platform
        )
    )
    buried = {(kind, key) for kind, key in rows}
    if not buried:
        return batch
    return [
        (video, seen)
        for video, seen in batch
        if ("video", video.tiktok_id) not in buried and ("author", video.author_key) not in buried
    ]


def _video_ids(session: Session, platform: str, tiktok_ids: Iterable[str]) -> dict[str, int]:
    wanted = select(Video.tiktok_id, Video.id).where(
        among(session, Video.tiktok_id, set(tiktok_ids)), Video.platform == platform
    )
    return dict(session.execute(wanted).all())


def _upsert_videos(session: Session, platform: str, batch: Sightings) -> dict[str, int]:
    handles = {v.author_key: v.handle for v, _ in batch if v.author_key}
    accounts = _ensure_accounts(session, platform, handles)
    rows: dict[str, dict[str, Any]] = {}
    for video, seen in batch:
        if not video.tiktok_id:
            raise BadValue(f"a video without an id: {video.url!r}")
        before = rows.get(video.tiktok_id, {})
        facts = {
            "tiktok_id": video.tiktok_id,
            "platform": platform,
            "url": video.url,
            "caption": video.caption,
            "account_id": accounts.get(video.author_key or ""),
            "posted_at": video.posted_at,
            "duration_s": video.duration_s,
            "width_px": video.width_px,
            "height_px": video.height_px,
            "first_seen_at": min(seen.observed_at, before.get("first_seen_at", seen.observed_at)),
        }
        rows[video.tiktok_id] = before | {
            name: fact for name, fact in facts.items() if fact is not None or name not in before
        }
    statement = insert_into(session, Video)
    new = statement.excluded
    # Rows in the order of their key: two writers then wait for, and never deadlock, each other.
    bulk(
        session,
        statement.on_conflict_do_update(
            index_elements=["tiktok_id", "platform"],
            set_={
                "url": case((new.url != "", new.url), else_=Video.url),
                "caption": case((_says_more(new.caption), new.caption), else_=Video.caption),
                "account_id": func.coalesce(new.account_id, Video.account_id),
                "posted_at": func.coalesce(new.posted_at, Video.posted_at),
                "duration_s": func.coalesce(new.duration_s, Video.duration_s),
                "width_px": func.coalesce(new.width_px, Video.width_px),
                "height_px": func.coalesce(new.height_px, Video.height_px),
                "first_seen_at": case(
                    (new.first_seen_at < Video.first_seen_at, new.first_seen_at),
                    else_=Video.first_seen_at,
                ),
            },
        ),
        [rows[tiktok_id] for tiktok_id in sorted(rows)],
    )
    return _video_ids(session, platform, rows)


def _says_more(caption: ColumnElement[str]) -> ColumnElement[bool]:
    """Say whether a caption is to take the known one's place: not when an export left names out."""
    return (caption != "") & (~caption.contains(NO_NAME, autoescape=True) | (Video.caption == ""))


def _bring_back(session: Session, batch: Sightings, ids: Mapping[str, int]) -> None:
    """Forget that a video was gone if it was seen since; the age of a file is no proof of that."""
    last_seen: dict[int, datetime] = {}
    for video, seen in batch:
        if seen.is_time_stated:
            video_id = ids[video.tiktok_id]
            last_seen[video_id] = max(seen.observed_at, last_seen.get(video_id, seen.observed_at))
    gone = session.execute(
        select(Video.id, Video.gone_at).where(
            among(session, Video.id, last_seen), Video.gone_at.is_not(None)
        )
    )
    back = [video_id for video_id, gone_at in gone if gone_at and last_seen[video_id] > gone_at]
    if back:
        values = {"gone_at": None, "gone_reason": None}
        is_back = update(Video).where(among(session, Video.id, back)).values(values)
        session.execute(is_back.execution_options(synchronize_session=False))


def _ensure_accounts(
    session: Session, platform: str, handles: Mapping[str, str | None]
) -> dict[str, int]:
    if not handles:
        return {}
    rows = [
        {"author_key": key, "platform": platform, "handle": handle}
        for key, handle in sorted(handles.items())
    ]
    statement = insert_into(session, Account)
    handle = statement.excluded.handle
    bulk(
        session,
        statement.on_conflict_do_update(
            index_elements=["author_key", "platform"],
            set_={"handle": handle},
            where=handle.is_not(None) & handle.is_distinct_from(Account.handle),
        ),
        rows,
    )
    wanted = select(Account.author_key, Account.id).where(
        among(session, Account.author_key, handles), Account.platform == platform
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
