import zipfile
from datetime import UTC, datetime

import pytest

from scraper.errors import ExtraMissing, ImportRefused, UnknownFormat
from scraper.importers.reading import sniff
from scraper.importers.tables import workbook
from tests.scraper.importers.rows import tiktok_id

openpyxl = pytest.importorskip("openpyxl")


def book(path, **sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(exist_ok=True)
    made.save(path)
    return path.read_bytes()


def test_a_workbook_is_a_table(files, tmp_path):
    rows = [
        ["Video ID", "Views", "Posted at", "Caption"],
        [tiktok_id(), 1_500, datetime(2026, 1, 2, 3), "a #b"],  # noqa: DTZ001 (as a workbook has it)
        [None, None, None, None],
        [tiktok_id(1), "2M", None, None],
    ]
    [one, two], [] = files.read("a.xlsx", book(tmp_path / "x" / "a.xlsx", one=rows))

    assert (one.sighting.tiktok_id, one.sighting.views_k) == (tiktok_id(), 1.5)
    assert one.sighting.posted_at == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert (one.sighting.caption, one.sighting.hashtags) == ("a #b", ("b",))
    assert (two.sighting.tiktok_id, two.sighting.views_k) == (tiktok_id(1), 2_000.0)
    assert sniff(files.folder / "a.xlsx") == "table"


def test_an_id_that_the_spreadsheet_rounded_is_refused(files, tmp_path):
    rows = [["id", "views"], [int(tiktok_id()), 5], [float(tiktok_id(1)), 6], [tiktok_id(2), 7]]
    [video], rejects = files.read("a.xlsx", book(tmp_path / "x" / "a.xlsx", one=rows))

    assert video.sighting.tiktok_id == tiktok_id(2)
    assert [row.reason for row in rejects] == ["bad_id", "bad_id"]
    assert "as text" in rejects[0].detail


def test_the_sheet_with_the_videos_is_read_and_the_others_are_named(files, tmp_path):
    sheets = {"notes": [["what", "who"], ["a", "b"]], "data": [["id", "plays"], [tiktok_id(), 5]]}
    [video], [row] = files.read("a.xlsx", book(tmp_path / "x" / "a.xlsx", **sheets, empty=[]))

    assert video.sighting.views_k == 0.005
    assert (row.reason, row.is_skip) == ("other_sheet", True)
    assert "'notes'" in row.detail


def test_a_workbook_without_known_columns_is_refused(files, tmp_path):
    path = files.write("a.xlsx", book(tmp_path / "x" / "a.xlsx", one=[["a", "b"], [1, 2]]))
    with pytest.raises(UnknownFormat, match="no column for id"):
        sniff(path)


def test_a_zip_of_something_else_is_refused(files):
    with zipfile.ZipFile(files.folder / "a.zip", "w") as packed:
        packed.writestr("a.json", "[]")
    with pytest.raises(UnknownFormat, match="a zip file"):
        sniff(files.folder / "a.zip")


def test_a_damaged_workbook_is_refused(files, tmp_path):
    raw = book(tmp_path / "x" / "a.xlsx", one=[["id", "views"], [tiktok_id(), 5]])
    with zipfile.ZipFile(files.folder / "a.xlsx", "w") as packed:
        packed.writestr("xl/workbook.xml", "<")
    with pytest.raises(ImportRefused, match="no whole"):
        sniff(files.folder / "a.xlsx")
    with pytest.raises(ImportRefused):
        sniff(files.write("b.xlsx", raw[:-400]))


def test_a_workbook_that_would_fill_the_memory_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MAX_SHEET_BYTES", 10)
    path = files.write(
        "a.xlsx", book(tmp_path / "x" / "a.xlsx", one=[["id", "views"], [tiktok_id(), "5"]])
    )
    with pytest.raises(ImportRefused, match="bytes"):
        sniff(path)


def test_without_its_package_it_is_named(files, tmp_path, monkeypatch):
    path = files.write("a.xlsx", book(tmp_path / "x" / "a.xlsx", one=[["id", "views"]]))
    monkeypatch.setattr(workbook, "openpyxl", None)
    with pytest.raises(ExtraMissing, match=r"viewcast\[xlsx\]"):
        sniff(path)
