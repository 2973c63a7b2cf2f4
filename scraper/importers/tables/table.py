"""Read tables of any origin – CSV, TSV, Parquet, JSON objects – by the names of the columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from scraper.counts import ViewCount
from scraper.errors import BadColumns, RowRefused, UnknownFormat, shown
from scraper.importers.envelopes import by_column, by_number
from scraper.importers.facts import GROUPS, SOUND, grouped, read_flag
from scraper.importers.fields import (
    TIKTOK,
    is_missing,
    is_scientific,
    names_video,
    read_id_or_url,
    read_moment,
    read_platform,
    read_views,
    rounding_of,
)
from scraper.importers.json_rows import JsonRow, is_json, parse_row, read_rows
from scraper.importers.opening import head_of
from scraper.importers.report import FieldCount, ImportReport
from scraper.importers.tables.columns import find_columns, find_spread, plain_name
from scraper.importers.tables.table_files import (
    PARQUET_MARK,
    TableRow,
    encoding_of,
    parquet_header,
    parquet_rows,
    separated_header,
    separated_rows,
)
from scraper.importers.tables.table_head import Head, check_head
from scraper.importers.tables.workbook import is_xlsx, xlsx_header, xlsx_rows
from scraper.importers.video import (
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    RejectedLine,
    make_video,
    naming,
    rejected,
)
from scraper.items import Json, plain_hashtags

# How many rows tell what the columns are, and what is wrong with one of them as a whole.
N_LOOKED_AT = 200
MAX_NAMES = 1_000
NOWHERE = -1
KINDS = ("ad", "photo", "private")
GROUPED = frozenset(name for _, _, facts in GROUPS for name in facts)
NOTHING: dict[str, Any] = {}
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
FREE_TEXTS = ("sound_title", "sound_author")
EXCEL_TEXT = re.compile(r'\s*(?:\'|=?")?([^\'"]*)"?\s*')


def is_parquet(path: Path) -> bool:
    """Say whether a file begins as Parquet files do."""
    with path.open("rb") as file:
        return file.read(4) == PARQUET_MARK


def header_of(path: Path, encoding: str | None = None) -> list[str]:
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
    return _object_header(path) if is_json(path) else separated_header(path, encoding)


def read_table(path: Path, options: ImportOptions) -> Iterator[ImportedVideo | RejectedLine]:
    """Read a table row by row. Raises BadColumns before the first."""
    header = header_of(path, options.encoding)
    try:
        columns = find_columns(header, options.columns, options.ignore)
        spread = find_spread(header, columns, options.ignore)
    except BadColumns as error:
        raise BadColumns(f"{path.name}: {error}") from error
    report, is_exact = options.report, is_parquet(path)
    used = {*columns.values(), *(n for places in spread.values() for n in places)}
    if is_exact:
        rows = parquet_rows(path, columns.get("id"), used)
    elif is_xlsx(path):
        rows = xlsx_rows(path)
    elif is_json(path):
        rows = _object_rows(path, header, report)
    else:
        rows = separated_rows(path, options.encoding)
        report.encoding = encoding_of(path, options.encoding)[0]
    head = list(islice(rows, N_LOOKED_AT))
    try:
        check_head(Head(header, columns, [row.cells for row in head if row.cells], options))
    except BadColumns as error:
        raise BadColumns(f"{path.name}: {error}") from error
    is_ignored = {plain_name(name) for name in options.ignore}
    unread = [name for n, name in enumerate(header) if n not in used]
    report.ignore(name for name in unread if plain_name(name) in is_ignored)
    report.leave(name for name in unread if plain_name(name) not in is_ignored)
    source = ImportedFile.of(path, options)
    read = TableReader(header, columns, spread, source, exact_int=is_exact).read
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
        self,
        header: Sequence[str],
        columns: Mapping[str, int],
        spread: Mapping[str, Sequence[int]],
        source: ImportedFile,
        *,
        exact_int: bool = True,
    ) -> None:
        """Know where each field is. exact_int: whole numbers never went through a float."""
        self._source, self._report = source, source.report
        options = source.options
        self._locale, self._platform = options.locale, options.platform
        self._exact_int, self._keeps_round_ids = exact_int, options.keep_round_ids
        self._form = options.time_form
        counts = {name: self._report.field(name, header[n]) for name, n in columns.items()}
        for name, places in spread.items():
            printed = f"{header[places[0]]} … ({len(places)} columns)"
            counts[name] = self._report.field(name, printed)

        def place(name: str) -> int:
            return columns.get(name, NOWHERE)

        self._id, self._url, self._site = place("id"), place("url"), place("platform")
        self._views, self._views_k = place("views"), place("views_k")
        self._posted, self._when = place("posted_at"), place("observed_at")
        self._author, self._step = place("author"), place("step_k")
        # Whose cells may be empty and the row be taken all the same, or else are read.
        stand_in = {"id": "url", "views": "views_k", "views_k": "views"}
        self._counted = [
            (columns[name], counts[name])
            for name in ("id", "url", "platform", "views", "views_k", "observed_at")
            if name in columns and stand_in.get(name, name) in columns
        ]
        self._author_count, self._posted_count = counts.get("author"), counts.get("posted_at")
        self._id_count = counts.get("id") or FieldCount([])
        self._kinds = [(name, columns[name], counts[name]) for name in KINDS if name in columns]
        known = source.readers
        self._fields = [
            (name, n, known[name], counts[name]) for name, n in columns.items() if name in known
        ]
        self._spread = [(name, places, counts[name]) for name, places in spread.items()]
        self._has_sound = "sound_id" in columns
        self._is_grouped = any(name in columns or name in spread for name in GROUPED)

    def read(self, given: Sequence[object], line: int) -> ImportedVideo:
        """Return the row's video, and count its cells. Raises RowRefused."""
        cells = [*given, None]  # at NOWHERE, what a column that is not there holds
        platform = read_platform(cells[self._site], self._platform)
        raw_id = _without_guard(cells[self._id])
        missed: list[tuple[FieldCount, object]] = []
        sign = rounding_of(raw_id) if platform == TIKTOK and not self._keeps_round_ids else None
        is_plain = isinstance(raw_id, str) and raw_id.isdecimal()
        is_lost = sign or (not is_plain and is_scientific(raw_id))
        if is_lost and names_video(cells[self._url], platform):
            # What a spreadsheet did to the id, it did not do to the address.
            missed.append((self._id_count, raw_id))
            raw_id = None
        elif sign:
            raise RowRefused(
                "bad_id",
                f"id {shown(raw_id)} {sign}, and its last digits are lost; export the column as "
                "text, or say --keep-round-ids if it is whole",
            )
        tiktok_id = read_id_or_url(
            raw_id, cells[self._url], platform, exact_int=self._exact_int or self._keeps_round_ids
        )
        for reason, column, count in self._kinds:
            flag = read_flag(cells[column])
            if flag:
                raise RowRefused(reason, f"the row says that it is {reason}", tiktok_id)
            if flag is None:
                missed.append((count, cells[column]))
        with naming(tiktok_id):
            values = self._values(cells, missed)
            posted_at, is_stated = self._source.posted_at(cells[self._posted], "posted_at")
            if posted_at is None and self._posted_count is not None:
                missed.append((self._posted_count, cells[self._posted]))
            video = make_video(
                self._source,
                line,
                tiktok_id=tiktok_id,
                platform=platform,
                count=self._count(cells, platform, values),
                url=cells[self._url],
                handle=cells[self._author],
                caption=_without_mark(values.get("caption")),
                hashtags=values.get("hashtags", ()),
                posted_at=posted_at,
                is_posted_at_stated=is_stated,
                observed_at=read_moment(cells[self._when], "observed_at", self._form),
                duration_s=values.get("duration_s", values.get("duration_ms")),
                width_px=values.get("width_px"),
                height_px=values.get("height_px"),
                author_key=values.get("author_key"),
                **(grouped(_unmarked(values)) if self._is_grouped else NOTHING),
            )
        if self._author_count is not None and video.sighting.handle is None:
            missed.append((self._author_count, cells[self._author]))
        for column, count in self._counted:
            if is_missing(cells[column]):
                count.n_empty += 1
        self._report.taken(line, missed)
        return video

    def _values(
        self, cells: Sequence[object], missed: list[tuple[FieldCount, object]]
    ) -> dict[str, Any]:
        """Return what can be read of the fields of little weight, and note what cannot."""
        values: dict[str, Any] = {}
        for name, column, read, count in self._fields:
            cell = cells[column]
            value = None if cell is None or cell == "" else read(cell)
            if value is None:
                missed.append((count, cell))
            else:
                values[name] = value
        for name, places, count in self._spread:
            entries = [cell for n in places if not is_missing(cell := cells[n])]
            if name == "mentions":
                values[name] = len(entries)
            elif tags := plain_hashtags(entries):
                values[name] = tags
            else:
                missed.append((count, None))
        if self._has_sound and "sound_id" not in values:
            # Nobody could tell which sound it is of.
            for name, _, _, count in self._fields:
                if name in SOUND and name in values:
                    missed.append((count, values.pop(name)))
        return values

    def _count(
        self, cells: Sequence[object], platform: str, values: Mapping[str, Any]
    ) -> tuple[str, ViewCount]:
        # Only tiktok's own numbers are known to be rounded.
        text, count = read_views(
            cells[self._views],
            cells[self._views_k],
            locale=self._locale,
            exact=platform != TIKTOK,
        )
        if self._step != NOWHERE and "step_k" in values:
            # An export of ours knows how exactly its count was shown.
            count = replace(count, step_k=values["step_k"])
        return text, count


