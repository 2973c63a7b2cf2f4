"""Accounts and sounds: what was seen of them over time, and what is wanted of a site."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from catalog.facts import AccountFacts, ObservationFacts, SoundFacts, VideoFacts
from catalog.schema.tables import (
    Account,
    AccountObservation,
    Feature,
    MediaFile,
    Sound,
    SoundObservation,
    Tombstone,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.schema.types import among, bulk, insert_into

Sightings = Sequence[tuple[VideoFacts, ObservationFacts]]
# The same numbers again within so short a time say nothing new.
REPEAT_AFTER = timedelta(hours=1)
OF_ACCOUNT = tuple(AccountFacts.__dataclass_fields__)
OF_SOUND = ("n_videos",)
ABOUT_SOUND = ("title", "author", "is_original", "duration_s")
ListKind = Literal["video", "account", "sound"]
ON_LIST: dict[ListKind, tuple[Any, Any]] = {
    "video": (Video, Video.tiktok_id),
    "account": (Account, Account.author_key),
    "sound": (Sound, Sound.platform_id),
}
UNSYNCED: dict[str, Any] = {"synchronize_session": False}


@dataclass(frozen=True)
class Wanted:
    """What became of what was put on the list: new there, on it before, or buried."""

    new: int
    known: int
    tombstoned: tuple[str, ...]


def want_videos(session: Session, platform: str, urls: Mapping[str, str], at: datetime) -> Wanted:
    """Put videos on the list to collect, by their id of the site; urls may be empty texts.

    A video that the catalog has already is left as it is, but that it is wanted.
    """
    buried = buried_keys(session, platform, "video", urls)
    known = set(
        session.scalars(
            select(Video.tiktok_id).where(
                among(session, Video.tiktok_id, urls), Video.platform == platform
            )
        )
    )
    statement = insert_into(session, Video)
    bulk(
        session,
        statement.on_conflict_do_update(
            index_elements=["tiktok_id", "platform"],
            set_={"wanted_at": func.coalesce(Video.wanted_at, statement.excluded.wanted_at)},
        ),
        [
            {
                "tiktok_id": tiktok_id,
                "platform": platform,
                "url": url,
                "caption": "",
                "first_seen_at": at,
                "wanted_at": at,
            }
            for tiktok_id, url in sorted(urls.items())
            if tiktok_id not in buried
        ],
    )
    return Wanted(len(urls.keys() - known - buried), len(known - buried), tuple(sorted(buried)))


def want_accounts(
    session: Session, platform: str, handles: Mapping[str, str], at: datetime
) -> Wanted:
    """Put accounts on the list to collect, by their author_key.

    Their names are kept, whatever `keep_handles` says: a page cannot be asked for without.
    """
    buried = buried_keys(session, platform, "author", handles)
    left = {key: handle for key, handle in handles.items() if key not in buried}
    known = _wanted(session, Account, Account.author_key, left, platform)
    ensure_accounts(session, platform, dict(left))
    _want(session, Account, Account.author_key, left, platform, at)
    return Wanted(len(left) - len(known), len(known), tuple(sorted(handles[k] for k in buried)))


def want_sounds(
    session: Session, platform: str, platform_ids: Iterable[str], at: datetime
) -> Wanted:
    """Put sounds on the list to collect, by the platform's own ids."""
    ids = set(platform_ids)
    known = _wanted(session, Sound, Sound.platform_id, ids, platform)
    ensure_sounds(session, platform, [SoundFacts(name) for name in ids])
    _want(session, Sound, Sound.platform_id, ids, platform, at)
    return Wanted(len(ids) - len(known), len(known), ())


def wanted_of(session: Session, kind: ListKind, platform: str, keys: Iterable[str]) -> set[str]:
    """Return those of the keys that are on the list: ids of videos and sounds, or author_keys."""
    entity, column = ON_LIST[kind]
    return _wanted(session, entity, column, keys, platform)


