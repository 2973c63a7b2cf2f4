"""Read one field of a foreign row – a count, a moment – or refuse the row with words."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from catalog.files import clean_text
from scraper.counts import MAX_VIEWS, ViewCount, count_from_json, parse_views_k
from scraper.errors import BadId, UnreadableCount
from scraper.importers.errors import RowRefused, printable, shown
from scraper.items import (
    FIRST_SECOND,
    HANDLE,
    MAX_CAPTION_CHARS,
    MAX_DURATION_S,
    MAX_SIDE_PX,
    Sighting,
    check_id,
    find_hashtags,
)

Format = Literal["ytdlp", "web", "actor", "table", "research", "pairs", "app"]
FORMATS: tuple[Format, ...] = get_args(Format)
# What no other site writes.
TIKTOK_ONLY = frozenset({"web", "actor", "research", "app"})
# What is whole, and no plain public video: nobody's fault, so it is skipped.
SKIPPED_REASONS = frozenset(
    {
        "ad",
        "emptied",
        "live",
        "no_video",
        "photo",
        "playlist",
        "private",
        "taken_down",
    }
)


@dataclass(frozen=True)
class ImportOptions:
    """What the person who imports knows better than the file.

    format: None to find out. platform: None is what the rows say, else tiktok. columns: our
    name of a field -> the table's column. locale: of displayed counts, None is English.
    observed_at: when the counts were taken, for rows that do not say. media: a folder with
    ID.mp4 files, at any depth.
    """

    format: Format | None = None
    platform: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    locale: str | None = None
    observed_at: datetime | None = None
    media: Path | None = None


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
    """A row that is no usable video; file is its name within a folder, else empty."""

    line: int
    tiktok_id: str | None
    reason: str
    detail: str
    sha256: str
    file: str = ""

    @property
    def is_skip(self) -> bool:
        """Say whether the row is sound, and only no video that we want."""
        return self.reason in SKIPPED_REASONS


@dataclass(frozen=True)
class Source:
    """What is the same for all rows of one file."""

    options: ImportOptions
    written_at: datetime
    read_at: datetime

    @classmethod
    def of(cls, path: Path, options: ImportOptions) -> "Source":
        """Note when a file was written."""
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return cls(options, written_at, datetime.now(UTC))

    def observed_at(self, stated: datetime | None) -> tuple[datetime, bool]:
        """Return when a row's count was taken, and whether anybody said so."""
        if stated is not None:
            return stated, True
        if self.options.observed_at is not None:
            return self.options.observed_at, True
        return self.written_at, False


def rejected(line: int, row: bytes, refusal: RowRefused, file: str = "") -> RejectedLine:
    """Note a refused row; `row` is what of it identifies it when it is met again."""
    return RejectedLine(
        line=line,
        tiktok_id=refusal.tiktok_id,
        reason=refusal.reason,
        detail=refusal.detail,
        sha256=hashlib.sha256(row).hexdigest(),
        file=printable(file),
    )


DIGITS = re.compile(r"[0-9]{1,15}")
# A whole number in a column with gaps, as programs for tables write it; no language groups so.
WHOLE_FLOAT = re.compile(r"([0-9]{1,15})\.0")
OTHER_FORM = re.compile(r"[0-9](?:[.,\s][0-9]|.*[^\W\d_])")
AMOUNT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
THOUSANDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
EPOCH = re.compile(r"[0-9]{9,13}(?:\.[0-9]{1,9})?")
THOUSANDS_MARK = "views_k="
# Tables repeat few values many times: sizes, lengths, the hour of collecting, short counts.
N_CACHED = 8_192
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
NEVER_BEFORE = datetime(2005, 1, 1, tzinfo=UTC)
# Clocks differ, and a time without its zone may be another day's.
SLACK = timedelta(days=1)


class naming:  # noqa: N801 (used as a statement, like contextlib.suppress)
    """Let a refusal of the block say which video it is about."""

    def __init__(self, tiktok_id: str) -> None:
        """Know the video."""
        self._tiktok_id = tiktok_id

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Name the video if the block refused it without doing so."""
        if isinstance(error, RowRefused) and error.tiktok_id is None:
            error.tiktok_id = self._tiktok_id


def is_missing(value: object) -> bool:
    """Say whether a value stands for nothing: null, an empty cell, the NaN of a table."""
    if value is None:
        return True
    if isinstance(value, str):
        return len(value) <= 4 and value.strip().casefold() in MISSING
    return isinstance(value, float) and math.isnan(value)


def first_of(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of some keys that has a value."""
    for name in names:
        value = row.get(name)
        if not is_missing(value):
            return value
    return None


