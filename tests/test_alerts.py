"""Alerts from the command line: each kind by its real cause, and no secret wherever one looks."""

import json
import math
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from catalog.ages import AgeRule
from catalog.console import Silent
from catalog.facts import PredictionFacts
from catalog.record import lineage
from catalog.record.ledger import judge
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog, downgrade, open_catalog, upgrade
from catalog.schema.tables import Run
from catalog.schema.types import utc_now
from catalog.work.runs import record_run
from scraper.replica.content import ReplicaConfig
from scraper.replica.faults import make_fault
from scraper.replica.server import Replica
from tests.catalog.factories import SHA, add_model, seen, video_facts
from tests.listeners import MailBox, WebHook, free_port, mail_server, web_hook
from tests.programs import HANG_S, SETTINGS, ask, command, environment, run, start

SECRET = "hush8317hush8317hush8317hush"


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with web_hook() as listening:
        yield listening


@pytest.fixture
def box() -> Iterator[MailBox]:
    with mail_server(SECRET) as listening:
        yield listening


@pytest.fixture
def folder(tmp_path: Path, hook: WebHook, box: MailBox) -> Path:
    """A data folder with a catalog, a web hook and a mail server in its settings."""
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    write_settings(tmp_path, hook, box)
    return tmp_path


def write_settings(
    folder: Path, hook: WebHook, box: MailBox, alerts: str = "", rest: str = ""
) -> None:
    people = "from=viewcast@example.org&to=ops@example.org"
    urls = [
        f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}",
        f"mailto://user:{SECRET}@127.0.0.1:{box.port}?{people}",
    ]
    low = "" if "disk" in alerts else "disk_free_gb = 0\ndisk_free_share = 0\n"
    (folder / SETTINGS).write_text(
        f"{rest}[alerts]\nurls = {json.dumps(urls)}\nretry_after_s = 0\n{low}{alerts}\n"
    )


def told(hook: WebHook, box: MailBox) -> list[str]:
    """The titles that came, which are the same in both channels."""
    assert sorted(hook.titles) == sorted(subject for _to, subject, _text in box.mails)
    return hook.titles


def test_a_test_message_reaches_every_channel(folder: Path, hook: WebHook, box: MailBox) -> None:
    said = run(folder, "alerts", "test")

    assert [(row["channel"], row["reason"]) for row in said["channels"]] == [
        ("1:json", None),
        ("2:mailto", None),
    ]
    assert told(hook, box) == ["viewcast: a test"]
    assert run(folder, "alerts", "test", "--dry-run")["channels"] == ["1:json", "2:mailto"]
    hook.answers += [503] * 3
    said = run(folder, "alerts", "test", exit_code=1)
    assert [row["reason"] for row in said["channels"]] == ["HTTP 503", None]
    (folder / SETTINGS).write_text("")
    assert run(folder, "alerts", "test", exit_code=1)["channels"] == []


def test_a_dry_check_tells_nobody_but_who_asks(folder: Path, hook: WebHook, box: MailBox) -> None:
    write_settings(folder, hook, box, "disk_free_gb = 1e9")
    [alert] = run(folder, "alerts", "check", "--dry-run")["alerts"]
    assert (alert["kind"], hook.asked, ask(folder, "SELECT * FROM run")) == ("disk_low", [], [])


def test_a_low_disk_is_told_of_once_and_listed(folder: Path, hook: WebHook, box: MailBox) -> None:
    write_settings(folder, hook, box, "disk_free_gb = 1e9")
    first, second = run(folder, "alerts", "check"), run(folder, "alerts", "check")

    [title] = told(hook, box)
    assert title.endswith("GB free")
    assert (first["n_done"], second["n_done"]) == (2, 0)
    listed = [row["code"] for row in run(folder, "alerts", "list")["alerts"]]
    assert listed == ["alert_sent", "alert_sent", "alert_raised"]


@pytest.mark.parametrize("words", [("alerts", "check"), ("nightly",)])
def test_a_schema_behind_is_told_of_though_the_catalog_stays_shut(
    folder: Path, hook: WebHook, box: MailBox, words: tuple[str, ...]
) -> None:
    downgrade(f"sqlite:///{folder / 'catalog.db'}", "0007")
    for _ in range(2):
        run(folder, *words, exit_code=3)

    assert told(hook, box) == ["viewcast: the schema is behind"]
    assert "`viewcast db upgrade`" in hook.asked[0][2]["message"]


