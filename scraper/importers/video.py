"""What an import reads and makes: its options, a row's video, a refused row, a format's mapping."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.files import clean_text
from scraper.counts import ViewCount
from scraper.errors import RowRefused, printable
from scraper.importers.facts import read_facts
from scraper.importers.fields import (
    TIKTOK,
    is_missing,
    posted_by_id,
    read_count,
    read_day,
    read_handle,
    read_id_or_url,
    read_moment,
    read_url,
    read_views,
)
from scraper.importers.formats import Format
from scraper.items import (
    MAX_CAPTION_CHARS,
    MAX_DURATION_S,
    Json,
    Sighting,
    child,
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

# Keys that lead to a field: "views", or "stats.views" for one inside of an object. The first that
# has a value counts.
Paths = tuple[str, ...]
# Or a rule, where no key has it plainly.
Where = Paths | Callable[[Json], object]


@dataclass(frozen=True)
class ImportOptions:
    """What the person who imports knows better than the file.

    format: None to find out. platform: None is what the rows say, else tiktok. columns: our
    name of a field -> the table's column. locale: of displayed counts, None is English.
    observed_at: when the counts were taken, for rows that do not say. media: a folder with
    the videos' files, at any depth, their ids in their names.
    """

    format: Format | None = None
    platform: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    locale: str | None = None
    observed_at: datetime | None = None
    media: Path | None = None


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

    def observed_at(self, stated: datetime | None) -> tuple[datetime, bool]:
        """Return when a row's count was taken, and whether anybody said so."""
        if stated is not None:
            return stated, True
        if self.options.observed_at is not None:
            return self.options.observed_at, True
        return self.written_at, False


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
        file=printable(file),
    )


@dataclass(frozen=True)
class Refusal:
    """Rows of a format that are no videos we want: the reason's code and words, and which."""

    reason: str
    words: str
    applies: Callable[[Json], bool]


@dataclass(frozen=True)
class FieldMap:
    """Where the rows of a JSON format have each field of a video.

    exact_id: its whole numbers never went through a float. url_id: whether the address must name
    the same video ("same"), may also stand in for a missing id ("enough"), or is not looked at.
    exact: counts are true numbers, not rounded as the site's. views_k: only where counts may be
    given in thousands and as displayed. observed_as: what to call that time in a refusal.
    duration_per_s: 1000 for milliseconds. posted_on: a bare date, for want of a moment. account,
    sound, reactions, traits: by the names of those records' fields, which see.
    """

    id: Paths
    views: Paths
    posted_at: Paths
    observed_at: Paths
    observed_as: str
    duration: Paths
    exact_id: bool = False
    url: Paths = ()
    url_id: Literal["same", "enough"] | None = None
    exact: bool = False
    views_k: Paths = ()
    handle: Paths = ()
    caption: Paths = ()
    hashtags: Callable[[Json], Iterable[object]] = lambda _: ()
    duration_per_s: int = 1
    width: Paths = ()
    height: Paths = ()
    posted_on: Paths = ()
    account: Mapping[str, Where] = field(default_factory=dict)
    sound: Mapping[str, Where] = field(default_factory=dict)
    reactions: Mapping[str, Where] = field(default_factory=dict)
    traits: Mapping[str, Where] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()

    def read(
        self,
        row: Json,
        line: int,
        source: ImportedFile,
        *,
        platform: str = TIKTOK,
        media: Path | None = None,
    ) -> ImportedVideo:
        """Return a row's video; one with a media file needs no count. Raises RowRefused."""
        raw_id, url = find(row, self.id), find(row, self.url)
        is_url_read = self.url_id == "enough" or (self.url_id and not is_missing(raw_id))
        id_url = url if is_url_read else None
        tiktok_id = read_id_or_url(raw_id, id_url, platform, exact_int=self.exact_id)
        with naming(tiktok_id):
            for refusal in self.refusals:
                if refusal.applies(row):
                    raise RowRefused(refusal.reason, refusal.words)
            length = read_amount(find(row, self.duration), MAX_DURATION_S * self.duration_per_s)
            posted_at = read_moment(find(row, self.posted_at), self.posted_at[0])
            # An id of TikTok's tells the second, which is better than the day.
            day = None if posted_at or platform == TIKTOK else read_day(find(row, self.posted_on))
            made = make_video(
                source,
                line,
                tiktok_id=tiktok_id,
                platform=platform,
                count=self._count(row, source, has_media=media is not None),
                url=url,
                handle=find(row, self.handle),
                caption=find(row, self.caption),
                hashtags=plain_hashtags(self.hashtags(row)),
                posted_at=posted_at,
                posted_on=day,
                observed_at=read_moment(find(row, self.observed_at), self.observed_as),
                duration_s=None if length is None else length / self.duration_per_s,
                width_px=find(row, self.width),
                height_px=find(row, self.height),
                media=media,
            )
            sighting = replace(
                made.sighting,
                account=read_facts(AccountFacts, _values(row, self.account)),
                sound=read_facts(SoundFacts, _values(row, self.sound)),
                traits=read_facts(Traits, _values(row, self.traits)),
                reactions=read_facts(Reactions, _values(row, self.reactions)),
            )
            return replace(made, sighting=sighting)

    def _count(
        self, row: Json, source: ImportedFile, *, has_media: bool
    ) -> tuple[str, ViewCount | None]:
        views = find(row, self.views)
        if self.views_k:
            return read_views(views, find(row, self.views_k), locale=source.options.locale)
        if has_media and is_missing(views):
            return "", None
        return read_count(views, exact=self.exact)


def _values(row: Json, places: Mapping[str, Where]) -> dict[str, object]:
    return {
        name: find(row, where) if isinstance(where, tuple) else where(row)
        for name, where in places.items()
    }


def find(row: Json, paths: Paths) -> Any:
    """Return what is at the only path, whatever it is, or at the first of several with a value."""
    for path in paths:
        outer, dot, inner = path.partition(".")
        value = child(row, outer).get(inner) if dot else row.get(outer)
        if len(paths) == 1 or not is_missing(value):
            return value
    return None


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
    posted_on: datetime | None = None,
    observed_at: datetime | None = None,
    duration_s: object = None,
    width_px: object = None,
    height_px: object = None,
    media: Path | None = None,
) -> ImportedVideo:
    """Return the video; where the row does not say when it was posted, a TikTok id does.

    posted_on: the beginning of the day, for want of both.
    Fields of type object are the row's own values; one that cannot be is as if not given.
    Refuses a count that was taken before the video was posted, or later than now.
    """
    words = clean_text(caption)[:MAX_CAPTION_CHARS]
    is_told = posted_at is not None
    if not is_told:
        posted_at = posted_by_id(tiktok_id) if platform == TIKTOK else posted_on
    seen_at, is_stated = source.observed_at(observed_at)
    _check_times(source, tiktok_id, posted_at, seen_at, is_stated=is_stated)
    display_text, views = count
    sighting = Sighting(
        tiktok_id=tiktok_id,
        handle=read_handle(handle, platform),
        caption=words,
        hashtags=hashtags or (find_hashtags(words) if "#" in words else ()),
        posted_at=posted_at,
        duration_s=read_amount(duration_s, MAX_DURATION_S),
        width_px=read_side(width_px),
        height_px=read_side(height_px),
        display_text=display_text,
        views_k=views.views_k if views else None,
        step_k=views.step_k if views else None,
        source="import",
        observed_at=seen_at,
        is_posted_at_stated=is_told or posted_at is None,
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
