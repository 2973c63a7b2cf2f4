"""Tell from a file's own content what it is; its name decides only where nothing else does."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from scraper.importers.columns import find_columns
from scraper.importers.documents import is_json, parse_row, read_rows
from scraper.importers.errors import (
    BadColumns,
    BadOption,
    ImportRefused,
    RowRefused,
    UnknownFormat,
)
from scraper.importers.ids import TIKTOK
from scraper.importers.records import FORMATS, TIKTOK_ONLY, Format, ImportOptions
from scraper.importers.table import header_of, is_parquet
from scraper.importers.ytdlp import INFO, is_ytdlp_folder

Json = Mapping[str, Any]

N_ROWS_LOOKED_AT = 50


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
    if is_json(path) and not options.columns and (found := _format_of_rows(path, options)):
        return found
    try:
        find_columns(header_of(path), options.columns)
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
