"""The daemon: one at a time, one night a day, and gone at once when asked."""

import os
import signal
import threading
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import select, text

from catalog.errors import BadValue, Busy
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, Run
from catalog.schema.types import utc_now
from catalog.work.daemon import (
    POLL_S,
    STOP_GRACE_S,
    Job,
    Slot,
    acquire,
    daemon_status,
    give_up,
    renew_lease,
    run_daemon,
)
from catalog.work.runs import record_run
from tests.catalog.factories import T0
from tests.programs import HANG_S, speaking

ROOT = Path(__file__).resolve().parents[3]
BERLIN = ZoneInfo("Europe/Berlin")


class FakeChild:
    """A child that runs until it is told to end, or ends by itself at once."""

    def __init__(self, code: int | None = None, *, deaf: bool = False) -> None:
        self.code, self.deaf, self.asked = code, deaf, []
        self.n_looks = 0

    def poll(self) -> int | None:
        self.n_looks += bool(self.asked)
        return self.code

    def terminate(self) -> None:
        self.asked.append("terminate")
        if not self.deaf:
            self.code = 130

    def kill(self) -> None:
        self.asked.append("kill")
        self.code = -9


class AfterRounds(threading.Event):
    """Stops the daemon when it has looked around so often, however long a machine takes to."""

    def __init__(self, n_rounds: int = 4) -> None:
        super().__init__()
        self.n_left = n_rounds

    def wait(self, _s: float | None = None) -> bool:
        self.n_left -= 1
        return self.n_left < 0


class Starter:
    """Starts fake children, and stops the daemon when enough slots were started."""

    def __init__(self, stop: threading.Event, child: FakeChild, *, stop_after: int = 1) -> None:
        self.stop, self.child, self.stop_after = stop, child, stop_after
        self.slots: list[Slot] = []

    def __call__(self, slot: Slot) -> FakeChild:
        self.slots.append(slot)
        if len(self.slots) == self.stop_after:
            self.stop.set()
        return self.child


def job(start=lambda _slot: FakeChild(0), at: time = time(4, 30), timezone: str = "UTC") -> Job:
    return Job("nightly", at, timezone, start)


def record_slot(catalog: Catalog, slot: Slot) -> int:
    with record_run(catalog, "nightly", params={}, slot=slot.name) as run:
        return run.id


def test_a_slot_is_named_after_its_local_day():
    berlin = job(at=time(0, 30), timezone="Europe/Berlin")
    slot = berlin.latest_slot(datetime(2026, 7, 1, 23, 0, tzinfo=UTC))
    assert slot == Slot("nightly/2026-07-02", datetime(2026, 7, 1, 22, 30, tzinfo=UTC))


def test_before_its_time_yesterday_is_the_latest_slot():
    assert job().latest_slot(datetime(2026, 7, 1, 4, 29, tzinfo=UTC)).name == "nightly/2026-06-30"
    assert job().latest_slot(datetime(2026, 7, 1, 4, 30, tzinfo=UTC)).name == "nightly/2026-07-01"


@pytest.mark.parametrize(
    ("day", "due", "n_fired"),
    [
        (date(2027, 3, 28), datetime(2027, 3, 28, 1, 30, tzinfo=UTC), 1),  # 02:30 does not exist
        (date(2027, 10, 31), datetime(2027, 10, 31, 0, 30, tzinfo=UTC), 2),  # 02:30 comes twice
        (date(2027, 7, 1), datetime(2027, 7, 1, 0, 30, tzinfo=UTC), 1),
    ],
)
def test_a_day_has_one_slot_however_the_clocks_change(day, due, n_fired):
    early = job(at=time(2, 30), timezone="Europe/Berlin")
    assert early.slot_of(day).scheduled_for == due
    trigger = CronTrigger(hour=2, minute=30, timezone=BERLIN)
    start = datetime.combine(day, time(0), tzinfo=BERLIN)
    fired = trigger.get_next_fire_time(None, start)
    assert fired.astimezone(UTC) == due
    assert early.latest_slot(fired).name == f"nightly/{day}"
    again = trigger.get_next_fire_time(fired, fired + timedelta(seconds=1))
    that_day = [at for at in (fired, again) if at.astimezone(BERLIN).date() == day]
    assert len(that_day) == n_fired
    assert {early.latest_slot(at) for at in that_day} == {early.slot_of(day)}


