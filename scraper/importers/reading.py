"""Find out what a file or folder is, and read its rows as videos, whatever its format."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from scraper.counts import parse_views_k
from scraper.errors import (
    BadColumns,
    BadOption,
    ImportRefused,
    RowRefused,
    UnknownFormat,
    UnreadableCount,
)
from scraper.importers.columns import find_columns
from scraper.importers.exports import APP, RESEARCH, read_actor, read_pair, read_web
from scraper.importers.fields import TIKTOK, read_platform
from scraper.importers.json_rows import is_json, parse_row, read_rows
from scraper.importers.table import header_of, is_parquet, read_table
from scraper.importers.video import (
    FORMATS,
    SLACK,
    TIKTOK_ONLY,
    Format,
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    RejectedLine,
    rejected,
)
from scraper.importers.ytdlp import INFO, MEDIA, inside, is_ytdlp_folder, read_folder, read_info
from scraper.items import Json

Row = ImportedVideo | RejectedLine
_Count = tuple[str, float | None, float | None]  # (as shown, thousands, step)

N_ROWS_LOOKED_AT = 50
READERS: Mapping[Format, Callable[[Json, int, ImportedFile], ImportedVideo]] = {
    "ytdlp": read_info,
    "web": read_web,
    "actor": read_actor,
    "research": RESEARCH.read,
    "pairs": read_pair,
    "app": APP.read,
}
# How many rows back two rows about the same moment are compared: memory stays flat, and the
# catalog itself takes only the first of two counts of one moment.
MAX_REMEMBERED = 20_000


def _is_web(row: Json) -> bool:
    inner = row.get("data")
    if isinstance(inner, Mapping) and ("item_id" in row or "timestamp_collected" in row):
        return True
    stats = isinstance(row.get("stats"), Mapping) or isinstance(row.get("statsV2"), Mapping)
    named = row.keys() & {"itemStruct", "itemInfo", "__import_meta", "imagePost", "textExtra"}
    return stats or bool(named) or ("id" in row and {"desc", "createTime"} <= row.keys())


def _is_research(row: Json) -> bool:
    only_there = {"video_description", "hashtag_names", "hashtag_info_list", "region_code"}
    return "view_count" in row and bool(row.keys() & (only_there | {"username", "create_time"}))


MARKS: tuple[tuple[Format, Any], ...] = (
    ("app", lambda row: "aweme_id" in row),
    ("ytdlp", lambda row: "extractor_key" in row or "extractor" in row or "formats" in row),
    ("actor", lambda row: bool(row.keys() & {"authorMeta", "videoMeta", "webVideoUrl"})),
    ("web", _is_web),
    ("research", _is_research),
    ("actor", lambda row: "id" in row and "playCount" in row),
    ("research", lambda row: "view_count" in row and bool(row.keys() & {"id", "video_id"})),
    (
        "pairs",
        # With `tiktok_id` it is a line of our own export: a table's row.
        lambda row: (
            "tiktok_id" not in row
            and bool(row.keys() & {"id", "url"})
            and bool(row.keys() & {"views", "views_k"})
        ),
    ),
)


def read_path(path: Path, options: ImportOptions) -> Iterator[Row]:
    """Give a file's videos and the rows it refuses, in order, one in memory at a time.

    Raises UnknownFormat, BadColumns, BadOption, ExtraMissing, ImportRefused before the first row.
    """
    require_readable(path)
    _check_options(options)
    if options.format is None:
        options = replace(options, format=sniff(path, options))
    _check_against_format(options)
    rows = _rows(path, options)
    if options.media is not None:
        rows = _with_media(rows, find_media(options.media))
    return _without_contradictions(rows)


def sniff(path: Path, options: ImportOptions | None = None) -> Format:
    """Return the format of a file or folder. Raises UnknownFormat, BadOption, ImportRefused."""
    require_readable(path)
    options = options or ImportOptions()
    if path.is_dir():
        if is_ytdlp_folder(path):
            return "ytdlp"
        raise UnknownFormat(f"{path.resolve().name}/ has neither .info.json nor .mp4 files")
    if is_parquet(path):
        return "table"
    if path.name.endswith(INFO):
        return "ytdlp"
    is_table = bool(options.columns or options.ignore or options.encoding)
    if is_json(path) and not is_table and (found := _format_of_rows(path, options)):
        return found
    try:
        find_columns(header_of(path, options.encoding), options.columns, options.ignore)
    except BadColumns as error:
        what = "no videos that we know" if is_json(path) else "neither JSON nor a table we know"
        raise UnknownFormat(
            f"{path.name}: {what}: {error}; --format forces one of {', '.join(FORMATS)}"
        ) from error
    return "table"


def format_of(row: Json, *, is_tiktok: bool = True) -> Format | None:
    """Return the format that a row is in, None if it has no marks of any.

    is_tiktok: whether it may be one that only that site's videos come in.
    """
    for name, is_it in MARKS:
        if (is_tiktok or name not in TIKTOK_ONLY) and is_it(row):
            return name
    return None


def require_readable(path: Path) -> None:
    """Refuse what is no file or folder, or may not be read."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif path.is_file():
            path.open("rb").close()
        elif path.exists() or path.is_symlink():
            raise BadOption(
                f"{str(path)!r} is no plain file: a pipe or device cannot be read twice, and a "
                "link must lead somewhere; write it to a file first"
            )
        else:
            raise BadOption(f"there is no file or folder {str(path)!r}")
    except OSError as error:
        raise ImportRefused(f"{str(path)!r} cannot be read: {error.strerror}") from error


