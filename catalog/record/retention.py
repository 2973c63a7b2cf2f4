"""Remove a video or an author for good, and leave a tombstone so that nobody stores it again."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.orm import Session

from catalog.errors import Busy
from catalog.read.search import forget_deleted
from catalog.record.accounts import account_subject
from catalog.record.ages import reread_from
from catalog.schema.forecasts import (
    DatasetSplit,
    Judgement,
    ModelVersion,
    Prediction,
    SplitMember,
    ViewsAtAge,
)
from catalog.schema.tables import (
    Account,
    AccountObservation,
    Event,
    Feature,
    MediaFile,
    RejectedRow,
    SitePause,
    Sound,
    SoundObservation,
    Tombstone,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.schema.types import among, chunks, insert_into, utc_now

# So many observations take as long as the indexes do.
MANY_OBSERVATIONS = 10
POINTS_AT_OBSERVATION = (
    ("video", "latest_observation_id"),
    ("split_member", "observation_id"),
    ("split_member", "second_observation_id"),
    ("prediction", "observation_id"),
    ("judgement", "before_id"),
    ("judgement", "after_id"),
    ("views_at_age", "before_id"),
    ("views_at_age", "after_id"),
)


@dataclass(frozen=True)
class ShardRow:
    """A feature in a shard."""

    feature_set_id: int
    video_id: int
    row: int
    sha256: str


def rows_in_shard(session: Session, uri: str) -> list[ShardRow]:
    """Return what the catalog still has in a shard, in the order of its rows."""
    found = session.execute(
        select(Feature.feature_set_id, Feature.video_id, Feature.row, Feature.sha256)
        .where(Feature.uri == uri, Feature.status == "done")
        .order_by(Feature.row)
    )
    return [
        ShardRow(set_id, video_id, row, sha256)
        for set_id, video_id, row, sha256 in found
        if row is not None and sha256 is not None
    ]


def shards_left(session: Session, feature_set_id: int) -> list[str]:
    """Return the shards that still have rows of features which are to be made anew, or are gone."""
    wanted = select(Feature.uri).where(
        Feature.feature_set_id == feature_set_id,
        Feature.status.in_(("pending", "failed", "skipped")),
        Feature.uri.is_not(None),
    )
    return sorted({uri for uri in session.scalars(wanted) if uri is not None})


def forget_shard(session: Session, feature_set_id: int, uri: str) -> None:
    """Note that a shard has no row any more of features which are to be made anew, or are gone."""
    session.execute(
        update(Feature)
        .where(
            Feature.feature_set_id == feature_set_id,
            Feature.status.in_(("pending", "failed", "skipped")),
            Feature.uri == uri,
        )
        .values(uri=None)
        .execution_options(synchronize_session=False)
    )


def move_rows(
    session: Session, uri: str, rows: Sequence[ShardRow], new: Sequence[tuple[str, int]]
) -> None:
    """Let features of a shard lie at other places; one that was extracted anew meanwhile stays."""
    for row, (new_uri, new_row) in zip(rows, new, strict=True):
        session.execute(
            update(Feature)
            .where(
                Feature.feature_set_id == row.feature_set_id,
                Feature.video_id == row.video_id,
                Feature.uri == uri,
                Feature.row == row.row,
            )
            .values(uri=new_uri, row=new_row)
        )


@dataclass(frozen=True)
class Purged:
    """What was removed. splits, models: frozen before, they have seen what is now gone."""

    n_videos: int
    n_accounts: int
    n_observations: int
    n_features: int
    n_media: int
    n_predictions: int
    splits: tuple[str, ...]
    models: tuple[str, ...]


@dataclass(frozen=True)
class FilesLeft:
    """The files of a purged video that are still there: its own, and shards with a row of it."""

    tombstone_id: int
    media: tuple[str, ...]
    shards: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """What is to go of one platform: ids and authors' keys, each with what was typed for it."""

    platform: str
    tiktok_ids: dict[str, str]
    author_keys: dict[str, str]


@dataclass(frozen=True)
class Found:
    """What of it is in the catalog: videos by their key, and one line for each name that is not."""

    videos: dict[int, str]
    n_accounts: int
    missing: tuple[str, ...]


