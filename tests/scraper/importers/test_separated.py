import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.importers import separated
from scraper.importers.separated import separated_header, separated_rows

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


def rows_of(files, content, encoding="utf-8"):
    return list(separated_rows(files.write("a.csv", content, encoding)))


def cells(rows):
    return [list(row.cells) for row in rows if row.refusal is None]


def reasons(rows):
    return [row.refusal.reason if row.refusal else "ok" for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@given(table=st.lists(st.tuples(CELL, CELL, CELL), max_size=6))
def test_what_is_written_comes_back(tmp_path_factory, delimiter, table):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("id", "views", "caption"), *table])
    path.write_text(out.getvalue(), newline="", encoding="utf-8")

    assert separated_header(path) == ["id", "views", "caption"]
    assert cells(separated_rows(path)) == [list(row) for row in table]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_spreadsheets_write_what_they_like(files, encoding):
    rows = rows_of(files, "id;views\r\n1;ä\r\n2;3\r\n", encoding)

    assert cells(rows) == [["1", "ä"], ["2", "3"]]
    assert separated_header(files.folder / "a.csv") == ["id", "views"]


def test_a_line_may_say_what_separates(files):
    rows = rows_of(files, "sep=;\nid;views\n1;2\n")

    assert [(row.line, row.cells) for row in rows] == [(3, ["1", "2"])]


def test_a_caption_may_run_over_lines(files):
    rows = rows_of(files, 'id,views\n1,"a\nb"\n2,c\n')

    assert [(row.line, row.cells) for row in rows] == [(2, ["1", "a\nb"]), (4, ["2", "c"])]


def test_a_row_with_too_few_or_too_many_cells_costs_itself(files):
    rows = rows_of(files, "id,views\n1\n\n2,3\n4,5,6\n7,8\n")

    assert reasons(rows) == ["too_few_columns", "ok", "too_many_columns", "ok"]
    assert [row.line for row in rows] == [2, 4, 5, 6]


@pytest.mark.parametrize(
    "bad",
    ['1,"never closed', '1,"closed" too early', '1,"two, "quotes"', '"1,2'],
)
def test_a_quote_that_is_not_closed_costs_its_own_row(files, bad):
    good = "".join(f"{n},{n}\n" for n in range(10, 60))
    rows = rows_of(files, f'id,views\n{bad}\n{good}61,"fine"\n')

    assert [row.line for row in rows if row.refusal] == [2]
    assert len(cells(rows)) == 51
    assert [row.line for row in rows] == list(range(2, 54))


def test_a_byte_that_is_no_utf_8_costs_its_row(files):
    rows = rows_of(files, "id,views\n1,ä\n".encode() + b"2,\xe4\n3,4\n")

    assert reasons(rows) == ["ok", "bad_encoding", "ok"]


def test_a_line_without_end_costs_itself(files, monkeypatch):
    monkeypatch.setattr(separated, "MAX_ROW_CHARS", 1_000)
    rows = rows_of(files, "id,views\n1,2\n3," + "x" * 50_000 + "\n4,5\n")

    assert reasons(rows) == ["ok", "too_large", "ok"]


def test_an_empty_file_has_no_columns(files):
    assert separated_header(files.write("a.csv", "")) == []
    assert rows_of(files, "") == []


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(b"id,views\n" + content)

    assert all(len(row.cells) == 2 or row.refusal for row in separated_rows(path))
