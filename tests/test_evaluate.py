"""`evaluate`: several collections through the whole program, one that fails, one that is killed."""

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import main

ROOT = Path(__file__).resolve().parent.parent
N = 200
TRAINED = ("ridge", "author_mean", "median")


def write_collection(file: Path, seed: int = 0) -> None:
    """An invented collection: the author decides the level, a word in the caption doubles it."""
    rng = random.Random(seed)
    levels = [rng.gauss(8, 1.5) for _ in range(20)]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "plays", "author", "caption", "posted_at", "observed_at", "length"])
        for n in range(N):
            author = rng.randrange(20)
            is_fun = rng.random() < 0.5
            views = round(2.72 ** (levels[author] + is_fun + rng.gauss(0, 0.3)))
            day, hour = 1 + n // 10, n % 10
            posted = f"2026-01-{day:02}T{hour:02}:30:00Z"
            caption = "so much fun #dance" if is_fun else "just a day #life"
            length = f"00:{10 + n % 40}"
            row = [
                f"v{n}",
                views,
                f"maker{author}",
                caption,
                posted,
                "2026-03-01T00:00:00Z",
                length,
            ]
            writer.writerow(row)


FILE = """
splits = ["time"]
models = ["ridge"]
against = ["author_mean", "median"]

[[collection]]
name = "invented"
path = "invented.csv"

[collection.import]
platform = "shorts"
columns = { views = "plays", duration_s = "length" }
"""
BROKEN = '\n[[collection]]\nname = "broken"\npath = "nowhere.csv"\nsplits = ["time"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_collection(tmp_path / "invented.csv")
    found = tmp_path / "several.toml"
    found.write_text(FILE, encoding="utf-8")
    return found


def viewcast(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), "evaluate", *words])


