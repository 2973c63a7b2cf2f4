"""Tell from a file's own content what it is; its name decides only where nothing else does."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from scraper.importers.columns import find_columns
from scraper.importers.documents import BYTE_ORDER_MARKS, parse_row, read_rows
from scraper.importers.errors import BadColumns, RowRefused, UnknownFormat
from scraper.importers.records import FORMATS, Format, ImportOptions
from scraper.importers.table import header_of, is_parquet
from scraper.importers.ytdlp import INFO, is_ytdlp_folder

Json = Mapping[str, Any]

N_ROWS_LOOKED_AT = 50


def sniff(path: Path, options: ImportOptions | None = None) -> Format:
    """Return the format of a file or folder. Raises UnknownFormat, BadColumns."""
    if path.is_dir():
        if is_ytdlp_folder(path):
            return "ytdlp"
        raise UnknownFormat(f"{path.name}/ has neither .info.json nor .mp4 files")
    with path.open("rb") as file:
        head = file.read(4096)
    if is_parquet(path):
        return "table"
    if path.name.endswith(INFO):
        return "ytdlp"
    if _first_letter(head) in ("{", "["):
        return _sniff_json(path)
    try:
        find_columns(header_of(path), (options or ImportOptions()).columns)
    except BadColumns as error:
        raise UnknownFormat(
            f"{path.name} is neither JSON nor a table that we know: {error}; "
            f"--format forces one of {', '.join(FORMATS)}"
        ) from error
    return "table"


def format_of(row: Json) -> Format | None:
    """Return the format that a row is in, None if it has no marks of any."""
    for name, is_it in MARKS:
        if is_it(row):
            return name
    return None


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
        lambda row: bool(row.keys() & {"id", "url"}) and bool(row.keys() & {"views", "views_k"}),
    ),
)


def _sniff_json(path: Path) -> Format:
    keys: list[str] = []
    n_rows = 0
    for row in islice(read_rows(path), N_ROWS_LOOKED_AT):
        n_rows += 1
        try:
            found = parse_row(row.raw) if row.refusal is None else {}
        except RowRefused:
            continue
        if (name := format_of(found)) is not None:
            return name
        keys = keys or sorted(found)[:12]
    what = f"rows with {', '.join(keys)}"[:300] if keys else f"{n_rows or 'no'} rows, none of them"
    raise UnknownFormat(
        f"{path.name}: {what} that we know as videos; --format forces one of {', '.join(FORMATS)}"
    )


def _first_letter(head: bytes) -> str:
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")
    return head.decode(encoding, "ignore").lstrip()[:1]
