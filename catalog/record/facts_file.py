"""All facts of a catalog as JSON lines: written by `export`, taken into another by `import`.

The first line says what the file is. Then each line is one object under the name of its kind:
topic, hashtag, tombstone, account, sound, video; an account's, a sound's and a video's observations
stand inside it, very many of them in several lines. Work and what was made of the facts – files,
features, models, runs – is not in it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, TextIO

from sqlalchemy import Boolean, Column, Double, String, case, func, select
from sqlalchemy.orm import Session

from catalog.errors import BadValue
from catalog.facts import Reactions, SoundFacts, without_names
from catalog.files import clean_text
from catalog.read.posts import by_video_id
from catalog.record.accounts import buried_keys
from catalog.record.hashtags import plain_hashtag
from catalog.record.sightings import AT_ONCE, ids_of_videos, point_to_newest
from catalog.schema.tables import (
    Account,
    AccountObservation,
    Hashtag,
    Sound,
    SoundObservation,
    Tombstone,
    Topic,
    TopicHashtag,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.schema.types import (
    BigId,
    UtcDateTime,
    among,
    bulk,
    chunks,
    insert_into,
    table_of,
    utc_now,
)

FORM, VERSION = "viewcast facts", 1
PAGE = 1_000
# What is ours alone: keys of the database, and runs.
INNER = frozenset(
    {"id", "run_id", "account_id", "sound_id", "video_id", "latest_observation_id", "files_left"}
)
Line = Mapping[str, Any]
Fact = tuple[str, Line]
UTC_EXAMPLE = "2026-11-27T08:00:00+00:00"
KNOWN = {"source": ("xhr", "hydration", "dom", "import"), "kind": ("video", "author")}
# By what a video names its account and its sound.
LINKS = {"author_key": table_of(Account).c.author_key, "sound": table_of(Sound).c.platform_id}
EMPTY_IS_GAP = frozenset({"url", "caption"})
# Of these paths on the disk are made, so a file from elsewhere must not choose them freely.
PATTERNS = {
    "platform": re.compile(r"[a-z0-9_]{1,40}"),
    "tiktok_id": re.compile(r"[A-Za-z0-9_-]{1,40}"),
    "platform_id": re.compile(r"[A-Za-z0-9_-]{1,64}"),
}
REACTIONS = tuple(Reactions.__dataclass_fields__)
# The catalog's own rules for counts, in thousands.
MAX_K = 1e12
# Two clocks differ; a day is no error of a clock.
SLACK = timedelta(days=1)


def write_facts(session: Session, out: TextIO, *, redact: Callable[[str], str] | None) -> int:
    """Write every fact, a page of rows at a time; return how many videos there were.

    redact: makes captions fit to be handed on; handles are then left out. None: as they are.
    """
    _write(out, "form", {"name": FORM, "version": VERSION})
    for _, hashtag in _rows(session, Hashtag):
        _write(out, "hashtag", hashtag)
    for topic in session.scalars(select(Topic).order_by(Topic.id)).all():
        of_topic = select(Hashtag.name).join(TopicHashtag, TopicHashtag.hashtag_id == Hashtag.id)
        names = session.scalars(
            of_topic.where(TopicHashtag.topic_id == topic.id).order_by(Hashtag.name)
        )
        _write(out, "topic", {"name": topic.name, "hashtags": list(names)})
    for _, tombstone in _rows(session, Tombstone):
        _write(out, "tombstone", tombstone)
    for account in _with_observations(session, Account, AccountObservation, "account_id"):
        if redact is not None:
            account["handle"] = None
        _write(out, "account", account)
    for sound in _with_observations(session, Sound, SoundObservation, "sound_id"):
        if redact is not None:
            title, author = sound["title"], sound["author"]
            named = SoundFacts(sound["platform_id"], title, author, sound["is_original"])
            if without_names(named) != named:
                sound |= {"title": None, "author": None}
        _write(out, "sound", sound)
    n_videos = 0
    page = (
        select(Video.id, Account.author_key, Account.handle, Sound.platform_id, *_outer(Video))
        .outerjoin(Account, Account.id == Video.account_id)
        .outerjoin(Sound, Sound.id == Video.sound_id)
    )
    for batch in chunks(by_video_id(session, page)):
        ids = [row[0] for row in batch]
        seen = _observations(session, ViewObservation, "video_id", ids)
        tags = _hashtags(session, ids)
        for video_id, author_key, handle, sound, *values in batch:
            video = _plain(zip((c.name for c in _outer(Video)), values, strict=True))
            if redact is not None:
                video["caption"] = redact(str(video["caption"]))
                video["url"] = url_without_name(str(video["url"]), handle, redact)
            video |= {"author_key": author_key, "sound": sound}
            video["hashtags"] = tags.get(video_id, {})
            for part in seen(video_id):
                _write(out, "video", video | {"observations": part})
            n_videos += 1
    return n_videos


def url_without_name(url: str, handle: str | None, redact: Callable[[str], str]) -> str:
    """Return an address, or nothing where it names the author."""
    is_named = redact(url) != url or (handle and handle.casefold() in url.casefold())
    return "" if is_named else url


def read_fact(line: object) -> Fact:
    """Check one line of a facts file and read its values. Raises BadValue with what is wrong."""
    kind = next(iter(line), "") if isinstance(line, Mapping) else ""
    if kind not in READERS:
        raise BadValue(f"{kind!r} is no kind of fact: there are {', '.join(READERS)}")
    assert isinstance(line, Mapping)
    try:
        return kind, READERS[kind](line[kind])
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadValue(f"no {kind} as an export writes it: {what}") from error


def take_facts(session: Session, facts: Iterable[Fact], run_id: int | None) -> Counter[str]:
    """Store facts; return how many rows of each table are new.

    What is known stays as it is, gaps in it are filled, and what was purged here is left out and
    counted as tombstoned, the videos of it once more by themselves. Repeating it does no harm.
    """
    counts = Counter[str]()
    by_kind: dict[str, list[Line]] = {}
    for kind, row in facts:
        by_kind.setdefault(kind, []).append(row)
    for kind, take in TAKERS.items():
        for batch in chunks(by_kind.get(kind, ()), AT_ONCE):
            counts.update(take(session, batch, run_id))
    return counts


def is_facts_form(line: object) -> bool:
    """Say whether an object is the first line of a facts file. Raises BadValue for a newer one."""
    form = line.get("form") if isinstance(line, Mapping) else None
    if not isinstance(form, Mapping) or form.get("name") != FORM:
        return False
    if form.get("version") != VERSION:
        raise BadValue(f"facts of form {form.get('version')!r}; this viewcast reads {VERSION}")
    return True


def _take_hashtags(session: Session, rows: Sequence[Line], _run_id: int | None) -> Counter[str]:
    n = _upsert(session, Hashtag, ["name"], rows, fill=["listed_at"])
    return Counter(hashtag=n)


def _take_topics(session: Session, rows: Sequence[Line], _run_id: int | None) -> Counter[str]:
    n = _upsert(session, Topic, ["name"], [{"name": row["name"]} for row in rows])
    topics = _ids(session, Topic, Topic.name, [row["name"] for row in rows])
    names = {name for row in rows for name in row["hashtags"]}
    _upsert(session, Hashtag, ["name"], [{"name": name} for name in sorted(names)])
    tags = _ids(session, Hashtag, Hashtag.name, names)
    links = [
        {"topic_id": topics[row["name"]], "hashtag_id": tags[name]}
        for row in rows
        for name in row["hashtags"]
    ]
    return Counter(topic=n, topic_hashtag=_upsert(session, TopicHashtag, None, links))


def _take_tombstones(session: Session, rows: Sequence[Line], _run_id: int | None) -> Counter[str]:
    key = ["key", "kind", "platform"]
    return Counter(tombstone=_upsert(session, Tombstone, key, rows))


def _take_accounts(session: Session, rows: Sequence[Line], run_id: int | None) -> Counter[str]:
    counts = Counter[str]()
    for platform, group in _by_platform(rows):
        buried = buried_keys(session, platform, "author", [row["author_key"] for row in group])
        left = [row for row in group if row["author_key"] not in buried]
        counts["tombstoned"] += len(group) - len(left)
        counts["account"] += _upsert(
            session,
            Account,
            ["author_key", "platform"],
            [_own(row) for row in left],
            fill=["handle", "wanted_at", "listed_at"],
        )
        ids = _ids(session, Account, Account.author_key, [r["author_key"] for r in left], platform)
        seen = [(ids[row["author_key"]], row["observations"]) for row in left]
        counts["account_observation"] += _observe(
            session, AccountObservation, "account_id", seen, run_id
        )
    return counts


def _take_sounds(session: Session, rows: Sequence[Line], run_id: int | None) -> Counter[str]:
    counts = Counter[str]()
    for platform, group in _by_platform(rows):
        names = [row["platform_id"] for row in group]
        counts["sound"] += _upsert(
            session,
            Sound,
            ["platform_id", "platform"],
            [_own(row) for row in group],
            fill=["title", "author", "is_original", "duration_s", "wanted_at", "listed_at"],
        )
        ids = _ids(session, Sound, Sound.platform_id, names, platform)
        seen = [(ids[row["platform_id"]], row["observations"]) for row in group]
        counts["sound_observation"] += _observe(session, SoundObservation, "sound_id", seen, run_id)
    return counts


def _take_videos(session: Session, rows: Sequence[Line], run_id: int | None) -> Counter[str]:
    counts = Counter[str]()
    for platform, group in _by_platform(rows):
        names, keys = [r["tiktok_id"] for r in group], {r["author_key"] for r in group} - {None}
        gone = buried_keys(session, platform, "video", names)
        buried = buried_keys(session, platform, "author", keys)
        left = [r for r in group if r["tiktok_id"] not in gone and r["author_key"] not in buried]
        counts.update(dict.fromkeys(("tombstoned", "tombstoned_videos"), len(group) - len(left)))
        # Their own lines come first, but may have been refused: whose it is must not be lost.
        # In the order of the file: keys hang on a salt, and ids must not.
        authors = dict.fromkeys(r["author_key"] for r in left if r["author_key"] is not None)
        heard = {r["sound"] for r in left} - {None}
        named = [{"platform": platform, "author_key": key} for key in authors]
        counts["account"] += _upsert(session, Account, ["author_key", "platform"], named)
        named = [{"platform": platform, "platform_id": name} for name in sorted(heard)]
        counts["sound"] += _upsert(session, Sound, ["platform_id", "platform"], named)
        accounts = _ids(session, Account, Account.author_key, authors, platform)
        sounds = _ids(session, Sound, Sound.platform_id, heard, platform)
        values = [
            {**_own(row)}
            | {"account_id": accounts.get(row["author_key"]), "sound_id": sounds.get(row["sound"])}
            for row in left
        ]
        counts["video"] += _upsert(
            session,
            Video,
            ["tiktok_id", "platform"],
            values,
            fill=[n for n in values[0] if n not in ("tiktok_id", "platform")] if values else (),
        )
        ids = ids_of_videos(session, platform, [row["tiktok_id"] for row in left])
        counts["video_hashtag"] += _link(session, left, ids)
        seen = [(ids[row["tiktok_id"]], row["observations"]) for row in left]
        counts["view_observation"] += _observe(session, ViewObservation, "video_id", seen, run_id)
        point_to_newest(session, set(ids.values()))
    return counts


Taker = Callable[[Session, Sequence[Line], int | None], Counter[str]]
# In an order in which each finds what it stands on.
TAKERS: Mapping[str, Taker] = {
    "hashtag": _take_hashtags,
    "topic": _take_topics,
    "tombstone": _take_tombstones,
    "account": _take_accounts,
    "sound": _take_sounds,
    "video": _take_videos,
}


def _link(session: Session, rows: Sequence[Line], ids: Mapping[str, int]) -> int:
    names = {name for row in rows for name in row["hashtags"]}
    _upsert(session, Hashtag, ["name"], [{"name": name} for name in sorted(names)])
    tags = _ids(session, Hashtag, Hashtag.name, names)
    links = [
        {"video_id": ids[row["tiktok_id"]], "hashtag_id": tags[name], "found_by": found_by}
        for row in rows
        for name, found_by in row["hashtags"].items()
    ]
    return _upsert(session, VideoHashtag, None, links)


def _observe(
    session: Session,
    entity: Any,
    owner: str,
    seen: Iterable[tuple[int, Sequence[Line]]],
    run_id: int | None,
) -> int:
    rows = [
        {owner: of, "run_id": run_id, **observation}
        for of, observations in seen
        for observation in observations
    ]
    key, n_new = [owner, "observed_at"], 0
    for part in chunks(rows):
        has_reactions = any(row.get(name) is not None for row in part for name in REACTIONS)
        is_filled = has_reactions and entity is ViewObservation
        n_new += _upsert(session, entity, key, part, fill=REACTIONS if is_filled else ())
    return n_new


def _read_topic(given: Line) -> Line:
    return _read_row(Topic, given) | {"hashtags": [_name(name) for name in given["hashtags"]]}


def _read_hashtag(given: Line) -> Line:
    return _read_row(Hashtag, given) | {"name": _name(given["name"])}


def _read_observed(entity: Any, observation: Any, given: Line) -> dict[str, Any]:
    seen = [_read_row(observation, row) for row in given["observations"]]
    latest = utc_now() + SLACK
    for row in seen:
        if row["observed_at"] > latest:
            raise ValueError(f"observed_at {row['observed_at']:%Y-%m-%d} is in the future")
        views_k, step_k = row.get("views_k"), row.get("step_k")
        if (views_k is None) != (step_k is None) or max(views_k or 0, step_k or 0) >= MAX_K:
            raise ValueError(f"views_k {views_k} with step_k {step_k} cannot be")
    return _read_row(entity, given) | {"observations": seen}


def _read_video(given: Line) -> Line:
    row = _read_observed(Video, ViewObservation, given)
    for name, column in LINKS.items():
        row[name] = _read_value(column, given[name], is_needed=False)
    tags = {_name(name): found_by for name, found_by in given["hashtags"].items()}
    if not set(tags.values()) <= {"caption", "listing"}:
        raise ValueError(f"hashtags {given['hashtags']!r}: found by caption or listing")
    return row | {"hashtags": tags}


READERS: Mapping[str, Callable[[Line], Line]] = {
    "hashtag": _read_hashtag,
    "topic": _read_topic,
    "tombstone": lambda given: _read_row(Tombstone, given),
    "account": lambda given: _read_observed(Account, AccountObservation, given),
    "sound": lambda given: _read_observed(Sound, SoundObservation, given),
    "video": _read_video,
}


def _read_row(entity: Any, given: Line) -> dict[str, Any]:
    return {column.name: _read_value(column, given[column.name]) for column in _outer(entity)}


def _read_value(column: Column[Any], value: object, *, is_needed: bool = True) -> object:
    """Return a value as its column has it. Raises ValueError for one that it cannot have."""
    kind = column.type
    if value is None:
        if is_needed and not column.nullable:
            raise ValueError(f"{column.name} is null")
        return None
    is_right = isinstance(value, str)
    if isinstance(kind, UtcDateTime):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise ValueError(f"{column.name} {value!r:.80}: expected the like of '{UTC_EXAMPLE}'")
        # At the ends of time a zone leads out of it.
        return moment.astimezone(UTC)
    if isinstance(kind, Boolean):
        is_right = isinstance(value, bool)
    elif isinstance(kind, (BigId, Double)):
        wanted = (int,) if isinstance(kind, BigId) else (int, float)
        is_right = isinstance(value, wanted) and not isinstance(value, bool) and 0 <= value < 2**63
    elif isinstance(kind, String) and kind.length and isinstance(value, str):
        is_right = len(value) <= kind.length
    if isinstance(value, str):
        pattern = PATTERNS.get(column.name)
        is_clean = clean_text(value) == value
        is_right = is_right and is_clean and (pattern is None or bool(pattern.fullmatch(value)))
    known = KNOWN.get(column.name)
    if not is_right or (known is not None and value not in known):
        raise ValueError(f"{column.name} {value!a:.80} cannot be")
    return value


def _name(name: object) -> str:
    if not isinstance(name, str) or not name == clean_text(name) == plain_hashtag(name):
        raise ValueError(f"{name!a:.80} is no hashtag as the catalog has it")
    return name


def _write(out: TextIO, kind: str, row: Line) -> None:
    out.write(json.dumps({kind: row}, ensure_ascii=False) + "\n")


def _outer(entity: Any) -> list[Column[Any]]:
    """Return the columns of a table that mean something outside of this catalog."""
    return [column for column in table_of(entity).columns if column.name not in INNER]


def _plain(row: Iterable[tuple[str, object]]) -> dict[str, Any]:
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in row}


def _rows(session: Session, entity: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row's key and what of it goes out, a page at a time."""
    columns, last = _outer(entity), 0
    while page := session.execute(
        select(entity.id, *columns).where(entity.id > last).order_by(entity.id).limit(PAGE)
    ).all():
        last = page[-1][0]
        for key, *values in page:
            yield key, _plain(zip((c.name for c in columns), values, strict=True))


