"""Where the rows of a JSON format have each field: a mapping reads a row, and counts its keys."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from scraper.counts import ViewCount
from scraper.errors import RowRefused
from scraper.importers.facts import GROUPS, SOUND, grouped
from scraper.importers.fields import (
    TIKTOK,
    is_missing,
    read_count,
    read_handle,
    read_id_or_url,
    read_moment,
    read_views,
)
from scraper.importers.report import FieldCount
from scraper.importers.video import ImportedFile, ImportedVideo, make_video, naming
from scraper.items import Json, Sighting, child, plain_hashtags

# Keys that lead to a field: "views", or "stats.views" for one inside of an object. The first that
# has a value counts.
Paths = tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Rows of a format that are no videos we want: the reason's code and words, and which."""

    reason: str
    words: str
    applies: Callable[[Json], bool]


@dataclass(frozen=True)
class Rule:
    """Where a field is that no key has plainly; printed: from which keys it is told."""

    printed: str
    of: Callable[[Json], object]


@dataclass(frozen=True)
class FieldMap:
    """Where the rows of a JSON format have each field of a video.

    exact_id: its whole numbers never went through a float. url_id: whether the address must name
    the same video ("same"), may also stand in for a missing id ("enough"), or is not looked at.
    exact: counts are true numbers, not rounded as the site's. views_k: only where counts may be
    given in thousands and as displayed. observed_as: what to call that time in a refusal.
    hashtags_from: their keys, as printed. duration_per_s: 1000 for milliseconds. more: where
    further fields are, by the names of `facts.readers`.
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
    hashtags_from: str = "hashtags"
    duration_per_s: int = 1
    width: Paths = ()
    height: Paths = ()
    refusals: tuple[Refusal, ...] = ()
    more: Mapping[str, "Paths | Rule"] = field(default_factory=dict)

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
            missed: list[tuple[FieldCount, object]] = []
            posted, is_stated = source.posted_at(find(row, self.posted_at), self.posted_at[0])
            handle = find(row, self.handle)
            unread = set()
            if posted is None:
                unread.add("posted_at")
            if read_handle(handle, platform) is None:
                unread.add("author")
            tags = plain_hashtags(self.hashtags(row))
            if tags or "hashtags" in source.report.fields:
                count = source.report.field("hashtags", self.hashtags_from)
                missed += [] if tags else [(count, None)]
            values = self._values(row, source, missed, unread)
            video = make_video(
                source,
                line,
                tiktok_id=tiktok_id,
                platform=platform,
                count=self._count(row, source, platform, has_media=media is not None),
                url=url,
                handle=handle,
                caption=values.get("caption"),
                hashtags=tags,
                posted_at=posted,
                is_posted_at_stated=is_stated,
                observed_at=read_moment(
                    find(row, self.observed_at), self.observed_as, source.options.time_form
                ),
                duration_s=values.get("duration_s", values.get("duration_ms")),
                width_px=values.get("width_px"),
                height_px=values.get("height_px"),
                media=media,
                author_key=values.get("author_key"),
                **grouped(values),
            )
        source.report.taken(line, missed)
        return video

    @cached_property
    def places(self) -> dict[str, tuple["Paths | Rule", str]]:
        """Where each field is, by our names: its paths, and the same as they are printed."""
        duration = "duration_ms" if self.duration_per_s == 1_000 else "duration_s"
        found: dict[str, Paths | Rule] = {
            "id": self.id,
            "url": self.url,
            "views": self.views,
            "views_k": self.views_k,
            "posted_at": self.posted_at,
            "observed_at": self.observed_at,
            "author": self.handle,
            "caption": self.caption,
            duration: self.duration,
            "width_px": self.width,
            "height_px": self.height,
            **self.more,
        }
        return {
            name: (where, where.printed if isinstance(where, Rule) else " / ".join(where))
            for name, where in found.items()
            if where
        }

    def _values(
        self,
        row: Json,
        source: ImportedFile,
        missed: list[tuple[FieldCount, object]],
        unread: Collection[str],
    ) -> dict[str, Any]:
        """Return what can be read of the fields of little weight, and note what cannot.

        unread: the others that could not be read. A field that no row has had is not counted.
        """
        values: dict[str, Any] = {}
        report, known = source.report, source.readers
        for name, (where, printed) in self.places.items():
            raw = where.of(row) if isinstance(where, Rule) else find(row, where)
            is_there = not is_missing(raw)
            if not is_there and name not in report.fields:
                continue
            count, read = report.field(name, printed), known.get(name)
            if read is None:
                is_read = is_there and name not in unread
            else:
                value = read(raw) if is_there else None
                is_read = value is not None
                if is_read:
                    values[name] = value
            if not is_read:
                missed.append((count, raw))
        for name in [name for name in SOUND if name in values and "sound_id" not in values]:
            # Nobody could tell which sound it is of.
            missed.append((report.fields[name], values.pop(name)))
        return values

    def _count(
        self, row: Json, source: ImportedFile, platform: str, *, has_media: bool
    ) -> tuple[str, ViewCount | None]:
        views = find(row, self.views)
        # Only tiktok's own counts are known to be rounded.
        exact = self.exact or platform != TIKTOK
        if self.views_k:
            thousands = find(row, self.views_k)
            return read_views(views, thousands, locale=source.options.locale, exact=exact)
        if has_media and is_missing(views):
            return "", None
        return read_count(views, exact=exact)


# Where the site's own items have what `read_item` reads of them.
SEEN: Mapping[str, tuple[Paths, str]] = {
    "id": (("id",), "tiktok_id"),
    "views": (("statsV2.playCount", "stats.playCount"), "display_text"),
    "author": (("author.uniqueId", "author"), "handle"),
    "caption": (("desc",), "caption"),
    "hashtags": (("challenges", "textExtra"), "hashtags"),
    "posted_at": (("createTime",), "posted_at"),
    "duration_s": (("video.duration",), "duration_s"),
    "width_px": (("video.width",), "width_px"),
    "height_px": (("video.height",), "height_px"),
}
SEEN_GROUPS = {"account": "author, authorStats", "sound": "music", "traits": "item"}
SEEN_GROUPS |= {"reactions": "statsV2, stats"}


def count_seen(
    source: ImportedFile, line: int, row: Json, found: Sighting, *, when: datetime | None
) -> None:
    """Count what was read of an item by the site's own reader, which knows no mapping.

    when: the time of collecting, where a tool noted it beside the item.
    """
    report, missed = source.report, list[tuple[FieldCount, object]]()
    if when is not None:
        report.field("observed_at", "timestamp_collected")
    elif "observed_at" in report.fields:
        missed.append((report.fields["observed_at"], None))
    for name, (paths, fact) in SEEN.items():
        raw = find(row, paths)
        if not is_missing(raw) or name in report.fields:
            count = report.field(name, " / ".join(paths))
            if getattr(found, fact) in (None, "", ()):
                missed.append((count, raw))
    for group, _, facts in GROUPS:
        known = getattr(found, group)
        for fact, name in {fact: name for name, fact in facts.items()}.items():
            value = None if known is None else getattr(known, fact)
            if value is not None:
                report.field(name, SEEN_GROUPS[group])
            elif name in report.fields:
                missed.append((report.fields[name], None))
    report.taken(line, missed)


def find(row: Json, paths: Paths) -> Any:
    """Return what is at the only path, whatever it is, or at the first of several with a value."""
    for path in paths:
        outer, dot, inner = path.partition(".")
        value = child(row, outer).get(inner) if dot else row.get(outer)
        if len(paths) == 1 or not is_missing(value):
            return value
    return None
