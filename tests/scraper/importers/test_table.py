import json
import random
import tracemalloc
from datetime import UTC, datetime

import pytest

from scraper.errors import BadColumns, ImportRefused, UnknownFormat
from scraper.importers.facts import read_tags
from scraper.importers.reading import read_path
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import FIRST_ID, WRITTEN_AT, tiktok_id


def test_objects_are_rows_by_the_names_of_their_keys(files):
    rows = [
        {"video_id": tiktok_id(), "views": 44_800, "title": "a #Dance"},
        {"video_id": tiktok_id(1), "views": "2M", "tags": ["fun"]},
    ]

    for text in (json.dumps(rows), "".join(f"{json.dumps(row)}\n" for row in rows)):
        videos, [] = files.read("a.json", text)

        assert [video.sighting.views_k for video in videos] == [44.8, 2_000.0]
        assert [video.sighting.hashtags for video in videos] == [("dance",), ("fun",)]


def test_what_lies_in_an_object_of_the_row_is_a_column_too(files):
    row = {"id": "dQw4w9WgXcQ", "snippet": {"title": "x"}, "statistics": {"viewCount": "15"}}

    [video], [] = files.read(
        "a.json",
        {"items": [row]},
        platform="youtube",
        columns={"views": "statistics.viewCount", "caption": "snippet.title"},
    )

    assert (video.sighting.tiktok_id, video.sighting.views_k) == ("dQw4w9WgXcQ", 0.015)
    assert (video.sighting.caption, video.platform) == ("x", "youtube")


def test_a_bad_row_costs_itself(files):
    good = json.dumps({"video_id": tiktok_id(), "views": 1})
    videos, rows = files.read("a.json", f'[{good}, {{"views": NaN}}, 5, {{"video_id": "1"}}]')

    assert len(videos) == 1
    assert [row.reason for row in rows] == ["not_json", "not_an_item", "bad_id"]


def test_an_id_that_was_a_float_is_refused_in_json(files):
    rounded = [{"video_id": FIRST_ID // 1024 * 1024, "views": 1}]
    [], [row] = files.read("a.json", rounded)
    assert (row.reason, "rounded" in row.detail) == ("bad_id", True)

    with pytest.raises(BadColumns, match="multiples of 1024"):
        files.read("b.json", rounded * 3)


def test_what_the_keys_do_not_tell_is_asked_for(files):
    with pytest.raises(UnknownFormat, match=r"'reach\.n'; say --column views=NAME"):
        files.read("a.json", [{"id": "a", "reach": {"n": 1}}])


@pytest.mark.parametrize(
    ("row", "text", "views_k", "step_k"),
    [
        ({"views": "30.58M"}, "30.58M", 30_580.0, 10.0),
        ({"views": 44_800}, "44800", 44.8, 0.1),
        ({"views_k": 44.8}, "views_k=44.8", 44.8, 0.0),
        ({"views": "30.58M", "views_k": 30_580.0}, "30.58M", 30_580.0, 10.0),
    ],
)
def test_the_papers_lists_are_read(files, row, text, views_k, step_k):
    [video], [] = files.read("a.json", [{"id": tiktok_id(), **row}])

    found = video.sighting
    assert (found.display_text, found.views_k, found.step_k) == (text, views_k, step_k)


def test_an_address_is_enough(files):
    url = f"https://www.tiktok.com/@someone/video/{tiktok_id()}"
    [video], [] = files.read("a.json", [{"url": url, "views": "2M"}])

    assert video.sighting.tiktok_id == tiktok_id()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": tiktok_id(), "views": "viele"}, "bad_count"),
        ({"id": tiktok_id(), "views": None}, "no_count"),
        ({"id": tiktok_id(), "views": "2M", "views_k": 2.0}, "bad_count"),
        ({"id": "x", "views": "2M"}, "bad_id"),
        ({"url": "https://www.tiktok.com/", "views": "2M"}, "bad_id"),
        ({"id": tiktok_id(), "views": "1,2 Mio."}, "bad_count"),
    ],
)
def test_a_row_that_says_nothing_sure_is_refused(files, row, reason):
    [_], [refused] = files.read("a.json", [{"id": tiktok_id(1), "views": "2M"}, row])

    assert refused.reason == reason


def test_pairs_in_another_locale_are_read_where_it_is_stated(files):
    row = {"id": tiktok_id(), "views": "1,2\u00a0Mio."}
    [video], [] = files.read("a.json", [row], locale="de")

    assert (video.sighting.views_k, video.sighting.step_k) == (1_200.0, 100.0)


def test_files_of_a_folder_are_found_by_id_at_any_depth(files):
    media = files.write(f"packs/one/{tiktok_id()}.mp4", "x")
    rows = [{"id": tiktok_id(n), "views": "2M"} for n in range(2)]

    videos, [] = files.read("a.json", rows, media=files.folder / "packs")

    assert [video.media for video in videos] == [media, None]


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
