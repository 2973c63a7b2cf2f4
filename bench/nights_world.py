"""A world whose clock is moved: the site, the catalog, and real programs that work in it.

Each Python process starts with `time_machine.travel` by an offset that the simulation sets, and
goes on from there at its usual pace; the site asks the same clock.
"""

import json
import math
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil

from bench.measure import ONE_THREAD, ROOT
from scraper.replica.content import ReplicaConfig
from scraper.replica.growth import days_since
from scraper.replica.server import Replica

OFFSET = "SIMULATED_CLOCK_OFFSET_S"
SITECUSTOMIZE = f"""
import os
if "{OFFSET}" in os.environ:
    import time
    import time_machine
    moved_to = time.time() + float(os.environ["{OFFSET}"])
    time_machine.travel(moved_to, tick=True).start()
"""
# Clocks go back at 3:00 before Ramadan and on at 2:00 after it: this time comes twice on 7 February
# 2027 and is skipped on 14 March.
ZONE, AT = "Africa/Casablanca", "02:30"
RETRAIN, RETRAIN_AT = "0 7 * * sun", "07:00"
SUNDAY = 6
FIRST_DAY, N_NIGHTS = date(2027, 2, 5), 40
TOPICS = {"Sports": "sports", "Dance": "dance"}
LEAD_S, POLL_S, HANG_S = 8.0, 0.02, 900.0
# The share of nights whose daemon starts late, so that the night is caught up with.
LATE_SHARE = 0.4
# A guess at a night's length for a kill before any night was whole.
USUAL_S = 20.0
BUSY = 5  # exit code of a daemon that finds another one at work
# Who is killed: the night's process, the daemon (its night goes on), both, or all they started.
STRIKES = ("all", "night", "daemon", "daemon and night")


@dataclass(frozen=True)
class Plan:
    """What is simulated, and what is done to which night; the same seed does the same."""

    n_nights: int = N_NIGHTS
    n_killed: int = 10
    n_down: int = 3
    posts_per_day: int = 6
    per_topic: int = 12
    first_day: date = FIRST_DAY
    seed: int = 15
    #: Processes that extract; 0: the night's own.
    workers: int = 1
    #: From which night on (counted from 0) which label models are trained for.
    labels: tuple[tuple[int, str], ...] = ((5, "at:1d"), (13, "at:7d"))
    #: Hours of the day, on the half hour, at which what comes of age is looked at.
    looks_h: tuple[int, ...] = (10, 18)
    #: With fewer labelled videos nothing is trained anew.
    min_rows: int = 60

    @property
    def snapshot_at(self) -> datetime:
        """A day before the first night: some posts are out already."""
        first = datetime.combine(self.first_day, time_of_day(), tzinfo=UTC)
        return first - timedelta(days=1)

    @property
    def site(self) -> ReplicaConfig:
        """The site on which it happens."""
        return ReplicaConfig(
            videos_per_tag=self.per_topic,
            n_accounts=12,
            topics=tuple(TOPICS),
            posts_per_day=self.posts_per_day,
            n_days=self.n_nights + 1,
            snapshot_at=self.snapshot_at,
        )

    def at(self, night: int, local: str) -> datetime:
        """A time of a night's day; worked out here, not asked of the daemon."""
        day = self.first_day + timedelta(days=night)
        at = time_of_day.fromisoformat(local)
        return datetime.combine(day, at, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)

    def due(self, night: int) -> datetime:
        """When a night is due."""
        return self.at(night, AT)

    def slot(self, night: int) -> str:
        """The name of a night."""
        return f"nightly/{self.first_day + timedelta(days=night)}"

    def jobs_of_day(self, night: int) -> list[tuple[datetime, str, str]]:
        """What comes due after a night, in order: when, the kind of its run, its slot."""
        day = self.first_day + timedelta(days=night)
        looks = [self.at(night, f"{hour:02}:30") for hour in self.looks_h]
        # What is due once a day is named after its day.
        names = [f"{due:%Y-%m-%dT%H:%MZ}" for due in looks] if len(looks) > 1 else [str(day)]
        jobs = [(due, "refresh", f"refresh/{at}") for due, at in zip(looks, names, strict=True)]
        if day.weekday() == SUNDAY:
            jobs.append((self.at(night, RETRAIN_AT), "retrain", f"retrain/{day}"))
        return sorted(jobs)

    def struck(self) -> tuple[dict[int, tuple[float, str]], set[int]]:
        """Give the nights that are killed: at which part of one and what; and those without a site.

        The first night is left alone, so that there is something to lose.
        """
        rng = random.Random(self.seed)
        chosen = rng.sample(range(1, self.n_nights), self.n_killed + self.n_down)
        killed = {
            night: (rng.uniform(0.02, 0.95), STRIKES[i % len(STRIKES)])
            for i, night in enumerate(chosen[: self.n_killed])
        }
        return killed, set(chosen[self.n_killed :])


