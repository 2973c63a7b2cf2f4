"""The daemon: one at a time, one night a day, and gone at once when asked."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from catalog.errors import BadValue, Busy
from catalog.schema.session import Catalog, head
from catalog.schema.tables import Event, Run
from catalog.schema.types import utc_now
from catalog.work import daemon
from catalog.work.daemon import (
    LEASE,
    POLL_S,
    STOP_GRACE_S,
    Job,
    Telling,
    run_daemon,
)
from catalog.work.daemon_status import daemon_status
from catalog.work.job_lease import KeptLease, acquire, give_up, renew_lease
from catalog.work.runs import record_run
from catalog.work.schedule import Schedule, Slot
from tests.catalog.factories import T0
from tests.programs import HANG_S, speaking

ROOT = Path(__file__).resolve().parents[3]
DAY = timedelta(hours=26)


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


def job(start=lambda _slot: FakeChild(0), cron="30 4 * * *", name="nightly", second=0) -> Job:
    return Job(Schedule(name, cron, second=second), start)


def slot_of(day: str, name: str = "nightly") -> Slot:
    """The slot of a day at half past four, as `job` has it."""
    return Slot(f"{name}/{day}", datetime.fromisoformat(f"{day}T04:30:00+00:00"))


def record_slot(catalog: Catalog, slot: Slot, kind: str = "nightly") -> int:
    due = slot.scheduled_for
    with record_run(catalog, kind, params={}, slot=slot.name, scheduled_for=due) as run:
        return run.id


def set_running(catalog: Catalog, run_id: int) -> None:
    """As if the run had not ended: its process, this one, lives."""
    with catalog.write() as session:
        session.execute(
            text("UPDATE run SET status = 'running', finished_at = NULL WHERE id = :i"),
            {"i": run_id},
        )


def events(catalog: Catalog, *, but: str = "daemon_started") -> list[tuple[str, str]]:
    """The code and the subject of each event in order, without those that are always there."""
    with catalog.read() as session:
        found = select(Event.code, Event.subject).where(Event.code != but).order_by(Event.id)
        return [tuple(row) for row in session.execute(found)]


class Clock:
    """A clock that is put on by a step each time that it is looked at."""

    def __init__(self, start: datetime, step: timedelta = timedelta(0)) -> None:
        self.moment, self.step = start, step

    def __call__(self) -> datetime:
        self.moment += self.step
        return self.moment


TEN = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


@pytest.fixture
def patient(monkeypatch):
    """What is tried again is tried again in the next round."""
    for name in ("FIRST_WAIT_S", "LONGEST_WAIT_S", "FIRST_RETRY_S", "LONGEST_RETRY_S"):
        monkeypatch.setattr(daemon, name, 0.0)


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


def test_of_many_who_want_a_lease_at_once_one_gets_it(catalog):
    n = 8
    ready = threading.Barrier(n)

    def want(_number: int) -> bool:
        ready.wait()
        try:
            acquire(catalog, LEASE, ttl_s=60, now=T0)
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(n) as pool:
        assert sum(pool.map(want, range(n))) == 1


def test_a_lease_that_a_database_has_forgotten_is_taken_again(catalog):
    """As after a crash of a server that had not yet written it down."""
    lease = KeptLease(catalog, acquire(catalog, LEASE, ttl_s=60, now=T0), 60, lambda: T0)
    for forget in ("DELETE FROM job_lease", "UPDATE job_lease SET owner = '', fence = 0"):
        with catalog.write() as session:
            session.execute(text(forget))
        assert lease.renew()
        with pytest.raises(Busy):
            acquire(catalog, LEASE, ttl_s=60, now=T0)
    assert not lease.lost.is_set()


def test_a_lease_that_somebody_else_has_taken_is_lost(catalog):
    lease = KeptLease(catalog, acquire(catalog, LEASE, ttl_s=60, now=T0), 60, lambda: T0)
    acquire(catalog, LEASE, ttl_s=600, now=T0 + timedelta(seconds=61))
    assert not lease.renew()
    assert lease.lost.is_set()


def test_a_missed_night_is_made_up_for(catalog):
    stop = threading.Event()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    run_daemon(catalog, [job(starter)], stop=stop, now=lambda: now)
    assert starter.slots == [Slot("nightly/2026-07-01", datetime(2026, 7, 1, 4, 30, tzinfo=UTC))]


@pytest.mark.parametrize("hour", [17, 23])
def test_a_night_missed_too_long_ago_is_not_made_up_for(catalog, hour):
    stop = AfterRounds()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, hour, 0, tzinfo=UTC)
    run_daemon(catalog, [job(starter)], stop=stop, now=lambda: now)
    assert starter.slots == []


def test_a_night_that_is_done_is_not_done_again(catalog):
    stop = AfterRounds()
    starter = Starter(stop, FakeChild(0))
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    record_slot(catalog, slot_of("2026-07-01"))
    run_daemon(catalog, [job(starter)], stop=stop, now=lambda: now)
    assert starter.slots == []


def test_a_night_fires_at_its_time(catalog):
    stop = threading.Event()
    starter = Starter(stop, FakeChild(0))
    due = (utc_now() + timedelta(seconds=2)).replace(microsecond=0)
    nightly = job(starter, f"{due.minute} {due.hour} * * *", second=due.second)
    # As if yesterday were done: otherwise it would be caught up first.
    record_slot(catalog, nightly.schedule.newest(due - timedelta(seconds=1)))
    run_daemon(catalog, [nightly], stop=stop)
    assert starter.slots == [Slot(f"nightly/{due.date()}", due)]


def test_days_go_by_and_each_slot_is_started_once(catalog):
    """A clock that jumps by hours, as one that was suspended: nothing is lost nor doubled."""
    stop = threading.Event()
    children = iter(lambda: FakeChild(0), None)
    starter = Starter(stop, FakeChild(0), stop_after=5)
    clock = Clock(datetime(2026, 7, 1, 0, 0, tzinfo=UTC), timedelta(hours=1))

    def start(slot: Slot) -> FakeChild:
        record_slot(catalog, slot)
        starter(slot)
        return next(children)

    run_daemon(catalog, [job(start)], stop=stop, now=clock)
    names = [slot.name for slot in starter.slots]
    assert names == [f"nightly/2026-07-0{day}" for day in range(1, 6)]
    assert events(catalog) == []


def test_a_clock_that_is_put_back_starts_nothing_again(catalog):
    clock = Clock(TEN)
    starter = Starter(threading.Event(), FakeChild(0))

    class Rounds(AfterRounds):
        def wait(self, s: float | None = None) -> bool:
            hour, minute = {12: (34, 0), 6: (28, 29)}.get(self.n_left, (None, None))
            if hour is not None:
                clock.moment = TEN.replace(hour=0) + timedelta(hours=hour, minutes=minute)
            return super().wait(s)

    def start(slot: Slot) -> FakeChild:
        record_slot(catalog, slot)
        return starter(slot)

    run_daemon(catalog, [job(start)], stop=Rounds(16), now=clock)
    assert [slot.name for slot in starter.slots] == ["nightly/2026-07-01", "nightly/2026-07-02"]


def test_a_clock_that_was_ahead_when_it_started_loses_no_night(catalog):
    """It is put right by a month; the days until then have their nights."""
    clock = Clock(TEN + timedelta(days=30))
    starter = Starter(threading.Event(), FakeChild(0))

    class Rounds(AfterRounds):
        def wait(self, s: float | None = None) -> bool:
            at = {12: TEN, 6: TEN + timedelta(days=1)}.get(self.n_left)
            clock.moment = at or clock.moment
            return super().wait(s)

    def start(slot: Slot) -> FakeChild:
        record_slot(catalog, slot)
        return starter(slot)

    run_daemon(catalog, [job(start)], stop=Rounds(16), now=clock)
    names = [slot.name for slot in starter.slots]
    assert names == ["nightly/2026-07-31", "nightly/2026-07-02"]
    assert events(catalog) == []


def test_one_child_at_a_time_and_nights_first(catalog):
    stop = threading.Event()
    begun, running = [], []

    class Child(FakeChild):
        n_polls = 0

        def poll(self) -> int | None:
            self.n_polls += 1
            if self.n_polls < 3:
                return None
            if self in running:
                running.remove(self)
            return 0

    def start(slot: Slot) -> FakeChild:
        assert running == []
        begun.append(slot.name.partition("/")[0])
        if len(begun) == 3:
            stop.set()
        running.append(Child())
        return running[-1]

    jobs = [job(start, name=name) for name in ("nightly", "retrain", "refresh")]
    run_daemon(catalog, jobs, stop=stop, now=lambda: TEN)
    assert begun == ["nightly", "retrain", "refresh"]


def test_what_comes_due_while_another_runs_is_done_once_and_the_rest_told(catalog):
    """A night of four hours; an hourly refresh comes due four times in it."""
    stop = threading.Event()
    begun = []
    night = FakeChild()
    clock = Clock(datetime(2026, 7, 1, 4, 30, tzinfo=UTC))

    def start(slot: Slot) -> FakeChild:
        begun.append(slot.name)
        if slot.name.startswith("refresh"):
            stop.set()
        return night

    class Hours(threading.Event):
        def wait(self, _s: float | None = None) -> bool:
            if clock.moment.hour < 8:
                clock.moment += timedelta(hours=1)
            else:
                night.code = 0
            return stop.is_set()

    record_slot(catalog, Slot("refresh/2026-07-01T04:15Z", TEN), "refresh")
    jobs = [job(start), job(start, "15 * * * *", "refresh")]
    hours = Hours()
    # The first round begins before the first hour has passed.
    clock.moment -= timedelta(hours=1)
    run_daemon(catalog, jobs, stop=hours, now=clock)
    assert begun == ["nightly/2026-07-01", "refresh/2026-07-01T08:15Z"]
    merged = [f"refresh/2026-07-01T0{hour}:15Z" for hour in (5, 6, 7)]
    assert events(catalog) == [("schedule_coalesced", name) for name in merged]


def test_nights_that_nobody_was_there_for_are_recorded_as_missed_once(catalog):
    stop = threading.Event()
    stop.set()
    before = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
    record_slot(catalog, slot_of("2026-06-30"))
    run_daemon(catalog, [job()], stop=AfterRounds(), now=lambda: before)
    starter = Starter(threading.Event(), FakeChild(0))
    told, telling = heard()
    for _ in range(2):
        run_daemon(
            catalog,
            [job(starter)],
            stop=AfterRounds(),
            now=lambda: datetime(2026, 7, 4, 10, 0, tzinfo=UTC),
            telling=telling,
        )
    assert told == ["nightly/2026-07-03"]
    missed = [("schedule_missed", f"nightly/2026-07-0{day}") for day in (1, 2, 3)]
    assert events(catalog) == missed
    assert {slot.name for slot in starter.slots} == {"nightly/2026-07-04"}


def test_of_a_job_that_is_new_nothing_was_missed(catalog):
    run_daemon(catalog, [job()], stop=AfterRounds(), now=lambda: TEN)
    jobs = [job(), job(cron="15 * * * *", name="refresh")]
    run_daemon(catalog, jobs, stop=AfterRounds(), now=lambda: TEN + timedelta(minutes=20))
    assert events(catalog) == []


def test_a_night_that_another_process_is_at_is_waited_for(catalog, patient):
    run_id = record_slot(catalog, slot_of("2026-07-01"))
    set_running(catalog, run_id)
    starter = Starter(threading.Event(), FakeChild(0))
    run_daemon(catalog, [job(starter)], stop=AfterRounds(), now=lambda: TEN)
    assert starter.slots == []
    with catalog.write() as session:
        session.execute(text("UPDATE run SET status = 'failed', finished_at = started_at"))
    run_daemon(catalog, [job(starter)], stop=AfterRounds(), now=lambda: TEN)
    assert starter.slots == [slot_of("2026-07-01")]


def test_a_night_that_dies_is_done_again_and_not_for_ever(catalog, patient):
    codes = [-9, 1, 6, 0, 0]
    starter = Starter(threading.Event(), FakeChild())

    def start(slot: Slot) -> FakeChild:
        starter(slot)
        return FakeChild(codes.pop(0))

    run_daemon(catalog, [job(start)], stop=AfterRounds(12), now=lambda: TEN)
    assert starter.slots == [slot_of("2026-07-01")] * 3
    assert events(catalog) == [("job_failed", "nightly/2026-07-01")] * 3


def heard() -> tuple[list[str], Telling]:
    """What the daemon tells of, as a list that fills."""
    told: list[str] = []
    return told, Telling(told.append, lambda error: told.append(type(error).__name__))


def test_a_night_is_told_of_when_it_is_given_up_and_not_before(catalog, patient):
    told, telling = heard()
    said_in_round: list[int] = []

    def start(_slot: Slot) -> FakeChild:
        said_in_round.append(len(told))
        return FakeChild(1)

    run_daemon(catalog, [job(start)], stop=AfterRounds(12), now=lambda: TEN, telling=telling)
    assert said_in_round == [0, 0, 0]
    assert told == ["nightly/2026-07-01"]


@pytest.mark.parametrize(("code", "n_told"), [(0, 0), (4, 1)])
def test_a_night_of_which_a_part_failed_is_looked_at_once_more(catalog, code, n_told):
    told, telling = heard()
    jobs = [job(lambda _slot: FakeChild(code), name=name) for name in ("nightly", "refresh")]
    run_daemon(catalog, jobs, stop=AfterRounds(8), now=lambda: TEN, telling=telling)
    assert told == ["nightly/2026-07-01"] * n_told


@pytest.mark.parametrize(("hours", "then"), [(13, "it"), (25, "the next")])
def test_a_night_that_fails_too_late_to_be_tried_again_is_told_of(catalog, patient, hours, then):
    told, telling = heard()
    clock, begun = Clock(TEN.replace(hour=4, minute=30)), []

    def start(slot: Slot) -> FakeChild:
        begun.append(slot.name)
        return Dying() if len(begun) == 1 else FakeChild(0)

    class Dying(FakeChild):
        def poll(self) -> int | None:
            if clock.moment > TEN:
                return -9
            clock.moment += timedelta(hours=hours)
            return None

    run_daemon(catalog, [job(start)], stop=AfterRounds(9), now=clock, telling=telling)
    next_ones = ["nightly/2026-07-02"] if then == "the next" else []
    assert begun == ["nightly/2026-07-01", *next_ones]
    assert told == ["nightly/2026-07-01"]


def test_a_catalog_that_stays_away_is_told_of_once(catalog, patient, monkeypatch):
    monkeypatch.setattr(daemon, "AWAY_TOLD_S", 0.0)
    told, telling = heard()
    with catalog.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        run_daemon(catalog, [job()], stop=AfterRounds(9), now=lambda: TEN, telling=telling)
    finally:
        with catalog.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": head()})
    assert told == ["SchemaBehind"]


def test_a_night_that_is_not_ready_waits_until_it_is(catalog, patient):
    codes = [3, 3, 3, 3, 3, 4, 4]
    starter = Starter(threading.Event(), FakeChild())

    def start(slot: Slot) -> FakeChild:
        starter(slot)
        return FakeChild(codes.pop(0))

    run_daemon(catalog, [job(start)], stop=AfterRounds(20), now=lambda: TEN)
    assert len(starter.slots) == 6
    assert events(catalog) == [("job_not_ready", "nightly/2026-07-01")]


def test_a_child_that_cannot_be_started_does_not_end_the_daemon(catalog, patient):
    def start(_slot: Slot) -> FakeChild:
        raise OSError("no more processes")

    run_daemon(catalog, [job(start)], stop=AfterRounds(8), now=lambda: TEN)
    assert events(catalog) == [("job_failed", "nightly/2026-07-01")] * 3


def test_another_schema_is_waited_out(catalog, patient, caplog):
    """The revision is what another program's upgrade leaves, and is put back in the third round."""

    def set_revision(number: str) -> None:
        with catalog.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": number})

    starter = Starter(threading.Event(), FakeChild(0))

    class Rounds(AfterRounds):
        def wait(self, s: float | None = None) -> bool:
            if self.n_left in (12, 6):
                set_revision("0001" if self.n_left == 12 else head())
                n_started.append(len(starter.slots))
            return super().wait(s)

    n_started: list[int] = []
    try:
        run_daemon(catalog, [job(starter)], stop=Rounds(12), now=lambda: TEN)
    finally:
        set_revision(head())
    assert n_started == [0, 0]
    assert starter.slots == [slot_of("2026-07-01")]
    assert "run `viewcast db upgrade`" in caplog.text
    assert events(catalog) == [("catalog_was_away", "daemon")]


