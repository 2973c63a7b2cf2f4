"""`import` on the command line: what it says of rows, files and columns it cannot take."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.schema.session import upgrade
from cli import main

ROWS = """id,plays,desc
7571863205253778710,1500,first
7.57E+18,20,lost in a spreadsheet
7571863205253778711,many,no count
"""
GOOD, BAD_COUNT = "7571863205253778710", "7571863205253778711"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty catalog."""
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    return tmp_path


def viewcast(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), *words])


def ask(data: Path, sql: str) -> list[dict[str, object]]:
    return json.loads(viewcast(data, "sql", sql, "--json").stdout)["rows"]


def write(data: Path, text: str, name: str = "rows.csv") -> str:
    (data / name).write_text(text, encoding="utf-8")
    return str(data / name)


def test_one_bad_row_costs_one_row_and_is_on_record(data: Path) -> None:
    text = ROWS.replace("7.57E+18,20,lost in a spreadsheet\n", "x,20,no id\n")
    result = viewcast(data, "import", write(data, text), "--json")
    said = json.loads(result.stdout)

    assert result.exit_code == 4
    assert (said["n_new_videos"], said["rejected"]) == (1, {"bad_id": 1, "bad_count": 1})
    [first, second] = ask(data, "select source, line, reason, detail from v_rejected_row")
    assert (first["source"], first["line"], first["reason"]) == ("rows.csv", 3, "bad_id")
    assert (second["line"], second["reason"]) == (4, "bad_count")
    assert "many" in str(second["detail"])

    again = json.loads(viewcast(data, "import", str(data / "rows.csv"), "--json").stdout)
    assert (again["n_new_videos"], again["n_observations"]) == (0, 0)
    assert len(ask(data, "select * from v_rejected_row")) == 2


def test_ids_that_a_spreadsheet_rounded_are_refused_with_that_said(data: Path) -> None:
    result = viewcast(data, "import", write(data, ROWS))
    assert result.exit_code != 0
    assert "7.57E+18" in result.output
    assert "Traceback" not in result.output


def test_a_dry_run_writes_nothing(data: Path) -> None:
    text = f"id,plays\n{GOOD},1500\n"
    result = viewcast(data, "import", write(data, text), "--dry-run", "--json")
    said = json.loads(result.stdout)
    assert (said["n_rows"], said["format"], said["file_format"]) == (1, 1, "table")
    # Not even the key of the author hash, which is made at first use.
    assert not (data / "author.salt").exists()
    for table in ("video", "run", "rejected_row"):
        assert ask(data, f"select count(*) as n from {table}") == [{"n": 0}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv",), "there is no file or folder 'nowhere.csv'"),
        ((".", "--column", "views"), "expected FIELD=COLUMN"),
        (("nowhere.csv", "--format", "xml"), "'xml' is not one of"),
    ],
)
def test_wrong_usage_is_said_in_one_line(data: Path, words: tuple[str, ...], said: str) -> None:
    result = viewcast(data, "import", *words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_later_file_adds_observations(data: Path) -> None:
    viewcast(data, "import", write(data, f"id,plays\n{GOOD},1500\n"))
    later = write(data, f"id,plays\n{GOOD},1700\n", "later.csv")
    said = json.loads(viewcast(data, "import", later, "--json").stdout)
    assert (said["n_known_videos"], said["n_observations"]) == (1, 1)
    growth = ask(data, "select growth_k from v_view_growth where growth_k is not null")
    assert growth == [{"growth_k": pytest.approx(0.2)}]


TABLE = f"""video_id,plays,length,author_name,diggcount,createTime
{GOOD},1500,x,somebody,7,2025-11-09 19:33:40
{BAD_COUNT},20,y,somebody,many,2025-11-09 19:33:41
"""


def test_what_became_of_each_column_is_said_and_kept_with_the_run(data: Path) -> None:
    path = write(data, TABLE)
    options = ("--locale", "en", "--timezone", "Europe/Berlin", "--ignore", "createTime")

    tried = json.loads(viewcast(data, "import", path, *options, "--dry-run", "--json").stdout)
    done = json.loads(viewcast(data, "import", path, *options, "--json").stdout)
    shown = viewcast(data, "import", path, *options, "--dry-run").output

    report = done["report"]
    assert tried["report"] == report
    likes = next(row for row in report["fields"] if row["field"] == "likes")
    assert (likes["from"], likes["n_read"], likes["n_unreadable"]) == ("diggcount", 1, 1)
    assert (likes["example_line"], likes["example"]) == (3, "'many'")
    assert (report["left_aside"], report["ignored"]) == (["length"], ["createTime"])
    for words in ("diggcount", "line 3: 'many'", "left aside: length", "ignored: createTime"):
        assert words in shown

    [run] = ask(data, "select params from run where kind = 'import'")
    params = json.loads(str(run["params"]))
    assert (params["timezone"], params["locale"]) == ("Europe/Berlin", "en")
    assert (params["ignore"], params["format"]) == (["createTime"], "table")
    [event] = ask(data, "select detail from event where code = 'columns'")
    assert json.loads(str(event["detail"])) == report


def test_what_a_json_file_has_and_nobody_reads_is_said(data: Path) -> None:
    row = {"id": GOOD, "views": 5, "author": "a", "odd": {"a": 1}, "gap": float("nan")}
    path = write(data, json.dumps([row]), "rows.json")
    said = json.loads(viewcast(data, "import", path, "--dry-run", "--json").stdout)

    assert said["report"]["left_aside"] == ["odd"]
    assert [row["field"] for row in said["report"]["fields"]] == ["id", "views", "author"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--timezone", "Tokyo"), "expected the like of Asia/Tokyo"),
        (("--timezone", "../x"), "expected the like of Asia/Tokyo"),
        (("--encoding", "klingon"), "there is no encoding 'klingon'"),
        (("--encoding", "base64"), "there is no encoding 'base64'"),
        (("--date-format", "day first"), "no form of a date"),
        (("--date-format", "%H:%M"), "no form of a date"),
        (("--ignore", "colour"), "no column 'colour' for --ignore"),
    ],
)
def test_options_that_cannot_be_are_refused(data: Path, words: tuple[str, ...], said: str) -> None:
    result = viewcast(data, "import", write(data, TABLE), *words)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    "words", [("--encoding", "windows-1252"), ("--ignore", "gap"), ("--column", "views=plays")]
)
def test_options_of_tables_belong_to_tables(data: Path, words: tuple[str, ...]) -> None:
    path = write(data, json.dumps([{"id": GOOD, "views": 5}]), "rows.json")
    result = viewcast(data, "import", path, "--format", "pairs", *words)
    assert result.exit_code == 2
    assert "only tables have" in result.output