class Clock:
    """The clock of the simulation: the machine's, moved by an offset that only grows."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now_s(self) -> float:
        """Unix time in the simulation."""
        return time.time() + self.offset_s

    def set(self, moment: datetime) -> None:
        """Move on to a moment."""
        offset_s = moment.timestamp() - time.time()
        if offset_s < self.offset_s:
            raise ValueError(f"the clock would go back to {moment}")
        self.offset_s = offset_s


@dataclass
class Night:
    """What was done to a night, and what it did."""

    slot: str
    late_s: float  # when the daemons were started; below 0: before the night was due
    is_down: bool = False
    #: What was killed, how far in seconds, and the step that ran.
    killed: str | None = None
    n_refused: int = 0
    seconds: float = 0.0
    stop_s: float = 0.0


class World:
    """A data folder, the site, and the programs that work on them."""

    def __init__(self, folder: Path, plan: Plan, clips: Path | None = None) -> None:
        """Make an empty data folder. clips: where the site's files are, or will be, kept."""
        self.folder, self.plan = folder, plan
        self._clips = clips or folder / "clips"
        self.data = folder / "data"
        self.clock = Clock()
        self._port = _free_port()
        self._site: Replica | None = None
        self._stands_at_s = math.inf
        self._modules = folder / "clock"
        self._temporary = Path(tempfile.mkdtemp(prefix="vc"))  # short: sockets lie below it
        self.data.mkdir(parents=True)
        self._modules.mkdir()
        (self._modules / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self.write_settings("latest")

    def write_settings(self, label: str) -> None:
        """Write the settings file, with which label models are trained."""
        (self.data / "viewcast.toml").write_text(settings(self._port, self.plan, label))

    @property
    def temporary(self) -> Path:
        """Where programs put temporary files, browsers their profiles."""
        return self._temporary

    @property
    def environment(self) -> dict[str, str]:
        """That of every program: its clock is ours."""
        return {
            **os.environ,
            **ONE_THREAD,
            "TMPDIR": str(self._temporary),
            "PYTHONPATH": os.pathsep.join((str(self._modules), str(ROOT))),
            OFFSET: repr(self.clock.offset_s),
        }

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        program = [sys.executable, str(ROOT / "cli.py"), "--data", str(self.data)]
        return [*program, "--config", str(self.data / "viewcast.toml"), *arguments]

    def run(self, *arguments: str, may_fail: bool = False) -> dict[str, Any]:
        """Run a command to its end and return its document; partial success is success."""
        done = subprocess.run(
            self.command(*arguments, "--json"),
            cwd=self.data,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )
        if done.returncode not in (0, 4) and not may_fail:
            raise RuntimeError(f"{arguments} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return dict(json.loads(done.stdout)) if done.stdout.strip() else {}

    def start(self, *arguments: str) -> psutil.Popen:
        """Start a command as a group of its own; what it says is kept."""
        with (self.folder / "said.txt").open("ab") as said:
            return psutil.Popen(
                self.command("-v", *arguments),
                cwd=self.data,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query, while others may be writing."""
        with closing(sqlite3.connect(self.data / "catalog.db", timeout=HANG_S)) as connection:
            return connection.execute(sql, values).fetchall()

    def open_site(self) -> Replica:
        """Have the site up, at the address it always has."""
        if self._site is None:
            self._site = Replica(
                self.plan.site,
                self._clips,
                self._port,
                clock=self._site_now_s,
                days=days_since(self.plan.snapshot_at, self._site_now_s),
            )
        return self._site

    def let_site_stand(self) -> None:
        """From now on nothing comes or changes on the site."""
        self._stands_at_s = self.clock.now_s()

    def _site_now_s(self) -> float:
        return min(self.clock.now_s(), self._stands_at_s)

    def close_site(self) -> None:
        """Have it down."""
        if self._site is not None:
            self._site.close()
            self._site = None


def settings(port: int, plan: Plan, label: str) -> str:
    """Small pictures, no speech, one small autoencoder: a night is to take seconds."""
    minute, hour = AT[3:], AT[:2]
    looks = ",".join(map(str, plan.looks_h))
    return f"""
[site]
base_url = "http://127.0.0.1:{port}"
[daemon]
nightly = "{minute} {hour} * * *"
refresh = "30 {looks} * * *"
retrain = "{RETRAIN}"
timezone = "{ZONE}"
[scrape]
limit = 1000
fresh_for_h = 6
[refresh]
older_than_h = 8
[extract]
workers = {plan.workers}
kinds = ["clip", "opening", "thumbnail"]
[clip]
n_frames = 4
height_px = 16
width_px = 9
[pretrain]
epochs = 1
hidden = 4
[split]
label = "{label}"
[retrain]
min_rows = {plan.min_rows}
holdout = 0.3
"""


def simulate(world: World, say: Callable[[str], None]) -> Iterator[Night]:
    """Do every night of the plan, and what comes between them."""
    plan = world.plan
    killed, down = plan.struck()
    rng = random.Random(plan.seed + 1)
    usual_s: list[float] = []
    world.clock.set(plan.due(0) - timedelta(minutes=10))
    world.run("db", "upgrade")
    for topic, hashtag in TOPICS.items():
        world.run("topic", "add", topic, hashtag)
    for number in range(plan.n_nights):
        late_s = rng.uniform(60, 4 * 3600) if rng.random() < LATE_SHARE else -LEAD_S
        world.clock.set(plan.due(number) + timedelta(seconds=late_s))
        if number in down:
            world.close_site()
        else:
            world.open_site()
        night = Night(plan.slot(number), late_s, is_down=number in down)
        part, strike = killed.get(number, (0.0, None))
        do_night(world, night, strike, part * statistics.median(usual_s or [USUAL_S]))
        if number and strike is None and not night.is_down:
            usual_s.append(length_s(world, night))
        say(f"{night.slot} {night.seconds:.1f} s {night.killed or ''}")
        yield night
        world.open_site()
        for label in (label for start, label in plan.labels if start == number):
            world.write_settings(label)
            world.run("split", "create")
            world.run("train")
        for due, kind, slot in plan.jobs_of_day(number):
            do_job(world, due, kind, slot)


def do_job(world: World, due: datetime, kind: str, slot: str) -> None:
    """Let one daemon do what is due besides the nights."""
    world.clock.set(due + timedelta(seconds=1))
    daemon = world.start("daemon", "run")
    wait_until(lambda: is_done(world, kind, slot), [daemon])
    if (code := stop(daemon)) != 0:
        raise RuntimeError(f"the daemon of {slot} ended with {code}")


def length_s(world: World, night: Night) -> float:
    """How long a night that was done took, without the daemon's own start."""
    sql = "SELECT julianday(finished_at) - julianday(started_at) FROM run WHERE slot = ?"
    return float(world.ask(sql, night.slot)[-1][0]) * 86_400


def do_night(world: World, night: Night, strike: str | None = None, strike_s: float = 0.0) -> None:
    """Let two daemons race for a night until it is done; kill them in it, if it is so planned."""
    began_s = time.monotonic()
    daemon = race(world, night)
    if strike is not None:
        wait_until(lambda: bool(runs_of(world, "nightly", night.slot)), [daemon])
        strike_at_s = time.monotonic() + strike_s
        while time.monotonic() < strike_at_s and not is_done(world, "nightly", night.slot):
            time.sleep(POLL_S)
        night.killed = kill(world, strike, daemon, strike_s)
        if strike != "night":
            daemon.wait(HANG_S)
            daemon = race(world, night)
    wait_until(lambda: is_done(world, "nightly", night.slot), [daemon])
    night.seconds = round(time.monotonic() - began_s, 2)
    began_s = time.monotonic()
    code = stop(daemon)
    night.stop_s = round(time.monotonic() - began_s, 2)
    if code != 0:
        raise RuntimeError(f"the daemon of {night.slot} ended with {code}")


def race(world: World, night: Night) -> psutil.Popen:
    """Start two daemons at once and return the one that may work; the other must be refused."""
    both = [world.start("daemon", "run") for _ in range(2)]
    deadline_s = time.monotonic() + HANG_S
    while all(daemon.poll() is None for daemon in both):
        if time.monotonic() > deadline_s:
            raise RuntimeError("two daemons work side by side")
        time.sleep(POLL_S)
    (left,) = [daemon for daemon in both if daemon.poll() is None]
    (refused,) = [daemon.poll() for daemon in both if daemon is not left]
    if refused != BUSY:
        raise RuntimeError(f"a daemon ended with {refused}")
    night.n_refused += 1
    return left


def runs_of(world: World, kind: str, slot: str) -> list[str]:
    """The status of each run of a slot."""
    sql = "SELECT status FROM run WHERE kind = ? AND slot = ? ORDER BY id"
    return [status for (status,) in world.ask(sql, kind, slot)]


def is_done(world: World, kind: str, slot: str) -> bool:
    """Whether a slot has been done; raises when it failed."""
    statuses = runs_of(world, kind, slot)
    if "failed" in statuses:
        raise RuntimeError(f"{slot} failed")
    return "ok" in statuses or "partial" in statuses


def kill(world: World, strike: str, daemon: psutil.Popen, strike_s: float) -> str:
    """Kill -9 what `strike` says; return what that was, when, and which step ran."""
    running = world.ask("SELECT kind FROM run WHERE status = 'running' ORDER BY id DESC LIMIT 1")
    below = daemon.children()
    groups = {_group_of(child) for child in below}
    # What put itself into a session of its own lives on, as it would.
    night = [c for c in daemon.children(recursive=True) if _group_of(c) in groups]
    victims: list[psutil.Process] = {
        "all": [daemon, *daemon.children(recursive=True)],
        "night": night,
        "daemon": [daemon],
        "daemon and night": [daemon, *night],
    }[strike]
    for process in victims:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    kind = running[0][0] if running else "nightly"
    step = "between two steps" if kind == "nightly" else f"in {kind}"
    return f"{strike} at {strike_s:.1f} s, {step}"


def stop(daemon: psutil.Popen) -> int:
    """Ask a daemon to end; return its exit code."""
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGTERM)
    return int(daemon.wait(HANG_S))


def wait_until(is_so: Callable[[], bool], daemons: Sequence[psutil.Popen]) -> None:
    """Look until something is so; raise when time is up or a daemon has ended."""
    deadline_s = time.monotonic() + HANG_S
    while not is_so():
        ended = [daemon.returncode for daemon in daemons if daemon.poll() is not None]
        if ended or time.monotonic() > deadline_s:
            raise RuntimeError(f"what was waited for never came; ended: {ended}")
        time.sleep(POLL_S)


def _group_of(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
