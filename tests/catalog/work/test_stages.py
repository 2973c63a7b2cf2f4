import logging
import signal
import time

import pytest
from sqlalchemy import update

from catalog.errors import BadValue
from catalog.schema.tables import Run
from catalog.work.runs import record_run
from catalog.work.stages import run_stages
from tests.fresh_catalog import ask

A_MOMENT = 0.3 / 3600  # h


def stage(catalog, kind, block=lambda run: run.done()):
    """A stage of a night that records itself as a run of that kind."""

    def work(parent_id):
        with record_run(catalog, kind, params={}, parent_id=parent_id) as run:
            block(run)
        return run.outcome

    return kind, work


def failing(error):
    def block(_run):
        raise error

    return block


def night(catalog, *stages, **options):
    said = []
    outcome, lines = run_stages(
        catalog, stages, known_errors=(BadValue,), report=said.append, **options
    )
    return outcome, {line["stage"]: line for line in lines}, said


def statuses(catalog):
    return dict(ask(catalog, "SELECT kind, status FROM run"))


def test_each_stage_is_recorded_below_its_night(catalog):
    outcome, lines, said = night(catalog, stage(catalog, "scrape"), stage(catalog, "report"))
    assert (outcome.status, outcome.n_done) == ("ok", 2)
    assert statuses(catalog) == {"nightly": "ok", "scrape": "ok", "report": "ok"}
    assert ask(catalog, "SELECT count(*) FROM run WHERE parent_id IS NOT NULL") == [(2,)]
    assert lines["report"]["n_done"] == 1
    assert [line.split()[0] for line in said] == ["scrape", "report"]


def test_an_error_of_a_stage_costs_that_stage(catalog, caplog):
    broken = failing(ZeroDivisionError("an error of the program's"))
    with caplog.at_level(logging.ERROR):
        outcome, lines, _said = night(
            catalog,
            stage(catalog, "scrape", failing(BadValue("not this one"))),
            stage(catalog, "fetch", broken),
            stage(catalog, "report"),
        )
    assert (outcome.status, outcome.exit_code) == ("partial", 4)
    assert outcome.codes == {"BadValue": 1, "stage_broken": 1}
    assert lines["scrape"]["error"] == "not this one"
    assert lines["fetch"]["error"] == "ZeroDivisionError: an error of the program's"
    assert lines["report"]["status"] == "ok"
    # Somebody has to mend it: the traceback is said.
    assert "in block" not in lines["fetch"]["error"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError
    ]


def test_a_stage_that_is_out_of_time_ends_and_the_next_ones_work(catalog):
    def endless(run):
        while True:
            run.done()
            time.sleep(0.01)

    outcome, lines, _said = night(
        catalog,
        stage(catalog, "scrape", endless),
        stage(catalog, "report"),
        hours_of=lambda name: A_MOMENT if name == "scrape" else 0.0,
    )
    assert (outcome.status, outcome.codes) == ("partial", {"stage_out_of_time": 1})
    assert lines["scrape"]["status"] == "out_of_time"
    assert statuses(catalog) == {"nightly": "partial", "scrape": "cancelled", "report": "ok"}
    [(n_done,)] = ask(catalog, "SELECT n_done FROM run WHERE kind = 'scrape'")
    assert n_done > 0  # what it finished is kept


def test_a_write_is_not_interrupted(catalog):
    """Half a statement in its connection would keep the night from recording anything."""

    def writing(run):
        with catalog.write() as session:
            until_s = time.monotonic() + 3 * A_MOMENT * 3600
            mark = update(Run).where(Run.id == run.id).values(host="marked").returning(Run.id)
            found = session.execute(mark)
            while time.monotonic() < until_s:
                pass
            assert found.one() == (run.id,)
        while True:
            time.sleep(0.01)

    _outcome, lines, _said = night(
        catalog,
        stage(catalog, "scrape", writing),
        stage(catalog, "report"),
        hours_of=lambda name: A_MOMENT if name == "scrape" else 0.0,
    )
    assert (lines["scrape"]["status"], lines["report"]["status"]) == ("out_of_time", "ok")
    marked = ask(catalog, "SELECT kind, status FROM run WHERE host = 'marked'")
    assert marked == [("scrape", "cancelled")]


def test_a_stage_that_is_quick_leaves_no_alarm_behind(catalog):
    before = signal.getsignal(signal.SIGALRM)
    night(catalog, stage(catalog, "scrape"), hours_of=lambda _name: 1.0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_whoever_is_stopped_is_stopped_whatever_the_stage(catalog):
    with pytest.raises(KeyboardInterrupt):
        night(
            catalog,
            stage(catalog, "scrape", failing(KeyboardInterrupt())),
            stage(catalog, "report"),
        )
    assert statuses(catalog) == {"nightly": "cancelled", "scrape": "cancelled"}
