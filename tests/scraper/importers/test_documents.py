import pytest

from scraper.importers import documents
from scraper.importers.documents import is_lines, parse_row, read_rows
from scraper.importers.errors import RowRefused


def reasons(rows):
    return [row.refusal.reason if row.refusal else "ok" for row in rows]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"a": NaN}', "not_json"),
        (b'{"a": -Infinity}', "not_json"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not_json"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "not_json"),
        (b'{"a": "\xff"}', "bad_encoding"),
        (b"[1]", "not_an_item"),
        (b"", "not_json"),
    ],
)
def test_a_row_that_is_no_json_object_is_refused(row, reason):
    with pytest.raises(RowRefused) as refused:
        parse_row(row)
    assert refused.value.reason == reason


def test_a_damaged_line_costs_itself(files):
    path = files.write("a.ndjson", '{"a": 1}\n{"a": 2\n\n{"a": "\\u00e4"}\n')

    assert [(row.line, row.raw) for row in read_rows(path)] == [
        (1, b'{"a": 1}'),
        (2, b'{"a": 2'),
        (4, b'{"a": "\\u00e4"}'),
    ]


def test_lines_may_each_hold_a_list_of_rows(files):
    path = files.write("a.ndjson", '{"itemList": [{"a": 1}, {"a": 2}]}\n{"items": []}\n{"a": 3}\n')

    assert [(row.line, row.raw) for row in read_rows(path)] == [
        (1, b'{"a": 1}'),
        (1, b'{"a": 2}'),
        (3, b'{"a": 3}'),
    ]


def test_a_line_without_end_costs_itself(files, monkeypatch):
    monkeypatch.setattr(documents, "MAX_ROW_BYTES", 1_000)
    text = '{"a": 1}\n{"b": "' + "x" * 100_000 + '"}\n{"c": 1}\n'

    assert reasons(read_rows(files.write("a.ndjson", text))) == ["ok", "too_large", "ok"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ['[{"a": "ä\U0001f685"}]', '{"a": "ä\U0001f685"}\n{"b": 1}\n'])
def test_a_byte_order_mark_says_how_a_file_is_encoded(files, encoding, text):
    rows = list(read_rows(files.write("a.json", text, encoding)))

    assert parse_row(rows[0].raw) == {"a": "ä\U0001f685"}


def test_lines_are_told_from_a_document_by_what_they_hold():
    assert is_lines(b'{"a": 1}\n{"a": 2}')
    assert is_lines(b'{"a": \n{"a": 2}\n')
    assert not is_lines(b'{"collector": [{"a": 1}]}\n')
    assert not is_lines(b'{\n"a": 1\n}\n')
    assert not is_lines(b'[{"a": 1},\n{"a": 2}]')
