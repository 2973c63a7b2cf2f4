"""Write down what was seen of videos and their counts; repeating it does no harm."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Boolean, ColumnElement, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NotFound
from catalog.facts import (
    ObservationFacts,
    Reactions,
    RejectedFacts,
    SightingCounts,
    Traits,
)
from catalog.record.accounts import (
    Sightings,
    add_account_observations,
    add_sound_observations,
    ensure_accounts,
    ensure_sounds,
)
from catalog.record.ages import look_again
from catalog.record.hashtags import link_hashtags, plain_hashtag
from catalog.schema.tables import MediaFile, RejectedRow, Tombstone, Video, ViewObservation
from catalog.schema.types import (
    Insert,
    among,
    bulk,
    chunks,
    insert_into,
    plain_json,
    table_of,
    utc_now,
)
from catalog.work.claims import MediaDone

TRAITS = tuple(Traits.__dataclass_fields__)
REACTIONS = tuple(Reactions.__dataclass_fields__)
# So many are written in the order of their keys: two writers that store no more in a transaction
# wait for, and never deadlock, each other. The statements are made once for them.
AT_ONCE = 5_000
NO_TRAITS, NO_REACTIONS = Traits(), Reactions()


class _Newest(NamedTuple):
    """A video's newest readable observation."""

    display_text: str
    views_k: float | None
    step_k: float | None
    observed_at: datetime


def add_observations(
    session: Session,
    batch: Sightings,
    ids: Mapping[str, int],
    run_id: int | None,
    repeat_after: timedelta,
) -> int:
    """Add what the counts were; return how many rows that were. See `store_sightings`.

    ids: the videos' ids in the catalog by those of their site.
    """
    may_repeat = {
        ids[video.tiktok_id] for video, seen in batch if repeat_after or not seen.is_time_stated
    }
    before = _newest_of(session, may_repeat)
    has_reactions = any(seen.reactions for _, seen in batch)
    rows: dict[tuple[int, Any], dict[str, Any]] = {}
    for video, seen in batch:
        if not seen.display_text and not seen.reactions and not seen.is_time_stated:
            continue  # of a bare file: nobody looked at any count
        video_id = ids[video.tiktok_id]
        last = before.get(video_id)
        is_more = seen.reactions and last is not None and seen.observed_at == last.observed_at
        if last is not None and not is_more and _is_same_count(last, seen):
            is_soon = timedelta(0) <= seen.observed_at - last.observed_at < repeat_after
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
        if has_reactions:
            reactions = seen.reactions or NO_REACTIONS
            row |= {name: getattr(reactions, name) for name in REACTIONS}
        # The first of one moment counts, in one batch as over many.
        first = rows.setdefault((video_id, seen.observed_at), row)
        if first is not row and seen.reactions and all(first[name] is None for name in REACTIONS):
            first |= {name: row[name] for name in REACTIONS}
        if video_id in may_repeat and _is_newer(seen, last):
            before[video_id] = _Newest(
                seen.display_text, seen.views_k, seen.step_k, seen.observed_at
            )
    if not rows:
        return 0
    statement = insert_into(session, ViewObservation).on_conflict_do_nothing(
        index_elements=["video_id", "observed_at"]
    )
    ordered = [rows[key] for key in sorted(rows)]
    n_added = bulk(session, statement, ordered)
    if has_reactions and n_added < len(ordered):
        _fill_reactions(session, ordered)
    point_to_newest(session, set(ids.values()))
    return n_added


def point_to_newest(session: Session, video_ids: set[int]) -> None:
    """Let videos know their newest readable observation; the newest of all while none is."""
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
        .where(among(session, Video.id, video_ids))
        .values(latest_observation_id=newest)
        .execution_options(synchronize_session=False)
    )