def test_a_channel_that_does_not_answer_keeps_nobody_who_is_told_to_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = f"mailto://u:{SECRET}@127.0.0.1:{silent.getsockname()[1]}?from=a@b.de&to=c@d.de"
        # Its own limit is far off: only the signal ends it.
        urls = json.dumps([f"{mail}&cto=3600&rto=3600"])
        (tmp_path / SETTINGS).write_text(f"[alerts]\nurls = {urls}\n")
        program = start(tmp_path, "alerts", "test")
        connection, _address = silent.accept()
        with connection:
            program.terminate()
            assert program.wait(HANG_S) == 130


def test_a_database_that_does_not_answer_is_told_of(
    folder: Path, hook: WebHook, box: MailBox
) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://user:{SECRET}@127.0.0.1:{free_port()}/x"
    run(folder, "--db", url, "alerts", "check", exit_code=3)

    assert told(hook, box) == ["viewcast: the catalog cannot be opened"]
    assert SECRET not in hook.asked[0][2]["message"]


@contextmanager
def opened(folder: Path) -> Iterator[Catalog]:
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    yield catalog
    catalog.close()


def night(catalog: Catalog, day: int, n_new: int) -> None:
    """A night that found so many videos."""
    with record_run(catalog, "nightly", params={}, slot=f"nightly/2026-11-{day:02}") as run:
        with record_run(catalog, "scrape", params={}, parent_id=run.id) as scrape:
            now = utc_now()
            found = [(video_facts(f"{day:04}{n:04}"), seen(1.0, at=now)) for n in range(n_new)]
            with catalog.write() as session:
                store_sightings(session, found, run_id=None, found_by="dance")
            scrape.done()
        run.done()


def test_few_new_videos_are_told_of(folder: Path, hook: WebHook, box: MailBox) -> None:
    with opened(folder) as catalog:
        for day, n_new in enumerate((9, 8, 7, 2), 1):
            night(catalog, day, n_new)
    run(folder, "alerts", "check")

    assert told(hook, box) == ["viewcast: 2 new videos, usual 8"]


def test_a_late_night_is_told_of(folder: Path, hook: WebHook, box: MailBox) -> None:
    with opened(folder) as catalog:
        night(catalog, 1, 2)
    assert run(folder, "alerts", "check")["n_done"] == 0
    with opened(folder) as catalog, catalog.write() as session:
        then = utc_now() - timedelta(hours=27)
        session.execute(update(Run).values(started_at=then, finished_at=then))
    run(folder, "alerts", "check")

    assert told(hook, box) == ["viewcast: no good night for 27 hours"]


