"""What `serve` answers, to whom, and that it only reads."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from catalog.schema.session import head, open_to_read
from catalog.schema.types import utc_now
from catalog.web.app import HEADERS, make_app, make_server
from catalog.work.daemon import LEASE, Job, run_daemon
from catalog.work.job_lease import acquire
from catalog.work.runs import record_run
from catalog.work.schedule import Schedule
from tests.catalog.work.test_daemon import AfterRounds, FakeChild
from tests.programs import HANG_S

DAY = timedelta(hours=26)


@contextmanager
def served(url, data_folder, names=()) -> Iterator[httpx.Client]:
    """A client of a server of that catalog, both on this machine."""
    address: queue.SimpleQueue[str] = queue.SimpleQueue()
    app = make_app(url, data_folder, names=names, max_age=DAY)
    server = make_server(app, bind="127.0.0.1", port=0, on_start=address.put)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with httpx.Client(base_url=address.get(timeout=HANG_S), trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(url, tmp_path):
    with served(url, tmp_path) as opened:
        yield opened


def live_through_a_night(catalog):
    """Let a daemon do its night and end, and another one take the lease."""

    def start(slot):
        with record_run(catalog, "nightly", params={}, slot=slot.name):
            return FakeChild(0)

    hour = (utc_now() - timedelta(hours=1)).hour
    jobs = [Job(Schedule("nightly", f"0 {hour} * * *"), start)]
    run_daemon(catalog, jobs, stop=AfterRounds())
    acquire(catalog, LEASE, ttl_s=60, now=utc_now())


def test_health_says_that_no_daemon_lives(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["why"]) == (503, "no daemon is running")


def test_health_is_good_after_a_good_night(catalog, client):
    live_through_a_night(catalog)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    assert answer.json()["schema"] == head()
    assert answer.json()["jobs"]["nightly"]["last_good_run"]["status"] == "ok"


def test_a_browser_gets_a_page(catalog, client):
    live_through_a_night(catalog)
    answer = client.get("/health", headers={"accept": "text/html,*/*"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "All is well." in answer.text
    assert "nightly/2" in answer.text


def test_a_file_that_is_no_catalog_is_an_answer(tmp_path):
    (tmp_path / "catalog.db").write_text("what a broken disk leaves", "utf-8")
    with served(f"sqlite:///{tmp_path}/catalog.db", tmp_path) as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert "not a database" in answer.json()["why"]


def test_no_password_of_an_address_is_told(tmp_path):
    for url in ("postgresql://127.0.0.1:1/x?user=me&password=hunter2", "me:hunter2@host/x"):
        with served(url, tmp_path) as client:
            assert "hunter2" not in client.get("/health").text


@pytest.mark.parametrize("trouble", ["no file", "other schema"])
def test_a_catalog_that_cannot_be_read_is_an_answer(tmp_path, catalog, trouble):
    url = f"sqlite:///{tmp_path}/none.db" if trouble == "no file" else catalog.url
    if trouble == "other schema":
        with catalog.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        with served(url, tmp_path) as client:
            answer = client.get("/health")
    finally:
        with catalog.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": head()})
    assert answer.status_code == 503
    assert "db upgrade" in answer.json()["why"]


def test_the_report_and_stored_pages_are_given_as_they_are(client, tmp_path):
    assert client.get("/").status_code == 404
    assert client.get("/reports/night.html").status_code == 404
    (tmp_path / "report.html").write_text("<p>é</p>", "utf-8")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "night.html").write_text("<p>n</p>", "utf-8")
    assert client.get("/").content == "<p>é</p>".encode()
    assert client.get("/reports/night.html").text == "<p>n</p>"


@pytest.mark.parametrize("path", ["/../catalog.db", "/reports/../catalog.db", "/reports/out", "/x"])
def test_nothing_else_of_the_data_folder_is_given(client, tmp_path, path):
    (tmp_path / "catalog.db").touch()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "out").symlink_to(Path("/etc/passwd"))
    assert client.get(path.replace("..", "%2e%2e")).status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8420", 404), ("[::1]:8420", 404), ("evil.example", 400), ("[::2]:8420", 400)],
)
def test_other_names_than_its_own_are_refused(client, host, status):
    assert client.get("/", headers={"host": host}).status_code == status


def test_a_name_that_it_was_given_is_its_own(url, tmp_path):
    with served(url, tmp_path, ["views.example"]) as client:
        assert client.get("/", headers={"host": "views.example"}).status_code == 404


def test_every_answer_forbids_a_browser_to_ask_elsewhere(client):
    for path in ("/", "/health", "/none"):
        answer = client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_takes_nothing(client, method):
    assert client.request(method, "/health").status_code == 405


def test_its_connections_cannot_write(url):
    reader = open_to_read(url)
    try:
        with pytest.raises(DBAPIError, match=r"read-?only"), reader.write() as session:
            session.execute(text("DELETE FROM event"))
    finally:
        reader.close()


def test_the_document_is_json(client):
    assert json.loads(client.get("/health").text)["ok"] is False