def unwant(
    session: Session, kind: ListKind, platform: str, keys: Iterable[str], *, keep_handles: bool
) -> set[str]:
    """Take videos, accounts or sounds off the list; return the keys of those that were on it.

    What was collected of them stays. keep_handles: else an account's name, which was kept for its
    page alone, goes. A video of which nothing else is known goes too: as long as it has no count,
    `refresh` and `fetch` would ask for it.
    """
    entity, column = ON_LIST[kind]
    found = _wanted(session, entity, column, keys, platform)
    of_list = among(session, column, found), entity.platform == platform
    if kind == "video":
        bare = list(session.scalars(select(Video.id).where(*of_list, *_nothing_known())))
        of_bare = among(session, MediaFile.video_id, bare)
        session.execute(delete(MediaFile).where(of_bare).execution_options(**UNSYNCED))
        session.execute(
            delete(Video).where(among(session, Video.id, bare)).execution_options(**UNSYNCED)
        )
    values: dict[str, Any] = {"wanted_at": None}
    if kind == "account" and not keep_handles:
        values["handle"] = None
    session.execute(update(entity).where(*of_list).values(values).execution_options(**UNSYNCED))
    return found


def _nothing_known() -> tuple[Any, ...]:
    """Say that a row of video holds an address that somebody wanted, and nothing else."""
    used = ((VideoHashtag, ()), (Feature, ()), (ViewObservation, ()))
    files = (MediaFile, (MediaFile.status != "pending",))
    return (
        Video.account_id.is_(None),
        Video.sound_id.is_(None),
        Video.gone_at.is_(None),
        Video.caption == "",
        *(~exists().where(part.video_id == Video.id, *more) for part, more in (*used, files)),
    )


def account_subject(author_key: str) -> str:
    """Return what the journal and the pauses call an account, whose name stays out of them."""
    return f"account {author_key}"


def mark_account_listed(session: Session, platform: str, author_key: str, at: datetime) -> None:
    """Note that an account's page was listed to its end at `at`."""
    _mark_listed(session, Account, Account.author_key == author_key, platform, at)


def mark_sound_listed(session: Session, platform: str, platform_id: str, at: datetime) -> None:
    """Note that a sound's page was listed to its end at `at`."""
    _mark_listed(session, Sound, Sound.platform_id == platform_id, platform, at)


def store_account(
    session: Session,
    platform: str,
    author_key: str,
    facts: AccountFacts,
    *,
    observed_at: datetime,
    source: str,
    run_id: int | None,
) -> int:
    """Add what an account's own page showed; return how many rows: 0 if known, or purged."""
    if author_key in buried_keys(session, platform, "author", [author_key]):
        return 0
    ids = ensure_accounts(session, platform, {author_key: None})
    row = _row(facts, OF_ACCOUNT, source, run_id)
    return _add(session, AccountObservation, "account_id", {(ids[author_key], observed_at): row})


def store_sound(
    session: Session,
    platform: str,
    facts: SoundFacts,
    *,
    observed_at: datetime,
    source: str,
    run_id: int | None,
) -> int:
    """Add what a sound's own page showed; return 0 if its use was known or not told."""
    ids = ensure_sounds(session, platform, [facts])
    if facts.n_videos is None:
        return 0
    row = _row(facts, OF_SOUND, source, run_id)
    return _add(session, SoundObservation, "sound_id", {(ids[facts.platform_id], observed_at): row})


def add_account_observations(
    session: Session, batch: Sightings, accounts: Mapping[str, int], run_id: int | None
) -> int:
    """Add what the sightings showed of the videos' authors; return how many rows that were.

    accounts: their ids by author_key.
    """
    found: dict[tuple[int, datetime], dict[str, Any]] = {}
    unstated: set[tuple[int, datetime]] = set()
    for video, seen in batch:
        if video.account is None or video.author_key is None:
            continue
        key = accounts[video.author_key], seen.observed_at
        row = _row(video.account, OF_ACCOUNT, seen.source, run_id)
        _fill(found.setdefault(key, row), row)
        if not seen.is_time_stated:
            unstated.add(key)
    return _add(session, AccountObservation, "account_id", found, unstated)