def test_without_a_time_there_is_nothing_to_do(catalog):
    with pytest.raises(BadValue, match=r"daemon\.nightly"):
        run_daemon(catalog, [], stop=AfterRounds())


def test_a_second_daemon_is_refused(catalog):
    acquire(catalog, LEASE, ttl_s=60, now=utc_now())
    with pytest.raises(Busy, match="daemon is run by"):
        run_daemon(catalog, [job()], stop=threading.Event())


def test_the_next_daemon_may_start_when_the_first_has_stopped(catalog):
    stop = threading.Event()
    stop.set()
    for fence in (1, 2):
        run_daemon(catalog, [job()], stop=stop)
        status = daemon_status(catalog, DAY)
        assert (status["running"], status["fence"]) == (False, fence)


@pytest.mark.parametrize(("deaf", "asked"), [(False, ["terminate"]), (True, ["terminate", "kill"])])
def test_a_running_night_is_stopped_and_marked_as_cancelled(catalog, deaf, asked):
    stop = threading.Event()
    child = FakeChild(deaf=deaf)
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    starter = Starter(stop, child)

    def start(slot: Slot) -> FakeChild:
        set_running(catalog, record_slot(catalog, slot))
        return starter(slot)

    run_daemon(catalog, [job(start)], stop=stop, now=lambda: now)
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

    run_daemon(catalog, [job(start)], stop=stop, now=lambda: now)
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
        run_daemon(catalog, [job(start)], stop=stop, ttl_s=0.3, now=lambda: now)
    assert child.asked[0] == "terminate"


