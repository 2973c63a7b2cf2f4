"""A throw-away PostgreSQL server for the tests, on a Unix socket in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, text

# Nothing here survives the test run, so nothing has to survive a power cut.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c listen_addresses="


@dataclass(frozen=True)
class PostgresServer:
    """A running server; its databases are named by whoever asks for them."""

    socket_folder: Path
    control: tuple[str | Path, ...] = field(repr=False)

    def start(self) -> None:
        """Start it, on what databases there are."""
        options = f"{FAST} -c unix_socket_directories={self.socket_folder}"
        log = self.socket_folder / "log"
        self._control("-w", "-t", "600", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Let it vanish, as in a power cut."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str | Path) -> None:
        _call([*self.control, *arguments], self.socket_folder)

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@/{database}?host={self.socket_folder}"

    def create(self, database: str, *, template: str = "template0") -> str:
        """Make a database, a copy of `template`, and return its address."""
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def add_user(self, name: str) -> None:
        """Make a user who may do everything."""
        self._execute(f'CREATE ROLE "{name}" LOGIN SUPERUSER')

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def empty(self, database: str, tables: Sequence[str]) -> None:
        """Delete every row of these tables, and count their ids from 1 again."""
        # A test that leaves a transaction open fails here, instead of waiting for ever.
        truncate = f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"
        self._execute(f"SET lock_timeout = '600s'; {truncate}", database)

    def _execute(self, sql: str, database: str = "postgres") -> None:
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(sql))
        engine.dispose()


def find_pg_ctl() -> Path | None:
    """Return where pg_ctl is, initdb beside it; None when PostgreSQL is not installed."""
    on_path = shutil.which("pg_ctl")
    if on_path:
        return Path(on_path)
    # Debian keeps them off the path, a folder for each version.
    return max(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), default=None)


@contextmanager
def start_server() -> Iterator[PostgresServer]:
    """Run a fresh server for the length of the block."""
    pg_ctl = find_pg_ctl()
    if pg_ctl is None:
        raise RuntimeError("PostgreSQL's server programs are not installed (postgresql)")
    # Not under pytest's own folder: that is closed to the user that root must become, and its
    # path may be longer than a socket's may be.
    folder = Path(tempfile.mkdtemp(prefix="viewcast-pg-"))
    become: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        become = ["runuser", "-u", "postgres", "--"]
    cluster = folder / "cluster"
    initdb: list[str | Path] = [
        pg_ctl.with_name("initdb"),
        "-D",
        cluster,
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-sync",
    ]
    server = PostgresServer(folder, (*become, pg_ctl, "-D", cluster))
    try:
        _call([*become, *initdb, "-E", "UTF8", "--locale=C"], folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _call(arguments: list[str | Path], folder: Path) -> None:
    # No pipe: the server keeps the output open, and reading to its end would never end.
    with (folder / "setup.log").open("ab") as output:
        subprocess.run(arguments, check=True, stdout=output, stderr=output, cwd=folder)
