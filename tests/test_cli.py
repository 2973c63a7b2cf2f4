"""The command line as a whole: quick help, one JSON document, exit codes, one-line errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli import main

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "torchvision", "whisper", "selenium", "sqlalchemy", "alembic", "sklearn", "av")


def viewcast(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def all_commands() -> list[tuple[str, ...]]:
    """Every command's path from the root, groups included."""

    def walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        paths = [path]
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                paths += walk(child, (*path, name))
        return paths

    return walk(main, ())


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = viewcast(*path, "--help")

    assert result.exit_code == 0
    assert command_at(path).help


LEAVES = [path for path in all_commands() if not isinstance(command_at(path), click.Group)]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_speaks_json(path: tuple[str, ...]) -> None:
    assert "as_json" in {parameter.name for parameter in command_at(path).params}


@pytest.mark.parametrize("arguments", [["--help"], ["extract", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(m for m in {HEAVY!r} if m in sys.modules) or 0)"
    )

    # How quick that makes it, `bench answers` measures.
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    result = viewcast("--data", str(tmp_path), "report")

    assert result.exit_code == 3
    assert "db upgrade" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_setting_is_one_line_and_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIEWCAST_EXTRACT__WORKERS", "many")

    result = viewcast("--data", str(tmp_path), "config", "show")

    assert result.exit_code == 3
    assert result.stderr.startswith("viewcast: setting extract.workers (environment): ")
    assert result.stderr.count("\n") == 1


def test_an_unknown_option_is_a_usage_error() -> None:
    assert viewcast("score", "--nonsense").exit_code == 2


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_folder_of_any_name_and_any_terminal_end_no_command(
    tmp_path: Path, encoding: str
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x82\xac\n%=:")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, str(ROOT / "cli.py"), "--data", str(folder), *words]
        return subprocess.run(command, env=environment, capture_output=True, check=False)

    made = run("db", "upgrade", "--json")
    shown = run("config", "show")
    missing = run("import", str(folder / "none"))

    assert (made.returncode, shown.returncode, missing.returncode) == (0, 0, 2), made.stderr
    json.loads(made.stdout)
    euro = {"utf-8": "\u20ac"}.get(encoding, r"\u20ac")
    assert rf"caf\xe9 {euro}" in shown.stdout.decode(encoding)
    assert rf"caf\xe9 {euro}\n%=:/none" in missing.stderr.decode(encoding)
    document = json.loads(run("config", "show", "--json").stdout.decode(encoding))
    assert document["settings"]["data"] == str(tmp_path / "caf\\xe9 \u20ac\n%=:")


def test_config_show_says_where_each_setting_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIEWCAST_CLIP__EVERY_FRAMES", "100")

    result = viewcast("--data", str(tmp_path), "config", "show", "--origin", "--json")

    settings = json.loads(result.stdout)["settings"]
    assert settings["clip.every_frames"] == {"value": "100", "origin": "environment"}
    assert settings["data"]["origin"] == "flag"
    assert settings["scrape.limit"]["origin"] == "default"


def test_a_proxys_password_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIEWCAST_FETCH__PROXY", "http://me:hunter2@proxy.example:8080")
    for options in ([], ["--origin"], ["--json"]):
        result = viewcast("--data", str(tmp_path), "config", "show", *options)
        assert "hunter2" not in result.output
        assert "http://me:***@proxy.example:8080" in result.output.replace("\n", "")

    monkeypatch.setenv("VIEWCAST_BROWSER__PROXY", "http://me:hunter2@proxy.example:8080")
    result = viewcast("--data", str(tmp_path), "--debug", "config", "show")
    assert result.exit_code != 0
    assert "hunter2" not in result.output + str(result.exception)

    monkeypatch.setenv("VIEWCAST_BROWSER__PROXY", "ftp://me:hunter2@proxy.example")
    result = viewcast("--data", str(tmp_path), "config", "show")
    assert result.exit_code == 3
    assert "expected http, https, socks5" in result.stderr
    assert "hunter2" not in result.output


def test_python_cli_py_and_the_console_script_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("viewcast")
    outputs = {
        subprocess.run(
            [*command, "--version"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        for command in ([sys.executable, "cli.py"], [str(script)])
    }

    assert len(outputs) == 1


def test_a_question_is_answered_from_the_demo_where_there_is_no_other_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert viewcast("--data", "demo-data", "db", "upgrade").exit_code == 0

    answer = viewcast("sql", "select * from v_run_leaderboard", "--json")

    assert answer.exit_code == 0
    assert "--data demo-data" in answer.stderr
    assert viewcast("--data", "other", "sql", "select 1").exit_code == 3
    assert viewcast("db", "upgrade").exit_code == 0
    assert viewcast("sql", "select 1 as one").stderr == ""


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    result = viewcast("--data", str(tmp_path / "taken" / "data"), "db", "upgrade")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert str(tmp_path / "taken") in result.output


#: What changes no row: it reads, or what it writes is only the file that was asked for.
READERS = frozenset(
    {
        "alerts list",
        "compare",
        "config show",
        "daemon status",
        "db check",
        "db current",
        "export",
        "features list",
        "features show",
        "ledger list",
        "ledger show",
        "models history",
    }
    | {"models compare-autoencoders", "models describe", "models list", "models presets", "replica"}
    | {"report", "runs list", "runs show", "search", "serve", "split list", "split show", "sql"}
    | {"topic list", "weights list", "weights verify"}
)


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_what_changes_the_catalog_has_a_dry_run(path):
    command = command_at(path)
    options = {option for parameter in command.params for option in parameter.opts}
    is_reader = isinstance(command, click.Group) or " ".join(path) in READERS
    assert ("--dry-run" in options) == (not is_reader)


def test_a_dry_demo_names_its_stages_and_makes_nothing(tmp_path):
    data = tmp_path / "d"
    done = viewcast("--data", str(data), "demo", "--dry-run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["stages"][:2]) == (0, ["scrape", "refresh"])
    assert not data.exists()


@pytest.mark.parametrize(
    ("word", "stages"),
    [
        (None, ["scrape", "refresh", "fetch"]),
        ("all", ["scrape", "refresh", "fetch"]),
        ("true", ["scrape", "refresh", "fetch"]),
        ("false", ["scrape", "refresh", "fetch"]),
        ("never", ["scrape", "fetch", "extract files"]),
    ],
)
def test_a_night_refreshes_unless_it_is_told_not_to(tmp_path, monkeypatch, word, stages):
    if word is not None:
        monkeypatch.setenv("VIEWCAST_NIGHTLY__REFRESH", word)
    done = viewcast("--data", str(tmp_path / "d"), "nightly", "--dry-run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["stages"][:3]) == (0, stages)
    assert not (tmp_path / "d").exists()
