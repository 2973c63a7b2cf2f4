from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scraper.importers import BadColumns, ExtraMissing, ImportOptions, ImportRefused, read_path
from scraper.importers import parquet as reader
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
        id=pyarrow.array([FIRST_ID // 1024 * 1024, FIRST_ID]),
        playCount=pyarrow.array([44_800, None]),
        hashtags=pyarrow.array([["Dance"], None]),
        collected_at=pyarrow.array([when, when]),
        duration=pyarrow.array([15.5, None]),
    )

    [video], [row] = read(path)

    found = video.sighting
    assert (found.tiktok_id, found.views_k) == (str(FIRST_ID // 1024 * 1024), 44.8)
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