@pytest.mark.chromium
def test_a_site_that_blocks_is_told_of_by_the_night_itself(
    folder: Path, hook: WebHook, box: MailBox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = ReplicaConfig(videos_per_tag=6, topics=("Sports",))
    clips = tmp_path_factory.mktemp("clips")
    with Replica(config, clips, faults={"sports": make_fault("captcha")}) as site:
        rest = (
            f'[site]\nbase_url = "{site.url}"\nblocks_to_stop = 1\n[nightly]\nretrain = "never"\n'
        )
        ping = f'ping_url = "http://127.0.0.1:{hook.port}/{SECRET}"'
        write_settings(folder, hook, box, ping, rest)
        run(folder, "topic", "add", "Sports", "sports")
        slot = "nightly/2026-11-23"
        run(folder, "nightly", "--slot", slot, exit_code=4)

    assert told(hook, box) == [f"viewcast: {slot} failed", "viewcast: the site refuses to answer"]
    assert hook.paths[-1] == f"/{SECRET}/fail"
    run(folder, "alerts", "check")
    assert len(told(hook, box)) == 2


def plant_ledger(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty nights of forecasts that came true within 30 %, and tonight's missed by 50 times."""
    rng, now, day = random.Random(0), utc_now(), timedelta(days=1)
    week_s = 7 * 86_400
    with opened(folder) as catalog:
        model_id = add_model(catalog)
        for k in range(20, -1, -1):
            judged_at = now - k * day
            posted_at = judged_at - 8 * day
            facts = []
            for n in range(20 if k else 120):
                truth_k = 10 * math.exp(rng.gauss(0, 0.3)) * (1 if k else 50)
                video = video_facts(f"{k:03}{n:03}", posted_at=posted_at)
                counts = [(video, seen(truth_k, at=posted_at + d * day)) for d in (6.9, 7.1)]
                with catalog.write() as session:
                    store_sightings(session, counts, run_id=None, found_by="dance")
                [(video_id,)] = ask(folder, "SELECT max(id) FROM video")
                facts.append(
                    PredictionFacts(
                        video_id, 10.0, None, None, None, None, SHA, "new", 5.0, 20.0, week_s,
                        posted_at,
                    )
                )  # fmt: skip
            with record_run(catalog, "score", params={}, model_version_id=model_id) as run_:
                with monkeypatch.context() as clock, catalog.write() as session:
                    clock.setattr(lineage, "utc_now", lambda at=posted_at + day: at)
                    lineage.store_predictions(session, run_.id, facts)
                run_.done()
            with record_run(catalog, "judge", params={}) as run_:
                judge(catalog, run_, Silent(), now=judged_at, rule=AgeRule())


def test_a_model_that_drifts_is_told_of_by_its_ledger(
    folder: Path, hook: WebHook, box: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_ledger(folder, monkeypatch)
    run(folder, "alerts", "check")

    assert told(hook, box) == [
        "viewcast: forecasts miss by more than usual",
        "viewcast: intervals do not hold as they say",
    ]
    texts = [body["message"] for _method, _path, body in hook.asked]
    assert "fused at 7d: log_mae" in texts[0]
    assert "counts lie within their intervals, 80% should" in texts[1]


def output(folder: Path, *words: str) -> str:
    done = subprocess.run(
        command(folder, *words),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.stdout}{done.stderr}"


def test_no_secret_is_printed_logged_or_stored(folder: Path, hook: WebHook, box: MailBox) -> None:
    closed = free_port()
    urls = [
        f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}",
        f"json://127.0.0.1:{closed}/{SECRET}",
        f"mmost://127.0.0.1:{closed}/{SECRET}",
        f"slack://{SECRET[:9]}/{SECRET[:11]}/{SECRET}/#ops",
        f"mailto://user:{SECRET}@127.0.0.1:{closed}?from=a@example.org&to=b@example.org",
        f"nonsense://{SECRET}",
        SECRET,
    ]
    (folder / SETTINGS).write_text(
        f"[alerts]\nurls = {json.dumps(urls[:3] + urls[5:])}\nretry_after_s = 0\n"
        f'ping_url = "http://127.0.0.1:{closed}/{SECRET}"\ndisk_free_gb = 1e9\n'
    )
    loud = ("-vv", "--debug")
    said = [
        output(folder, *loud, "alerts", "check"),
        output(folder, *loud, "--log-format", "text", "alerts", "test"),
        output(folder, "alerts", "list"),
        output(folder, "config", "show", "--origin"),
        output(folder, "config", "show", "--json"),
        output(folder, "runs", "list", "--json"),
    ]

    assert hook.asked
    assert "HTTP" not in said[0]
    assert "connection refused" in said[0]
    assert SECRET[:9] not in "".join(said)
    for file in folder.rglob("*"):
        if file.is_file() and file.name != SETTINGS:
            assert SECRET[:9].encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "alerts",
    [
        f'urls = "slack://{SECRET}"',
        f'urls = {{ a = "slack://{SECRET}" }}',
        f'urls = [["slack://{SECRET}"]]',
        f'ping_url = "ftp://{SECRET}"',
        f'ping_url = ["https://{SECRET}"]',
        f'urls = ["slack://{SECRET}"]\nmute = ["{SECRET[:0]}x"]',
    ],
)
@pytest.mark.parametrize("loud", [(), ("--debug",)])
def test_a_wrong_setting_is_named_without_its_secret(
    tmp_path: Path, alerts: str, loud: tuple[str, ...]
) -> None:
    (tmp_path / SETTINGS).write_text(f"[alerts]\n{alerts}\n")
    said = output(tmp_path, *loud, "config", "show")

    assert "setting alerts." in said
    assert SECRET not in said


def test_a_secret_in_the_environment_that_cannot_be_read_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIEWCAST_ALERTS__URLS", f"slack://{SECRET}")
    for loud in ((), ("--debug",)):
        said = output(tmp_path, *loud, "config", "show")
        assert "setting alerts (environment): " in said
        assert SECRET not in said
