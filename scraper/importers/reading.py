"""Find out what a file or folder is, and read its rows as videos, whatever its format."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from catalog.errors import name_text
from catalog.files import MEDIA_SUFFIXES
from scraper.counts import parse_views_k
from scraper.errors import (
    BadColumns,
    BadOption,
    ImportRefused,
    RowRefused,
    UnknownFormat,
    UnreadableCount,
)
from scraper.importers.captured import has_contents, is_page, read_har_entry, read_page
from scraper.importers.envelopes import unfold
from scraper.importers.exports import (
    PARTS,
    RESEARCH,
    is_flat,
    read_actor,
    read_app,
    read_pair,
    read_web,
)
from scraper.importers.fields import read_platform
from scraper.importers.folder import (
    INFO,
    MediaFolder,
    data_files,
    has_info,
    has_media,
    read_folder,
    with_media,
)
from scraper.importers.formats import FORMATS, Format
from scraper.importers.json_rows import is_json, parse_row, read_rows
from scraper.importers.opening import head_of
from scraper.importers.other_sites import post_of, read_instagram, read_youtube
from scraper.importers.tables.columns import find_columns
from scraper.importers.tables.table import header_of, is_parquet, read_table
from scraper.importers.video import (
    SITE_OF,
    SLACK,
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    RejectedLine,
    rejected,
)
from scraper.importers.ytdlp import read_info, with_handle
from scraper.items import Json, child

Row = ImportedVideo | RejectedLine
_Count = tuple[str, float | None, float | None]  # (as shown, thousands, step)

N_ROWS_LOOKED_AT = 50
_Reader = Callable[[Json, int, ImportedFile], ImportedVideo]
READERS: Mapping[Format, _Reader] = {
    "ytdlp": read_info,
    "web": read_web,
    "actor": read_actor,
    "research": RESEARCH.read,
    "pairs": read_pair,
    "app": read_app,
    "parts": PARTS.read,
    "youtube": read_youtube,
    "instagram": read_instagram,
}
# What is done to a row before anybody watches which of its keys are read.
PREPARED: Mapping[Format, Callable[[Json], Json]] = {"ytdlp": with_handle, "instagram": post_of}
# What a browser gets of the site's own.
CAPTURED = ("web", "app")
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


def _is_instagram(row: Json) -> bool:
    site = row.get("source_platform", child(row, "__import_meta").get("source_platform"))
    return "instagram" in str(site)


def _is_research(row: Json) -> bool:
    only_there = {"video_description", "hashtag_names", "hashtag_info_list", "region_code"}
    return "view_count" in row and bool(row.keys() & (only_there | {"username", "create_time"}))


def _is_youtube(row: Json) -> bool:
    named = isinstance(row.get("kind"), str) and row["kind"].startswith("youtube#")
    return named or ("snippet" in row and bool(row.keys() & {"statistics", "contentDetails"}))


def _is_ytdlp(row: Json) -> bool:
    # Of a list that was not followed there is little more than an address.
    is_short = row.get("_type") in ("url", "url_transparent")
    return is_short or bool(row.keys() & {"extractor_key", "extractor", "ie_key", "formats"})


MARKS: tuple[tuple[Format, Any], ...] = (
    # The first line of `export --format facts`.
    ("facts", lambda row: child(row, "form").get("name") == "viewcast facts"),
    ("har", lambda row: "startedDateTime" in row and "response" in row),
    ("youtube", _is_youtube),
    ("instagram", _is_instagram),
    ("app", lambda row: "aweme_id" in row or is_flat(row)),
    ("parts", lambda row: isinstance(row.get("video_metadata"), Mapping)),
    ("ytdlp", _is_ytdlp),
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

    Not of `facts`, which are no rows of videos: the step hands these to the catalog. Raises
    UnknownFormat, BadColumns, BadOption, ExtraMissing, ImportRefused before the first row.
    """
    require_readable(path)
    _check_options(options)
    if options.format is None:
        options = replace(options, format=sniff(path, options))
    _check_against_format(options)
    rows = _whole(_rows(path, options))
    if options.media is not None:
        rows = with_media(rows, MediaFolder(options.media))
    return _without_contradictions(rows)


def sniff(path: Path, options: ImportOptions | None = None) -> Format:
    """Return the format of a file or folder. Raises UnknownFormat, BadOption, ImportRefused."""
    require_readable(path)
    options = options or ImportOptions()
    _check_options(options)
    if path.is_dir():
        return _format_of_folder(path, options)
    if is_parquet(path):
        return "table"
    if path.suffix.lower() in MEDIA_SUFFIXES:
        raise UnknownFormat(f"{path.name} is a media file: import the folder that it lies in")
    if path.name.endswith(INFO):
        return "ytdlp"
    if is_page(head_of(path, 4096)):
        return "page"
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


def format_of(row: Json, platform: str | None = None) -> Format | None:
    """Return the format that a row is in, None if it has no marks of any.

    platform: whose videos they are, where that is known.
    """
    for name, is_it in MARKS:
        if (platform is None or SITE_OF.get(name, platform) == platform) and is_it(row):
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
                f"'{name_text(path)}' is no plain file: a pipe or device cannot be read twice, "
                "and a link must lead somewhere; write it to a file first"
            )
        else:
            raise BadOption(f"there is no file or folder '{name_text(path)}'")
    except OSError as error:
        raise ImportRefused(f"'{name_text(path)}' cannot be read: {error.strerror}") from error