def find_to_purge(session: Session, named: Named) -> Found:
    """Look up what is named, and say of the rest where it is instead."""
    videos = _videos_of(session, named)
    accounts = set(
        session.scalars(
            select(Account.author_key).where(
                Account.platform == named.platform,
                among(session, Account.author_key, named.author_keys),
            )
        )
    )
    lost = named.tiktok_ids.keys() - set(videos.values())
    elsewhere = _elsewhere(session, lost)
    missing = [
        f"{typed}: no such video of {named.platform} is in the catalog"
        + (f"; {' and '.join(others)} has one: say --platform" if others else "")
        for tiktok_id, typed in named.tiktok_ids.items()
        if tiktok_id in lost
        for others in [elsewhere.get(tiktok_id)]
    ]
    missing += [
        f"{typed}: no such author of {named.platform} is in the catalog, so nothing of theirs is"
        for key, typed in named.author_keys.items()
        if key not in accounts
    ]
    return Found(videos, len(accounts), tuple(missing))


def _videos_of(session: Session, named: Named) -> dict[int, str]:
    """Return the videos named and those of the authors, as far as they are in the catalog."""
    wanted = select(Video.id, Video.tiktok_id).where(Video.platform == named.platform)
    by_author = wanted.join(Account, Account.id == Video.account_id).where(
        among(session, Account.author_key, named.author_keys)
    )
    # Two questions, as with "or" between them every video would be looked at.
    by_id = wanted.where(among(session, Video.tiktok_id, named.tiktok_ids))
    found: dict[int, str] = {}
    for question in (by_id, by_author):
        found.update(dict(session.execute(question).all()))
    return found


