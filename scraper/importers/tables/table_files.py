"""Read the rows of separated text and Parquet files, and survive damaged ones."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from scraper.errors import BadColumns, ExtraMissing, ImportRefused, RowRefused
from scraper.importers.opening import head_of, open_plain
from scraper.importers.tables.columns import n_known

MAX_ROW_CHARS = 8 * 1024 * 1024
MAX_HEADER_CHARS = 2 * 1024 * 1024
# Whole answers of a site stand in cells. How far a quote that is never closed is followed, too.
MAX_CELL_CHARS = 1024 * 1024
csv.field_size_limit(MAX_CELL_CHARS)
DELIMITERS = (",", "\t", ";", "|")
HEAD_BYTES = 65_536
# What Python makes of a byte that is no UTF-8.
NOT_DECODED = re.compile("[\udc80-\udcff]")
SEP_LINE = re.compile(r'"?sep=(.)"?\s*')


class TableRow(NamedTuple):
    """A row's cells, or why it has none; raw is its text as it stands in the file."""

    line: int
    cells: Sequence[object]
    raw: str
    refusal: RowRefused | None


def separated_header(path: Path, encoding: str | None = None) -> list[str]:
    """Return the names of the columns. encoding: what the person says that it is."""
    with _opened_text(path, encoding) as (_, header, _, _):
        return header


def separated_rows(path: Path, encoding: str | None = None) -> Iterator[TableRow]:
    """Yield the rows below the header.

    A row that cannot be cut into as many cells as the header has is refused, and reading goes on
    with the line after its first: a quote that is never closed takes no other row with it.
    """
    with _opened_text(path, encoding) as (file, header, delimiter, n_lines):
        lines = _Lines(file, n_lines)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        n_columns = len(header)
        while True:
            taken = lines.begin()
            line = lines.n_done + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except RowRefused as damage:  # of a compressed file
                yield TableRow(line, (), damage.detail, damage)
                return
            except csv.Error as error:
                refusal = _not_cut(error)
                lines.keep_first()
                lines.n_done += 1
                yield TableRow(line, (), taken[0] if taken else "", refusal)
                continue
            if len(cells) == n_columns and not lines.damage:
                yield TableRow(line, cells, "", None)
            elif lines.damage or cells:
                refusal = lines.damage or _wrong_width(len(cells), n_columns)
                lines.keep_first()
                yield TableRow(line, (), taken[0], refusal)
            lines.n_done += len(lines.taken)


