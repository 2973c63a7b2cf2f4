"""`python -m bench.stops`: stop and kill the daemon in every stage of a night, and start it again.

Two nights on the local replica, one for SIGTERM to the daemon and one for SIGKILL to the daemon and
its child, each broken off once in every stage and begun again; a third is left in peace, and what
the others have in the catalog at their end is compared with it. Half an hour.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.measure import ONE_THREAD, ROOT
from catalog.schema.session import open_catalog, upgrade
from scraper.items import DEFAULT_TOPICS
from scraper.replica.clips import warm
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.steps.scrape import add_hashtags

LOOK_S = 0.005
# Into the stage, so that it is at its work and not only begun.
INTO_S = 0.3
LONGEST_S = 900.0
# What is not gone by then is called left over.
GONE_S = 60.0
# What every night adds to, also one with nothing to do.
JOURNAL = ("run", "run_metric", "event", "job_lease")
SETTINGS = """
[site]
base_url = "{url}"
[clip]
every_frames = 24
max_frames = 4
height_px = 16
width_px = 9
[pretrain]
epochs = 40
hidden = 8
[extract]
workers = 2
batch = 3
kinds = ["clip", "audio", "opening", "thumbnail"]
[audio]
max_s = 5
[daemon]
retrain = ""
"""


@dataclass(frozen=True)
class Stop:
    """What a signal in one stage did."""

    stage: str
    seconds: float | None
    n_left: int
    status: str
    run_id: int

    def seconds_text(self) -> str:
        """How long until all processes were gone."""
        if not self.run_id:
            return "–"
        return f"not in {GONE_S:.0f} s" if self.seconds is None else f"{self.seconds:.2f} s"


@dataclass(frozen=True)
class Kind:
    """A way to end a daemon."""

    name: str
    end: Callable[[psutil.Process], None]


def main() -> int:
    """Measure, print the table, and say whether the catalogs are the same."""
    folder = Path(tempfile.mkdtemp(prefix="vc"))
    media = folder / "replica-media"
    media.mkdir()
    with Replica(ReplicaConfig(videos_per_tag=1), media) as replica:
        warm(replica.content, media)
        quiet = _new_folder(folder / "quiet", replica.url)
        stages = _undisturbed(quiet)
        wanted = _counts(quiet)
        tables: dict[str, tuple[list[Stop], Path]] = {}
        for kind in KINDS:
            at = _new_folder(folder / kind.name, replica.url)
            tables[kind.name] = (list(_stop_in_each(at, stages, kind)), at)
        _print(stages, tables, wanted)
    return int(any(_counts(at) != wanted for _stops, at in tables.values()))


def _terminate(daemon: psutil.Process) -> None:
    daemon.terminate()


def _kill_both(daemon: psutil.Process) -> None:
    # The child first: else the daemon, were it quick, would start it again.
    for process in (*daemon.children(), daemon):
        with suppress(psutil.NoSuchProcess):
            process.kill()


KINDS = (Kind("SIGTERM", _terminate), Kind("SIGKILL", _kill_both))


def _undisturbed(folder: Path) -> list[tuple[str, str, int]]:
    """Do one night; return its stages: name, kind of run, and which one of that kind."""
    done = subprocess.run(
        [*_cli(folder), "nightly", "--json"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    found: list[tuple[str, str, int]] = []
    for line in json.loads(done.stdout)["stages"]:
        [(kind,)] = _ask(folder, "SELECT kind FROM run WHERE id = ?", line["run_id"])
        number = sum(kind == other for _name, other, _number in found)
        found.append((line["stage"], kind, number))
    return found


def _stop_in_each(
    folder: Path, stages: Sequence[tuple[str, str, int]], kind: Kind
) -> Iterator[Stop]:
    at = datetime.now(UTC)
    for stage, run_kind, number in stages:
        # Of one that was killed the catalog still says that it runs.
        before = {row[0] for row in _ask(folder, NIGHTS)}
        with _daemon(folder, at) as daemon:
            run_id = _wait_for(folder, run_kind, number, daemon, before)
            if run_id is None:
                yield Stop(stage, 0.0, 0, "the night was over", 0)
                continue
            _get_into(folder, run_id)
            family = [daemon, *daemon.children(recursive=True)]
            start_s = time.perf_counter()
            kind.end(daemon)
            n_left = _wait_until_gone(family)
            seconds = None if n_left else time.perf_counter() - start_s
            [(status,)] = _ask(folder, "SELECT status FROM run WHERE id = ?", run_id)
            sys.stderr.write(f"{kind.name} in {stage}: {seconds}, {n_left} left, {status}\n")
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        yield Stop(stage, seconds, n_left, status, run_id)
    with _daemon(folder, at) as daemon:
        _wait(
            lambda: bool(_ask(folder, f"{NIGHTS} AND status IN ('ok', 'partial')")),
            daemon,
        )
        daemon.terminate()
        daemon.wait()


NIGHTS = "SELECT id FROM run WHERE kind = 'nightly'"


def _get_into(folder: Path, run_id: int) -> None:
    """Let a stage be at its work; one that is over sooner is not waited for."""
    end_s = time.monotonic() + INTO_S
    is_running = "SELECT id FROM run WHERE id = ? AND status = 'running'"
    while time.monotonic() < end_s and _ask(folder, is_running, run_id):
        time.sleep(LOOK_S)


def _wait_for(
    folder: Path, kind: str, number: int, daemon: psutil.Process, before: set[int]
) -> int | None:
    """Wait until a night that was not there before is in that stage, or beyond; return its run.

    None when the night has come to its end although it was to be stopped before.
    """
    if _ask(folder, f"{NIGHTS} AND status IN ('ok', 'partial')"):
        return None
    found: list[tuple[Any, ...]] = []

    def is_there() -> bool:
        nights = [row[0] for row in _ask(folder, NIGHTS) if row[0] not in before]
        if nights:
            of_stage = "SELECT id FROM run WHERE parent_id = ? AND kind = ? ORDER BY id"
            # One that is taken up again keeps its number, which is then smaller.
            found[:] = _ask(folder, of_stage, nights[-1], kind)
        return len(found) > number

    _wait(is_there, daemon)
    return int(found[number][0])


def _wait(is_so: Callable[[], bool], daemon: psutil.Process) -> None:
    end_s = time.monotonic() + LONGEST_S
    while not is_so():
        if time.monotonic() > end_s or not daemon.is_running():
            raise RuntimeError("what was waited for did not come")
        time.sleep(LOOK_S)


def _wait_until_gone(family: Sequence[psutil.Process]) -> int:
    """Wait until none of them lives; return how many still do when time is up."""
    end_s = time.monotonic() + GONE_S
    while n_left := sum(_lives(process) for process in family):
        if time.monotonic() > end_s:
            break
        time.sleep(LOOK_S)
    return n_left


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _daemon(folder: Path, at: datetime) -> Iterator[psutil.Process]:
    command = [*_cli(folder), "-v", "daemon", "run", "--at", f"{at:%H:%M:%S}"]
    with (folder / "said.txt").open("ab") as said:
        program = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdout=said, stderr=said
        )
    try:
        yield psutil.Process(program.pid)
    finally:
        program.kill()
        program.wait()


def _new_folder(folder: Path, url: str) -> Path:
    folder.mkdir()
    (folder / "viewcast.toml").write_text(SETTINGS.format(url=url), "utf-8")
    address = f"sqlite:///{folder / 'catalog.db'}"
    upgrade(address)
    catalog = open_catalog(address)
    add_hashtags(catalog, {topic: tags[:1] for topic, tags in DEFAULT_TOPICS.items()})
    catalog.close()
    return folder


def _counts(folder: Path) -> dict[str, int]:
    """How many rows each table has that a night left in peace fills once."""
    tables = _ask(folder, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {
        name: int(_ask(folder, f'SELECT count(*) FROM "{name}"')[0][0])
        for (name,) in tables
        if name not in JOURNAL and not name.startswith("sqlite")
    }


def _ask(folder: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "catalog.db", timeout=60)) as connection:
        return connection.execute(sql, values).fetchall()


def _print(
    stages: Sequence[tuple[str, str, int]],
    tables: dict[str, tuple[list[Stop], Path]],
    wanted: dict[str, int],
) -> None:
    heads = [f"{name}: gone after | its run | the next start" for name in tables]
    out = [f"| stage | {' | '.join(heads)} |", "|---|" + "---|" * (3 * len(heads))]
    for number, (stage, _kind, _number) in enumerate(stages):
        cells = [stage]
        for stops, folder in tables.values():
            stop = stops[number]
            cells += [stop.seconds_text(), stop.status, _afterwards(folder, stop)]
        out.append(f"| {' | '.join(cells)} |")
    for name, (_stops, folder) in tables.items():
        counts = _counts(folder)
        odd = {table: (n, wanted[table]) for table, n in counts.items() if n != wanted[table]}
        running = len(_ask(folder, "SELECT id FROM run WHERE status = 'running'"))
        rows = "as in a night left in peace" if not odd else f"(found, wanted) {odd}"
        out.append(f"\n{name}: rows of {len(counts)} tables {rows}; {running} runs still running.")
    sys.stdout.write("\n".join(out) + "\n")


def _afterwards(folder: Path, stop: Stop) -> str:
    """Say what became of the run that was broken off."""
    if not stop.run_id:
        return "–"
    status, kind = _ask(folder, "SELECT status, kind FROM run WHERE id = ?", stop.run_id)[0]
    codes = {row[0] for row in _ask(folder, "SELECT code FROM event WHERE run_id = ?", stop.run_id)}
    if "run_resumed" in codes:
        return f"goes on with it: {status}"
    if stop.status in ("ok", "partial"):
        return "was over already"
    later = _ask(
        folder,
        "SELECT status, n_done FROM run WHERE kind = ? AND id > ? AND status IN ('ok', 'partial')"
        " ORDER BY id LIMIT 1",
        kind,
        stop.run_id,
    )
    word = "marks it lost, " if status == "lost" and stop.status == "running" else ""
    return word + (f"a new run: {later[0][0]}, {later[0][1]} done" if later else "no new run")


def _cli(folder: Path) -> list[str]:
    config = str(folder / "viewcast.toml")
    return [sys.executable, str(ROOT / "cli.py"), "--data", str(folder), "--config", config]


def _environment() -> dict[str, str]:
    return {**os.environ, **ONE_THREAD}


if __name__ == "__main__":
    sys.exit(main())
