import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import RowRefused
from scraper.importers import json_rows
from scraper.importers.json_rows import Document, is_lines, parse_row, read_rows

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=15,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), max_size=6)


def reasons(rows):
    return [row.refusal.reason if row.refusal else "ok" for row in rows]


def rows_of(text):
    raw = text.encode() if isinstance(text, str) else text
    return list(Document(io.BytesIO(raw)).rows())


@settings(max_examples=50)
@given(ROWS, st.sampled_from([None, 1]), st.booleans())
def test_every_row_of_a_list_comes_back_as_it_was_written(written, indent, is_ascii):
    text = json.dumps(written, indent=indent, ensure_ascii=is_ascii)

    assert [parse_row(row.raw) for row in rows_of(text.encode("utf-8", "ignore"))] == [
        json.loads(json.dumps(row, ensure_ascii=is_ascii).encode("utf-8", "ignore"))
        for row in written
    ]


@settings(max_examples=50)
@given(ROWS, st.integers(1, 40))
def test_where_a_file_is_read_in_pieces_does_not_matter(written, n_bytes):
    raw = json.dumps({"before": ["}", {"]": 1}], "data": {"videos": written}}).encode()

    class Drip(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(n_bytes, size))

    assert [parse_row(row.raw) for row in Document(Drip(raw)).rows()] == written


@pytest.mark.parametrize(
    "wrap",
    [
        '{{"collector": {}}}',
        '{{"statusCode": 0, "itemList": {}, "hasMore": true}}',
        '{{"items":{}}}',
        '{{"data": {{"cursor": 1, "videos": {}}}, "error": {{"code": "ok"}}}}',
        "[]\n{}",
    ],
)
def test_the_rows_are_found_wherever_tools_put_them(wrap):
    assert [row.raw for row in rows_of(wrap.format('[{"id": "1"}, {"id": "2"}]'))] == [
        b'{"id": "1"}',
        b'{"id": "2"}',
    ]


def test_an_object_without_a_list_of_rows_is_one_row():
    assert [row.raw for row in rows_of('{"id": "1", "tags": [{"id": 2}]}\n{"id": "2"}')] == [
        b'{"id": "1", "tags": [{"id": 2}]}',
        b'{"id": "2"}',
    ]


def test_each_row_knows_its_line():
    assert [row.line for row in rows_of('[\n{"a":\n1},\n\n{"b": "\\n"}, {"c": 1}]')] == [2, 5, 5]


def test_what_is_no_object_costs_itself():
    rows = rows_of('[1, {"a": 1}, [{"b": 2}], "x", {"c": 3}, null]')

    assert reasons(rows) == ["not_an_item", "ok", "not_an_item", "not_an_item", "ok", "not_an_item"]


@pytest.mark.parametrize(
    ("text", "n_ok"),
    [
        ('[{"a": 1}, {"b": 2', 1),
        ('[{"a": 1}, ', 1),
        ('{"collector": [{"a": 1}, {"b": "2', 1),
        ('[{"a": 1}}', 1),
        ('{"a": 1', 0),
        ("no JSON", 0),
        ('[{"a": 1}] behind it', 1),
        ("]", 0),
        ('{"a": ' + "[" * 5_000, 0),
    ],
)
def test_a_broken_document_gives_what_came_before_and_says_where_it_broke(text, n_ok):
    assert reasons(rows_of(text)) == ["ok"] * n_ok + ["broken_file"]


@pytest.mark.parametrize("kind", ["string", "numbers", "list"])
def test_a_row_that_is_too_large_costs_itself_and_little_memory(kind, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 10_000)
    monkeypatch.setattr(json_rows, "READ_BYTES", 1_000)
    large = {"string": '"' + 'a\\"' * 2_000_000 + '"', "numbers": "[" + "1," * 2_000_000 + "1]"}
    large["list"] = "[" + "[]," * 50_000 + "[]]"
    raw = f'[{{"a": 1}}, {{"b": {large[kind]}}}, {{"c": 1}}]'.encode()
    tracemalloc.start()

    rows = rows_of(raw)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reasons(rows) == ["ok", "too_large", "ok"]
    assert most_bytes < len(raw) + 1_000_000


@pytest.mark.parametrize("gap", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_python_writes_for_a_gap_is_null(gap):
    assert parse_row(b'{"a": %b, "b": [%b]}' % (gap, gap)) == {"a": None, "b": [None]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
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
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 1_000)
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


def test_a_list_within_a_rows_is_read_row_by_row(monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 10_000)
    monkeypatch.setattr(json_rows, "READ_BYTES", 1_000)
    inner = [{"a": n, "tags": [1, {"entries": [2]}]} for n in range(2_000)]
    whole = {"id": "x", "entries": [{"id": "tab", "entries": inner, "b": [1]}, {"c": 1}]}
    rows = rows_of(json.dumps(whole))

    assert reasons(rows) == ["ok"] * 2_001
    assert [parse_row(row.raw) for row in rows] == [*inner, {"c": 1}]


@pytest.mark.parametrize("cut", [10, 30, 45, 60])
def test_a_list_within_a_row_may_break_off(cut):
    text = '{"entries": [{"entries": [{"a": 1}, {"b": 2}], "c": [1]}, {"d": 1}]}'
    rows = rows_of(text[:cut])

    assert reasons(rows)[-1] == "broken_file"
    assert "broken_file" not in reasons(rows)[:-1]


def test_lists_in_lists_without_end_are_refused():
    rows = rows_of('{"entries": [' * 400 + "1")

    assert reasons(rows) == ["broken_file"]
