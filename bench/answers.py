"""How soon a program answers: `--help`, and a daemon that is told to end amid a night."""

import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import REPEATS, ROOT, Row
from catalog.schema.session import upgrade

HELP_S, STOP_S = 0.3, 2.0  # what is promised
LOOK_S = 0.005


def rows() -> list[Row]:
    """Measure both, the median of the repeats, beside what is promised."""
    found = []
    for what, measure, promised_s in (
        ("`--help` of a group", _help_s, HELP_S),
        ("SIGTERM to the end of the daemon and its night", _stop_s, STOP_S),
    ):
        mine_s = statistics.median(measure() for _ in range(REPEATS))
        ratio = f"{promised_s / mine_s:.2f}"
        found.append(Row(what, f"{mine_s:.2f} s", f"promised {promised_s} s", ratio))
    return found


def _help_s() -> float:
    start_s = time.perf_counter()
    subprocess.run([*_cli(), "train", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start_s


def _stop_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.db"
        upgrade(f"sqlite:///{path}")
        due = datetime.now(UTC) + timedelta(seconds=2)
        only_nights = {"VIEWCAST_DAEMON__RETRAIN": ""}
        nowhere = {**os.environ, **only_nights, "VIEWCAST_SITE__BASE_URL": "http://127.0.0.1:9"}
        command = [*_cli(), "--data", folder, "daemon", "run", "--at", f"{due:%H:%M:%S}"]
        with subprocess.Popen(
            command, cwd=folder, env=nowhere, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as daemon:
            while not _is_night(path):
                if daemon.poll() is not None:
                    raise RuntimeError(f"the daemon ended with {daemon.returncode}")
                time.sleep(LOOK_S)
            start_s = time.perf_counter()
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
            return time.perf_counter() - start_s


def _cli() -> list[str]:
    return [sys.executable, str(ROOT / "cli.py")]


def _is_night(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        statement = "SELECT count(*) FROM run WHERE kind = 'nightly' AND status = 'running'"
        return bool(connection.execute(statement).fetchone()[0])