def document(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def cells(column: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cell["model"]: cell for cell in column["cells"]}


def catalog_of(data: Path) -> Path:
    (found,) = (data / "evaluate").glob("invented-*/catalog.db")
    return found


def ask(database: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_collections_are_compared_in_one_table_and_a_bad_one_costs_itself(
    file: Path, tmp_path: Path
) -> None:
    file.write_text(FILE.replace('["time"]', '["time", "author"]') + BROKEN, encoding="utf-8")
    data, page = tmp_path / "data", tmp_path / "table.html"

    found = document(viewcast(data, str(file), "--json", "-o", str(page)), code=4)

    time_, author, broken = found["columns"]
    assert [(c["collection"], c["split"]) for c in (time_, author, broken)] == [
        ("invented", "time"),
        ("invented", "author"),
        ("broken", "time"),
    ]
    assert (time_["n"], time_["n_train"], time_["rival"]) == (40, 140, "author_mean")
    assert "nowhere.csv" in broken["error"]
    assert broken["error"] in found["failed"][0]
    ridge, rival = cells(time_)["ridge"], cells(time_)["author_mean"]
    # The author decides most, and every author of the held-out posts has earlier ones.
    assert ridge["spearman"] > 0.6
    assert ridge["log_mae"] < cells(time_)["median"]["log_mae"]
    assert ridge["difference"] == pytest.approx(ridge["log_mae"] - rival["log_mae"])
    assert ridge["difference_low"] <= ridge["difference"] <= ridge["difference_high"]
    assert ridge["verdict"] in ("better", "worse", "no evidence")
    assert all(cell["cpu_s"] >= 0 for cell in time_["cells"])
    assert "maker" not in page.read_text(encoding="utf-8")
    assert "invented" in page.read_text(encoding="utf-8")

    first = ask(catalog_of(data), "SELECT name, version, train_run_id FROM model_version")
    again = document(viewcast(data, str(file), "--json"), code=4)
    assert ask(catalog_of(data), "SELECT name, version, train_run_id FROM model_version") == first
    assert ask(catalog_of(data), "SELECT COUNT(*) FROM run WHERE kind = 'import'") == [(1,)]
    assert again["columns"] == found["columns"], "nothing is done twice, and nothing changes"

    shown = viewcast(data, str(file))
    assert "rival author_mean" in shown.output
    assert "nowhere.csv" in shown.stderr
    only = document(viewcast(data, str(file), "--only", "broken", "--json"), code=1)
    assert [column["collection"] for column in only["columns"]] == ["broken"]


def test_another_file_of_that_name_has_a_catalog_of_its_own(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = document(viewcast(data, str(file), "--json"))
    write_collection(tmp_path / "invented.csv", seed=1)
    after = document(viewcast(data, str(file), "--json"))

    assert len(list((data / "evaluate").iterdir())) == 2
    assert after["columns"][0]["cells"][0]["log_mae"] != before["columns"][0]["cells"][0]["log_mae"]


def test_a_dry_run_changes_nothing(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    plan = document(viewcast(data, str(file), "--dry-run", "--json"))

    assert plan["collections"][0]["models"] == list(TRAINED)
    assert plan["collections"][0]["is_there"] is True
    assert not data.exists()
    assert "ridge, author_mean, median" in viewcast(data, str(file), "--dry-run").output


@pytest.mark.parametrize("output", ["table.xls", "none/table.csv"])
def test_a_table_that_could_not_be_written_is_refused_at_once(
    file: Path, tmp_path: Path, output: str
) -> None:
    result = viewcast(tmp_path / "data", str(file), "-o", str(tmp_path / output))
    assert result.exit_code == 2
    assert not (tmp_path / "data").exists()


def test_a_model_that_cannot_be_trained_costs_itself(file: Path, tmp_path: Path) -> None:
    # A network of clips, of which there are none.
    file.write_text(FILE.replace('["ridge"]', '["ridge", "paper-cnn3d"]'), encoding="utf-8")
    found = document(viewcast(tmp_path / "data", str(file), "--json"), code=4)

    lost = cells(found["columns"][0])["paper-cnn3d"]
    assert "clip" in lost["error"]
    assert lost["log_mae"] is None
    assert cells(found["columns"][0])["ridge"]["log_mae"] > 0


def test_an_age_that_cannot_be_is_refused_before_anything_is_done(
    file: Path, tmp_path: Path
) -> None:
    file.write_text('label_age = "999999w"\n' + FILE, encoding="utf-8")
    result = viewcast(tmp_path / "data", str(file))
    assert result.exit_code == 2
    assert "invented: label_age: '999999w' is longer than" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_judge_is_asked_where_the_settings_name_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(FILE.replace('["ridge"]', '["judge"]'), encoding="utf-8")
    data = tmp_path / "data"
    off = document(viewcast(data, str(file), "--json"), code=4)
    assert "the judge is off" in cells(off["columns"][0])["judge"]["error"]

    # The longer the question, the more: what it says is of no account here.
    body = "import json, sys; print(json.dumps({'views': len(sys.stdin.read())}))"
    monkeypatch.setenv("VIEWCAST_JUDGE__COMMAND", json.dumps([sys.executable, "-S", "-c", body]))
    monkeypatch.setenv("VIEWCAST_JUDGE__TRAIN_CALLS", "12")
    found = document(viewcast(data, str(file), "--json"))
    assert cells(found["columns"][0])["judge"]["log_mae"] > 0


def test_without_any_time_there_is_no_split_by_time(file: Path, tmp_path: Path) -> None:
    table = tmp_path / "invented.csv"
    text = table.read_text(encoding="utf-8").replace("posted_at", "whenever")
    table.write_text(text, encoding="utf-8")
    file.write_text(FILE.replace('["time"]', '["time", "author"]'), encoding="utf-8")
    by_time, by_author = document(viewcast(tmp_path / "data", str(file), "--json"), code=4)[
        "columns"
    ]
    assert "nobody knows when" in by_time["error"]
    assert by_author["error"] is None


def test_a_killed_evaluation_goes_on_and_ends_as_an_unbroken_one(
    file: Path, tmp_path: Path
) -> None:
    # Who is held out then hangs on the authors' pseudonyms, which are the same everywhere.
    file.write_text(FILE.replace('["time"]', '["author"]'), encoding="utf-8")
    data = tmp_path / "data"
    command = [sys.executable, str(ROOT / "cli.py"), "--data", str(data), "evaluate", str(file)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_a_model(data, child)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    made = ask(catalog_of(data), "SELECT name, version, train_run_id FROM model_version")

    found = document(viewcast(data, str(file), "--json"))

    after = ask(catalog_of(data), "SELECT name, version, train_run_id FROM model_version")
    assert set(made) <= set(after), "what was trained is kept"
    assert sorted(name for name, *_ in after) == sorted(f"{model}-author" for model in TRAINED)
    assert ask(catalog_of(data), "SELECT COUNT(*) FROM video") == [(N,)]
    unbroken = document(viewcast(tmp_path / "other", str(file), "--json"))
    assert found["columns"][0]["n"] == unbroken["columns"][0]["n"]
    for model, cell in cells(unbroken["columns"][0]).items():
        assert cells(found["columns"][0])[model]["log_mae"] == pytest.approx(cell["log_mae"])


def _wait_for_a_model(data: Path, child: "subprocess.Popen[bytes]") -> None:
    while child.poll() is None:
        try:
            if ask(catalog_of(data), "SELECT COUNT(*) FROM model_version") != [(0,)]:
                return
        except (ValueError, sqlite3.OperationalError):
            pass  # no catalog yet
        time.sleep(0.02)
    pytest.fail("it ended before it had trained anything")
