"""Read rows of Parquet files, a batch at a time; the only module that knows pyarrow."""

from collections.abc import Collection, Iterator
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any

from scraper.importers.errors import BadColumns, ExtraMissing, ImportRefused, RowRefused
from scraper.importers.separated import TableRow

try:
    import pyarrow
    from pyarrow import parquet
except ImportError:  # the `parquet` extra is not installed
    pyarrow = parquet = None

PARQUET_MARK = b"PAR1"
BATCH_ROWS = 5_000


def parquet_header(path: Path) -> list[str]:
    """Return the names of the columns. Raises ExtraMissing, ImportRefused."""
    with _opened(path) as file:
        return [str(name) for name in file.schema_arrow.names]


def parquet_rows(path: Path, id_column: int | None, wanted: Collection[int]) -> Iterator[TableRow]:
    """Yield the rows; a file that breaks off ends with a row that says so.

    id_column: where the ids are; None if there are only addresses. wanted: the columns to read;
    the cells of others, whole videos among them, are None. Raises BadColumns for ids that are
    floating-point numbers.
    """
    line = 0
    with _opened(path) as file:
        names, kinds = file.schema_arrow.names, file.schema_arrow.types
        if id_column is not None and pyarrow.types.is_floating(kinds[id_column]):
            raise BadColumns(
                f"{path.name}: column {names[id_column]!r} holds ids as "
                f"{kinds[id_column]}, which lost their last digits; write them as text"
            )
        try:
            # Only a name says which column to read: one of two of that name cannot be had alone.
            places = sorted(wanted) if len({*names}) == len(names) else [*range(len(names))]
            picked = [names[n] for n in places]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=picked):
                given = dict(zip(places, batch.columns, strict=True))
                columns = [
                    _values(given[n]) if n in wanted else repeat(None, batch.num_rows)
                    for n in range(len(names))
                ]
                for cells in zip(*columns, strict=True):
                    line += 1
                    yield TableRow(line, cells, "", None)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            refusal = RowRefused("broken_file", f"behind row {line}: {error}")
            yield TableRow(line + 1, (), f"broken behind {line}", refusal)


def _values(column: Any) -> list[object]:
    """Return a column's values; a moment that Python has no word for is the number it is."""
    kind = column.type
    if pyarrow.types.is_timestamp(kind) and kind.unit == "ns":
        # Python counts microseconds.
        column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
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


def _opened(path: Path) -> Any:
    if parquet is None:
        raise ExtraMissing(
            f"{path.name} is a Parquet file, and pyarrow is not installed: "
            "pip install 'viewcast[parquet]'"
        )
    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ImportRefused(f"{path.name} is no whole Parquet file: {error}") from error
