"""A connection on which nobody can write, whatever statement they give."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

from catalog.engine import BUSY_TIMEOUT_MS, sqlite_path
from catalog.errors import BadQuery
from catalog.session import Catalog

Rows = tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]

PAGE = 500
# Pragmas whose value says what to read.
READS = frozenset({"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list"})


@contextmanager
def read_only_rows(catalog: Catalog, sql: str) -> Iterator[Rows]:
    """Run one statement read-only and yield its columns and its rows as they come.

    Raises BadQuery for what the database refuses, and for a statement that returns no rows.
    """
    run = _sqlite_rows if sqlite_path(catalog.url) is not None else _postgres_rows
    with run(catalog, sql.strip().rstrip(";")) as (columns, rows):
        yield columns, rows


@contextmanager
def _sqlite_rows(catalog: Catalog, sql: str) -> Iterator[Rows]:
    path = sqlite_path(catalog.url)
    address = f"{path.as_uri() if path else ''}?mode=ro"
    with closing(
        sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.set_authorizer(_only_reading)
        try:
            cursor = connection.execute(sql)
            yield _names(cursor.description, sql), _sqlite_pages(cursor)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise BadQuery(f"{error}: {_first_line(sql)}") from error


def _sqlite_pages(cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    while page := cursor.fetchmany(PAGE):
        yield from page


def _only_reading(
    action: int, what: str | None, value: str | None, _database: str | None, _source: str | None
) -> int:
    # ATTACH would open, and VACUUM INTO make, another file; a pragma could undo query_only.
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and value is not None and (what or "").lower() not in READS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@contextmanager
def _postgres_rows(catalog: Catalog, sql: str) -> Iterator[Rows]:
    driver = catalog.engine.dialect.loaded_dbapi
    with catalog.engine.connect() as connection:
        # psycopg's own connection: only its stream() sends the statement the extended way, in
        # which one statement is all it can be. "COMMIT; DROP TABLE …" is refused by the server.
        raw: Any = connection.connection.driver_connection
        with raw.transaction(force_rollback=True), raw.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            try:
                # Closed before the transaction is: while open, it holds the connection's lock.
                with closing(cursor.stream(sql.encode())) as rows:
                    first = next(rows, None)
                    if first is not None:
                        yield _names(cursor.description, sql), chain([first], rows)
                        return
                # No row tells no columns, but a prepared statement does; it is one as well.
                cursor.execute(sql.encode(), prepare=True)
                yield _names(cursor.description, sql), iter(cursor)
            except driver.Error as error:
                raise BadQuery(f"{str(error).splitlines()[0]}: {_first_line(sql)}") from error


def _names(description: Any, sql: str) -> tuple[str, ...]:
    if not description:
        raise BadQuery(f"returns no rows: {_first_line(sql)}")
    return tuple(column[0] for column in description)


def _first_line(sql: str) -> str:
    line = sql.strip().partition("\n")[0]
    return line if len(line) <= 80 else line[:79] + "…"
