"""The tables of what was collected and extracted, of runs and of the journal.

Those of splits, models and forecasts are in `forecasts.py`.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import String, Text

from catalog.schema.types import BigId, JsonDoc, UtcDateTime

# Counts and predictions are finite: NaN and infinity fail `< 1e12` on both databases.
FINITE = ">= 0 AND {0} < 1e12"
# The claim query repeats these words literally, or SQLite cannot use the partial index.
OPEN = "status IN ('pending', 'failed', 'leased')"
HELD = "status = 'leased'"
GIVEN = "sound_id IS NOT NULL"
WANTED = "wanted_at IS NOT NULL"
SLOT_HELD = "status IN ('running', 'ok', 'partial')"


class Base(DeclarativeBase):
    """Hold the metadata, with one naming rule for every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        int: BigId(),
        float: Double(),
        str: Text(),
        datetime: UtcDateTime(),
        dict[str, Any]: JsonDoc(),
        list[Any]: JsonDoc(),
    }


def finite(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} {FINITE.format(column)}", name=f"{column}_finite")


def one_of(name: str, *words: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{name} IN ({listed})", name=f"{name}_known")


def _counted(*columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(CheckConstraint(f"{name} >= 0", name=f"{name}_counted") for name in columns)


def _seen_by() -> CheckConstraint:
    return one_of("source", "xhr", "hydration", "dom", "import")


def _wanted_index(table: str) -> Index:
    where = text(WANTED)
    return Index(f"ix_{table}_wanted", "id", sqlite_where=where, postgresql_where=where)


class Topic(Base):
    """A theme that hashtags are listed for."""

    __tablename__ = "topic"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)


class Hashtag(Base):
    """A hashtag in lower case without its '#'."""

    __tablename__ = "hashtag"
    __table_args__ = (
        CheckConstraint(
            "name = lower(name) AND substr(name, 1, 1) <> '#' AND length(name) > 0",
            name="name_plain",
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    listed_at: Mapped[datetime | None] = mapped_column(comment="last complete listing")


class TopicHashtag(Base):
    """One hashtag that stands for one topic."""

    __tablename__ = "topic_hashtag"
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"), primary_key=True)
    hashtag_id: Mapped[int] = mapped_column(ForeignKey("hashtag.id"), primary_key=True, index=True)


class Account(Base):
    """An author, by default known only by a keyed hash, for splits that keep authors apart."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("author_key", "platform"), _wanted_index("account"))
    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(String(40))
    author_key: Mapped[str] = mapped_column(String(100))
    handle: Mapped[str | None] = mapped_column(
        String(100), comment="only where scrape.keep_handles is set, or the account is wanted"
    )
    wanted_at: Mapped[datetime | None] = mapped_column(comment="put on the list to collect")
    listed_at: Mapped[datetime | None] = mapped_column(comment="last complete listing of its page")


class AccountObservation(Base):
    """What was shown of an account, and when; NULL: not said. Rows are only ever added."""

    __tablename__ = "account_observation"
    __table_args__ = (
        UniqueConstraint("account_id", "observed_at"),
        *_counted("n_followers", "n_following", "n_likes", "n_posts", "bio_chars"),
        _seen_by(),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    observed_at: Mapped[datetime]
    n_followers: Mapped[int | None] = mapped_column(comment="sites round from 10,000 on")
    n_following: Mapped[int | None]
    n_likes: Mapped[int | None] = mapped_column(comment="received over all posts")
    n_posts: Mapped[int | None]
    is_verified: Mapped[bool | None]
    bio_chars: Mapped[int | None] = mapped_column(comment="length of its own words, not kept")
    region: Mapped[str | None] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(20))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))


class Sound(Base):
    """The music or the original sound of videos."""

    __tablename__ = "sound"
    __table_args__ = (
        UniqueConstraint("platform_id", "platform"),
        CheckConstraint("length(platform_id) > 0", name="platform_id_given"),
        _wanted_index("sound"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(String(40))
    platform_id: Mapped[str] = mapped_column(String(64))
    title: Mapped[str | None] = mapped_column(
        String(300), comment="of an original sound only where scrape.keep_handles is set"
    )
    author: Mapped[str | None] = mapped_column(
        String(200), comment="of a published piece; of an original sound nobody"
    )
    is_original: Mapped[bool | None]
    duration_s: Mapped[float | None]
    wanted_at: Mapped[datetime | None] = mapped_column(comment="put on the list to collect")
    listed_at: Mapped[datetime | None] = mapped_column(comment="last complete listing of its page")


class SoundObservation(Base):
    """How many videos used a sound, and when that was shown; rows are only ever added."""

    __tablename__ = "sound_observation"
    __table_args__ = (
        UniqueConstraint("sound_id", "observed_at"),
        *_counted("n_videos"),
        _seen_by(),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    sound_id: Mapped[int] = mapped_column(ForeignKey("sound.id"))
    observed_at: Mapped[datetime]
    n_videos: Mapped[int]
    source: Mapped[str] = mapped_column(String(20))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))


class Video(Base):
    """One video; its stage is never stored here, it is a query."""

    __tablename__ = "video"
    # The id leads the key: with the platform first a look-up costs a hundred milliseconds.
    __table_args__ = (
        UniqueConstraint("tiktok_id", "platform"),
        CheckConstraint("length(tiktok_id) > 0", name="tiktok_id_given"),
        *_counted("n_mentions"),
        Index(None, "posted_at"),
        Index(
            "ix_video_sound_id",
            "sound_id",
            sqlite_where=text(GIVEN),
            postgresql_where=text(GIVEN),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    tiktok_id: Mapped[str] = mapped_column(String(40))
    platform: Mapped[str] = mapped_column(String(40))
    url: Mapped[str]
    caption: Mapped[str]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    posted_at: Mapped[datetime | None]
    duration_s: Mapped[float | None]
    width_px: Mapped[int | None]
    height_px: Mapped[int | None]
    first_seen_at: Mapped[datetime]
    latest_observation_id: Mapped[int | None] = mapped_column(
        ForeignKey("view_observation.id", use_alter=True),
        comment="newest readable observation; the newest of all while none is readable",
    )
    gone_at: Mapped[datetime | None]
    gone_reason: Mapped[str | None]
    sound_id: Mapped[int | None] = mapped_column(ForeignKey("sound.id"))
    language: Mapped[str | None] = mapped_column(String(20), comment="of the caption")
    region: Mapped[str | None] = mapped_column(String(20), comment="where it was posted")
    is_ad: Mapped[bool | None] = mapped_column(comment="declared advertising or paid partnership")
    is_duet: Mapped[bool | None]
    is_stitch: Mapped[bool | None]
    n_mentions: Mapped[int | None] = mapped_column(comment="accounts named in the caption")
    wanted_at: Mapped[datetime | None] = mapped_column(comment="put on the list to collect")


class VideoHashtag(Base):
    """A hashtag on a video, from its caption or because the hashtag's page listed it."""

    __tablename__ = "video_hashtag"
    __table_args__ = (
        Index(None, "hashtag_id", "video_id"),
        one_of("found_by", "caption", "listing"),
    )
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"), primary_key=True)
    hashtag_id: Mapped[int] = mapped_column(ForeignKey("hashtag.id"), primary_key=True)
    found_by: Mapped[str] = mapped_column(String(20))


class ViewObservation(Base):
    """What the page showed, and when; rows are only ever added."""

    __tablename__ = "view_observation"
    __table_args__ = (
        UniqueConstraint("video_id", "observed_at"),
        finite("views_k"),
        finite("step_k"),
        CheckConstraint("(views_k IS NULL) = (step_k IS NULL)", name="count_with_step"),
        *_counted("n_likes", "n_comments", "n_shares", "n_saves"),
        _seen_by(),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"))
    observed_at: Mapped[datetime]
    display_text: Mapped[str] = mapped_column(comment="verbatim")
    views_k: Mapped[float | None] = mapped_column(comment="thousands; NULL: text not readable")
    step_k: Mapped[float | None] = mapped_column(comment="resolution shown; 0: exact")
    source: Mapped[str] = mapped_column(String(20))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    n_likes: Mapped[int | None] = mapped_column(comment="an outcome, as all of these: no feature")
    n_comments: Mapped[int | None]
    n_shares: Mapped[int | None]
    n_saves: Mapped[int | None]


class MediaFile(Base):
    """One file to fetch for one video: a unit of work with its lease."""

    __tablename__ = "media_file"
    __table_args__ = (
        UniqueConstraint("video_id", "kind"),
        one_of("status", "pending", "leased", "ok", "failed", "dead", "skipped"),
        CheckConstraint(
            "status <> 'ok' OR (uri IS NOT NULL AND sha256 IS NOT NULL AND n_bytes IS NOT NULL)",
            name="ok_has_file",
        ),
        CheckConstraint("(status = 'leased') = (lease_owner IS NOT NULL)", name="leased_has_owner"),
        Index(
            "ix_media_file_open",
            "status",
            "id",
            sqlite_where=text(OPEN),
            postgresql_where=text(OPEN),
        ),
        Index(
            "ix_media_file_held",
            "lease_owner",
            sqlite_where=text(HELD),
            postgresql_where=text(HELD),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"))
    kind: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    uri: Mapped[str | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    n_bytes: Mapped[int | None]
    probe: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None] = mapped_column(String(60))
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"), comment="that finished it")


class FeatureSet(Base):
    """One way to extract one kind of feature, named by the hash of all that changes it."""

    __tablename__ = "feature_set"
    __table_args__ = (UniqueConstraint("kind", "config_hash"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    config_hash: Mapped[str] = mapped_column(String(64))
    config: Mapped[dict[str, Any]]
    extractor: Mapped[str]
    extractor_version: Mapped[str]
    weights_sha256: Mapped[str | None] = mapped_column(String(64))
    input_set_id: Mapped[int | None] = mapped_column(
        ForeignKey("feature_set.id"), comment="the set it is made from; NULL: the media file"
    )
    created_at: Mapped[datetime]


class Feature(Base):
    """One video's feature of one set: a unit of work with its lease."""

    __tablename__ = "feature"
    __table_args__ = (
        one_of("status", "pending", "leased", "done", "failed", "dead", "skipped"),
        CheckConstraint(
            "status <> 'done' OR (uri IS NOT NULL AND sha256 IS NOT NULL)", name="done_has_file"
        ),
        CheckConstraint("(status = 'leased') = (lease_owner IS NOT NULL)", name="leased_has_owner"),
        Index(None, "feature_set_id", "status", "error_code"),
        Index(None, "video_id"),
        Index(
            "ix_feature_open",
            "feature_set_id",
            "status",
            "video_id",
            sqlite_where=text(OPEN),
            postgresql_where=text(OPEN),
        ),
        Index(
            "ix_feature_held",
            "lease_owner",
            sqlite_where=text(HELD),
            postgresql_where=text(HELD),
        ),
    )
    feature_set_id: Mapped[int] = mapped_column(ForeignKey("feature_set.id"), primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    input_sha256: Mapped[str | None] = mapped_column(String(64))
    uri: Mapped[str | None] = mapped_column(comment="relative to the store root")
    row: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    shape: Mapped[list[Any] | None]
    dtype: Mapped[str | None] = mapped_column(String(20))
    n_bytes: Mapped[int | None]
    seconds: Mapped[float | None] = mapped_column(comment="time spent extracting, s")
    detail: Mapped[dict[str, Any] | None] = mapped_column(comment="facts readable in SQL")
    error_code: Mapped[str | None] = mapped_column(String(60))
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"), comment="that finished it")


class Run(Base):
    """One recorded execution of a step."""

    __tablename__ = "run"
    __table_args__ = (
        one_of("status", "running", "ok", "partial", "failed", "cancelled", "lost"),
        CheckConstraint("(finished_at IS NULL) = (status = 'running')", name="finished_or_running"),
        CheckConstraint("kind <> 'score' OR model_version_id IS NOT NULL", name="score_has_model"),
        Index(
            "uq_run_kind_slot",
            "kind",
            "slot",
            unique=True,
            sqlite_where=text(SLOT_HELD),
            postgresql_where=text(SLOT_HELD),
        ),
        Index(None, "kind", "started_at"),
        Index(None, "status"),
        Index(None, "model_version_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(200), unique=True, comment="owner of its leases")
    kind: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(20))
    trigger: Mapped[str] = mapped_column(String(40))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"), index=True)
    slot: Mapped[str | None] = mapped_column(String(100))
    scheduled_for: Mapped[datetime | None]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    host: Mapped[str]
    pid: Mapped[int]
    process: Mapped[str] = mapped_column(comment="tells this pid from a later one of that number")
    code_version: Mapped[str] = mapped_column(String(60))
    git_sha: Mapped[str | None] = mapped_column(String(64))
    git_dirty: Mapped[bool | None]
    params: Mapped[dict[str, Any]]
    params_hash: Mapped[str] = mapped_column(String(64))
    env: Mapped[dict[str, Any]]
    n_total: Mapped[int | None]
    n_done: Mapped[int]
    n_failed: Mapped[int]
    n_skipped: Mapped[int]
    error: Mapped[str | None]
    model_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True)
    )


class RunMetric(Base):
    """One number of one run; NULL when it was not finite."""

    __tablename__ = "run_metric"
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    split: Mapped[str] = mapped_column(String(20), primary_key=True, comment="the part")
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, comment="-1 final, else the epoch")
    value: Mapped[float | None]
    at: Mapped[datetime]


class JobLease(Base):
    """Who may run a job that must run once; the fence grows with every owner."""

    __tablename__ = "job_lease"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    owner: Mapped[str]
    fence: Mapped[int]
    acquired_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Event(Base):
    """The journal: failures, promotions, alerts; rows are only ever added."""

    __tablename__ = "event"
    __table_args__ = (
        one_of("level", "info", "warning", "error"),
        Index(None, "run_id"),
        Index(None, "at"),
        Index(None, "code", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    level: Mapped[str] = mapped_column(String(20))
    code: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class Tombstone(Base):
    """A video or an author that was purged: never stored again, whoever lists it."""

    __tablename__ = "tombstone"
    __table_args__ = (
        UniqueConstraint("key", "kind", "platform"),
        one_of("kind", "video", "author"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(20))
    key: Mapped[str] = mapped_column(String(100), comment="the video's id or the author's key")
    at: Mapped[datetime]
    reason: Mapped[str]
    files_left: Mapped[dict[str, Any] | None] = mapped_column(
        comment="files that are still to be cleaned; NULL: none"
    )


class RejectedRow(Base):
    """A row of an import that was not taken, and why."""

    __tablename__ = "rejected_row"
    __table_args__ = (UniqueConstraint("source", "line", "row_sha256"), Index(None, "reason"))
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    source: Mapped[str] = mapped_column(comment="the file's name")
    line: Mapped[int] = mapped_column(comment="or the number of the entry, from 1")
    tiktok_id: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(String(60))
    detail: Mapped[str] = mapped_column(comment="what there was, and what would have been right")
    row_sha256: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]


class SiteDay(Base):
    """How many pages of a site were visited on one day (UTC)."""

    __tablename__ = "site_day"
    __table_args__ = (CheckConstraint("n_pages >= 0", name="n_pages_counted"),)
    site: Mapped[str] = mapped_column(String(200), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True, comment="2026-11-23")
    n_pages: Mapped[int]


class SitePause(Base):
    """Until when a site, or one hashtag of it, is left alone after it refused us."""

    __tablename__ = "site_pause"
    site: Mapped[str] = mapped_column(String(200), primary_key=True)
    scope: Mapped[str] = mapped_column(
        String(220), primary_key=True, comment="'' is the whole site, '#dance' one hashtag"
    )
    until: Mapped[datetime]
    reason: Mapped[str]
    n_times: Mapped[int] = mapped_column(comment="in a row, without a success in between")
    set_at: Mapped[datetime]
