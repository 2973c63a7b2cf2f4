"""Read rows of Parquet files, a batch at a time; the only module that knows pyarrow."""

from collections.abc import Iterator
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


def parquet_rows(path: Path, id_column: int | None) -> Iterator[TableRow]:
    """Yield the rows; a file that breaks off ends with a row that says so.

    id_column: where the ids are; None if there are only addresses. Raises BadColumns for ids
    that are floating-point numbers.
    """
    line = 0
    with _opened(path) as file:
        kinds = file.schema_arrow.types
        if id_column is not None and pyarrow.types.is_floating(kinds[id_column]):
            raise BadColumns(
                f"{path.name}: column {file.schema_arrow.names[id_column]!r} holds ids as "
                f"{kinds[id_column]}, which lost their last digits; write them as text"
            )
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    line += 1
                    yield TableRow(line, cells, "", None)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            refusal = RowRefused("broken_file", f"behind row {line}: {error}")
            yield TableRow(line + 1, (), f"broken behind {line}", refusal)


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
