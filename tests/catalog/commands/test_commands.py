"""The catalog's commands, as a user calls them."""

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from catalog.commands import COMMANDS
from catalog.console import App, emit_rows
from catalog.errors import BadQuery, SchemaBehind
from catalog.schema.session import Catalog, head
from catalog.work.runs import record_run
from tests.catalog.factories import add_videos


@click.group()
def root() -> None:
    """Stand in for cli.py."""


for command in COMMANDS:
    root.add_command(command)


def call(url: str, data: Path, *arguments: str, fails: bool = False) -> Result:
    app = App(flags={"db": url, "data": data})
    result = CliRunner().invoke(root, list(arguments), obj=app)
    if "catalog" in app.__dict__:
        app.catalog.close()
    if result.exception is not None and not (fails or isinstance(result.exception, SystemExit)):
        raise result.exception
    return result


@pytest.fixture
def say(catalog: Catalog, tmp_path: Path):
    """Call a command with --json and return its document."""

    def said(*arguments: str, code: int = 0):
        result = call(catalog.url, tmp_path, *arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return said


def test_a_new_catalog_is_made_checked_and_taken_down(tmp_path):
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    planned = json.loads(call(url, tmp_path, "db", "upgrade", "--dry-run", "--json").stdout)
    assert (planned["from"], planned["to"], planned["dry_run"]) == (None, head(), True)
    assert not (tmp_path / "catalog.db").exists()
    assert f"went from nothing to {head()}" in call(url, tmp_path, "db", "upgrade").output
    assert f"is at schema {head()}" in call(url, tmp_path, "db", "upgrade").output
    assert call(url, tmp_path, "db", "check").exit_code == 0
    assert json.loads(call(url, tmp_path, "db", "current", "--json").stdout)["revision"] == head()

    refused = call(url, tmp_path, "db", "downgrade", "base")
    assert refused.exit_code == 1
    assert "to base" in call(url, tmp_path, "db", "downgrade", "base", "--force").output
    assert call(url, tmp_path, "db", "check").exit_code == 3
    stale = call(url, tmp_path, "report", fails=True)
    assert isinstance(stale.exception, SchemaBehind)


def test_sql_prints_rows(say, catalog, tmp_path):
    add_videos(catalog, 3)
    document = say(
        "sql", "SELECT tiktok_id, views_k FROM v_video ORDER BY video_id", "--limit", "2"
    )
    assert document["rows"] == [
        {"tiktok_id": "7300000000000000001", "views_k": 10.0},
        {"tiktok_id": "7300000000000000002", "views_k": 20.0},
    ]
    shown = call(catalog.url, tmp_path, "sql", "SELECT tiktok_id FROM v_video", "--limit", "1")
    assert "7300000000000000001" in shown.output
    assert "--limit 0 for all" in shown.output
    refused = call(catalog.url, tmp_path, "sql", "DELETE FROM video", fails=True)
    assert isinstance(refused.exception, BadQuery)


NUMBERS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
)


def test_sql_as_json_gives_every_row_or_says_that_it_does_not(say, catalog, tmp_path):
    whole = say("sql", NUMBERS.format(2_500))
    assert [row["i"] for row in whole["rows"]] == list(range(1, 2_501))
    assert (whole["n_rows"], whole["truncated"], whole["columns"]) == (2_500, False, ["i"])

    cut = call(catalog.url, tmp_path, "sql", NUMBERS.format(9), "--limit", "3", "--json")
    document = json.loads(cut.stdout)
    assert (document["n_rows"], len(document["rows"]), document["truncated"]) == (3, 3, True)
    assert "only the first 3 rows" in cut.stderr
    exact = call(catalog.url, tmp_path, "sql", NUMBERS.format(3), "--limit", "3", "--json")
    assert (json.loads(exact.stdout)["truncated"], exact.stderr) == (False, "")
    assert say("sql", NUMBERS.format(9), "--limit", "0")["n_rows"] == 9
    none = say("sql", "SELECT 1 AS a WHERE 1 = 0")
    assert (none["rows"], none["truncated"]) == ([], False)


def test_a_table_says_that_it_is_cut_only_where_it_is(catalog, tmp_path):
    def shown(n: int, *limit: str) -> str:
        return call(catalog.url, tmp_path, "sql", NUMBERS.format(n), *limit).output

    assert "--limit 0" not in shown(3, "--limit", "3")
    assert "(first 3 rows; --limit 0 for all)" in shown(4, "--limit", "3")
    assert "--limit 0" not in shown(1_000)
    assert "(first 1000 rows" in shown(1_001)


