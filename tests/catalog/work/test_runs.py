"""Runs: each is recorded, whatever becomes of it."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from catalog.errors import AlreadyDone, BudgetExceeded, CatalogError, RunLost
from catalog.files import started
from catalog.schema.session import Catalog
from catalog.schema.tables import Event, MediaFile, Run, RunMetric
from catalog.schema.types import utc_now
from catalog.work import runs
from catalog.work.claims import claim_media, enrol_media
from catalog.work.runs import FailureBudget, cancel_slot, reap, record_run
from tests.catalog.factories import add_model, add_videos
from tests.fresh_catalog import ask

ROOT = Path(__file__).resolve().parents[3]


def only_run(catalog: Catalog) -> Run:
    with catalog.read() as session:
        return session.scalars(select(Run)).one()


def codes(catalog: Catalog) -> list[str]:
    with catalog.read() as session:
        return list(session.scalars(select(Event.code).order_by(Event.id)))


def make_lost(catalog: Catalog, run_id: int, status: str = "lost") -> None:
    with catalog.write() as session:
        session.execute(
            text(f"UPDATE run SET status = '{status}', finished_at = started_at WHERE id = :i"),
            {"i": run_id},
        )


def test_a_run_says_how_it_began_and_ended(catalog):
    with record_run(catalog, "fetch", params={"limit": 3, "to": Path("x")}) as run:
        run.expect(3)
        assert only_run(catalog).status == "running"
        run.done(2)
        run.skipped("7", "no_audio")
    row = only_run(catalog)

    assert (row.status, row.n_total, row.n_done, row.n_skipped, row.n_failed) == ("ok", 3, 2, 1, 0)
    assert row.params == {"limit": 3, "to": "x"}
    assert row.pid == os.getpid()
    assert row.finished_at is not None
    assert row.env["python"]
    assert run.outcome.exit_code == 0
    assert run.outcome.codes == {"no_audio": 1}
    assert run.outcome.as_dict()["status"] == "ok"


def test_some_failures_make_it_partial(catalog):
    with record_run(catalog, "fetch", params={}) as run:
        run.expect(2)
        run.done()
        run.failed("73", "download_failed", "503")
    assert only_run(catalog).status == "partial"
    assert run.outcome.exit_code == 4
    assert codes(catalog) == ["download_failed"]


def test_nothing_but_failures_make_it_failed(catalog):
    with record_run(catalog, "fetch", params={}) as run:
        run.failed("73", "download_failed", "503")
    assert only_run(catalog).status == "failed"
    assert run.outcome.exit_code == 1


def test_too_many_failures_stop_it(catalog):
    exceeded = pytest.raises(BudgetExceeded, match="5 of 20 failed")
    with exceeded as caught, record_run(catalog, "fetch", params={}) as run:
        run.expect(20)
        for i in range(20):
            run.failed(str(i), "download_failed", "503")
    assert caught.value.exit_code == 6
    assert run.outcome.exit_code == 6
    row = only_run(catalog)
    assert (row.status, row.n_failed) == ("failed", 5)
    assert row.error.startswith("BudgetExceeded")


def test_a_budget_is_a_fraction_of_all():
    budget = FailureBudget(min_failures=5, max_fraction=0.2)
    assert not budget.is_exceeded(4, 4)
    assert not budget.is_exceeded(20, 100)
    assert budget.is_exceeded(21, 100)


def test_an_exception_is_recorded_and_goes_on(catalog):
    with pytest.raises(ZeroDivisionError), record_run(catalog, "fetch", params={}):
        1 / 0  # noqa: B018 - the exception is the point
    row = only_run(catalog)
    assert (row.status, row.error) == ("failed", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_a_cancellation(catalog, error):
    with pytest.raises(error), record_run(catalog, "fetch", params={}) as run:
        raise error
    assert only_run(catalog).status == "cancelled"
    assert run.outcome.exit_code == 130


def test_leases_left_over_are_given_back(catalog):
    add_videos(catalog, 3)
    with catalog.write() as session:
        enrol_media(session)
    with record_run(catalog, "fetch", params={}) as run:
        assert len(claim_media(catalog, owner=run.uid, limit=5)) == 3
    with catalog.read() as session:
        assert (
            session.execute(select(MediaFile.status, MediaFile.attempts)).all()
            == [("pending", 0)] * 3
        )


def test_counting_inside_a_write_waits_for_nobody(catalog):
    with record_run(catalog, "fetch", params={}) as run, catalog.write():
        run.expect(2)
        run.failed("73", "download_failed", "503")
        run.metric("all", "n", 1)
        run.done()
    assert only_run(catalog).n_done == 1
    assert codes(catalog) == ["download_failed"]


def test_write_inside_write_is_refused(catalog):
    with catalog.write(), pytest.raises(CatalogError, match="inside"), catalog.write():
        pass


def test_metrics_are_kept_and_the_last_value_counts(catalog):
    with record_run(catalog, "train", params={}) as run:
        run.metric("val", "mae_k", 5.0)
        run.metric("val", "mae_k", 4.0)
        run.metric("val", "loss", 1.0, step=0)
        run.metric("val", "r2_log", float("nan"))
    with catalog.read() as session:
        rows = session.execute(
            select(RunMetric.name, RunMetric.step, RunMetric.value).order_by(RunMetric.name)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("loss", 0, 1.0),
        ("mae_k", -1, 4.0),
        ("r2_log", -1, None),
    ]
    assert codes(catalog) == ["metric_not_finite"]


def test_a_slot_is_done_once(catalog):
    running = pytest.raises(AlreadyDone, match="is running")
    with record_run(catalog, "nightly", params={}, slot="nightly/2026-07-01"), running:
        record_run(catalog, "nightly", params={}, slot="nightly/2026-07-01").__enter__()
    with pytest.raises(AlreadyDone, match="is ok") as caught:
        record_run(catalog, "nightly", params={}, slot="nightly/2026-07-01").__enter__()
    assert caught.value.exit_code == 5


def test_a_failed_slot_may_be_done_again(catalog):
    slot = "nightly/2026-07-01"
    with (
        pytest.raises(ZeroDivisionError),
        record_run(catalog, "nightly", params={}, slot=slot) as a,
    ):
        raise ZeroDivisionError
    with record_run(catalog, "nightly", params={}, slot=slot) as b:
        pass
    with catalog.read() as session:
        assert [session.get_one(Run, run.id).status for run in (a, b)] == ["failed", "ok"]


def test_a_raced_slot_has_one_winner(catalog):
    won, lost = [], []
    gate = threading.Barrier(4)

    def race() -> None:
        gate.wait()
        try:
            with record_run(catalog, "nightly", params={}, slot="x") as run:
                won.append(run.id)
        except AlreadyDone:
            lost.append(1)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)


@pytest.mark.parametrize("status", ["lost", "cancelled"])
def test_a_run_that_was_broken_off_is_resumed(catalog, status):
    with record_run(catalog, "extract", params={"kind": "clip"}) as first:
        first.done(7)
    make_lost(catalog, first.id, status)
    with record_run(catalog, "extract", params={"kind": "clip"}, resume=True) as second:
        second.expect(3)
        second.done(3)

    assert (second.id, second.uid != first.uid) == (first.id, True)
    row = only_run(catalog)
    assert (row.status, row.n_done, row.n_total) == ("ok", 10, 10)
    assert codes(catalog) == ["run_resumed"]


def test_only_the_same_unfinished_work_is_resumed(catalog):
    with record_run(catalog, "extract", params={"kind": "clip"}) as old:
        pass
    make_lost(catalog, old.id)
    with record_run(catalog, "extract", params={"kind": "audio"}, resume=True) as other:
        pass
    with record_run(catalog, "extract", params={"kind": "clip"}) as newer:
        pass
    with record_run(catalog, "extract", params={"kind": "clip"}, resume=True) as newest:
        pass
    assert len({old.id, other.id, newer.id, newest.id}) == 4


def test_a_score_needs_a_model(catalog):
    with pytest.raises(Exception, match="score_has_model"):
        record_run(catalog, "score", params={}).__enter__()
    model = add_model(catalog)
    with record_run(catalog, "score", params={}, model_version_id=model):
        pass


def test_a_run_that_was_declared_dead_stops(catalog):
    dead = pytest.raises(RunLost, match="declared dead")
    with dead, record_run(catalog, "fetch", params={}) as run:
        make_lost(catalog, run.id)
        run.expect(5)
    assert only_run(catalog).status == "lost"
    assert run.outcome.status == "lost"


def test_a_run_that_was_declared_dead_does_not_end_as_ok(catalog):
    with pytest.raises(RunLost), record_run(catalog, "fetch", params={}) as run:
        make_lost(catalog, run.id)
    assert only_run(catalog).status == "lost"


def test_the_heartbeat_keeps_the_run_and_its_leases(catalog):
    add_videos(catalog, 1)
    with catalog.write() as session:
        enrol_media(session)
    beaten = threading.Event()
    with record_run(catalog, "fetch", params={}, heartbeat_s=0.01) as run:
        began = only_run(catalog).heartbeat_at
        claim_media(catalog, owner=run.uid, limit=1, lease_s=1.0)
        for _ in range(60_000):
            with catalog.read() as session:
                until = session.scalars(select(MediaFile.lease_until)).one()
            if only_run(catalog).heartbeat_at > began and until > utc_now() + timedelta(minutes=5):
                break
            beaten.wait(0.01)
        else:
            pytest.fail("no heartbeat")


def test_a_silent_run_of_another_machine_is_lost_and_one_that_beats_is_not(catalog):
    ids = []
    for _ in range(2):
        with record_run(catalog, "fetch", params={}) as run:
            ids.append(run.id)
    with catalog.write() as session:
        for run_id, uid, silent_s in zip(ids, ("silent", "beating"), (130, 100), strict=True):
            row = session.get_one(Run, run_id)
            row.uid, row.status, row.finished_at, row.host = uid, "running", None, "elsewhere"
            row.heartbeat_at = utc_now() - timedelta(seconds=silent_s)
    assert len(reap(catalog)) == 1
    with catalog.read() as session:
        states = dict(session.execute(select(Run.uid, Run.status)).all())
    assert states == {"silent": "lost", "beating": "running"}


def test_a_number_that_another_process_has_now_is_not_the_same_process():
    me = runs.this_process()
    assert not me.is_dead()
    assert replace(me, started="long ago").is_dead()
    assert not replace(me, host="elsewhere", started="long ago").is_dead()


def test_a_killed_child_is_dead_before_its_parent_collects_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        name = runs.ProcessName(runs.this_host(), child.pid, str(started(child.pid)))
        assert not name.is_dead()
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert name.is_dead()


def test_a_slot_and_its_children_are_cancelled(catalog):
    with record_run(catalog, "nightly", params={}, slot="n/1") as night:
        parent = night.id
        with record_run(catalog, "scrape", params={}, parent_id=parent) as scrape:
            ids = [parent, scrape.id]
    with catalog.write() as session:
        for run_id in ids:
            row = session.get_one(Run, run_id)
            row.status, row.finished_at = "running", None
    assert cancel_slot(catalog, "nightly", "n/1") == ids
    assert cancel_slot(catalog, "nightly", "n/1") == []


def test_a_run_whose_only_unit_broke_half_way_is_partial(catalog):
    with record_run(catalog, "scrape", params={}) as run:
        run.expect(1)
        run.failed("#dance", "listing_blocked", "5 videos are kept", kept=True)
    assert (run.outcome.status, run.outcome.exit_code) == ("partial", 4)


def test_refused_rows_count_without_an_event_each(catalog):
    with record_run(catalog, "import", params={}) as run:
        run.done(3)
        run.refused({"bad_id": 40, "bad_count": 2})
    outcome = run.outcome
    assert (outcome.n_failed, outcome.codes, outcome.exit_code) == (
        42,
        {"bad_id": 40, "bad_count": 2},
        4,
    )
    assert ask(catalog, "SELECT COUNT(*) FROM event") == [(0,)]


def test_a_note_is_an_event_of_the_run(catalog):
    with record_run(catalog, "scrape", params={}) as run:
        run.note("#dance", "listed", {"stop": "end", "n": 3})
    assert ask(catalog, "SELECT level, code, subject FROM event") == [("info", "listed", "#dance")]