def _unmarked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    free = {name: _without_mark(values[name]) for name in FREE_TEXTS if name in values}
    return {**values, **free} if free else values


def _without_mark(text: object) -> object:
    """Return a text without the "'" that keeps a spreadsheet from running it, as in exports."""
    if isinstance(text, str) and GUARDED.match(text):
        return text[1:]
    return text


def _without_guard(raw_id: object) -> object:
    """Return an id without what makes a spreadsheet take it for text: '7571, ="7571"."""
    if not isinstance(raw_id, str) or raw_id.isalnum():
        return raw_id
    match = EXCEL_TEXT.fullmatch(raw_id)
    return match[1] if match else raw_id


def _object_header(path: Path) -> list[str]:
    """Return the names of the columns: the keys of the first rows, each once, in order."""
    names: dict[str, None] = {}
    first: RowRefused | None = None
    for row in islice(read_rows(path), N_LOOKED_AT):
        for found in _records(row):
            if isinstance(found, RowRefused):
                first = first or found
            else:
                names |= dict.fromkeys(_flat(found))
    if not names:
        why = f"has no row that can be read: {first.detail}" if first else "has no row at all"
        raise UnknownFormat(f"{path.name} is JSON and {why}")
    return list(names)[:MAX_NAMES]


def _object_rows(path: Path, header: Sequence[str], report: ImportReport) -> Iterator[TableRow]:
    """Yield the rows; a key that one does not have is an empty cell."""
    known = set(header)
    for row in read_rows(path):
        for record in _records(row):
            if isinstance(record, RowRefused):
                yield TableRow(row.line, (), row.raw.decode("utf-8", "replace"), record)
                continue
            found = _flat(record)
            if not known.issuperset(found):
                report.leave(name for name in found if name not in known)
            yield TableRow(row.line, [found.get(name) for name in header], "", None)


def _records(row: JsonRow) -> Sequence[Json | RowRefused]:
    """Return the table's rows in a row of the file: itself, or those of a whole table in it."""
    try:
        if row.refusal is not None:
            return [row.refusal]
        found = parse_row(row.raw)
    except RowRefused as refusal:
        return [refusal]
    return by_number(found) or by_column(found) or [found]


def _flat(row: Json) -> dict[str, Any]:
    """Return an object with what its objects hold beside the rest: {"stats.plays": 5}."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": entry for inner, entry in value.items()}
        else:
            found[name] = value
    return found
