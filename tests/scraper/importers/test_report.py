import re

import pytest

from scraper.importers import report as module
from scraper.importers.reading import read_path
from scraper.importers.report import ImportReport, Offsets
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import actor_item, tiktok_id, web_item

HOUR = 3_600
DAY = 24 * HOUR


def zone_error(*offsets):
    found = Offsets()
    for offset in offsets:
        found.add(offset)
    return found.zone_error()


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([9 * HOUR] * 3, r"\+9:00 h.*Asia/Tokyo"),
        ([9 * HOUR + 5, 9 * HOUR + 100, 9 * HOUR - 50], "3 of 3"),
        ([5.5 * HOUR] * 4, r"\+5:30 h.*Asia/Kolkata"),
        ([-8 * HOUR] * 3, "-8:00 h.*America/Los_Angeles"),
        ([-3 * HOUR] * 3, r"-3:00 h.*Etc/GMT\+3"),
        ([HOUR] * 10 + [2 * HOUR] * 10, r"\+1:00 or \+2:00 h.*Europe/Berlin"),
        ([9 * HOUR] * 19 + [4 * 24 * HOUR], "19 of 20"),
    ],
)
def test_an_offset_that_all_have_is_a_time_zone(offsets, said):
    assert re.search(said, zone_error(*offsets))


@pytest.mark.parametrize(
    "offsets",
    [
        [],
        [9 * HOUR] * 2,
        [3, 5, 100, 60],
        [9 * HOUR, 3, 5, 7],
        [4 * 24 * HOUR] * 5,
        [1_234 * n for n in range(1, 30)],
        [2 * HOUR] * 5 + [9 * HOUR] * 5,
    ],
)
def test_scheduled_posts_are_no_time_zone(offsets):
    assert zone_error(*offsets) is None


@pytest.mark.parametrize(
    ("offsets", "is_said"),
    [
        ([3, 30 * DAY, 61 * DAY, 91 * DAY], True),
        ([-30 * DAY, -2_000 * DAY, 5, -DAY - 1], True),
        ([30 * DAY, 31 * DAY], False),
        ([3, 5, 4 * DAY, 100], False),
    ],
)
def test_posts_that_mostly_lie_days_off_are_named(offsets, is_said):
    found = Offsets()
    for offset in offsets:
        found.add(offset)
    assert (found.format_error() is not None) is is_said


def test_every_cell_of_the_rows_taken_is_counted_once():
    report = ImportReport()
    length = report.field("duration_s", "duration")
    report.taken(2, [])
    report.taken(3, [(length, "")])
    report.taken(4, [(length, "long")])
    report.taken(5, [(length, "longer")])
    late = report.field("likes", "diggCount")
    report.taken(6, [(late, [])])

    duration, likes = report.as_dict()["fields"]
    assert (duration["n_read"], duration["n_empty"], duration["n_unreadable"]) == (2, 1, 2)
    assert (duration["example_line"], duration["example"]) == (4, "'long'")
    # In the rows before nobody had it.
    assert (likes["n_read"], likes["n_empty"]) == (0, 5)


def test_keys_that_nobody_asks_for_are_left_aside():
    report = ImportReport()
    row = {"a": 1, "b": {"c": 1, "d": 2}, "e": {"f": 1}, "g": None, "h": "", "i": {}, "j": 0}
    seen = report.watched(row)
    assert seen == row
    assert (seen.get("a"), seen["b"]["c"], "x" in seen) == (1, 1, False)

    assert report.as_dict()["left_aside"] == ["b.d", "e", "j"]


def test_a_key_is_read_if_any_row_had_it_read():
    report = ImportReport()
    report.watched({"a": 1, "b": 1}).get("a")
    report.watched({"a": 1, "b": 1}).get("b")
    assert report.as_dict()["left_aside"] == []


def test_a_new_key_is_seen_however_late_it_comes():
    report = ImportReport()
    for _ in range(1_001):
        report.watched({"a": 1}).get("a")
    report.watched({"a": 1, "late": 1}).get("a")
    assert report.as_dict()["left_aside"] == ["late"]


def test_names_are_bounded_and_that_is_said(monkeypatch):
    monkeypatch.setattr(module, "MAX_NAMES", 10)
    report = ImportReport()
    for n in range(1_000):
        report.watched({f"key{n}": 1})

    found = report.as_dict()
    assert (len(found["left_aside"]), found["left_aside_capped"]) == (10, True)


def test_files_that_differ_are_each_named(files):
    files.write("in/a.csv", f"video_id,views\n{tiktok_id()},5\n")
    files.write("in/b.json", [actor_item(1)])
    report = ImportReport()
    list(read_path(files.folder / "in", ImportOptions(report=report)))

    by_name = {row["field"]: row["from"] for row in report.as_dict()["fields"]}
    assert by_name["views"] == "views; playCount"


def test_a_time_that_cannot_be_is_told_with_its_key(files):
    report = ImportReport()
    item = web_item(createTime=1_600_000_000)
    list(read_path(files.write("a.json", [item]), ImportOptions(report=report)))

    [row] = [row for row in report.as_dict()["fields"] if row["field"] == "posted_at"]
    assert (row["from"], row["n_contradicting"], row["n_read"]) == ("createTime", 1, 0)
