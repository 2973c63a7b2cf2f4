"""Alerts from the command line: each kind by its real cause, and no secret wherever one looks."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.schema.session import downgrade, upgrade
from tests.listeners import MailBox, WebHook, free_port, mail_server, web_hook
from tests.programs import SETTINGS, ask, command, environment, run

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


def test_a_database_that_does_not_answer_is_told_of(
    folder: Path, hook: WebHook, box: MailBox
) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://user:{SECRET}@127.0.0.1:{free_port()}/x"
    run(folder, "--db", url, "alerts", "check", exit_code=3)

    assert told(hook, box) == ["viewcast: the catalog cannot be opened"]
    assert SECRET not in hook.asked[0][2]["message"]


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