def read_count(value: object, *, exact: bool, locale: str | None = None) -> tuple[str, ViewCount]:
    """Return a count's text and value.

    exact: the source gives true numbers; else whole numbers may be rounded as the site does.
    """
    if is_missing(value):
        raise RowRefused("no_count", "there is no view count; without one a row says nothing")
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_VIEWS:
        value = int(value)  # what a table makes of a column with gaps
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value) if abs(value) <= MAX_VIEWS else shown(value), _whole(value, exact)
        if isinstance(value, str):
            text = value.strip()
            return clean_text(text), _count_of_text(text, exact, locale)
    except UnreadableCount as error:
        is_foreign = locale is None and isinstance(value, str) and OTHER_FORM.search(value)
        hint = "; if that is another language's form, say --locale" if is_foreign else ""
        raise RowRefused("bad_count", f"views: {error}{hint}") from error
    raise RowRefused("bad_count", f"views {shown(value)}: expected e.g. 44800 or '30.58M'")


def read_thousands(value: object) -> tuple[str, ViewCount]:
    """Return a count that is given in thousands. Its text says so, lest it be read as views."""
    if is_missing(value):
        raise RowRefused("no_count", "there is no view count; without one a row says nothing")
    number = value
    if isinstance(value, str):
        number = float(value) if THOUSANDS.fullmatch(value.strip()) else None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise RowRefused(
            "bad_count",
            f"views_k {shown(value)}: expected thousands such as 30580.0; "
            "a text such as '30.58M' belongs in a column 'views'",
        )
    if not 0 <= number <= MAX_VIEWS / 1_000:
        raise RowRefused("bad_count", f"views_k {shown(value)}: expected 0 to {MAX_VIEWS // 1000}")
    return f"{THOUSANDS_MARK}{value}", ViewCount(float(number), 0.0)


def read_moment(value: object, what: str) -> datetime | None:
    """Return a moment from epoch seconds or milliseconds, ISO 8601, or a table's own type.

    None if there is none. A time without a zone is UTC, as the tools that write it do mean it.
    """
    if is_missing(value):
        return None
    moment: datetime | None = None
    try:
        if isinstance(value, str):
            moment = _moment_of_text(value.strip()) if len(value) <= 40 else None
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = _epoch(value)
        moment = None if moment is None else _to_utc(moment)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment < NEVER_BEFORE:
        raise RowRefused(
            "bad_time", f"{what} {shown(value)}: expected e.g. 1608214517 or '2020-12-17T14:15:17Z'"
        )
    return moment


def read_amount(value: object, most: float) -> float | None:
    """Return a length or a size, None if there is none or it cannot be."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _amount_of_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value <= most else None


def listed(row: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list inside an object; empty if it is missing or something else."""
    found = row.get(name)
    return found if isinstance(found, list) else []


def _whole(n: int, exact: bool) -> ViewCount:
    if exact and 0 <= n <= MAX_VIEWS:
        return ViewCount(n / 1_000, 0.0)
    return count_from_json(n)


@lru_cache(maxsize=N_CACHED)
def _count_of_text(text: str, exact: bool, locale: str | None) -> ViewCount:
    if DIGITS.fullmatch(text):
        return _whole(int(text), exact)
    if match := WHOLE_FLOAT.fullmatch(text):
        return _whole(int(match[1]), exact)
    return parse_views_k(text, locale)


@lru_cache(maxsize=N_CACHED)
def _amount_of_text(text: str) -> float | None:
    return float(text) if AMOUNT.fullmatch(text) else None


@lru_cache(maxsize=N_CACHED)
def _moment_of_text(text: str) -> datetime | None:
    return _epoch(float(text)) if EPOCH.fullmatch(text) else datetime.fromisoformat(text)


