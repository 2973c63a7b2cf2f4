"""viewcast as a program of its own: run it, start it, wait for what it writes in the catalog."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "viewcast.toml"
POLL_S = 0.005
# Only rules out a hang: a wait ends as soon as what it waits for is there, and a machine that is
# shared may be slow. What takes long is measured in bench/.
HANG_S = 600.0
# `make crash` kills more often.
KILL_TIMES = int(os.environ.get("VIEWCAST_KILL_TIMES", "1"))


def command(folder: Path, *arguments: str) -> list[str]:
    """The command line for a data folder, with the settings file in it where there is one."""
    line = [sys.executable, str(ROOT / "cli.py"), "--data", str(folder)]
    if (folder / SETTINGS).is_file():
        line += ["--config", str(folder / SETTINGS)]
    return [*line, *arguments]


def environment() -> dict[str, str]:
    """One thread for each program, so that several do not wait for each other."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    """Run a command with --json to its end and return its document."""
    done = subprocess.run(
        command(folder, *arguments, "--json"),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    return dict(json.loads(done.stdout)) if done.stdout else {}


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command as a group of its own; what it says goes to `said.txt` in the folder."""
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            command(folder, *arguments),
            cwd=folder,
            env=environment(),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


@contextmanager
def speaking(code: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python program whose output we read; gone with its pipe when the block ends, however.

    A pipe that a failing test leaves open is an error of whichever test runs when it is collected.
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def ask(folder: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows that a query gives on the folder's catalog, while others may be writing."""
    with closing(sqlite3.connect(folder / "catalog.db", timeout=HANG_S)) as connection:
        return connection.execute(sql, values).fetchall()


def wait_until(is_so: Callable[[], bool], *programs: "subprocess.Popen[bytes]") -> None:
    """Look until something is so; fail when time is up or one of the programs has ended."""
    deadline_s = time.monotonic() + HANG_S
    while not is_so():
        ended = [program.args for program in programs if program.poll() is not None]
        assert not ended, f"{ended} ended before what was waited for"
        assert time.monotonic() < deadline_s, "what was waited for never came"
        time.sleep(POLL_S)


def count(folder: Path, table: str, where: str = "1 = 1", values: Sequence[object] = ()) -> int:
    """How many rows of a table are so."""
    return int(ask(folder, f"SELECT count(*) FROM {table} WHERE {where}", *values)[0][0])
