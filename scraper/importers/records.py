"""What a reader of foreign files is told, and what it gives: videos, and rows it refuses."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from scraper.importers.errors import RowRefused, printable
from scraper.items import Sighting

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