def _format_of_folder(folder: Path, options: ImportOptions) -> Format:
    if has_info(folder):
        return "ytdlp"
    for path in data_files(folder):
        try:
            return sniff(path, options)
        except ImportRefused:
            continue
    if has_media(folder):
        return "videos"
    raise UnknownFormat(
        f"{folder.resolve().name}/ has neither .info.json nor .mp4 files, or others such, "
        "nor an export that we know"
    )


def _format_of_rows(path: Path, options: ImportOptions) -> Format | None:
    platform = None if options.platform is None else options.platform.strip().lower()
    for row in islice(read_rows(path), N_ROWS_LOOKED_AT):
        try:
            found = parse_row(row.raw) if row.refusal is None else {}
        except RowRefused:
            continue
        inner = unfold(found)
        for video in [found] if inner is None else inner:
            if (name := format_of(video, platform)) is not None:
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
    if options.date_format is not None and options.format in ("web", "page", "har"):
        raise BadOption("the site's own items have their times in seconds: there is no date format")
    assert options.format is not None
    site = SITE_OF.get(options.format)
    if site is not None and options.platform and read_platform(None, options.platform) != site:
        raise BadOption(
            f"{options.format} is a form of {site}'s videos: none of them is of {options.platform}"
        )


def _rows(path: Path, options: ImportOptions) -> Iterator[Row]:
    if path.is_dir():
        return read_folder(path, options, lambda file: _file_of_folder(file, options))
    if options.format == "videos":
        raise BadOption(f"{path.name} is no folder of videos")
    if options.format == "facts":
        # Told as tables, not as videos: the step takes it as a whole.
        raise BadOption(f"{path.name} is no list of videos: import an export of facts by itself")
    if options.format == "table":
        return read_table(path, options)
    if options.format == "page":
        return _captured(path, enumerate(read_page(path), 1), options)
    if options.format == "har":
        return _captured(path, _har_rows(path), options)
    assert options.format is not None
    return _json_rows(path, options.format, options)


def _file_of_folder(path: Path, options: ImportOptions) -> Iterator[Row]:
    # Each file says itself what it is: exports of several tools may lie together.
    options = replace(options, format=sniff(path, options))
    _check_against_format(options)
    return _whole(_rows(path, options))


def _json_rows(path: Path, form: Format, options: ImportOptions) -> Iterator[Row]:
    source = ImportedFile.of(path, options)
    read, prepared = READERS[form], PREPARED.get(form, _as_it_is)
    for row in read_rows(path):
        try:
            if row.refusal is not None:
                raise row.refusal
            found = parse_row(row.raw)
            inner = unfold(found)
            if inner is None:
                yield read(source.report.watched(prepared(found)), row.line, source)
                continue
            if not inner:
                raise RowRefused("no_video", "an answer without a video in it")
        except RowRefused as refusal:
            yield rejected(row.line, row.raw, refusal)
            continue
        for video in inner:
            yield _read_one(prepared(video), row.line, read, source)


def _as_it_is(row: Json) -> Json:
    return row


def _read_one(video: Json, line: int, read: _Reader, source: ImportedFile) -> Row:
    try:
        return read(source.report.watched(video), line, source)
    except RowRefused as refusal:
        return rejected(line, json.dumps(video, default=str).encode(), refusal)


def _captured(
    path: Path, found: Iterable[tuple[int, Json | RowRefused]], options: ImportOptions
) -> Iterator[Row]:
    """Read rows of which each may be in a form of its own."""
    source = ImportedFile.of(path, options)
    for line, row in found:
        if isinstance(row, RowRefused):
            yield rejected(line, f"{row.reason} {row.tiktok_id}".encode(), row)
        else:
            yield _read_one(row, line, READERS[format_of(row) or "web"], source)


def _har_rows(path: Path) -> Iterator[tuple[int, Json | RowRefused]]:
    """Give the videos in the answers of a HAR file; what else a page loads is none of ours."""
    n_entries = n_found = n_kept = 0
    for row in read_rows(path):
        n_entries += 1
        if row.refusal is not None:
            if row.refusal.reason == "too_large":
                why = "an entry too large for an answer, such as a media file"
                yield row.line, RowRefused("other_content", why)
            else:
                yield row.line, row.refusal
            continue
        try:
            entry = parse_row(row.raw)
        except RowRefused as refusal:
            yield row.line, refusal
            continue
        n_kept += has_contents(entry)
        for video in read_har_entry(entry):
            is_known = isinstance(video, RowRefused) or format_of(video) in CAPTURED
            if is_known:
                n_found += 1
                yield row.line, video
    if not n_found:
        why = "no answer of the site has a video in it"
        if not n_kept:
            why = "no answer has its contents; save the HAR 'with content'"
        yield 1, RowRefused("not_an_item", f"{n_entries} entries, and {why}")


def _whole(rows: Iterator[Row]) -> Iterator[Row]:
    """Say at the end if a compressed file could not be read to its end."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except RowRefused as refusal:
        yield rejected(line + 1, refusal.detail.encode(), refusal)


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
