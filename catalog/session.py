"""The way into a catalog: sessions to read and to write, and its schema's upgrade and check."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog import compare
from catalog.engine import WRITE, make_engine, sqlite_path
from catalog.errors import CatalogError, NotReady, SchemaBehind

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
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        finally:
            self._here.writing = False

    @property
    def is_writing(self) -> bool:
        """Say whether this thread is inside write()."""
        return bool(getattr(self._here, "writing", False))

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
            return compare.differences(connection, migrations_folder() / "views")
    finally:
        engine.dispose()


def migrations_folder() -> Path:
    """Return where the migrations are: inside this package when installed, else beside it."""
    inside = Path(__file__).parent / "migrations"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "migrations"


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
        return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _connect(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except OperationalError as error:
        engine.dispose()
        address = engine.url.render_as_string(hide_password=True)
        raise NotReady(f"cannot open {address}: {error.orig}") from error
    with connection:
        yield connection
