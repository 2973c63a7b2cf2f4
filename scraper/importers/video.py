"""What an import reads and makes: its options, a row's video, a refused row."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path

from catalog.errors import name_text
from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.files import clean_text
from scraper.counts import ViewCount
from scraper.errors import RowRefused
from scraper.importers.facts import Reader, readers
from scraper.importers.fields import (
    TIKTOK,
    TimeForm,
    is_day_only,
    posted_by_id,
    read_handle,
    read_moment,
    read_url,
    uploaded_s,
)
from scraper.importers.formats import Format
from scraper.importers.report import ImportReport
from scraper.items import (
    MAX_CAPTION_CHARS,
    MAX_DURATION_S,
    Sighting,
    find_hashtags,
    plain_hashtags,
    read_amount,
    read_side,
)

# Whose videos come in a format, where only one site's do.
SITE_OF: Mapping[Format, str] = {
    "web": TIKTOK,
    "page": TIKTOK,
    "har": TIKTOK,
    "actor": TIKTOK,
    "research": TIKTOK,
    "app": TIKTOK,
    "parts": TIKTOK,
    "youtube": "youtube",
    "instagram": "instagram",
}
# What is whole, and no plain public video: nobody's fault, so it is skipped.
SKIPPED_REASONS = frozenset(
    {
        *("ad", "emptied", "live", "no_video", "photo", "playlist", "private", "taken_down"),
        # What lies beside the rows, and none of them is about.
        *("media_double", "media_half", "media_unused"),
        *("other_content", "other_sheet", "unknown_file"),
    }
)
# Clocks differ, and a time without its zone may be another day's.
SLACK = timedelta(days=1)
# No post is older than its upload, whose second is in the id; some times are given in minutes.
UPLOAD_SLACK_S = 300
DAY_S = 86_400


@dataclass(frozen=True)
class ImportOptions:
    """What the person who imports knows better than the file.

    format: None to find out. platform: None is what the rows say, else tiktok. columns: our
    name of a field -> the table's column. locale: of displayed counts, None is English.
    observed_at: when the counts were taken, for rows that do not say. media: a folder with
    the videos' files, at any depth, their ids in their names. timezone: of times without one.
    date_format: strptime's, of times in another form than ISO 8601 and seconds. encoding: of
    separated text. ignore: columns of a table to leave aside. keep_round_ids: take ids of tiktok's
    that look as if a program had rounded them. caption_from_name: of a file that is on no site, so
    far as is known. report: where is counted what was read.
    """

    format: Format | None = None
    platform: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    locale: str | None = None
    observed_at: datetime | None = None
    media: Path | None = None
    timezone: tzinfo = UTC
    date_format: str | None = None
    encoding: str | None = None
    ignore: tuple[str, ...] = ()
    keep_round_ids: bool = False
    caption_from_name: bool = False
    report: ImportReport = field(default_factory=ImportReport, compare=False, repr=False)

    @cached_property
    def time_form(self) -> TimeForm:
        """How times are written."""
        return TimeForm(self.date_format, self.timezone)


@dataclass(frozen=True)
class ImportedFile:
    """What is the same for all rows of one file."""

    options: ImportOptions
    written_at: datetime
    read_at: datetime

    @classmethod
    def of(cls, path: Path, options: ImportOptions) -> "ImportedFile":
        """Note when a file was written."""
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return cls(options, written_at, datetime.now(UTC))

    @classmethod
    def now(cls, options: ImportOptions) -> "ImportedFile":
        """Note that nobody knows when anything was counted or written: it is seen now."""
        at = datetime.now(UTC)
        return cls(options, at, at)

    def observed_at(self, stated: datetime | None) -> tuple[datetime, bool]:
        """Return when a row's count was taken, and whether anybody said so."""
        if stated is not None:
            return stated, True
        if self.options.observed_at is not None:
            return self.options.observed_at, True
        return self.written_at, False

    @cached_property
    def report(self) -> ImportReport:
        """Where is counted what was read."""
        return self.options.report

    @cached_property
    def readers(self) -> Mapping[str, Reader]:
        """How the value of each field is read."""
        return readers(self.options.locale)

    def posted_at(self, value: object, what: str) -> tuple[datetime | None, bool]:
        """Return a post's time and whether the row states it; a bare day is weak.

        One that cannot be read is none: an id of tiktok's tells it as well.
        """
        form = self.options.time_form
        try:
            moment = read_moment(value, what, form)
        except RowRefused:
            return None, False
        return moment, moment is not None and not is_day_only(value, form)


@dataclass(frozen=True, slots=True)
class ImportedVideo:
    """A video that a file describes.

    line: where in the file, from 1; in a folder the number of the file. is_time_stated: False
    when neither the row nor a person said when the count was taken, and the time is the file's.
    media: the video's own file, None if there is none.
    """

    sighting: Sighting
    platform: str
    url: str | None
    line: int
    is_time_stated: bool
    media: Path | None


@dataclass(frozen=True)
class RejectedLine:
    """A row that is no usable video; file is its name within a folder, else empty.

    is_media: a media file that was left aside, and no row.
    """

    line: int
    tiktok_id: str | None
    reason: str
    detail: str
    sha256: str
    file: str = ""
    is_media: bool = False

    @property
    def is_skip(self) -> bool:
        """Say whether the row is sound, and only no video that we want."""
        return self.reason in SKIPPED_REASONS