def find_media(folder: Path) -> dict[str, Path]:
    """Return the ID.mp4 files in a folder and below by id; none that lies elsewhere."""
    if not folder.is_dir():
        raise BadOption(f"there is no folder {str(folder)!r} of media files")
    root = folder.resolve()
    found: dict[str, Path] = {}
    for here, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(here) / name
            if name.endswith(MEDIA) and inside(path, root) is not None:
                found.setdefault(name.removesuffix(MEDIA), path)
    return found


def _format_of_rows(path: Path, options: ImportOptions) -> Format | None:
    is_tiktok = options.platform is None or options.platform.strip().lower() == TIKTOK
    for row in islice(read_rows(path), N_ROWS_LOOKED_AT):
        try:
            found = parse_row(row.raw) if row.refusal is None else {}
        except RowRefused:
            continue
        if (name := format_of(found, is_tiktok=is_tiktok)) is not None:
            return name
    return None


def _check_options(options: ImportOptions) -> None:
    try:
        parse_views_k("0", options.locale)
    except UnreadableCount as error:
        raise BadOption(str(error)) from error
    try:
        read_platform(None, options.platform)
    except RowRefused as error:
        raise BadOption(error.detail) from error
    if options.encoding is not None and not _is_encoding(options.encoding):
        raise BadOption(f"there is no encoding {options.encoding!r}: the like of windows-1252")
    if options.date_format is not None and not _is_date_format(options.date_format):
        raise BadOption(
            f"{options.date_format!r} is no form of a date: the like of '%d/%m/%Y %H:%M'"
        )
    when = options.observed_at
    if when is not None and when.tzinfo is None:
        raise BadOption(f"{when} has no time zone: nobody knows when that was")
    if when is not None and when > datetime.now(UTC) + SLACK:
        raise BadOption(f"no count can have been taken on {when:%Y-%m-%d}, in the future")


def _is_encoding(name: str) -> bool:
    try:
        return "a".encode(name).decode(name) == "a"
    except (LookupError, ValueError):
        return False


def _is_date_format(form: str) -> bool:
    try:
        written = datetime(2021, 10, 25, 13, 45, 59, tzinfo=UTC).strftime(form)
        read = datetime.strptime(written, form)  # noqa: DTZ007 (only its day is looked at)
        return read.date().isoformat() == "2021-10-25"
    except ValueError:
        return False


def _check_against_format(options: ImportOptions) -> None:
    """Refuse what would be ignored in silence."""
    for name, value in (
        ("columns to name", options.columns),
        ("columns to ignore", options.ignore),
        ("an encoding to state", options.encoding),
    ):
        if value and options.format != "table":
            raise BadOption(f"only tables have {name}, and this is read as {options.format}")
    if options.date_format is not None and options.format == "web":
        raise BadOption("the site's own items have their times in seconds: there is no date format")
    is_tiktok = read_platform(None, options.platform) == TIKTOK
    if not is_tiktok and options.format in TIKTOK_ONLY:
        raise BadOption(
            f"{options.format} is a form of tiktok's videos: none of them is of {options.platform}"
        )


def _rows(path: Path, options: ImportOptions) -> Iterator[Row]:
    if path.is_dir():
        if options.format != "ytdlp":
            raise BadOption(f"{path.name}/ is a folder; {options.format} is read from a file")
        return read_folder(path, options)
    if options.format == "table":
        return read_table(path, options)
    assert options.format is not None
    return _json_rows(path, READERS[options.format], options)


def _json_rows(
    path: Path, read: Callable[[Json, int, ImportedFile], ImportedVideo], options: ImportOptions
) -> Iterator[Row]:
    source = ImportedFile.of(path, options)
    for row in read_rows(path):
        try:
            if row.refusal is not None:
                raise row.refusal
            yield read(options.report.watched(parse_row(row.raw)), row.line, source)
        except RowRefused as refusal:
            yield rejected(row.line, row.raw, refusal)


def _with_media(rows: Iterator[Row], media: Mapping[str, Path]) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, ImportedVideo) and row.media is None:
            found = media.get(row.sighting.tiktok_id)
            yield row if found is None else replace(row, media=found)
        else:
            yield row


def _without_contradictions(rows: Iterator[Row]) -> Iterator[Row]:
    """Let the first of two counts of one video and moment stand; refuse another that differs."""
    # Plain tuples: the garbage collector soon leaves them alone, as it would not leave objects.
    seen: dict[tuple[str, str, datetime], _Count] = {}
    before = seen
    for row in rows:
        if isinstance(row, RejectedLine):
            yield row
            continue
        found = row.sighting
        key = (row.platform, found.tiktok_id, found.observed_at)
        first = seen.get(key) or before.get(key)
        if first is None:
            if len(seen) >= MAX_REMEMBERED:
                seen, before = {}, seen
            seen[key] = found.display_text, found.views_k, found.step_k
            yield row
            continue
        text, views_k, step_k = first
        if _agree(first, (found.display_text, found.views_k, found.step_k)):
            same = replace(found, display_text=text, views_k=views_k, step_k=step_k)
            yield replace(row, sighting=same)
            continue
        detail = f"{found.display_text!r} views, but {text!r} in a row before, at the same moment"
        refusal = RowRefused("duplicate", detail, found.tiktok_id)
        yield rejected(row.line, f"{key} {found.display_text}".encode(), refusal)


def _agree(one: _Count, two: _Count) -> bool:
    (_, one_k, one_step_k), (_, two_k, two_step_k) = one, two
    if one_k is None or two_k is None:
        return True
    slack_k = ((one_step_k or 0) + (two_step_k or 0)) / 2
    return abs(one_k - two_k) <= slack_k + 1e-9 * one_k