def _epoch(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    # From 2001 to 2286 seconds have ten digits at most, milliseconds more.
    seconds = number / 1_000 if number >= 1e11 else number
    return datetime.fromtimestamp(seconds, UTC) if FIRST_SECOND // 2 < seconds < 2**33 else None


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


TIKTOK = "tiktok"
PLATFORM = re.compile(r"[a-z0-9_]{1,40}")
OTHER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
URL_ID = re.compile(r"tiktokv?\.com/(?:[^/?#\s]*/)?(video|photo|v)/([0-9]{15,20})(?![0-9])")
# What a spreadsheet makes of a long number: its last digits are gone for ever.
ROUNDED_ID = re.compile(r"[0-9]+(?:[.,][0-9]*)?[eE]\+?[0-9]{1,3}|[0-9]{15,20}\.0*")


def read_platform(stated: object, wanted: str | None) -> str:
    """Return the platform a row is from: what the person says, else the row, else tiktok."""
    if stated is None and wanted is None:
        return TIKTOK
    name = wanted if wanted is not None else TIKTOK if is_missing(stated) else stated
    plain = name.strip().lower() if isinstance(name, str) else ""
    if PLATFORM.fullmatch(plain) is None:
        raise RowRefused("bad_platform", f"{shown(name)} is no platform: expected e.g. 'youtube'")
    return plain


def read_id(value: object, platform: str, *, exact_int: bool = False) -> str:
    """Return an id as text. exact_int: whole numbers here never went through a float."""
    if platform == TIKTOK and isinstance(value, str) and value.isdecimal():
        return _check_tiktok_id(value)
    if isinstance(value, float):
        raise RowRefused("bad_id", f"id {value!r} is a float: its last digits are lost; keep text")
    if isinstance(value, int) and not isinstance(value, bool):
        # A program that keeps numbers as floats (JavaScript, a spreadsheet) makes of a long id
        # the nearest multiple of 1024: another video's id, or nobody's.
        if not exact_int and 2**53 <= value < 2**63 and value % 1024 == 0:
            raise RowRefused(
                "bad_id", f"id {shown(value)} is a number and was rounded; ids must be text"
            )
        value = str(value) if 0 <= value < 2**63 else shown(value)
    if not isinstance(value, str) or is_missing(value):
        raise RowRefused("bad_id", f"id {shown(value)}: expected e.g. '7571863205253778710'")
    plain = value.strip()
    if ROUNDED_ID.fullmatch(plain):
        raise RowRefused(
            "bad_id",
            f"id {shown(plain)}: a spreadsheet or program made a number of it and its last digits "
            "are lost; export the column as text",
        )
    if platform != TIKTOK:
        if OTHER_ID.fullmatch(plain) is None:
            raise RowRefused("bad_id", f"id {shown(plain)}: expected 1 to 64 of A-Z a-z 0-9 _ -")
        return plain
    return _check_tiktok_id(plain)


def check_url_id(url: object, tiktok_id: str | None) -> str | None:
    """Return the id that a TikTok address names. Refuses photo posts, and another video's."""
    match = URL_ID.search(url) if isinstance(url, str) else None
    if match is None:
        return tiktok_id
    if tiktok_id is not None and match[2] != tiktok_id:
        raise RowRefused("bad_id", f"id {tiktok_id}, but the address names {match[2]}", tiktok_id)
    if match[1] == "photo":
        raise RowRefused("photo", "the address is a photo post's", match[2])
    return match[2]


def posted_by_id(tiktok_id: str) -> datetime:
    """Return the second of an upload, which a TikTok id's upper half is."""
    return datetime.fromtimestamp(int(tiktok_id) >> 32, UTC)


def _check_tiktok_id(text: str) -> str:
    try:
        return check_id(text)
    except BadId as error:
        hint = "" if text.isdecimal() and len(text) > 14 else "; of another site? say --platform"
        raise RowRefused("bad_id", f"{error}{hint}") from error


MAX_HANDLE_CHARS = 100
MAX_URL_CHARS = 2_000


def make_video(
    source: Source,
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
    observed_at: datetime | None = None,
    duration_s: object = None,
    width_px: object = None,
    height_px: object = None,
    media: Path | None = None,
) -> ImportedVideo:
    """Return the video; where the row does not say when it was posted, a TikTok id does.

    Fields of type object are the row's own values; one that cannot be is as if not given.
    Refuses a count that was taken before the video was posted, or later than now.
    """
    words = clean_text(caption)[:MAX_CAPTION_CHARS]
    if posted_at is None and platform == TIKTOK:
        posted_at = posted_by_id(tiktok_id)
    seen_at, is_stated = source.observed_at(observed_at)
    _check_times(source, tiktok_id, posted_at, seen_at, is_stated=is_stated)
    display_text, views = count
    sighting = Sighting(
        tiktok_id=tiktok_id,
        handle=_read_handle(handle, platform),
        caption=words,
        hashtags=hashtags or (find_hashtags(words) if "#" in words else ()),
        posted_at=posted_at,
        duration_s=read_amount(duration_s, MAX_DURATION_S),
        width_px=_side(width_px),
        height_px=_side(height_px),
        display_text=display_text,
        views_k=views.views_k if views else None,
        step_k=views.step_k if views else None,
        source="import",
        observed_at=seen_at,
    )
    return ImportedVideo(
        sighting=sighting,
        platform=platform,
        # TikTok's address is made from the id: the one given names the author.
        url=None if platform == TIKTOK else _read_url(url),
        line=line,
        is_time_stated=is_stated,
        media=media,
    )


def _check_times(
    source: Source,
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


def _read_handle(value: object, platform: str) -> str | None:
    return _handle_of_text(value, platform) if isinstance(value, str) else None


@lru_cache(maxsize=N_CACHED)
def _handle_of_text(value: str, platform: str) -> str | None:
    name = clean_text(value).strip().removeprefix("@")[:MAX_HANDLE_CHARS]
    if platform == TIKTOK:
        return name if HANDLE.fullmatch(name) else None
    return name or None


def _read_url(value: object) -> str | None:
    url = clean_text(value).strip()
    is_plain = url.startswith(("https://", "http://")) and len(url) <= MAX_URL_CHARS
    return url if is_plain and url.isprintable() and " " not in url else None


def _side(value: object) -> int | None:
    side_px = read_amount(value, MAX_SIDE_PX)
    return None if side_px is None else int(side_px)
