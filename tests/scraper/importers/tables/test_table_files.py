import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import BadColumns, ExtraMissing, ImportRefused, UnknownFormat
from scraper.importers.reading import read_path
from scraper.importers.tables import table_files
from scraper.importers.tables import table_files as reader
from scraper.importers.tables.table_files import separated_header, separated_rows
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import FIRST_ID, split, tiktok_id

pyarrow = pytest.importorskip("pyarrow", reason="the `parquet` extra is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


def written(files, **columns):
    path = files.folder / "a.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


def read(path, **options):
    return split(read_path(path, ImportOptions(**options)))


def test_a_parquet_file_is_read_with_its_own_types(files):
    when = datetime(2025, 11, 13, tzinfo=UTC)
    path = written(
        files,
        id=pyarrow.array([FIRST_ID + 1, FIRST_ID]),
        playCount=pyarrow.array([44_800, None]),
        hashtags=pyarrow.array([["Dance"], None]),
        collected_at=pyarrow.array([when, when]),
        duration=pyarrow.array([15.5, None]),
    )

    [video], [row] = read(path)

    found = video.sighting
    assert (found.tiktok_id, found.views_k) == (tiktok_id(1), 44.8)
    assert (found.hashtags, found.duration_s) == (("dance",), 15.5)
    assert (found.observed_at, video.is_time_stated) == (when, True)
    assert (row.reason, row.line, row.tiktok_id) == ("no_count", 2, tiktok_id())


def test_a_column_with_gaps_may_have_become_floats(files):
    path = written(files, id=[tiktok_id(), tiktok_id(1)], views=pyarrow.array([44_800.0, None]))

    [video], [row] = read(path)

    assert (video.sighting.display_text, row.reason) == ("44800", "no_count")


def test_ids_that_became_floats_are_refused_with_the_whole_file(files):
    path = written(files, id=pyarrow.array([float(FIRST_ID)]), views=[1])

    with pytest.raises(BadColumns, match="lost their last digits"):
        read(path)


def test_a_file_that_is_cut_off_is_refused(files):
    raw = written(files, id=[tiktok_id()], views=[1]).read_bytes()

    with pytest.raises(ImportRefused, match="no whole Parquet file"):
        read(files.write("b.parquet", raw[:-20]))


def test_a_damaged_page_gives_what_came_before_and_one_refusal(files):
    path = written(files, id=[tiktok_id(n) for n in range(500)], views=list(range(500)))
    raw = bytearray(path.read_bytes())
    raw[20:200] = b"\xff" * 180

    _, rejects = read(files.write("b.parquet", bytes(raw)))

    assert "broken_file" in {row.reason for row in rejects}


def test_the_missing_extra_is_named(files, monkeypatch):
    path = written(files, id=[tiktok_id()], views=[1])
    monkeypatch.setattr(reader, "parquet", None)

    with pytest.raises(ExtraMissing, match=r"viewcast\[parquet\]"):
        read(path)


def test_a_moment_that_nobody_can_name_costs_its_row(files):
    path = written(
        files,
        id=[tiktok_id(), tiktok_id(1)],
        views=[1, 2],
        collected_at=pyarrow.array([2**62, 1_763_000_000_000_000], pyarrow.timestamp("us")),
    )

    [video], [row] = read(path)

    assert video.sighting.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)
    assert (row.reason, row.line) == ("bad_time", 1)


def test_moments_to_the_nanosecond_are_read(files):
    when = pyarrow.array([1_763_000_000_123_456_789], pyarrow.timestamp("ns"))
    [video], [] = read(written(files, id=[tiktok_id()], views=[1], collected_at=when))

    assert video.sighting.observed_at.microsecond == 123_456


def test_texts_may_be_bytes(files):
    [video], [] = read(written(files, id=[tiktok_id().encode()], views=[1]))

    assert video.sighting.tiktok_id == tiktok_id()


def test_only_the_columns_that_are_wanted_are_read(files, monkeypatch):
    path = written(files, blob=[b"x" * 1_000], id=[tiktok_id()], other=[{"a": 1}], views=[5])
    asked = []
    batches = parquet.ParquetFile.iter_batches

    def spy(self, **options):
        asked.append(options["columns"])
        return batches(self, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spy)
    [video], [] = read(path)

    assert (video.sighting.tiktok_id, video.sighting.views_k) == (tiktok_id(), 0.005)
    assert asked == [["id", "views"]]


