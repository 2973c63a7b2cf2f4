"""Every catalog test runs on SQLite and on PostgreSQL, on databases that the migrations built."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.schema.forecasts import METADATA
from catalog.schema.session import Catalog, open_catalog, upgrade
from tests.postgres_server import PostgresServer, start_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one server for the session, with one migrated database."""
    with start_server() as server:
        upgrade(server.create("migrated"))
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build one SQLite catalog by the migrations, to copy from."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of a fresh, empty catalog."""
    if request.param == "sqlite":
        path = tmp_path / "catalog.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.url("migrated")
    # Emptying takes a tenth of the time that copying a database does.
    server.empty("migrated", [table.name for table in METADATA.sorted_tables])


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """Open a fresh, empty catalog."""
    opened = open_catalog(url)
    yield opened
    opened.close()