def test_a_night_that_fails_is_an_event(catalog):
    now = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    run_daemon(catalog, [job(lambda _slot: FakeChild(6))], stop=AfterRounds(), now=lambda: now)
    with catalog.read() as session:
        event = session.scalars(select(Event).where(Event.code != "daemon_started")).one()
    assert (event.code, event.subject, event.detail) == (
        "job_failed", "nightly/2026-07-01", {"exit_code": 6, "attempt": 1, "is_last": False},
    )  # fmt: skip


def live(catalog: Catalog, *jobs: Job) -> None:
    """Leave what a daemon writes when it starts, and another one's lease."""
    run_daemon(catalog, jobs, stop=AfterRounds(), now=lambda: TEN)
    acquire(catalog, LEASE, ttl_s=60, now=TEN)


def test_the_status_says_what_is_wrong(catalog):
    assert daemon_status(catalog, DAY)["why"] == "no daemon is running"
    record_slot(catalog, slot_of("2026-07-01"))
    with catalog.write() as session:
        session.execute(text("UPDATE run SET finished_at = :t"), {"t": TEN.replace(tzinfo=None)})
    live(catalog, job())

    status = daemon_status(catalog, DAY, now=TEN)
    assert (status["ok"], status["why"], status["running"]) == (True, None, True)
    nightly = status["jobs"]["nightly"]
    assert nightly["last_run"]["slot"] == "nightly/2026-07-01"
    assert (nightly["last_good_age_s"], nightly["late_s"]) == (0, None)
    assert nightly["next_due"] == "2026-07-02T04:30:00+00:00"

    next_day = TEN + timedelta(hours=20)
    late = daemon_status(catalog, timedelta(hours=19), now=next_day)
    assert late["why"] == "no daemon is running; no nightly has succeeded in the last 19 h"
    assert late["jobs"]["nightly"]["late_s"] == 1.5 * 3600