def test_an_hour_that_the_clocks_skip_is_warned_of():
    assert "03:00 is safer" in (job(at=time(2, 30), timezone="Europe/Berlin").dst_warning() or "")
    assert job(at=time(4, 30), timezone="Europe/Berlin").dst_warning() is None
    assert job(at=time(2, 30)).dst_warning() is None


def test_an_unknown_zone_is_refused():
    with pytest.raises(BadValue, match="Mars"):
        job(timezone="Mars/Olympus")


def test_a_lease_has_one_holder_and_a_growing_fence(catalog):
    held = acquire(catalog, "daemon/x", ttl_s=60, now=T0)
    with pytest.raises(Busy, match=f"process {os.getpid()}") as caught:
        acquire(catalog, "daemon/x", ttl_s=60, now=T0 + timedelta(seconds=59))
    assert caught.value.exit_code == 5
    assert renew_lease(catalog, held, ttl_s=60, now=T0 + timedelta(seconds=59))
    later = acquire(catalog, "daemon/x", ttl_s=60, now=T0 + timedelta(seconds=120))

    assert later.fence == held.fence + 1
    assert not renew_lease(catalog, held, ttl_s=60, now=T0)
    assert not give_up(catalog, held, now=T0)
    assert give_up(catalog, later, now=T0 + timedelta(seconds=121))
    assert acquire(catalog, "daemon/x", ttl_s=60, now=T0 + timedelta(seconds=121)).fence == 3


def test_a_dead_holder_of_this_machine_is_followed_at_once(catalog):
    held = acquire(catalog, "daemon/x", ttl_s=60, now=T0)
    with catalog.write() as session:
        session.execute(
            text("UPDATE job_lease SET owner = replace(owner, :old, :new)"),
            {"old": '"started": "', "new": '"started": "long ago '},
        )
    assert acquire(catalog, "daemon/x", ttl_s=60, now=T0).fence == held.fence + 1
    with catalog.read() as session:
        assert session.scalars(select(Event.code)).all() == ["lease_taken_over"]


def test_a_missed_night_is_made_up_for(catalog):
    stop = threading.Event()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    run_daemon(catalog, job(starter), stop=stop, now=lambda: now)
    assert starter.slots == [Slot("nightly/2026-07-01", datetime(2026, 7, 1, 4, 30, tzinfo=UTC))]


@pytest.mark.parametrize("hour", [17, 23])
def test_a_night_missed_too_long_ago_is_not_made_up_for(catalog, hour):
    stop = AfterRounds()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, hour, 0, tzinfo=UTC)
    run_daemon(catalog, job(starter), stop=stop, now=lambda: now)
    assert starter.slots == []


def test_a_night_that_is_done_is_not_done_again(catalog):
    stop = AfterRounds()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    record_slot(catalog, job().latest_slot(now))
    run_daemon(catalog, job(starter), stop=stop, now=lambda: now)
    assert starter.slots == []


def test_a_night_fires_at_its_time(catalog):
    stop = threading.Event()
    starter = Starter(stop, FakeChild(0))
    due = (utc_now() + timedelta(seconds=2)).replace(microsecond=0)
    nightly = job(starter, at=due.time())
    # As if yesterday were done: otherwise it would be caught up first.
    record_slot(catalog, nightly.slot_of(due.date() - timedelta(days=1)))
    run_daemon(catalog, nightly, stop=stop)
    assert starter.slots == [Slot(f"nightly/{due.date()}", due)]


def test_a_second_daemon_is_refused(catalog):
    acquire(catalog, "daemon/nightly", ttl_s=60, now=utc_now())
    with pytest.raises(Busy, match="daemon/nightly"):
        run_daemon(catalog, job(), stop=threading.Event())


def test_the_next_daemon_may_start_when_the_first_has_stopped(catalog):
    stop = threading.Event()
    stop.set()
    for fence in (1, 2):
        run_daemon(catalog, job(), stop=stop)
        status = daemon_status(catalog)
        assert (status["running"], status["fence"]) == (False, fence)


