"""The way into a catalog: sessions to read and to write, and its schema's upgrade and check."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.orm import Session

from catalog.errors import BadQuery, CatalogError, NotReady, SchemaBehind, masked_url, readable
from catalog.schema import schema_check
from catalog.stopping import unbroken

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


# Seconds, and in the end milliseconds: a server that has vanished must not be waited for by the
# quarter of an hour that the network stack takes to notice.
POSTGRES_PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 30_000}


def make_engine(url: str) -> Engine:
    """Return an engine for `url`, its transactions begun as the caller's WRITE option says."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # UTC in the session, so that date() in a view means the same day as on SQLite.
    wanted: dict[str, Any] = {"options": "-c timezone=utc", **POSTGRES_PATIENCE}
    options = {name: value for name, value in wanted.items() if name not in parsed.query}
    try:
        return create_engine(parsed, connect_args=options, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise NotReady("PostgreSQL needs its driver: pip install 'viewcast[postgres]'") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        # What stands before the @ of whatever it was meant to be may be a password.
        shown = f"…@{url.rpartition('@')[2]}" if "@" in url else url
        raise NotReady(f"{shown!r} is no address: sqlite:////path or postgresql://…") from error
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


# Any number will do, as long as two upgrades of one database use the same.
UPGRADE_LOCK = 7_326_001


@dataclass(frozen=True)
class Catalog:
    """An open catalog at the right revision; may be used by several threads."""

    url: str
    engine: Engine
    _here: threading.local = field(default_factory=threading.local, repr=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads, on one snapshot on SQLite."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that commits when the block succeeds and rolls back when it does not.

        Raises CatalogError inside another write() of the same thread: on SQLite the
        second would wait for the first, which waits for the second.
        """
        if self.is_writing:
            raise CatalogError("write() inside write(): pass the outer session on instead")
        engine = self.engine.execution_options(**{WRITE: True})
        self._here.writing = True
        try:
            with (
                unbroken(),
                Session(engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        finally:
            self._here.writing = False

    @property
    def is_writing(self) -> bool:
        """Say whether this thread is inside write()."""
        return bool(getattr(self._here, "writing", False))

    @contextmanager
    def erase(self) -> Iterator[Session]:
        """Open a session as write() does, after which what it deleted can be read in no file.

        On SQLite: freed bytes are overwritten, and the write-ahead log, which has old pages, is
        emptied, unless somebody else is reading it just now.
        """
        is_sqlite = self.engine.dialect.name == "sqlite"
        with self.write() as session:
            if is_sqlite:
                session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
            yield session
        if is_sqlite:
            connection = self.engine.raw_connection()  # the pragma works in no transaction
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def open_catalog(url: str) -> Catalog:
    """Open the catalog at `url`. Raises SchemaBehind unless its schema is this program's."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise SchemaBehind(f"there is no catalog at {path}: run `viewcast db upgrade`")
    engine = make_engine(url)
    found, wanted = _revision_of(engine), head()
    if found != wanted:
        engine.dispose()
        raise SchemaBehind(
            f"the catalog is at schema {found or 'none'}, this program needs {wanted}:"
            " run `viewcast db upgrade`"
        )
    return Catalog(url, engine)


def open_to_read(url: str) -> Catalog:
    """Open the catalog as open_catalog does, over connections that refuse to change anything."""
    catalog = open_catalog(url)
    is_sqlite = catalog.engine.dialect.name == "sqlite"
    refuse = "PRAGMA query_only = ON" if is_sqlite else "SET default_transaction_read_only = on"

    def set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(refuse)
        cursor.close()
        if not is_sqlite:
            connection.commit()

    # Those that are there already were asked for the revision.
    catalog.engine.dispose()
    event.listen(catalog.engine, "connect", set_up)
    return catalog


def current(url: str) -> str | None:
    """Return the revision the database at `url` is at, None when it has no schema."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    engine = make_engine(url)
    try:
        return _revision_of(engine)
    finally:
        engine.dispose()


@cache
def head() -> str:
    """Return the revision this program needs."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if revision is None:
        raise CatalogError(f"no revision in {migrations_folder()}")
    return revision


def upgrade(url: str, revision: str = "head") -> str:
    """Bring the schema up to `revision`, making the database file if need be; return where it is.

    All or nothing: a failing migration leaves the schema as it was.
    """
    path = sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return _migrate(url, revision, down=False)


def downgrade(url: str, revision: str) -> str:
    """Take the schema down to `revision` ("base": none); return where it is."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise NotReady(f"there is no catalog at {path}")
    return _migrate(url, revision, down=True)


def check(url: str) -> list[str]:
    """Return each difference between the database and this program's tables and views."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise SchemaBehind(f"there is no catalog at {path}: run `viewcast db upgrade`")
    engine = make_engine(url)
    try:
        with _connect(engine) as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            if found != head():
                return [f"schema is at {found or 'none'}, head is {head()}"]
            return schema_check.differences(connection, migrations_folder() / "views")
    finally:
        engine.dispose()


def migrations_folder() -> Path:
    """Return where the migrations are: inside this package when installed, else beside it."""
    inside = Path(__file__).parents[1] / "migrations"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "migrations"


def alembic_config() -> Config:
    """Return Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


@contextmanager
def migration_connection(url: str) -> Iterator[Connection]:
    """Open one transaction in which a schema may be changed, by one process at a time."""
    engine = make_engine(url)
    try:
        with _connect(engine) as connection:
            if engine.dialect.name == "postgresql":
                with connection.begin():
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
                    yield connection
                return
            # Altering a table on SQLite is to make it anew and drop the old one, and dropping
            # deletes the children. The pragma does nothing inside a transaction: it comes first.
            raw = connection.connection.driver_connection
            if raw is None:
                raise NotReady(f"no connection to {url}")
            raw.execute("PRAGMA foreign_keys = OFF")
            connection = connection.execution_options(**{WRITE: True})
            with connection.begin():
                yield connection
                orphans = connection.execute(text("PRAGMA foreign_key_check")).all()
                if orphans:
                    raise CatalogError(f"the migration would orphan rows: {orphans[:5]}")
    finally:
        engine.dispose()


def _migrate(url: str, revision: str, *, down: bool) -> str:
    config = alembic_config()
    with migration_connection(url) as connection:
        config.attributes["connection"] = connection
        try:
            (command.downgrade if down else command.upgrade)(config, revision)
        except CommandError as error:
            raise CatalogError(str(error)) from error
        return MigrationContext.configure(connection).get_current_revision() or "base"


def _revision_of(engine: Engine) -> str | None:
    with _connect(engine) as connection:
        try:
            return MigrationContext.configure(connection).get_current_revision()
        except DatabaseError as error:
            raise NotReady(f"cannot read {_address(engine)}: {error.orig}") from error


@contextmanager
def _connect(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except DatabaseError as error:  # away, not ours to open, or no database at all
        engine.dispose()
        raise NotReady(f"cannot open {_address(engine)}: {error.orig}") from error
    with connection:
        yield connection


def _address(engine: Engine) -> str:
    named = engine.url.set(database=readable(engine.url.database or ""))
    return masked_url(named.render_as_string(hide_password=True))


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