def test_sql_as_json_is_written_as_rows_are_read(catalog, tmp_path, monkeypatch):
    written: list[str] = []
    seen: list[int] = []

    def rows():
        for i in range(4):
            seen.append(sum(map(len, written)))
            yield {"i": i}

    monkeypatch.setattr("sys.stdout.write", written.append, raising=False)
    emit_rows({}, rows())
    monkeypatch.undo()
    assert seen == sorted(set(seen)), "each row is out before the next one is read"


def test_sql_as_json_has_a_word_for_what_json_has_no_number_for(say):
    assert say("sql", "SELECT 9e999 AS a, -9e999 AS b")["rows"] == [{"a": "inf", "b": "-inf"}]


def test_a_list_that_is_cut_says_so(say, catalog, tmp_path):
    for n in range(3):
        with record_run(catalog, "scrape", params={"limit": n}) as run:
            run.failed(f"#tag{n}", "blocked", "captcha")
            run.done(9)
    for words in (("runs", "list"), ("errors",)):
        assert say(*words, "--limit", "2")["truncated"] is True
        assert say(*words, "--limit", "3")["truncated"] is False
        assert "more with --limit" in call(catalog.url, tmp_path, *words, "--limit", "2").output
        assert "--limit" not in call(catalog.url, tmp_path, *words, "--limit", "3").output


def test_a_report_is_printed_and_written(say, tmp_path):
    document = say("report")
    assert Path(document["page"]) == tmp_path / "report.html"
    assert document["totals"]["video"] == 0
    other = say("report", "-o", str(tmp_path / "x.html"))
    assert Path(other["page"]).is_file()


def test_runs_are_listed_and_shown(say, catalog, tmp_path):
    with record_run(catalog, "fetch", params={"limit": 3}) as run:
        run.failed("7", "io", "disk full")
        run.metric("all", "n", 1)
        run.done()
    (row,) = say("runs", "list", "--kind", "fetch")["runs"]
    assert (row["status"], row["n_failed"]) == ("partial", 1)
    shown = say("runs", "show", str(run.id))
    assert shown["params"] == {"limit": 3}
    assert shown["events"][0]["code"] == "io"
    assert "disk full" in call(catalog.url, tmp_path, "runs", "show", str(run.id)).output


def test_errors_are_listed_and_opened_again(say, catalog, tmp_path):
    assert say("errors") == {
        "format": 1,
        "counts": [],
        "failures": [],
        "truncated": False,
    }
    with record_run(catalog, "scrape", params={}) as run:
        run.failed("#dance", "blocked", "captcha")
        run.done()
    assert say("errors", "--code", "blocked")["failures"][0]["subject"] == "#dance"
    assert say("errors", "--retry")["n_opened"] == 0
    assert "n_opened" not in say("errors", "--retry", "--dry-run")
    assert call(catalog.url, tmp_path, "errors", "--retry", "--stage", "clip").exit_code == 2


def test_the_daemon_is_planned_and_asked_after(say, catalog, tmp_path):
    plan = say("daemon", "run", "--at", "02:30", "--timezone", "Europe/Berlin", "--dry-run")
    nightly = next(job for job in plan["jobs"] if job["job"] == "nightly")
    assert "03:00 is safer" in nightly["warning"]
    assert nightly["cron"].split()[:2] == ["30", "2"]
    assert say("daemon", "status", code=1)["why"] == "no daemon is running"
    wrong = call(catalog.url, tmp_path, "daemon", "run", "--at", "half past", "--dry-run")
    assert wrong.exit_code == 2


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_has_help(command):
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for one in [command, *commands]:
        assert one.help
        assert all(option.help for option in one.params if isinstance(option, click.Option))


def test_an_export_takes_the_place_of_files_only(catalog: Catalog, tmp_path: Path) -> None:
    """As root, a device would be gone for all programs of the machine."""
    url, pipe = catalog.url, tmp_path / "pipe"
    os.mkfifo(pipe)

    refused = call(url, tmp_path, "export", "--output", str(pipe))
    assert (refused.exit_code, pipe.is_fifo()) == (2, True)
    missing = call(url, tmp_path, "export", "--output", str(tmp_path / "no" / "x.csv"))
    assert (missing.exit_code, "cannot be written: No such file" in missing.output) == (1, True)

    (tmp_path / "x.csv").write_text("old")
    assert call(url, tmp_path, "export", "--output", str(tmp_path / "x.csv")).exit_code == 0
    assert (tmp_path / "x.csv").read_text().startswith("tiktok_id,")
    assert not list(tmp_path.glob(".*"))