@pytest.mark.parametrize(("deaf", "asked"), [(False, ["terminate"]), (True, ["terminate", "kill"])])
def test_a_running_night_is_stopped_and_marked_as_cancelled(catalog, deaf, asked):
    stop = threading.Event()
    child = FakeChild(deaf=deaf)
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    starter = Starter(stop, child)

    def start(slot: Slot) -> FakeChild:
        run_id = record_slot(catalog, slot)
        with catalog.write() as session:
            session.execute(
                text("UPDATE run SET status = 'running', finished_at = NULL WHERE id = :i"),
                {"i": run_id},
            )
        return starter(slot)

    run_daemon(catalog, job(start), stop=stop, now=lambda: now)
    assert child.asked[: len(asked)] == asked
    # Two seconds are promised: looks of a tenth, and a write. `bench answers` measures them.
    assert child.n_looks * POLL_S <= STOP_GRACE_S + POLL_S
    with catalog.read() as session:
        assert session.scalars(select(Run.status)).all() == ["cancelled"]


def test_a_stage_that_was_just_beginning_is_cancelled_with_its_night(catalog):
    """The night itself has ended in good order; the row of its stage was written an instant ago."""
    stop = threading.Event()
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    starter = Starter(stop, FakeChild())

    def start(slot: Slot) -> FakeChild:
        night = record_slot(catalog, slot)
        with record_run(catalog, "fetch", params={}, parent_id=night):
            pass
        with catalog.write() as session:
            session.execute(
                text(
                    "UPDATE run SET status = CASE kind WHEN 'fetch' THEN 'running' ELSE"
                    " 'cancelled' END, finished_at = CASE kind WHEN 'fetch' THEN NULL ELSE"
                    " finished_at END"
                )
            )
        return starter(slot)

    run_daemon(catalog, job(start), stop=stop, now=lambda: now)
    with catalog.read() as session:
        assert set(session.execute(select(Run.kind, Run.status)).all()) == {
            ("nightly", "cancelled"),
            ("fetch", "cancelled"),
        }


def test_a_lost_lease_stops_the_daemon_and_its_child(catalog):
    stop = threading.Event()
    child = FakeChild()

    def start(slot: Slot) -> FakeChild:
        with catalog.write() as session:
            session.execute(text("UPDATE job_lease SET fence = fence + 1, owner = 'other'"))
        return child

    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    with pytest.raises(Busy, match="went to another"):
        run_daemon(catalog, job(start), stop=stop, ttl_s=0.3, now=lambda: now)
    assert child.asked[0] == "terminate"


def test_a_night_that_fails_is_an_event(catalog):
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    run_daemon(catalog, job(lambda _slot: FakeChild(6)), stop=AfterRounds(), now=lambda: now)
    with catalog.read() as session:
        event = session.scalars(select(Event)).one()
    assert (event.code, event.subject, event.detail) == (
        "job_failed", "nightly/2026-07-01", {"exit_code": 6},
    )  # fmt: skip


def test_the_status_says_what_is_wrong(catalog):
    assert daemon_status(catalog)["why"] == "no daemon is running"
    acquire(catalog, "daemon/nightly", ttl_s=60, now=utc_now())
    status = daemon_status(catalog)
    assert (status["ok"], status["running"]) == (False, True)
    assert status["why"] == "no nightly has succeeded in the last 26 hours"

    record_slot(catalog, job().latest_slot(utc_now()))
    status = daemon_status(catalog)
    assert (status["ok"], status["why"], status["last_good_run"]["status"]) == (True, None, "ok")
    late = utc_now() + timedelta(hours=30)
    assert daemon_status(catalog, now=late)["running"] is False


DAEMON = """
import signal, subprocess, sys, threading
from datetime import time
from catalog.work.daemon import Job, run_daemon
from catalog.schema.session import open_catalog
from catalog.schema.types import utc_now

NIGHT = '''
import sys, time
from catalog.work.runs import record_run
from catalog.schema.session import open_catalog
catalog = open_catalog(sys.argv[1])
with record_run(catalog, "nightly", params={}, slot=sys.argv[2]):
    sys.stdout.write("night\\\\n"); sys.stdout.flush()
    time.sleep(1_200)
'''
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
url = sys.argv[1]
start = lambda slot: subprocess.Popen([sys.executable, "-c", NIGHT, url, slot.name])
at = utc_now().replace(microsecond=0)
job = Job("nightly", time(at.hour, at.minute, at.second), "UTC", start)
run_daemon(open_catalog(url), job, stop=stop)
"""


def test_a_real_daemon_is_gone_with_its_night_after_sigterm(catalog):
    with speaking(DAEMON, catalog.url) as daemon:
        assert daemon.stdout.readline() == b"night\n"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=HANG_S) == 0
        assert daemon.stdout.read() == b""  # the pipe ends only when the night is gone, too
    with catalog.read() as session:
        assert session.scalars(select(Run.status)).all() == ["cancelled"]