def _fill_reactions(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Let observations that said nothing of likes and the like say it; what is known stays.

    An export that was taken before these were kept may so be taken again.
    """
    observed = table_of(ViewObservation).c
    given = [row for row in rows if any(row[name] is not None for name in REACTIONS)]
    if not given:
        return
    session.connection().execute(
        update(table_of(ViewObservation))
        .where(
            observed.video_id == bindparam("of_video"),
            observed.observed_at == bindparam("at"),
            *(observed[name].is_(None) for name in REACTIONS),
        )
        .values({name: bindparam(f"new_{name}") for name in REACTIONS}),
        [
            {
                "of_video": row["video_id"],
                "at": row["observed_at"],
                **{f"new_{name}": row[name] for name in REACTIONS},
            }
            for row in given
        ],
    )


def _is_same_count(newest: _Newest, seen: ObservationFacts) -> bool:
    """Say whether two looks showed one count: "45.3K" on a card is 45300 in the page's data."""
    if newest.display_text == seen.display_text:
        return True
    if newest.views_k is None or seen.views_k is None or newest.views_k != seen.views_k:
        return False
    # Thousands without their text do not say how they were rounded.
    return newest.step_k == seen.step_k or not seen.is_time_stated


def _is_newer(seen: ObservationFacts, last: _Newest | None) -> bool:
    """Say whether this is a video's newest observation now; a readable one stays before others."""
    if last is None:
        return True
    if (seen.views_k is None) != (last.views_k is None):
        return last.views_k is None
    return seen.observed_at > last.observed_at


def _newest_of(session: Session, video_ids: set[int]) -> dict[int, _Newest]:
    """Return what each video's newest readable observation showed, and when."""
    if not video_ids:
        return {}
    rows = session.execute(
        select(
            Video.id,
            ViewObservation.display_text,
            ViewObservation.views_k,
            ViewObservation.step_k,
            ViewObservation.observed_at,
        )
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(among(session, Video.id, video_ids))
    )
    return {video_id: _Newest(text, k, step, at) for video_id, text, k, step, at in rows}


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
    for chunk in chunks(sightings, AT_ONCE):
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
    known = _known_of(session, platform, [video.tiktok_id for video, _ in batch])
    n_unknown = 0
    if known_only:
        n_unknown = sum(video.tiktok_id not in known for video, _ in batch)
        batch = [(video, seen) for video, seen in batch if video.tiktok_id in known]
    if not batch:
        return SightingCounts(0, 0, 0, n_tombstoned, n_unknown)
    ids = _upsert_videos(session, platform, batch, run_id)
    _bring_back(session, batch, ids)
    link_hashtags(session, batch, ids, listing)
    new_observations = add_observations(session, batch, ids, run_id, repeat_after)
    look_again(session, _otherwise_posted(batch, known), run_id)
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


class _Known(NamedTuple):
    """A video of the catalog, and when it was posted as far as that was known."""

    id: int
    posted_at: datetime | None


def _known_of(session: Session, platform: str, tiktok_ids: Iterable[str]) -> dict[str, _Known]:
    wanted = select(Video.tiktok_id, Video.id, Video.posted_at).where(
        among(session, Video.tiktok_id, set(tiktok_ids)), Video.platform == platform
    )
    rows = session.execute(wanted)
    return {name: _Known(video_id, posted_at) for name, video_id, posted_at in rows}


def _otherwise_posted(batch: Sightings, known: Mapping[str, _Known]) -> set[int]:
    """Return the known videos of which another time of posting is stated now."""
    return {
        before.id
        for video, _ in batch
        if video.is_posted_at_stated and video.posted_at is not None
        if (before := known.get(video.tiktok_id)) and before.posted_at != video.posted_at
    }


def ids_of_videos(session: Session, platform: str, tiktok_ids: Iterable[str]) -> dict[str, int]:
    wanted = select(Video.tiktok_id, Video.id).where(
        among(session, Video.tiktok_id, set(tiktok_ids)), Video.platform == platform
    )
    return dict(session.execute(wanted).all())


def _upsert_videos(
    session: Session, platform: str, batch: Sightings, run_id: int | None
) -> dict[str, int]:
    """Store the videos with their accounts and sounds; return their ids by those of the site."""
    handles: dict[str, str | None] = {}
    for v, _ in batch:
        if v.author_key:
            handles[v.author_key] = v.handle or handles.get(v.author_key)
    accounts = ensure_accounts(session, platform, handles)
    sounds = ensure_sounds(session, platform, [v.sound for v, _ in batch if v.sound])
    # Most files say nothing of these, and a column more is a tenth of a row's time.
    has_more = any(v.sound or v.traits for v, _ in batch)
    rows: dict[str, dict[str, Any]] = {}
    derived: set[str] = set()
    for video, seen in batch:
        if not video.tiktok_id:
            raise BadValue(f"a video without an id: {video.url!r}")
        before = rows.get(video.tiktok_id)
        facts: dict[str, Any] = {
            "tiktok_id": video.tiktok_id,
            "platform": platform,
            "url": video.url,
            "caption": video.caption,
            "account_id": accounts.get(video.author_key or ""),
            "posted_at": video.posted_at,
            "duration_s": video.duration_s,
            "width_px": video.width_px,
            "height_px": video.height_px,
            "first_seen_at": seen.observed_at,
        }
        if has_more:
            traits = video.traits or NO_TRAITS
            facts |= {name: getattr(traits, name) for name in TRAITS}
            facts["sound_id"] = sounds[video.sound.platform_id] if video.sound else None
        if before is not None:
            facts = _merged(before, facts, is_derived=not video.is_posted_at_stated)
        if video.is_posted_at_stated and video.posted_at is not None:
            derived.discard(video.tiktok_id)
        elif before is None or before["posted_at"] is None:
            derived.add(video.tiktok_id)
        rows[video.tiktok_id] = facts
    is_derived: bool | ColumnElement[bool] = bool(derived)
    if 0 < len(derived) < len(rows):
        is_derived = bindparam("is_derived", type_=Boolean())
        for name, facts in rows.items():
            facts["is_derived"] = name in derived
    # All in one statement, in the order of their key: two writers then wait for, and never
    # deadlock, each other.
    in_order = [rows[name] for name in sorted(rows)]
    bulk(session, _upsert(session, is_derived=is_derived, has_more=has_more), in_order)
    add_account_observations(session, batch, accounts, run_id)
    add_sound_observations(session, batch, sounds, run_id)
    return ids_of_videos(session, platform, rows)


def _merged(
    before: Mapping[str, Any], facts: Mapping[str, Any], *, is_derived: bool
) -> dict[str, Any]:
    """Join two sightings of one video in a batch as two batches would be joined."""
    told = {name: fact for name, fact in facts.items() if fact not in (None, "")}
    if before["caption"] and NO_NAME in facts["caption"]:
        del told["caption"]
    told["first_seen_at"] = min(before["first_seen_at"], facts["first_seen_at"])
    if is_derived and before["posted_at"] is not None:
        told["posted_at"] = before["posted_at"]
    return {**before, **told}


def _upsert(session: Session, *, is_derived: bool | ColumnElement[bool], has_more: bool) -> Insert:
    """Return the statement that adds a video, or what is new of it; None never erases anything.

    is_derived: the posting times are only derived, and give way to what is there; or which are.
    """
    statement = insert_into(session, Video)
    new, old = statement.excluded, table_of(Video).c
    kept = ["account_id", "duration_s", "width_px", "height_px"]
    kept += ["sound_id", *TRAITS] if has_more else []
    stays, comes = (
        func.coalesce(*times)
        for times in ((old.posted_at, new.posted_at), (new.posted_at, old.posted_at))
    )
    if isinstance(is_derived, bool):
        posted_at: ColumnElement[Any] = stays if is_derived else comes
    else:
        posted_at = case((is_derived, stays), else_=comes)
    return statement.on_conflict_do_update(
        index_elements=["tiktok_id", "platform"],
        set_={
            "url": case((new.url != "", new.url), else_=Video.url),
            "caption": case((_says_more(new.caption), new.caption), else_=Video.caption),
            "posted_at": posted_at,
            "first_seen_at": case(
                (new.first_seen_at < Video.first_seen_at, new.first_seen_at),
                else_=Video.first_seen_at,
            ),
            **{name: func.coalesce(new[name], old[name]) for name in kept},
        },
    )


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
