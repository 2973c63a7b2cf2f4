import random
import tracemalloc
from datetime import UTC, datetime

import pytest

from scraper.importers import BadColumns, ImportOptions, ImportRefused, read_path
from scraper.importers.table import read_tags
from tests.scraper.importers.rows import WRITTEN_AT, tiktok_id

HEADER = "id,url,author,caption,hashtags,views,create_time,collected_at,duration,width,height"


def test_a_table_is_read_by_the_names_of_its_columns(files):
    url = f"https://www.tiktok.com/@author0/video/{tiktok_id()}"
    row = (
        f'{tiktok_id()},{url},@author0,"a, b","#Dance fun",30.5M,1762961788,1763000000,15,576,1024'
    )

    [video], [] = files.read("a.csv", f"{HEADER}\n{row}\n")

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.caption) == (tiktok_id(), "author0", "a, b")
    assert (found.display_text, found.views_k, found.step_k) == ("30.5M", 30_500.0, 100.0)
    assert (found.hashtags, found.duration_s, found.height_px) == (("dance", "fun"), 15.0, 1024)
    assert found.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert found.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)
    assert (video.line, video.is_time_stated, video.url) == (2, True, None)


def test_a_time_that_nobody_states_is_the_files(files):
    [video], [] = files.read("a.csv", f"id,views\n{tiktok_id()},2M\n")
    assert (video.sighting.observed_at, video.is_time_stated) == (WRITTEN_AT, False)

    said = datetime(2025, 12, 24, tzinfo=UTC)
    [video], [] = files.read("a.csv", f"id,views\n{tiktok_id()},2M\n", observed_at=said)
    assert (video.sighting.observed_at, video.is_time_stated) == (said, True)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("7.57E+18,2M", "bad_id"),
        ("x,2M", "bad_id"),
        (",2M", "bad_id"),
        (f"{tiktok_id()},many", "bad_count"),
        (f"{tiktok_id()},", "no_count"),
        (f"{tiktok_id()},-1", "bad_count"),
        (f"{tiktok_id()}", "too_few_columns"),
        (f"{tiktok_id()},1,2", "too_many_columns"),
    ],
)
def test_a_bad_row_costs_itself_and_is_told_by_its_line(files, cells, reason):
    [video], [row] = files.read("a.csv", f"id,views\n{tiktok_id(1)},2M\n{cells}\n")

    assert (row.reason, row.line, len(row.sha256)) == (reason, 3, 64)
    assert video.sighting.tiktok_id == tiktok_id(1)


@pytest.mark.parametrize("guard", ["'{}", '"=""{}"""', " {} "])
def test_what_keeps_a_spreadsheet_from_rounding_is_no_part_of_the_id(files, guard):
    [video], [] = files.read("a.csv", f"id,views\n{guard.format(tiktok_id())},2M\n")

    assert video.sighting.tiktok_id == tiktok_id()


@pytest.mark.parametrize("rounded", [lambda n: n // 10_000 * 10_000, lambda n: int(float(n))])
def test_ids_that_a_program_rounded_are_refused_with_the_whole_file(files, rounded):
    rows = "".join(f"{rounded(int(tiktok_id(n * 10_007)))},2M\n" for n in range(20))
    path = files.write("a.csv", f"id,views\n{rows}")

    with pytest.raises(BadColumns, match="export the column as text"):
        list(read_path(path, ImportOptions()))


@pytest.mark.parametrize(
    ("text", "views_k"), [("1,2 Mio.", 1_200.0), ("12.345", 12.345), ("1635", 1.635)]
)
def test_counts_of_another_locale_are_read_where_it_is_stated(files, text, views_k):
    [video], [] = files.read("a.csv", f"id;views\n{tiktok_id()};{text}\n", locale="de")

    assert video.sighting.views_k == views_k


def test_the_person_may_name_columns_and_platform(files):
    text = "nr,reach\ndQw4w9WgXcQ,12\n"
    columns = {"id": "nr", "views": "reach"}

    [video], [] = files.read("a.csv", text, columns=columns, platform="youtube", format="table")

    assert (video.platform, video.sighting.tiktok_id) == ("youtube", "dQw4w9WgXcQ")


@pytest.mark.parametrize(("column", "reason"), [("isAd", "ad"), ("isSlideshow", "photo")])
def test_marks_of_no_plain_video_are_known(files, column, reason):
    text = f"{column},id,views\nTrue,{tiktok_id()},2M\nfalse,{tiktok_id(1)},2M\n"

    [video], [row] = files.read("a.csv", text)

    assert (row.reason, video.sighting.tiktok_id) == (reason, tiktok_id(1))


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("#Dance #fun", ("dance", "fun")),
        ("dance, fun; x", ("dance", "fun", "x")),
        ('["Dance", "fun"]', ("dance", "fun")),
        ("['dance', 'fun']", ("dance", "fun")),
        ('[{"id": "1", "name": "Dance"}]', ("dance",)),
        (["Dance", "fun"], ("dance", "fun")),
        ("[", ()),
        (None, ()),
        (7, ()),
    ],
)
def test_hashtags_are_read_from_any_kind_of_list(cell, tags):
    assert read_tags(cell) == tags


def test_memory_stays_flat_however_long_a_table_is(files):
    def most_bytes(n_rows):
        draw = random.Random(0)
        ids = (((1_700_000_000 + n) << 32) + draw.getrandbits(31) for n in range(n_rows))
        text = "id,views,caption\n" + "".join(f"{number},2M,a caption\n" for number in ids)
        path = files.write("a.csv", text)
        del text
        tracemalloc.start()
        n_read = sum(1 for _ in read_path(path, ImportOptions()))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert n_read == n_rows
        return most

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scraper.importers.reading.MAX_REMEMBERED", 200)
        assert most_bytes(12_000) < most_bytes(2_000) * 1.3


def test_a_whole_number_that_a_table_made_a_float_is_read(files):
    [video], [row] = files.read("a.csv", f"id,views\n{tiktok_id()},343296.0\n{tiktok_id(1)},1.5\n")

    assert (video.sighting.display_text, video.sighting.views_k) == ("343296.0", 343.296)
    assert row.reason == "bad_count"


def test_an_id_that_went_through_a_float_is_told_so(files):
    [], [row] = files.read("a.csv", f"id,views\n{tiktok_id()}.0,5\n")

    assert "last digits are lost" in row.detail


@pytest.mark.parametrize(
    ("row", "said"),
    [("dQw4w9WgXcQ,5", "say --platform"), (f'{tiktok_id()},"1,5 Mio."', "say --locale")],
)
def test_a_refusal_names_the_option_that_may_help(files, row, said):
    [], [refused] = files.read("a.csv", f"id,views\n{row}\n")

    assert said in refused.detail


def test_columns_of_one_name_cannot_be_told_apart(files):
    with pytest.raises(ImportRefused, match="rename one of them"):
        files.read("a.csv", f"id,views,views\n{tiktok_id()},1,2\n")


@pytest.mark.parametrize("caption", ["=1+1", "@someone", "-1", "\t+1"])
def test_the_mark_of_an_export_is_no_part_of_a_caption(files, caption):
    [video], [] = files.read("a.csv", f"id,views,caption\n{tiktok_id()},1,'{caption}\n")
    assert video.sighting.caption == caption

    [video], [] = files.read("a.csv", f"id,views,caption\n{tiktok_id()},1,'quoted'\n")
    assert video.sighting.caption == "'quoted'"