def _elsewhere(session: Session, tiktok_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the platforms that have a video of each id."""
    found: dict[str, list[str]] = {}
    rows = session.execute(
        select(Video.tiktok_id, Video.platform)
        .where(among(session, Video.tiktok_id, tiktok_ids))
        .order_by(Video.platform)
    )
    for tiktok_id, platform in rows:
        found.setdefault(tiktok_id, []).append(platform)
    return found


def purge(session: Session, named: Named, *, reason: str) -> Purged:
    """Delete all rows of these videos and authors, and note which files are to be cleaned.

    In a session of `Catalog.erase`, or what is deleted stays readable in the file for a while.
    What is named but not in the catalog gets its tombstone all the same, but for an id that only
    another platform has. Aggregates of past runs stay. Raises Busy while a run holds a lease on one
    of the videos.
    """
    platform = named.platform
    videos = _videos_of(session, named)
    _refuse_if_held(session, videos)
    sounds = _sounds_of(session, videos)
    files = _files_of(session, videos)
    buried: dict[tuple[str, str], dict[str, list[str]] | None]
    lost = named.tiktok_ids.keys() - set(videos.values())
    misnamed = _elsewhere(session, lost).keys()
    buried = {("video", name): None for name in named.tiktok_ids if name not in misnamed}
    buried |= {("author", key): None for key in named.author_keys}
    buried |= {("video", tiktok_id): files.get(video_id) for video_id, tiktok_id in videos.items()}
    _bury(session, platform, buried, reason)
    with _observers_indexed(session, videos):
        purged = _delete(session, videos)
    if purged.n_features:
        forget_deleted(session)
    purged = replace(purged, n_accounts=_delete_accounts(session, platform, named.author_keys))
    _delete_lone_sounds(session, sounds)
    detail = {
        "reason": reason,
        "n_videos": purged.n_videos,
        "n_accounts": purged.n_accounts,
        "splits": list(purged.splits),
        "models": list(purged.models),
    }
    event = {"at": utc_now(), "run_id": None, "level": "warning", "code": "purged"}
    session.execute(insert_into(session, Event), [event | {"subject": "", "detail": detail}])
    return purged


def sum_up(purged: Sequence[Purged]) -> dict[str, Any]:
    """Add up what was removed of several platforms."""
    total: dict[str, Any] = {
        name: sum(getattr(part, name) for part in purged)
        for name in Purged.__dataclass_fields__
        if name.startswith("n_")
    }
    for name in ("splits", "models"):
        total[name] = sorted({entry for part in purged for entry in getattr(part, name)})
    return total


def files_left(session: Session) -> list[FilesLeft]:
    """Return what past purges have still to clean, also of a purge that was interrupted."""
    rows = session.execute(
        select(Tombstone.id, Tombstone.files_left)
        .where(Tombstone.files_left.is_not(None))
        .order_by(Tombstone.id)
    )
    return [
        FilesLeft(row_id, tuple(left.get("media", ())), tuple(left.get("shards", ())))
        for row_id, left in rows
        if left is not None
    ]


def mark_clean(session: Session, tombstone_id: int) -> None:
    """Note that no file is left of a purged video."""
    session.execute(update(Tombstone).where(Tombstone.id == tombstone_id).values(files_left=None))


def _refuse_if_held(session: Session, videos: Mapping[int, str]) -> None:
    for ids in chunks(videos):
        for unit in (MediaFile, Feature):
            held = select(unit.video_id, unit.lease_owner).where(
                unit.video_id.in_(ids), unit.status == "leased"
            )
            if (row := session.execute(held).first()) is not None:
                raise Busy(
                    f"video {videos[row[0]]} is being worked on by {row[1]}:"
                    " purge it when that run has ended"
                )


def _files_of(session: Session, videos: Mapping[int, str]) -> dict[int, dict[str, list[str]]]:
    files: dict[int, dict[str, list[str]]] = {}
    for ids in chunks(videos):
        for unit, name in ((MediaFile, "media"), (Feature, "shards")):
            rows = session.execute(
                select(unit.video_id, unit.uri)
                .where(unit.video_id.in_(ids), unit.uri.is_not(None))
                .order_by(unit.uri)
            )
            for video_id, uri in rows:
                files.setdefault(video_id, {}).setdefault(name, []).append(str(uri))
    return files


def _bury(
    session: Session,
    platform: str,
    buried: Mapping[tuple[str, str], dict[str, list[str]] | None],
    reason: str,
) -> None:
    now = utc_now()
    rows = [
        {
            "platform": platform,
            "kind": kind,
            "key": key,
            "at": now,
            "reason": reason,
            "files_left": files,
        }
        for (kind, key), files in sorted(buried.items(), key=lambda entry: entry[0])
    ]
    statement = insert_into(session, Tombstone)
    # An import may have brought the tombstone of a video that was still here, with its files.
    left = func.coalesce(statement.excluded.files_left, Tombstone.files_left)
    statement = statement.on_conflict_do_update(
        index_elements=["key", "kind", "platform"], set_={"files_left": left}
    )
    for batch in chunks(rows):
        session.execute(statement, batch)


@contextmanager
def _observers_indexed(session: Session, video_ids: Collection[int]) -> Iterator[None]:
    """Index what points at observations while many are deleted; not worth it for a few.

    SQLite looks for each whether a row still points at it. Without an index that reads whole
    tables: a quarter of a second for each observation in a catalog of a million videos (measured).
    One that were always there would be paid for by every import.
    """
    of_videos = among(session, ViewObservation.video_id, video_ids)
    n = session.scalar(select(func.count()).select_from(ViewObservation).where(of_videos)) or 0
    is_worth_it = n >= MANY_OBSERVATIONS and session.get_bind().dialect.name == "sqlite"
    for table, column in POINTS_AT_OBSERVATION if is_worth_it else ():
        session.execute(text(f"CREATE INDEX purging_{table}_{column} ON {table} ({column})"))
    yield
    for table, column in POINTS_AT_OBSERVATION if is_worth_it else ():
        session.execute(text(f"DROP INDEX purging_{table}_{column}"))


def _delete(session: Session, videos: Mapping[int, str]) -> Purged:
    n: dict[str, int] = {}
    splits: set[str] = set()
    models: set[str] = set()
    for ids in chunks(videos):
        names = [videos[video_id] for video_id in ids]
        splits |= set(session.scalars(_splits_with(ids)))
        models |= {f"{name}:{version}" for name, version in session.execute(_models_with(ids))}
        session.execute(update(Video).where(Video.id.in_(ids)).values(latest_observation_id=None))
        of_video: Sequence[tuple[str, type[Any], ColumnElement[bool]]] = (
            ("judgements", Judgement, Judgement.video_id.in_(ids)),
            ("ages", ViewsAtAge, ViewsAtAge.video_id.in_(ids)),
            ("predictions", Prediction, Prediction.video_id.in_(ids)),
            ("members", SplitMember, SplitMember.video_id.in_(ids)),
            ("features", Feature, Feature.video_id.in_(ids)),
            ("media", MediaFile, MediaFile.video_id.in_(ids)),
            ("hashtags", VideoHashtag, VideoHashtag.video_id.in_(ids)),
            ("observations", ViewObservation, ViewObservation.video_id.in_(ids)),
            ("videos", Video, Video.id.in_(ids)),
            # The journal and the rejected rows name videos by their id of the site.
            ("events", Event, Event.subject.in_(names)),
            ("rejected", RejectedRow, RejectedRow.tiktok_id.in_(names)),
            ("pauses", SitePause, SitePause.scope.in_([f"@{name}" for name in names])),
        )
        for name, entity, condition in of_video:
            counted = select(func.count()).select_from(entity).where(condition)
            n[name] = n.get(name, 0) + session.execute(counted).scalar_one()
            session.execute(delete(entity).where(condition))
    reread_from(session, session.scalar(select(func.max(ViewObservation.id))) or 0)
    return Purged(
        n_videos=n.get("videos", 0),
        n_accounts=0,
        n_observations=n.get("observations", 0),
        n_features=n.get("features", 0),
        n_media=n.get("media", 0),
        n_predictions=n.get("predictions", 0),
        splits=tuple(sorted(splits)),
        models=tuple(sorted(models)),
    )


def _delete_accounts(session: Session, platform: str, author_keys: Collection[str]) -> int:
    """Delete accounts with all that was seen of them; return how many there were.

    What the journal and the pauses have of their pages goes too.
    """
    theirs = Account.platform == platform, among(session, Account.author_key, author_keys)
    ids = session.scalars(select(Account.id).where(*theirs)).all()
    pages = [account_subject(key) for key in author_keys]
    for entity, condition in (
        (AccountObservation, (among(session, AccountObservation.account_id, ids),)),
        (Account, theirs),
        (Event, (among(session, Event.subject, pages),)),
        (SitePause, (among(session, SitePause.scope, pages),)),
    ):
        gone = delete(entity).where(*condition)
        session.execute(gone.execution_options(synchronize_session=False))
    return len(ids)


def _sounds_of(session: Session, videos: Mapping[int, str]) -> list[int]:
    found: set[int] = set()
    for ids in chunks(videos):
        of_videos = select(Video.sound_id).where(Video.id.in_(ids), Video.sound_id.is_not(None))
        found |= set(session.scalars(of_videos))
    return sorted(found)


def _delete_lone_sounds(session: Session, sounds: Sequence[int]) -> None:
    """Delete of these the original ones that no video has any more: their ids lead to the author.

    One that is on the list to collect, or that others use, stays without its title: that names
    whose it is.
    """
    for ids in chunks(sounds):
        own = Sound.id.in_(ids), Sound.is_original.is_(True)
        session.execute(update(Sound).where(*own).values(title=None, author=None))
        of_none = (
            select(Sound.id)
            .where(Sound.id.in_(ids), Sound.is_original.is_not(False), Sound.wanted_at.is_(None))
            .where(~select(Video.id).where(Video.sound_id == Sound.id).exists())
        )
        lone = session.scalars(of_none).all()
        session.execute(delete(SoundObservation).where(SoundObservation.sound_id.in_(lone)))
        session.execute(delete(Sound).where(Sound.id.in_(lone)))


def _splits_with(ids: Sequence[int]) -> Any:
    return (
        select(DatasetSplit.name)
        .join(SplitMember, SplitMember.split_id == DatasetSplit.id)
        .where(SplitMember.video_id.in_(ids))
        .distinct()
    )


def _models_with(ids: Sequence[int]) -> Any:
    return (
        select(ModelVersion.name, ModelVersion.version)
        .join(SplitMember, SplitMember.split_id == ModelVersion.split_id)
        .where(SplitMember.video_id.in_(ids))
        .distinct()
    )
