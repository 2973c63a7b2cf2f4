"""Database engines whose transactions behave alike on SQLite and PostgreSQL."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from catalog.errors import NotReady

WRITE = "viewcast_write"
BUSY_TIMEOUT_MS = 30_000


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite address, None for any other database.

    Raises NotReady for an address that is not absolute or not of a known database.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    path = Path(parsed.database or "")
    # A relative path would quietly make another catalog in every folder one stands in.
    if not path.is_absolute():
        raise NotReady(
            f"{url!r}: give the absolute path of the file, sqlite:////folder/viewcast.db"
        )
    return path


def make_engine(url: str) -> Engine:
    """Return an engine for `url`, its transactions begun as the caller's WRITE option says."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # UTC in the session, so that date() in a view means the same day as on SQLite.
    options = {} if "options" in parsed.query else {"options": "-c timezone=utc"}
    try:
        return create_engine(parsed, connect_args=options, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise NotReady("PostgreSQL needs its driver: pip install 'viewcast[postgres]'") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise NotReady(f"{url!r} is no address: sqlite:////path or postgresql://…") from error
    if backend not in ("sqlite", "postgresql"):
        raise NotReady(f"{backend!r} is not supported: use sqlite:////path or postgresql://…")
    return parsed


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The module's own transaction control begins none for SELECT and DDL; ours begins all.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "cache_size = -65536",
    ):
        connection.execute(f"PRAGMA {pragma}")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on, which SQLite refuses at once while a new file is being made."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # Unlike every other statement this one does not wait for the lock by itself.
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails with "database is locked" as soon as
    # another writer was in between, whatever the timeout; a writer therefore asks at once.
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITE) else "BEGIN DEFERRED")
