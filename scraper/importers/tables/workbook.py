"""Read the rows of an .xlsx workbook, one in memory at a time."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scraper.errors import ExtraMissing, ImportRefused, RowRefused
from scraper.importers.tables.columns import n_known
from scraper.importers.tables.table_files import TableRow

try:
    import openpyxl
except ImportError:  # the `xlsx` extra is not installed
    openpyxl = None  # type: ignore[assignment]

ZIP_MARK = b"PK\x03\x04"
WORKBOOK = "xl/workbook.xml"
# Its texts are held in memory as a whole; the rows are not.
TEXTS = "xl/sharedStrings.xml"
MAX_TEXT_BYTES = 256 * 1024 * 1024
MAX_SHEET_BYTES = 8 * 1024 * 1024 * 1024
MAX_COLUMNS = 1_000
# A spreadsheet keeps 15 digits of a number: what has more is not what it was.
LOST = 10**15
BROKEN = (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def is_xlsx(path: Path) -> bool:
    """Say whether a file is a workbook, by its content."""
    with path.open("rb") as file:
        if file.read(4) != ZIP_MARK:
            return False
    try:
        with zipfile.ZipFile(path) as packed:
            return WORKBOOK in packed.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def xlsx_header(path: Path) -> list[str]:
    """Return the names of the columns. Raises ExtraMissing, ImportRefused."""
    with _opened(path) as (header, _, _, _):
        return header


def xlsx_rows(path: Path) -> Iterator[TableRow]:
    """Yield the rows of the sheet that looks most like videos; then one for each other sheet.

    A number of more digits than a spreadsheet keeps becomes a text that says so.
    """
    with _opened(path) as (header, first_line, rows, others):
        line = first_line
        try:
            for cells in rows:
                line += 1
                if any(cell is not None for cell in cells):
                    yield TableRow(line, _cells(cells, len(header)), "", None)
        except BROKEN as error:
            refusal = RowRefused("broken_file", f"behind row {line}: {error}")
            yield TableRow(line + 1, (), f"broken behind {line}", refusal)
        for name in others:
            refusal = RowRefused("other_sheet", f"sheet {name!r} is left aside: one is read")
            yield TableRow(line + 1, (), f"sheet {name}", refusal)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], int, Iterator[Sequence[Any]], list[str]]]:
    """Open a workbook behind its header: (header, its line, rows, sheets left aside)."""
    if openpyxl is None:
        raise ExtraMissing(
            f"{path.name} is an .xlsx file, and openpyxl is not installed: "
            "pip install 'viewcast[xlsx]'"
        )
    try:
        _check_size(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except BROKEN as error:
        raise ImportRefused(f"{path.name} is no whole .xlsx file: {error}") from error
    try:
        heads = {sheet.title: _head(sheet) for sheet in book.worksheets}
        filled = {name: head for name, head in heads.items() if head[1]}
        if not filled:
            raise ImportRefused(f"{path.name} has no sheet with anything in it")
        best = max(filled, key=lambda name: n_known(filled[name][1]))
        line, header = filled[best]
        rows = book[best].iter_rows(min_row=line + 1, max_col=len(header), values_only=True)
        yield header, line, iter(rows), [name for name in filled if name != best]
    except BROKEN as error:
        raise ImportRefused(f"{path.name} is no whole .xlsx file: {error}") from error
    finally:
        book.close()


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        for part in packed.infolist():
            most = MAX_TEXT_BYTES if part.filename == TEXTS else MAX_SHEET_BYTES
            if part.file_size > most:
                raise ImportRefused(
                    f"{path.name}: {part.filename} would be {part.file_size:,} bytes"
                )


def _head(sheet: Any) -> tuple[int, list[str]]:
    """Return the line and names of a sheet's first row that is not empty."""
    for line, cells in enumerate(sheet.iter_rows(max_row=20, values_only=True), 1):
        if any(cell is not None for cell in cells):
            names = ["" if cell is None else str(cell).strip() for cell in cells[:MAX_COLUMNS]]
            while names and not names[-1]:
                names.pop()
            return line, names
    return 0, []


def _cells(cells: Sequence[Any], n: int) -> list[object]:
    plain = [_plain(cell) for cell in cells[:n]]
    return plain + [None] * (n - len(plain))


def _plain(cell: Any) -> object:
    is_number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
    if is_number and abs(cell) >= LOST:
        return f"{cell:.14e}"
    return cell