def test_whole_numbers_may_be_decimals(files):
    ids = pyarrow.array([Decimal(FIRST_ID), Decimal(FIRST_ID + 1)], pyarrow.decimal128(20, 0))
    views = pyarrow.array([Decimal("44800.00"), Decimal("1.50")], pyarrow.decimal128(10, 2))

    [video], [row] = read(written(files, id=ids, views=views))

    assert (video.sighting.tiktok_id, video.sighting.views_k) == (tiktok_id(), 44.8)
    assert (row.reason, row.tiktok_id) == ("bad_count", tiktok_id(1))


def test_a_table_without_what_we_need_is_named(files):
    with pytest.raises(BadColumns, match=r"^a\.parquet: no column for views"):
        read(written(files, id=[tiktok_id()]))


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
    monkeypatch.setattr(table_files, "MAX_ROW_CHARS", 1_000)
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


@pytest.mark.parametrize(
    "lengths",
    [
        pyarrow.array([12_500], pyarrow.duration("ms")),
        pyarrow.array([12_500_000_001], pyarrow.duration("ns")),
        pyarrow.array([12_500], pyarrow.time32("ms")),
        pyarrow.array([12_500_000_001], pyarrow.time64("ns")),
    ],
)
def test_lengths_may_have_a_type_of_their_own(files, lengths):
    [video], [] = read(written(files, id=[tiktok_id()], views=[1], duration=lengths))
    assert video.sighting.duration_s == 12.5


@pytest.mark.parametrize("encoding", ["windows-1252", "shift_jis", "utf-16-le", "mac_roman"])
def test_an_encoding_that_is_said_is_believed(files, encoding):
    path = files.write("a.csv", "id,views\n1,ABC\n", encoding)
    assert cells(separated_rows(path, encoding)) == [["1", "ABC"]]


def test_a_byte_that_is_none_in_the_encoding_said_costs_its_row(files):
    path = files.write("a.csv", b"id,views\n1,\x81\n2,3\n")
    assert reasons(separated_rows(path, "windows-1252")) == ["bad_encoding", "ok"]


def test_a_header_may_be_far_longer_than_a_line(files):
    names = ["video_id", "views", *(f"column{n}" for n in range(50_000))]
    row = [tiktok_id(), "5", *["1"] * 50_000]

    [video], [] = files.read("a.csv", f"{','.join(names)}\n{','.join(row)}\n")

    assert video.sighting.views_k == 0.005


def test_a_line_without_end_is_no_header(files, monkeypatch):
    monkeypatch.setattr(table_files, "MAX_HEADER_CHARS", 1_000)
    with pytest.raises(UnknownFormat, match="first line has 1,000 characters"):
        files.read("a.csv", "x" * 5_000)


def test_a_cell_may_hold_a_whole_answer(files):
    large, larger = "x" * 500_000, "x" * (table_files.MAX_CELL_CHARS + 1)
    rows = rows_of(files, f'id,views\n1,"{large}"\n2,"{larger}"\n3,4\n')

    assert reasons(rows) == ["ok", "too_large", "ok"]
    assert "never closed" in rows[1].refusal.detail


def test_what_lies_in_a_structure_is_a_column_too(files):
    stats = [{"playCount": 1_000, "more": {"likes": 5}}, None]
    path = written(files, id=[tiktok_id(), tiktok_id(1)], stats=stats, tags=[["a", "b"], None])

    [video], [row] = read(path)

    assert (video.sighting.views_k, video.sighting.hashtags) == (1.0, ("a", "b"))
    assert (row.line, row.reason) == (2, "no_count")
    columns = {"likes": "stats.more.likes"}
    [video], [_] = split(read_path(path, ImportOptions(columns=columns)))
    assert video.sighting.reactions.n_likes == 5


def test_a_structure_may_lie_beside_two_columns_of_one_name(files):
    names = ["id", "note", "note", "stats"]
    columns = [[tiktok_id()], ["x"], ["y"], [{"playCount": 5}]]
    arrays = [pyarrow.array(column) for column in columns]
    path = files.folder / "a.parquet"
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), path)

    [video], [] = read(path)

    assert video.sighting.views_k == 0.005