def rejected(line: int, row: bytes, refusal: RowRefused, file: str = "") -> RejectedLine:
    """Note a refused row; `row` is what of it identifies it when it is met again."""
    return RejectedLine(
        line=line,
        tiktok_id=refusal.tiktok_id,
        reason=refusal.reason,
        detail=refusal.detail,
        sha256=hashlib.sha256(row).hexdigest(),
        file=name_text(file),
    )


@contextmanager
def naming(tiktok_id: str) -> Iterator[None]:
    """Let a refusal of the block say which video it is about."""
    try:
        yield
    except RowRefused as refusal:
        refusal.tiktok_id = refusal.tiktok_id or tiktok_id
        raise


def make_video(
    source: ImportedFile,
    line: int,
    *,
    tiktok_id: str,
    count: tuple[str, ViewCount | None],
    platform: str = TIKTOK,
    url: object = None,
    handle: object = None,
    caption: object = None,
    hashtags: tuple[str, ...] = (),
    posted_at: datetime | None = None,
    is_posted_at_stated: bool = True,
    observed_at: datetime | None = None,
    duration_s: object = None,
    width_px: object = None,
    height_px: object = None,
    media: Path | None = None,
    author_key: str | None = None,
    account: AccountFacts | None = None,
    sound: SoundFacts | None = None,
    traits: Traits | None = None,
    reactions: Reactions | None = None,
) -> ImportedVideo:
    """Return the video; where the row does not say when it was posted, a TikTok id does.

    Fields of type object are the row's own values; one that cannot be is as if not given.
    is_posted_at_stated: False for a bare day.
    Refuses a count that was taken before the video was posted, or later than now.
    """
    words = clean_text(caption)[:MAX_CAPTION_CHARS]
    stated = posted_at
    is_posted_at_stated &= posted_at is not None
    contradicts = False
    if platform == TIKTOK:
        posted_at, is_posted_at_stated, contradicts = _posted(
            source, tiktok_id, posted_at, is_stated=is_posted_at_stated
        )
    seen_at, is_stated = source.observed_at(observed_at)
    _check_times(source, tiktok_id, posted_at, seen_at, is_stated=is_stated)
    if contradicts:
        source.report.field("posted_at").contradicting(line, str(stated))
    display_text, views = count
    sighting = Sighting(
        tiktok_id=tiktok_id,
        handle=read_handle(handle, platform),
        caption=words,
        hashtags=hashtags
        if "#" not in words or (hashtags and platform == TIKTOK)
        # Of other sites what is given are keywords that nobody sees.
        else plain_hashtags([*hashtags, *find_hashtags(words)]),
        posted_at=posted_at,
        duration_s=read_amount(duration_s, MAX_DURATION_S),
        width_px=read_side(width_px),
        height_px=read_side(height_px),
        display_text=display_text,
        views_k=views.views_k if views else None,
        step_k=views.step_k if views else None,
        source="import",
        observed_at=seen_at,
        is_posted_at_stated=is_posted_at_stated,
        author_key=author_key,
        account=account,
        sound=sound,
        traits=traits,
        reactions=reactions,
    )
    return ImportedVideo(
        sighting=sighting,
        platform=platform,
        # TikTok's address is made from the id: the one given names the author.
        url=None if platform == TIKTOK else read_url(url),
        line=line,
        is_time_stated=is_stated,
        media=media,
    )


def _posted(
    source: ImportedFile, tiktok_id: str, posted_at: datetime | None, *, is_stated: bool
) -> tuple[datetime, bool, bool]:
    """Return when a video of tiktok's was posted, whether that is stated, and if it cannot be.

    A post may be later than its upload, as scheduled ones are, and never earlier; the upload is
    then taken.
    """
    if posted_at is None:
        return posted_by_id(tiktok_id), False, False
    # In numbers: of every row of a table, and a difference of moments costs several times that.
    offset_s = posted_at.timestamp() - uploaded_s(tiktok_id)
    if not is_stated:
        # A bare day, of whatever zone: the upload is the better moment in it.
        is_later = offset_s > DAY_S
        return posted_at if is_later else posted_by_id(tiktok_id), False, offset_s < -2 * DAY_S
    report = source.report
    report.offsets.add(offset_s)
    if offset_s < -UPLOAD_SLACK_S or (report.is_shifted and offset_s > UPLOAD_SLACK_S):
        return posted_by_id(tiktok_id), False, True
    return posted_at, True, False


def _check_times(
    source: ImportedFile,
    tiktok_id: str,
    posted_at: datetime | None,
    seen_at: datetime,
    *,
    is_stated: bool,
) -> None:
    why = ""
    if seen_at > source.read_at + SLACK:
        why = "in the future"
    elif posted_at is not None and posted_at > seen_at + SLACK:
        why = f"before the video was posted on {posted_at:%Y-%m-%d}"
    if why:
        whose = "counted" if is_stated else "the file was written"
        hint = "" if is_stated else "; say when the counts were taken (--observed-at)"
        raise RowRefused("bad_time", f"{whose} on {seen_at:%Y-%m-%d}, {why}{hint}", tiktok_id)