def add_sound_observations(
    session: Session, batch: Sightings, sounds: Mapping[str, int], run_id: int | None
) -> int:
    """Add how often the videos' sounds were used; return how many rows that were.

    sounds: their ids by the platform's own.
    """
    found: dict[tuple[int, datetime], dict[str, Any]] = {}
    unstated: set[tuple[int, datetime]] = set()
    for video, seen in batch:
        if video.sound is None or video.sound.n_videos is None:
            continue
        key = sounds[video.sound.platform_id], seen.observed_at
        found.setdefault(key, _row(video.sound, OF_SOUND, seen.source, run_id))
        if not seen.is_time_stated:
            unstated.add(key)
    return _add(session, SoundObservation, "sound_id", found, unstated)


def ensure_accounts(
    session: Session, platform: str, handles: Mapping[str, str | None]
) -> dict[str, int]:
    """Make the accounts that are not there yet; return the id of each by its author_key.

    New ones get their ids in the order given. A handle that is None erases no known one.
    """
    if not handles:
        return {}
    wanted = select(Account.author_key, Account.id).where(
        among(session, Account.author_key, handles), Account.platform == platform
    )
    known = dict(session.execute(wanted).all())
    # Keys hang on a salt: in their order the same data would get other ids.
    new_first = sorted(handles, key=lambda key: key in known)
    ids = dict(zip(new_first, _next_ids(session, len(handles)), strict=True))
    # In the order of their key all the same: two writers then wait for, and never deadlock, each
    # other. A known one keeps its id.
    rows = [
        {"id": ids[key], "author_key": key, "platform": platform, "handle": handle}
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
    return dict(session.execute(wanted).all())


def ensure_sounds(session: Session, platform: str, sounds: Iterable[SoundFacts]) -> dict[str, int]:
    """Make or bring up to date sounds; return the id of each by the platform's own.

    What is None erases nothing, and of several about one sound the last that says it counts.
    """
    told: dict[str, dict[str, Any]] = {}
    for facts in sounds:
        about = told.setdefault(facts.platform_id, dict.fromkeys(ABOUT_SOUND))
        given = {name: getattr(facts, name) for name in ABOUT_SOUND}
        about |= {name: value for name, value in given.items() if value is not None}
    if not told:
        return {}
    rows = [
        {"platform": platform, "platform_id": name, **about} for name, about in sorted(told.items())
    ]
    statement = insert_into(session, Sound)
    new, old = statement.excluded, Sound.__table__.c
    bulk(
        session,
        statement.on_conflict_do_update(
            index_elements=["platform_id", "platform"],
            set_={name: func.coalesce(new[name], old[name]) for name in ABOUT_SOUND},
            where=or_(
                *(
                    new[name].is_not(None) & new[name].is_distinct_from(old[name])
                    for name in ABOUT_SOUND
                )
            ),
        ),
        rows,
    )
    wanted = select(Sound.platform_id, Sound.id).where(
        among(session, Sound.platform_id, told), Sound.platform == platform
    )
    return dict(session.execute(wanted).all())


def buried_keys(session: Session, platform: str, kind: str, keys: Iterable[str]) -> set[str]:
    """Return those of the keys that were purged."""
    return set(
        session.scalars(
            select(Tombstone.key).where(
                among(session, Tombstone.key, set(keys)),
                Tombstone.kind == kind,
                Tombstone.platform == platform,
            )
        )
    )


def _next_ids(session: Session, n: int) -> Iterable[int]:
    """Return the ids that the database would give n new accounts, in their order."""
    if session.get_bind().dialect.name == "postgresql":
        counter = func.nextval(func.pg_get_serial_sequence("account", "id"))
        numbers = select(counter).select_from(func.generate_series(1, n).alias())
        return sorted(session.scalars(numbers))
    newest = session.scalar(select(func.max(Account.id))) or 0
    return range(newest + 1, newest + 1 + n)


def _wanted(
    session: Session, entity: Any, column: Any, keys: Iterable[str], platform: str
) -> set[str]:
    condition = among(session, column, set(keys)), entity.platform == platform
    return set(session.scalars(select(column).where(*condition, entity.wanted_at.is_not(None))))


def _want(
    session: Session, entity: Any, column: Any, keys: Iterable[str], platform: str, at: datetime
) -> None:
    session.execute(
        update(entity)
        .where(among(session, column, set(keys)), entity.platform == platform)
        .where(entity.wanted_at.is_(None))
        .values(wanted_at=at)
        .execution_options(synchronize_session=False)
    )


def _mark_listed(session: Session, entity: Any, which: Any, platform: str, at: datetime) -> None:
    earlier = or_(entity.listed_at.is_(None), entity.listed_at < at)
    session.execute(
        update(entity).where(which, entity.platform == platform, earlier).values(listed_at=at)
    )


def _row(facts: object, columns: Sequence[str], source: str, run_id: int | None) -> dict[str, Any]:
    told = {name: getattr(facts, name) for name in columns}
    return {**told, "source": source, "run_id": run_id}


def _fill(known: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Let what was said first of a moment stand, and fill what it left open."""
    known |= {name: value for name, value in row.items() if known[name] is None}


def _add(
    session: Session,
    entity: type[AccountObservation] | type[SoundObservation],
    owner: str,
    found: Mapping[tuple[int, datetime], dict[str, Any]],
    unstated: Iterable[tuple[int, datetime]] = (),
) -> int:
    """Add observations by (id of the account or sound, moment), but those that say nothing new.

    Nothing new: what the newest before it said, within the hour; at any time where the moment is
    only the age of a file.
    """
    columns = OF_ACCOUNT if entity is AccountObservation else OF_SOUND
    newest = _newest(session, entity, owner, {key for key, _ in found}, columns)
    is_unstated = set(unstated)
    rows = []
    for (key, at), row in sorted(found.items(), key=lambda entry: entry[0]):
        told = {name: row[name] for name in columns if row[name] is not None}
        if not told:
            continue
        before, known = newest.get(key, (None, {}))
        if before is not None and told.items() <= known.items():
            is_soon = timedelta(0) <= at - before < REPEAT_AFTER
            if is_soon or (key, at) in is_unstated:
                continue
        if before is None or at > before:
            newest[key] = at, told
        rows.append({owner: key, "observed_at": at, **row})
    statement, moment = insert_into(session, entity), [owner, "observed_at"]
    n_new = bulk(session, statement.on_conflict_do_nothing(index_elements=moment), rows)
    if n_new < len(rows) and entity is AccountObservation:
        new, old = statement.excluded, AccountObservation.__table__.c
        gaps = {name: func.coalesce(old[name], new[name]) for name in columns}
        more = or_(*(old[name].is_(None) & new[name].is_not(None) for name in columns))
        fill = statement.on_conflict_do_update(index_elements=moment, set_=gaps, where=more)
        bulk(session, fill, rows)
    return n_new


def _newest(
    session: Session, entity: Any, owner: str, keys: set[int], columns: Sequence[str]
) -> dict[int, tuple[datetime | None, dict[str, Any]]]:
    """Return when each account or sound was seen last, and what was told of it then."""
    column = getattr(entity, owner)
    last = (
        select(column.label("key"), func.max(entity.observed_at).label("at"))
        .where(among(session, column, keys))
        .group_by(column)
        .subquery()
    )
    rows = session.execute(
        select(column, entity.observed_at, *(getattr(entity, name) for name in columns)).join(
            last, (last.c.key == column) & (last.c.at == entity.observed_at)
        )
    )
    return {
        key: (at, {n: v for n, v in zip(columns, told, strict=True) if v is not None})
        for key, at, *told in rows
    }
