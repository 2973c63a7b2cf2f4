"""Read tables of any origin – CSV, TSV, Parquet, JSON objects – by the names of the columns."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from scraper.errors import BadColumns, RowRefused, UnknownFormat
from scraper.importers.columns import find_columns
from scraper.importers.fields import read_id_or_url, read_moment, read_platform, read_views
from scraper.importers.json_rows import is_json, parse_row, read_rows
from scraper.importers.opening import head_of
from scraper.importers.table_files import (
    PARQUET_MARK,
    TableRow,
    parquet_header,
    parquet_rows,
    separated_header,
    separated_rows,
)
from scraper.importers.video import (
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    RejectedLine,
    make_video,
    naming,
    rejected,
)
from scraper.importers.workbook import is_xlsx, xlsx_header, xlsx_rows
from scraper.items import Json, find_hashtags, plain_hashtags

# How many rows tell what the columns are, and whether a program has rounded the ids.
N_LOOKED_AT = 200
MAX_NAMES = 1_000
# A spreadsheet keeps 15 digits: of ids that it rounded, the last four of 19 are zeros.
ROUNDED_TAIL = "0000"
MAX_ROUNDED = 0.1
NOWHERE = -1
KINDS = ("ad", "photo", "private")
TRUE = frozenset({"true", "1", "yes", "t"})
# What people bring for a table that is none yet.
NO_TABLES = {
    b"\x1f\x8b": "compressed twice: unpack it first",
    b"BZh": "compressed twice: unpack it first",
    b"\xfd7zXZ": "compressed twice: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed twice: unpack it first",
    PARQUET_MARK: "a Parquet file inside a compressed one: unpack it first",
    b"PK\x03\x04": "a zip file, and no .xlsx: unpack it, or save as CSV UTF-8, ids as text",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet: save it as CSV UTF-8, ids as text",
    b"SQLite f": "an SQLite database: export the table that you want as CSV",
}
GUARDED = re.compile(r"' *[=+\-@\t\r]")
EXCEL_TEXT = re.compile(r'\s*(?:\'|=?")?([^\'"]*)"?\s*')


def is_parquet(path: Path) -> bool:
    """Say whether a file begins as Parquet files do."""
    with path.open("rb") as file:
        return file.read(4) == PARQUET_MARK


def header_of(path: Path) -> list[str]:
    """Return the names of a table's columns. Raises UnknownFormat for what is no text."""
    if is_parquet(path):
        return parquet_header(path)
    if is_xlsx(path):
        return xlsx_header(path)
    head = head_of(path, 8)
    for mark, what in NO_TABLES.items():
        if head.startswith(mark):
            raise UnknownFormat(f"{path.name} is {what}")
    if not head:
        raise UnknownFormat(f"{path.name} is empty")
    return _object_header(path) if is_json(path) else separated_header(path)


def read_table(path: Path, options: ImportOptions) -> Iterator[ImportedVideo | RejectedLine]:
    """Read a table row by row. Raises BadColumns before the first."""
    header = header_of(path)
    try:
        columns = find_columns(header, options.columns)
    except BadColumns as error:
        raise BadColumns(f"{path.name}: {error}") from error
    is_exact = is_parquet(path)
    if is_exact:
        rows = parquet_rows(path, columns.get("id"), {*columns.values()})
    elif is_xlsx(path):
        rows = xlsx_rows(path)
    else:
        rows = _object_rows(path, header) if is_json(path) else separated_rows(path)
    head = list(islice(rows, N_LOOKED_AT))
    _check_ids(path, head, columns.get("id"))
    read = TableReader(columns, ImportedFile.of(path, options), exact_int=is_exact).read
    for line, cells, raw, refusal in chain(head, rows):
        try:
            if refusal is not None:
                raise refusal
            yield read(cells, line)
        except RowRefused as refused:
            text = raw or repr(list(cells))
            yield rejected(line, text.encode("utf-8", "surrogatepass"), refused)