def _with_observations(
    session: Session, entity: Any, observation: Any, owner: str
) -> Iterator[dict[str, Any]]:
    for batch in chunks(_rows(session, entity)):
        seen = _observations(session, observation, owner, [key for key, _ in batch])
        for key, row in batch:
            for part in seen(key):
                yield row | {"observations": part}


def _observations(
    session: Session, entity: Any, owner: str, ids: Sequence[int]
) -> Callable[[int], Iterator[list[dict[str, Any]]]]:
    """Return what gives the observations of one of `ids`, which are asked for in their order.

    At most a page at a time, once at least: an account may have been seen for years, and no line of
    a file may grow without end. What is read ahead is a page as well.
    """
    columns, of = _outer(entity), getattr(entity, owner)
    rows = session.execute(
        select(of, *columns).where(among(session, of, ids)).order_by(of, entity.observed_at),
        execution_options={"yield_per": PAGE},
    )
    by_owner = groupby(rows, key=lambda row: row[0])
    ahead: list[Any] = []

    def parts(key: int) -> Iterator[list[dict[str, Any]]]:
        if not ahead and (following := next(by_owner, None)) is not None:
            ahead.append(following)
        if not ahead or ahead[0][0] != key:
            yield []
            return
        for page in chunks(ahead.pop()[1]):
            yield [_plain(zip((c.name for c in columns), v, strict=True)) for _, *v in page]

    return parts


