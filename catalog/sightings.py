"""Write down what was seen of videos and their counts; repeating it does no harm."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue
from catalog.facts import ObservationFacts, SightingCounts, VideoFacts
from catalog.hashtags import ensure_names, ids_by_name, plain_hashtag
from catalog.rows import among, bulk, chunks, insert_into
from catalog.tables import Account, Hashtag, Tombstone, Video, VideoHashtag, ViewObservation

Sightings = Sequence[tuple[VideoFacts, ObservationFacts]]


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
    before, as on the pages of two hashtags, is no observation of its own. A fact that is None never
    erases a known one. A video's latest count only moves forward in time, so an old export may be
    imported after a scrape.
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
    ids = _upsert_videos(session, platform, batch, run_id)
    _link_hashtags(session, batch, ids, listing)
    new_observations = _add_observations(session, batch, ids, run_id, repeat_after)
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


def _upsert_videos(
    session: Session, platform: str, batch: Sightings, run_id: int | None
) -> dict[str, int]:
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
            "first_run_id": run_id,
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
    return _video_ids(session, platform, rows)


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


def _add_observations(
    session: Session,
    batch: Sightings,
    ids: Mapping[str, int],
    run_id: int | None,
    repeat_after: timedelta,
) -> int:
    may_repeat = {
        ids[video.tiktok_id] for video, seen in batch if repeat_after or not seen.is_time_stated
    }
    before = _newest_of(session, may_repeat)
    rows: dict[tuple[int, Any], dict[str, Any]] = {}
    for video, seen in batch:
        video_id = ids[video.tiktok_id]
        text, at = before.get(video_id, (None, None))
        if text == seen.display_text and at is not None:
            is_soon = timedelta(0) <= seen.observed_at - at < repeat_after
            if is_soon or not seen.is_time_stated:
                continue
        row = {
            "video_id": video_id,
            "observed_at": seen.observed_at,
            "display_text": seen.display_text,
            "views_k": seen.views_k,
            "step_k": seen.step_k,
            "source": seen.source,
            "run_id": run_id,
        }
        # The first of one moment counts, in one batch as over many.
        rows.setdefault((video_id, seen.observed_at), row)
    if not rows:
        return 0
    statement = insert_into(session, ViewObservation).on_conflict_do_nothing(
        index_elements=["video_id", "observed_at"]
    )
    ordered = [rows[key] for key in sorted(rows)]
    n_added = bulk(session, statement, ordered)
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
        .where(among(session, Video.id, set(ids.values())))
        .values(latest_observation_id=newest)
        .execution_options(synchronize_session=False)
    )
    return n_added


def _newest_of(session: Session, video_ids: set[int]) -> dict[int, tuple[str, datetime]]:
    """Return what each video's newest readable observation showed, and when."""
    if not video_ids:
        return {}
    rows = session.execute(
        select(Video.id, ViewObservation.display_text, ViewObservation.observed_at)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(among(session, Video.id, video_ids))
    )
    return {video_id: (text, at) for video_id, text, at in rows}
