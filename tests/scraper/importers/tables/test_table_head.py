from datetime import UTC, timedelta

import pytest

from scraper.errors import BadColumns
from scraper.importers.fields import posted_by_id
from scraper.importers.tables.table_head import Head, check_head
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import tiktok_id

IDS = [tiktok_id(n) for n in range(4)]


def head(field, cells, **options):
    """A table of ids and one more column, named as its field."""
    rows = [[raw_id, cell] for raw_id, cell in zip(IDS, cells, strict=False)]
    return Head(["id", field], {"id": 0, field: 1}, rows, ImportOptions(**options))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["03/03/2025 11:06"] * 2, r"'%d/%m/%Y %H:%M' or --date-format '%m/%d/%Y %H:%M'"),
        (["03/03/2025", "25/03/2025"], "say --date-format '%d/%m/%Y', or --ignore 'posted_at'"),
        (["03.03.2025 11:06:40"], "'%d.%m.%Y %H:%M:%S'"),
        (["Mon Mar 03 11:06:40 +0000 2025"], "%a %b %d"),
        (["soon", ""], "with its form, such as"),
    ],
)
def test_a_column_without_a_time_is_refused_with_the_way_round(cells, said):
    with pytest.raises(BadColumns, match=said):
        check_head(head("posted_at", cells))
    with pytest.raises(BadColumns, match="observed_at"):
        check_head(head("observed_at", cells))


def test_one_time_that_can_be_read_is_proof_enough():
    check_head(head("posted_at", ["soon", "2025-03-03"]))
    check_head(head("posted_at", ["", None]))
    check_head(head("posted_at", ["03/03/2025"], date_format="%d/%m/%Y"))


@pytest.mark.parametrize("cells", [["12000", "13000"], [12_000, 1_001.5]])
def test_lengths_of_an_unknown_unit_are_refused(cells):
    with pytest.raises(BadColumns, match="duration_ms='duration_s', or duration_s='duration_s'"):
        check_head(head("duration_s", cells))
    check_head(head("duration_s", cells, columns={"duration_s": "duration_s"}))
    check_head(head("duration_s", [*cells, "12"]))
    check_head(head("duration_s", ["16:40", "PT1001S"]))
    check_head(head("duration_ms", cells))


@pytest.mark.parametrize("rounded", [lambda n: n // 10_000 * 10_000, lambda n: n // 1_024 * 1_024])
def test_ids_that_were_nearly_all_rounded_are_refused_at_once(rounded):
    rows = [[str(rounded(int(raw_id)))] for raw_id in IDS]
    with pytest.raises(BadColumns, match=r"4 ids in .nr. 4 were rounded.*--platform"):
        check_head(Head(["nr"], {"id": 0}, rows, ImportOptions()))
    check_head(Head(["nr"], {"id": 0}, rows[:2], ImportOptions()))
    check_head(Head(["nr"], {"id": 0}, rows, ImportOptions(platform="x")))
    check_head(Head(["nr"], {"id": 0}, rows, ImportOptions(keep_round_ids=True)))


@pytest.mark.parametrize(
    ("offset", "is_shifted"),
    [(timedelta(hours=9), True), (timedelta(hours=-8), True), (timedelta(seconds=5), False)],
)
def test_times_of_another_zone_are_noticed(offset, is_shifted):
    cells = [(posted_by_id(raw_id) + offset).replace(tzinfo=None).isoformat() for raw_id in IDS]
    found = head("posted_at", cells)
    check_head(found)
    assert found.options.report.is_shifted is is_shifted

    aware = [posted_by_id(raw_id).astimezone(UTC) for raw_id in IDS]
    found = head("posted_at", aware)
    check_head(found)
    assert not found.options.report.is_shifted


def test_the_date_of_the_well_known_table_of_trends_is_named(files):
    text = "video_id,trending_date,publish_time,views\n"
    text += "2kyS6SvSYSE,17.14.11,2017-11-13T17:13:01.000Z,748374\n"
    text += "2kyS6SvSYSE,17.15.11,2017-11-13T17:13:01.000Z,2188590\n"
    with pytest.raises(BadColumns, match=r"--date-format '%y\.%d\.%m', or --ignore"):
        files.read("a.csv", text, platform="youtube")

    videos, [] = files.read("a.csv", text, platform="youtube", date_format="%y.%d.%m")

    assert [v.sighting.observed_at.day for v in videos] == [14, 15]
    assert {v.sighting.posted_at.isoformat() for v in videos} == {"2017-11-13T17:13:01+00:00"}