def _hashtags(session: Session, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    rows = session.execute(
        select(VideoHashtag.video_id, Hashtag.name, VideoHashtag.found_by)
        .join(Hashtag, Hashtag.id == VideoHashtag.hashtag_id)
        .where(among(session, VideoHashtag.video_id, ids))
        .order_by(VideoHashtag.video_id, Hashtag.name)
    )
    found: dict[int, dict[str, str]] = {}
    for video_id, name, found_by in rows:
        found.setdefault(video_id, {})[name] = found_by
    return found


def _by_platform(rows: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    in_order = sorted(rows, key=lambda row: str(row["platform"]))
    for platform, group in groupby(in_order, key=lambda row: str(row["platform"])):
        yield platform, list(group)


def _own(row: Line) -> dict[str, Any]:
    """Return a row without what stands in other tables."""
    others = ("observations", "hashtags", "author_key", "sound")
    keep = ("author_key",) if "tiktok_id" not in row else ()
    return {name: v for name, v in row.items() if name not in others or name in keep}


def _ids(
    session: Session, entity: Any, column: Any, keys: Iterable[str], platform: str | None = None
) -> dict[str, int]:
    wanted = select(column, entity.id).where(among(session, column, set(keys)))
    if platform is not None:
        wanted = wanted.where(entity.platform == platform)
    return dict(session.execute(wanted).all())


def _upsert(
    session: Session,
    entity: Any,
    key: Sequence[str] | None,
    rows: Sequence[Line],
    fill: Iterable[str] = (),
) -> int:
    """Add what is not there yet, and fill gaps in what is; return how many rows are new.

    key: the columns that tell a row; None: all of them.
    """
    statement = insert_into(session, entity)
    # In the order of their key, so that two writers never deadlock.
    rows = sorted(rows, key=lambda row: [row[name] for name in key or row])
    n_new = bulk(session, statement.on_conflict_do_nothing(index_elements=key), rows)
    if n_new < len(rows) and key is not None and (names := list(fill)):
        new, old = statement.excluded, table_of(entity).c
        gaps: dict[str, Any] = {name: func.coalesce(old[name], new[name]) for name in names}
        for name in EMPTY_IS_GAP & gaps.keys():
            gaps[name] = case((old[name] == "", new[name]), else_=old[name])
        if "first_seen_at" in gaps:
            at = old.first_seen_at, new.first_seen_at
            gaps["first_seen_at"] = case((at[1] < at[0], at[1]), else_=at[0])
        bulk(session, statement.on_conflict_do_update(index_elements=key, set_=gaps), rows)
    return n_new