class _Lines:
    """The lines of a file for csv.reader, some of which may be given back."""

    def __init__(self, file: TextIO, n_done: int) -> None:
        self._file = file
        self._back: list[str] = []
        self.taken: list[str] = []
        self.n_done = n_done
        self.damage: RowRefused | None = None

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else self._file.readline(MAX_ROW_CHARS)
        if not line:
            raise StopIteration
        if not line.isascii() and NOT_DECODED.search(line):
            self.damage = RowRefused("bad_encoding", _not_decoded(self._file.encoding))
        if len(line) >= MAX_ROW_CHARS:
            self._skip_line(line)
            line = line[:200].replace('"', "")
            self.damage = RowRefused("too_large", f"a row of {MAX_ROW_CHARS:,} characters or more")
        self.taken.append(line)
        return line

    def begin(self) -> list[str]:
        """Start a row: what it takes from here is its own."""
        self.taken = []
        self.damage = None
        return self.taken

    def keep_first(self) -> None:
        """Give back all lines of the row but its first."""
        self._back.extend(reversed(self.taken[1:]))
        del self.taken[1:]

    def _skip_line(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self._file.readline(MAX_ROW_CHARS)


@contextmanager
def _opened_text(path: Path, said: str | None) -> Iterator[tuple[TextIO, list[str], str, int]]:
    """Open a table behind its header: (file, header, delimiter, lines read)."""
    encoding, errors = encoding_of(path, said)
    with io.TextIOWrapper(open_plain(path), encoding=encoding, errors=errors, newline="") as file:
        n_lines, first, delimiter = 0, "", None
        while not first.strip() and (first := file.readline(MAX_HEADER_CHARS)):
            n_lines += 1
            if match := SEP_LINE.fullmatch(first):
                first, delimiter = "", match[1]
        if len(first) >= MAX_HEADER_CHARS:
            raise BadColumns(f"the first line has {MAX_HEADER_CHARS:,} characters or more")
        lines = _Lines(file, 0)
        lines._back.append(first)
        if delimiter is None:
            delimiter = max(DELIMITERS, key=lambda mark: _fit(first, mark))
        try:
            cells = next(csv.reader(lines, delimiter=delimiter), [])
        except csv.Error:
            cells = []
        n_lines += max(0, len(lines.taken) - 1)
        yield file, [cell.strip() for cell in cells], delimiter, n_lines


def _fit(first: str, delimiter: str) -> tuple[int, int]:
    try:
        cells = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    return n_known(cells), len(cells)


def encoding_of(path: Path, said: str | None = None) -> tuple[str, str]:
    """Return a table's encoding and what becomes of bytes that are none in it."""
    if said is not None:
        return said, "replace" if "16" in said or "32" in said else "surrogateescape"
    head = head_of(path, HEAD_BYTES)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "replace"
    # English text in UTF-16 without its mark: every other byte is zero.
    for name, part in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if part and part.count(0) > 0.8 * len(part):
            return name, "replace"
    return "utf-8-sig", "surrogateescape"


def _not_decoded(encoding: str) -> str:
    if encoding.startswith("utf-8"):
        return "not UTF-8: say which it is, such as --encoding windows-1252, or save it as UTF-8"
    return f"not {encoding}: another --encoding?"


def _not_cut(error: csv.Error) -> RowRefused:
    if "larger than field limit" in str(error):
        why = f"a cell of more than {MAX_CELL_CHARS:,} characters, or a quote that is never closed"
        return RowRefused("too_large", why)
    return RowRefused("bad_quotes", f"the row cannot be cut into cells: {error}")


def _wrong_width(n_cells: int, n_columns: int) -> RowRefused:
    few = "few" if n_cells < n_columns else "many"
    return RowRefused(f"too_{few}_columns", f"{n_cells} cells where the header has {n_columns}")


try:
    import pyarrow
    from pyarrow import compute, parquet
except ImportError:  # the `parquet` extra is not installed
    pyarrow = compute = parquet = None

PARQUET_MARK = b"PAR1"
BATCH_ROWS = 5_000


def parquet_header(path: Path) -> list[str]:
    """Return the names of the columns. Raises ExtraMissing, ImportRefused."""
    with _opened_parquet(path) as file:
        return [leaf.name for leaf in _leaves(file.schema_arrow)]


def parquet_rows(path: Path, id_column: int | None, wanted: Collection[int]) -> Iterator[TableRow]:
    """Yield the rows; a file that breaks off ends with a row that says so.

    id_column: where the ids are; None if there are only addresses. wanted: the columns to read;
    the cells of others, whole videos among them, are None. Raises BadColumns for ids that are
    floating-point numbers.
    """
    line = 0
    with _opened_parquet(path) as file:
        leaves, names = _leaves(file.schema_arrow), file.schema_arrow.names
        if id_column is not None and pyarrow.types.is_floating(leaves[id_column].kind):
            raise BadColumns(
                f"{path.name}: column {leaves[id_column].name!r} holds ids as "
                f"{leaves[id_column].kind}, which lost their last digits; write them as text"
            )
        try:
            # Only a name says which column to read: one of two of that name cannot be had alone.
            is_named = len({*names}) == len(names)
            picked = [".".join(leaves[n].path) for n in sorted(wanted)] if is_named else None
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=picked):
                columns = [
                    _values(_array(batch, leaf, is_named=is_named))
                    if n in wanted
                    else repeat(None, batch.num_rows)
                    for n, leaf in enumerate(leaves)
                ]
                for cells in zip(*columns, strict=True):
                    line += 1
                    yield TableRow(line, cells, "", None)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            refusal = RowRefused("broken_file", f"behind row {line}: {error}")
            yield TableRow(line + 1, (), f"broken behind {line}", refusal)


class _Leaf(NamedTuple):
    """A column, or one inside of a column of structures: its name is "stats.plays" then."""

    name: str
    path: tuple[str, ...]
    kind: Any
    place: int  # of the outermost


def _leaves(schema: Any) -> list[_Leaf]:
    found: list[_Leaf] = []
    open_fields: list[tuple[tuple[str, ...], Any, int]] = []
    open_fields += [((str(field.name),), field.type, n) for n, field in enumerate(schema)]
    open_fields.reverse()
    while open_fields:
        path, kind, place = open_fields.pop()
        if pyarrow.types.is_struct(kind) and kind.num_fields:
            inner = [kind.field(n) for n in range(kind.num_fields)]
            open_fields += [((*path, str(part.name)), part.type, place) for part in inner[::-1]]
        else:
            found.append(_Leaf(".".join(path), path, kind, place))
    return found


def _array(batch: Any, leaf: _Leaf, *, is_named: bool) -> Any:
    array = batch.column(leaf.path[0] if is_named else leaf.place)
    for name in leaf.path[1:]:
        array = compute.struct_field(array, [array.type.get_field_index(name)])
    return array


def _values(column: Any) -> list[object]:
    """Return a column's values; a moment that Python has no word for is the number it is."""
    kind = column.type
    if pyarrow.types.is_timestamp(kind) and kind.unit == "ns":
        # Python counts microseconds.
        column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
    elif pyarrow.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.duration("us"), safe=False)
    elif pyarrow.types.is_time64(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.time64("us"), safe=False)
    try:
        values: list[object] = column.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError):
        values = [_value(scalar) for scalar in column]
    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        # Texts, as programs without the mark for them write them.
        values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
    if pyarrow.types.is_decimal(kind):
        # As databases write whole numbers; exact, ids too.
        values = [int(v) if isinstance(v, Decimal) and v == v.to_integral() else v for v in values]
    return values


def _value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except (pyarrow.ArrowException, ValueError, OverflowError):
        return getattr(scalar, "value", None)


def _opened_parquet(path: Path) -> Any:
    if parquet is None:
        raise ExtraMissing(
            f"{path.name} is a Parquet file, and pyarrow is not installed: "
            "pip install 'viewcast[parquet]'"
        )
    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ImportRefused(f"{path.name} is no whole Parquet file: {error}") from error
