"""The log: JSON lines with the run's id where nobody looks, text on a terminal."""

import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalog import logs
from catalog.schema.session import Catalog, open_catalog, upgrade
from catalog.work.runs import record_run
from tests.programs import ROOT, command, environment


class Kept(logging.Handler):
    """A handler that keeps its lines, set up as the one of standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.json_lines())
        self.addFilter(logs._name_run)
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, log = Kept(), logging.getLogger("test")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    upgrade(url)
    opened = open_catalog(url)
    yield opened
    opened.close()


def test_a_line_says_when_where_and_what(kept: Kept) -> None:
    logging.getLogger("test").info("%s of\n“%s”", 3, "it")

    [line] = kept.lines
    assert datetime.now(UTC) - datetime.fromisoformat(str(line.pop("time"))) < timedelta(hours=1)
    assert line == {
        "level": "INFO",
        "logger": "test",
        "message": "3 of\n“it”",
        "run": None,
        "slot": None,
    }


def test_a_traceback_is_in_its_line(kept: Kept) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("test").exception("broken")

    [line] = kept.lines
    assert "ValueError: why" in str(line["trace"])


def test_a_line_names_the_innermost_run_and_the_slot_of_the_night(
    kept: Kept, catalog: Catalog
) -> None:
    log = logging.getLogger("test")
    with record_run(catalog, "nightly", params={}, slot="nightly/2026-11-23") as night:
        log.info("before")
        with record_run(catalog, "scrape", params={}, parent_id=night.id) as scrape:
            log.info("in it")
            thread = threading.Thread(target=copy_context().run, args=(log.info, "in a thread"))
            thread.start()
            thread.join()
        log.info("after")
    log.info("outside")

    said = {line["message"]: (line["run"], line["slot"]) for line in kept.lines}
    slot = "nightly/2026-11-23"
    assert said == {
        "before": (night.id, slot),
        "in it": (scrape.id, slot),
        "in a thread": (scrape.id, slot),
        "after": (night.id, slot),
        "outside": (None, None),
    }


def test_the_heart_of_a_run_logs_its_run(
    kept: Kept, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    beaten = threading.Event()

    def beat(self: object, stop: threading.Event, every_s: float) -> None:
        logging.getLogger("test").info("beat")
        beaten.set()

    monkeypatch.setattr("catalog.work.journal.Journal.beat", beat)
    with record_run(catalog, "scrape", params={}) as run:
        beaten.wait(60)

    assert [line["run"] for line in kept.lines] == [run.id]


def said(folder: Path, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        command(folder, *arguments),
        cwd=folder,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_in_a_pipe_each_line_is_a_json_document_of_its_run(
    catalog: Catalog, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in said(tmp_path, "-v", "report").splitlines()]
    as_stage = [line for line in lines if line["logger"] == "catalog.work.runs"]

    assert lines
    assert {"time", "level", "logger", "message", "run", "slot"} <= lines[0].keys()
    assert all(line["run"] is not None for line in as_stage)


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_the_format_may_be_set(catalog: Catalog, tmp_path: Path, how: str) -> None:
    words = ["-vv", "alerts", "check"]
    more = {}
    if how == "flag":
        words = ["--log-format", "text", *words]
    elif how == "environment":
        more["VIEWCAST_LOG__FORMAT"] = "text"
    else:
        (tmp_path / "viewcast.toml").write_text('[log]\nformat = "text"\n')

    lines = said(tmp_path, *words, **more).splitlines()
    assert any("catalog.work.runs: run 1: alerts" in line for line in lines)
    assert not [line for line in lines if line.startswith("{")]


def test_a_terminal_gets_text(catalog: Catalog, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command(tmp_path, "-v", "alerts", "check"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            check=True,
        )
        text = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == 0
    assert "catalog.work.runs: run 1: alerts" in text
    assert "{" not in text


def test_wrong_settings_are_still_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "viewcast.toml").write_text("nonsense = 1\n")
    done = subprocess.run(
        [*command(tmp_path, "-v", "runs", "list")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("viewcast: setting nonsense")


def test_help_loads_no_formatter() -> None:
    program = (
        "import sys\nfrom cli import main\n"
        "try:\n    main(['alerts', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(', '.join(m for m in ('pythonjsonlogger', 'apprise', 'pydantic', 'httpx')"
        " if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
