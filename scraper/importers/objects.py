"""Read JSON objects as the rows of a table, by the names of their keys."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from scraper.importers.documents import parse_row, read_rows
from scraper.importers.errors import RowRefused
from scraper.importers.separated import TableRow

N_ROWS_LOOKED_AT = 200
MAX_NAMES = 1_000


def object_header(path: Path) -> list[str]:
    """Return the names of the columns: the keys of the first rows, each once, in order."""
    names: dict[str, None] = {}
    for row in islice(read_rows(path), N_ROWS_LOOKED_AT):
        try:
            found = parse_row(row.raw) if row.refusal is None else {}
        except RowRefused:
            continue
        names |= dict.fromkeys(flat(found))
    return list(names)[:MAX_NAMES]


def object_rows(path: Path, header: Sequence[str]) -> Iterator[TableRow]:
    """Yield the rows; a key that one does not have is an empty cell."""
    for row in read_rows(path):
        try:
            if row.refusal is not None:
                raise row.refusal
            found = flat(parse_row(row.raw))
        except RowRefused as refusal:
            yield TableRow(row.line, (), row.raw.decode("utf-8", "replace"), refusal)
        else:
            yield TableRow(row.line, [found.get(name) for name in header], "", None)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with what its objects hold beside the rest: {"stats.plays": 5}."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": entry for inner, entry in value.items()}
        else:
            found[name] = value
    return found