def test_a_rare_job_is_late_only_after_its_time(catalog):
    record_slot(catalog, slot_of("2026-07-01"))
    weekly = job(cron="0 7 * * sun", name="retrain")
    live(catalog, job(), weekly)
    assert "retrain" not in (daemon_status(catalog, DAY, now=TEN)["why"] or "")
    sunday = datetime(2026, 7, 5, 7, 0, tzinfo=UTC)
    for hours, told in ((26, False), (27, True)):
        why = daemon_status(catalog, DAY, now=sunday + timedelta(hours=hours))["why"]
        assert ("retrain is 27 h late" in why) == told


def test_without_nights_none_has_to_succeed(catalog):
    live(catalog, job(cron="0 7 * * sun", name="retrain"))
    assert daemon_status(catalog, DAY, now=TEN)["why"] is None


def test_the_status_is_of_what_the_daemon_goes_by(catalog):
    live(catalog, job(cron="15 3 * * *"), job(cron="45 * * * *", name="refresh"))
    jobs = daemon_status(catalog, DAY, now=TEN)["jobs"]
    assert list(jobs) == ["nightly", "refresh"]
    assert jobs["refresh"]["next_due"] == "2026-07-01T10:45:00+00:00"


DAEMON = """
import signal, subprocess, sys, threading
from catalog.work.daemon import Job, run_daemon
from catalog.work.schedule import Schedule
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
at = utc_now()
job = Job(Schedule("nightly", f"{at.minute} {at.hour} * * *"), start)
run_daemon(open_catalog(url), [job], stop=stop)
"""


def test_a_real_daemon_is_gone_with_its_night_after_sigterm(catalog):
    with speaking(DAEMON, catalog.url) as daemon:
        assert daemon.stdout.readline() == b"night\n"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=HANG_S) == 0
        assert daemon.stdout.read() == b""  # the pipe ends only when the night is gone, too
    with catalog.read() as session:
        assert session.scalars(select(Run.status)).all() == ["cancelled"]