class TableReader:
    """Read the cells of a row, whose columns are known."""

    def __init__(
        self, columns: Mapping[str, int], source: ImportedFile, *, exact_int: bool = True
    ) -> None:
        """Know where each field is. exact_int: whole numbers never went through a float."""
        self._source = source
        self._locale, self._platform = source.options.locale, source.options.platform
        self._exact_int = exact_int

        def place(name: str) -> int:
            return columns.get(name, NOWHERE)

        self._id, self._url, self._site = place("id"), place("url"), place("platform")
        self._views, self._views_k = place("views"), place("views_k")
        self._posted, self._when = place("posted_at"), place("observed_at")
        self._tags, self._caption, self._author = map(place, ("hashtags", "caption", "author"))
        self._length = place("duration_s")
        self._width, self._height = place("width_px"), place("height_px")
        self._kinds = [(name, columns[name]) for name in KINDS if name in columns]

    def read(self, given: Sequence[object], line: int) -> ImportedVideo:
        """Return the row's video. Raises RowRefused."""
        cells = [*given, None]  # at NOWHERE, what a column that is not there holds
        platform = read_platform(cells[self._site], self._platform)
        tiktok_id = read_id_or_url(
            _without_guard(cells[self._id]),
            cells[self._url],
            platform,
            exact_int=self._exact_int,
        )
        for reason, column in self._kinds:
            if str(cells[column]).strip().lower() in TRUE:
                raise RowRefused(reason, f"the row says that it is {reason}", tiktok_id)
        views, views_k = cells[self._views], cells[self._views_k]
        tags = cells[self._tags]
        with naming(tiktok_id):
            return make_video(
                self._source,
                line,
                tiktok_id=tiktok_id,
                platform=platform,
                count=read_views(views, views_k, locale=self._locale),
                url=cells[self._url],
                handle=cells[self._author],
                caption=_without_mark(cells[self._caption]),
                hashtags=read_tags(tags) if tags else (),
                posted_at=read_moment(cells[self._posted], "posted_at"),
                observed_at=read_moment(cells[self._when], "observed_at"),
                duration_s=cells[self._length],
                width_px=cells[self._width],
                height_px=cells[self._height],
            )


def read_tags(cell: object) -> tuple[str, ...]:
    """Return the hashtags of a cell: a list, a list as JSON, or words with whatever between."""
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("["):
            try:
                cell = json.loads(text)
            except (ValueError, RecursionError):
                cell = None
        else:
            return plain_hashtags(re.split(r"[\s,;|#]+", text)) if text else ()
        if cell is None:
            return plain_hashtags(re.findall(r"[^\s,;|#\[\]'\"]+", text))
    if not isinstance(cell, list):
        return ()
    names = [tag.get("name", tag.get("title")) if isinstance(tag, dict) else tag for tag in cell]
    return plain_hashtags(names) or find_hashtags(" ".join(str(name) for name in names)[:1_000])


def _without_mark(caption: object) -> object:
    """Return a caption without the "'" that keeps a spreadsheet from running it, as in exports."""
    if isinstance(caption, str) and GUARDED.match(caption):
        return caption[1:]
    return caption


def _without_guard(raw_id: object) -> object:
    """Return an id without what makes a spreadsheet take it for text: '7571, ="7571"."""
    if not isinstance(raw_id, str) or raw_id.isalnum():
        return raw_id
    match = EXCEL_TEXT.fullmatch(raw_id)
    return match[1] if match else raw_id


def _check_ids(path: Path, head: Sequence[TableRow], column: int | None) -> None:
    if column is None:
        return
    ids = [str(row.cells[column]).strip() for row in head if row.cells]
    long = [text for text in ids if len(text) in (18, 19) and text.isdecimal()]
    signs = {
        f"end in {ROUNDED_TAIL}: a spreadsheet kept 15 digits": [
            text for text in long if text.endswith(ROUNDED_TAIL)
        ],
        "are multiples of 1024: a program kept them as floating-point numbers": [
            text for text in long if int(text) % 1024 == 0
        ],
    }
    for sign, rounded in signs.items():
        if len(rounded) >= 3 and len(rounded) > MAX_ROUNDED * len(long):
            raise BadColumns(
                f"{path.name}: {len(rounded)} of its first {len(long)} ids {sign} of each; "
                "export the column as text"
            )


def _object_header(path: Path) -> list[str]:
    """Return the names of the columns: the keys of the first rows, each once, in order."""
    names: dict[str, None] = {}
    for row in islice(read_rows(path), N_LOOKED_AT):
        try:
            found = parse_row(row.raw) if row.refusal is None else {}
        except RowRefused:
            continue
        names |= dict.fromkeys(_flat(found))
    return list(names)[:MAX_NAMES]


def _object_rows(path: Path, header: Sequence[str]) -> Iterator[TableRow]:
    """Yield the rows; a key that one does not have is an empty cell."""
    for row in read_rows(path):
        try:
            if row.refusal is not None:
                raise row.refusal
            found = _flat(parse_row(row.raw))
        except RowRefused as refusal:
            yield TableRow(row.line, (), row.raw.decode("utf-8", "replace"), refusal)
        else:
            yield TableRow(row.line, [found.get(name) for name in header], "", None)


def _flat(row: Json) -> dict[str, Any]:
    """Return an object with what its objects hold beside the rest: {"stats.plays": 5}."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": entry for inner, entry in value.items()}
        else:
            found[name] = value
    return found
