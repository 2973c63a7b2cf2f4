import json
import random
import re
import tracemalloc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from catalog.facts import AccountFacts, SoundFacts
from scraper.errors import BadColumns, ImportRefused, UnknownFormat
from scraper.importers.facts import read_tags
from scraper.importers.fields import posted_by_id
from scraper.importers.reading import read_path
from scraper.importers.report import ImportReport
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import FIRST_ID, WRITTEN_AT, split, tiktok_id


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
    assert [row.reason for row in rows] == ["bad_id", "not_an_item", "bad_id"]


def test_an_id_that_was_a_float_is_refused_in_json(files):
    rounded = [{"video_id": FIRST_ID // 1024 * 1024, "views": 1}]
    [], [row] = files.read("a.json", rounded)
    assert (row.reason, "multiple of 1024" in row.detail) == ("bad_id", True)

    with pytest.raises(BadColumns, match="multiple of 1024"):
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
        most_bytes(500)  # what is made once, of codecs and readers, is no row's
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


@pytest.mark.parametrize("cell", ["00:12", "PT12S", "12s", "12", "0:00:12"])
def test_lengths_are_read_in_their_usual_forms(files, cell):
    [video], [] = files.read("a.csv", f"id,views,duration\n{tiktok_id()},5,{cell}\n")
    assert video.sighting.duration_s == 12.0


def test_milliseconds_are_known_by_their_column_or_asked_about(files):
    text = f"id,views,NAME\n{tiktok_id()},5,12000\n{tiktok_id(1)},5,33000\n"

    videos, [] = files.read("a.csv", text.replace("NAME", "durationMs"))
    assert [video.sighting.duration_s for video in videos] == [12.0, 33.0]
    with pytest.raises(BadColumns, match="milliseconds"):
        files.read("a.csv", text.replace("NAME", "duration"))
    columns = {"duration_ms": "duration"}
    videos, [] = files.read("a.csv", text.replace("NAME", "duration"), columns=columns)
    assert [video.sighting.duration_s for video in videos] == [12.0, 33.0]


ROUNDED = [str((FIRST_ID + n * 20_011) // 10_000 * 10_000) for n in range(3)]
FLOATS = [str((FIRST_ID + n * 20_011) // 1_024 * 1_024) for n in range(2)]


@pytest.mark.parametrize("lost", [ROUNDED[:1], ROUNDED[:2], FLOATS])
def test_an_id_that_was_rounded_costs_its_row_however_few_they_are(files, lost):
    whole = [tiktok_id(n) for n in range(9)]
    text = "id,views\n" + "".join(f"{raw_id},5\n" for raw_id in [*whole, *lost])

    videos, rows = files.read("a.csv", text)
    assert [video.sighting.tiktok_id for video in videos] == whole
    assert [(row.reason, row.line) for row in rows] == [
        ("bad_id", 11 + n) for n in range(len(lost))
    ]
    for row, raw_id in zip(rows, lost, strict=True):
        assert raw_id in row.detail
        assert "--keep-round-ids" in row.detail
    videos, [] = files.read("a.csv", text, keep_round_ids=True)
    assert [video.sighting.tiktok_id for video in videos] == [*whole, *lost]


@pytest.mark.parametrize("quote", ['"', ""])
def test_other_sites_ids_are_taken_as_they_are(files, quote):
    ids = [1_896_500_000_000_000_000 + n * 4_096 for n in range(20)]
    rows = ",".join(f'{{"video_id": {quote}{n}{quote}, "views": 1}}' for n in ids)
    table = "id,views\n" + "".join(f"{n},1\n" for n in ids)
    mixed = "id,views,platform\n" + "".join(f"{n},1,vine\n" for n in ids)

    for read in (
        files.read("a.json", f"[{rows}]", platform="x"),
        files.read("a.csv", table, platform="x"),
        files.read("a.csv", mixed),
    ):
        videos, [] = read
        assert [video.sighting.tiktok_id for video in videos] == [str(n) for n in ids]


@pytest.mark.parametrize(("platform", "step_k"), [("youtube", 0.0), ("tiktok", 100.0)])
def test_only_the_sites_own_counts_may_be_rounded(files, platform, step_k):
    [video], [] = files.read("a.csv", f"id,views\n{tiktok_id()},1300000\n", platform=platform)
    assert (video.sighting.views_k, video.sighting.step_k) == (1_300.0, step_k)


def test_an_export_of_ours_says_how_exact_its_counts_are(files):
    header = "tiktok_id,author_key,views_text,views_k,step_k"
    row = f"{tiktok_id()},{'a' * 32},1300000,1300.0,0"
    [video], [] = files.read("a.csv", f"{header}\n{row}\n")
    assert (video.sighting.step_k, video.sighting.author_key) == (0.0, "a" * 32)


POSTED = posted_by_id(tiktok_id())


def posts(*times, offset=timedelta(0), more="", name="createTime"):
    """A table of videos that were posted `offset` behind their uploads, as naive times."""
    ids = [tiktok_id(n) for n in range(len(times) or 4)]
    cells = times or [f"{posted_by_id(raw_id) + offset:%Y-%m-%d %H:%M:%S}" for raw_id in ids]
    rows = "".join(f"{raw_id};5;{cell}{more}\n" for raw_id, cell in zip(ids, cells, strict=True))
    return f"id;views;{name}\n{rows}"


def test_times_of_another_zone_are_named_and_not_taken(files):
    text, report = posts(offset=timedelta(hours=9)), ImportReport()

    videos, [] = files.read("a.csv", text, report=report)
    assert {video.sighting.posted_at for video in videos} == {POSTED}
    assert not any(video.sighting.is_posted_at_stated for video in videos)
    found = report.as_dict()
    assert [row["n_contradicting"] for row in found["fields"]] == [0, 0, 4]
    assert "+9:00 h" in found["notes"][0]

    report = ImportReport()
    videos, [] = files.read("a.csv", text, timezone=ZoneInfo("Asia/Tokyo"), report=report)
    assert {video.sighting.posted_at for video in videos} == {POSTED}
    assert all(video.sighting.is_posted_at_stated for video in videos)
    assert report.as_dict()["notes"] == []


def test_a_scheduled_post_is_as_late_as_it_says(files):
    [video], [] = files.read("a.csv", posts("2025-11-16T11:06:40Z"))
    assert video.sighting.posted_at == datetime(2025, 11, 16, 11, 6, 40, tzinfo=UTC)
    assert video.sighting.is_posted_at_stated


def test_no_post_is_older_than_its_upload(files):
    report = ImportReport()
    [video], [] = files.read("a.csv", posts("2019-01-01T00:00:00Z"), report=report)

    assert (video.sighting.posted_at, video.sighting.is_posted_at_stated) == (POSTED, False)
    posted = report.as_dict()["fields"][-1]
    assert (posted["n_read"], posted["n_contradicting"], posted["example_line"]) == (0, 1, 2)
    assert "2019-01-01" in posted["example"]


@pytest.mark.parametrize(
    ("cell", "posted_at"),
    [
        (f"{POSTED:%Y%m%d}", POSTED),  # the upload is the better moment of that day
        (f"{POSTED:%Y-%m-%d}", POSTED),
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),  # scheduled
        ("20190101", POSTED),
        ("", POSTED),
    ],
)
def test_a_bare_day_is_a_weak_time(files, cell, posted_at):
    observed_at = datetime(2026, 2, 1, tzinfo=UTC)
    [video], [] = files.read("a.csv", posts(cell, name="upload_date"), observed_at=observed_at)
    assert (video.sighting.posted_at, video.sighting.is_posted_at_stated) == (posted_at, False)


def test_a_bare_day_is_all_that_another_site_says(files):
    text = posts(20_251_103, name="upload_date")
    [video], [] = files.read("a.csv", text, platform="x")
    assert video.sighting.posted_at == datetime(2025, 11, 3, tzinfo=UTC)
    assert not video.sighting.is_posted_at_stated


def test_days_first_are_read_where_that_is_said_or_left_aside(files):
    text = posts(*[f"{POSTED:%d/%m/%Y %H:%M}"] * 2)

    with pytest.raises(BadColumns, match=r"--date-format '%d/%m/%Y %H:%M'.*--ignore 'createTime'"):
        files.read("a.csv", text)
    videos, [] = files.read("a.csv", text, date_format="%d/%m/%Y %H:%M")
    assert {v.sighting.posted_at for v in videos} == {POSTED.replace(second=0)}
    report = ImportReport()
    videos, [] = files.read("a.csv", text, ignore=("createTime",), report=report)
    assert {v.sighting.posted_at for v in videos} == {POSTED}
    assert report.as_dict()["ignored"] == ["createTime"]


def test_one_time_that_cannot_be_read_costs_itself(files):
    report = ImportReport()
    videos, [] = files.read("a.csv", posts("soon", "1762961788"), report=report)

    assert [video.sighting.is_posted_at_stated for video in videos] == [False, True]
    posted = report.as_dict()["fields"][-1]
    assert (posted["n_read"], posted["n_unreadable"], posted["example"]) == (1, 1, "'soon'")


def test_another_encoding_is_read_where_it_is_said(files):
    text = f"id;views;caption\n{tiktok_id()};5;lümögende mâtî\n"

    [], [row] = files.read("a.csv", text, encoding="windows-1252")
    assert (row.reason, "--encoding windows-1252" in row.detail) == ("bad_encoding", True)
    path = files.write("a.csv", text, encoding="windows-1252")
    [video], [] = split(read_path(path, ImportOptions(encoding="windows-1252")))
    assert video.sighting.caption == "lümögende mâtî"


HEAD = "id,views,hashtags/0/name,hashtags/1/name,mentions/0,fans,note,isAd,width"


def test_what_becomes_of_each_column_is_counted(files):
    rows = [
        f"{tiktok_id()},5,Dance,fun,@a,1.2M,x,False,576",
        f"{tiktok_id(1)},5,,,,many,x,maybe,",
        f"{tiktok_id(2)},5,one,,,,x,True,576",
        "x,5,,,,,,,",
    ]
    report = ImportReport()
    videos, refused = files.read("a.csv", "\n".join([HEAD, *rows]), report=report)

    assert [row.reason for row in refused] == ["ad", "bad_id"]
    assert [video.sighting.hashtags for video in videos] == [("dance", "fun"), ()]
    assert videos[0].sighting.account == AccountFacts(n_followers=1_200_000)
    assert [video.sighting.traits.n_mentions for video in videos] == [1, 0]
    found = report.as_dict()
    assert (found["n_taken"], found["left_aside"]) == (2, ["note"])
    counts = {
        row["field"]: (row["n_read"], row["n_empty"], row["n_unreadable"])
        for row in found["fields"]
    }
    assert counts == {
        "id": (2, 0, 0),
        "views": (2, 0, 0),
        "hashtags": (1, 1, 0),
        "mentions": (2, 0, 0),
        "followers": (1, 0, 1),
        "ad": (1, 0, 1),
        "width_px": (1, 1, 0),
    }
    assert all(sum(count) == found["n_taken"] for count in counts.values())


def test_a_key_that_comes_late_is_not_lost_in_silence(files):
    rows = [{"video_id": tiktok_id(n), "views": 5} for n in range(300)]
    report = ImportReport()
    files.read(
        "a.json", [*rows, {"video_id": tiktok_id(300), "views": 5, "late": 1}], report=report
    )
    assert report.as_dict()["left_aside"] == ["late"]


@pytest.mark.parametrize(
    ("url", "platform", "said"),
    [
        ("https://www.tiktok.com/embed/v2/ID", "tiktok", None),
        ("https://www.tiktok.com/player/v1/ID", "tiktok", None),
        ("https://www.tiktokv.com/share/video/ID/", "tiktok", None),
        ("https://www.youtube.com/shorts/dQw4w9WgXcQ", "youtube", None),
        ("https://www.youtube.com/watch?t=1&v=dQw4w9WgXcQ", "shorts", None),
        ("https://youtu.be/dQw4w9WgXcQ?si=x", "youtube", None),
        ("https://vm.tiktok.com/ZMinvented/", "tiktok", "no id in 'https://vm.*short link"),
        ("https://www.tiktok.com/t/ZMinvented/", "tiktok", "short link, which must be resolved"),
        ("https://youtu.be/dQw4w9WgXcQ", "tiktok", "say --platform youtube"),
        ("https://www.tiktok.com/@somebody", "tiktok", "no address of a video"),
        ("", "tiktok", "the row has no id"),
    ],
)
def test_an_address_gives_the_id_or_is_told_why_not(files, url, platform, said):
    text = f"url,views\n{url.replace('ID', tiktok_id())},5\n"
    videos, rows = files.read("a.csv", text, platform=platform)

    if said is None:
        [video] = videos
        assert video.sighting.tiktok_id == (tiktok_id() if platform == "tiktok" else "dQw4w9WgXcQ")
    else:
        assert re.search(said, rows[0].detail)
        assert "None" not in rows[0].detail


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_nothing_is_kept_of_a_sound_without_its_id_and_that_is_counted(files, name):
    row = {"video_id": tiktok_id(), "views": "5", "music_id": "", "music_title": "A song"}
    text = json.dumps([row, row | {"video_id": tiktok_id(1), "music_id": "7"}])
    if name == "a.csv":
        text = ",".join(row) + f"\n{tiktok_id()},5,,A song\n{tiktok_id(1)},5,7,A song\n"
    report = ImportReport()
    videos, [] = files.read(name, text, report=report)

    assert [video.sighting.sound for video in videos] == [None, SoundFacts("7", "A song")]
    title = next(row for row in report.as_dict()["fields"] if row["field"] == "sound_title")
    assert (title["n_read"], title["n_unreadable"]) == (1, 1)


ROWS = [
    {"video_id": tiktok_id(), "views": 5, "tags": ["fun"]},
    {"video_id": tiktok_id(1), "views": None, "tags": None},
]


@pytest.mark.parametrize(
    "content",
    [
        {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]},
        {str(n): row for n, row in enumerate(ROWS)},
    ],
)
def test_a_table_may_be_written_by_columns_or_by_numbers(files, content):
    [video], [row] = files.read("a.json", content)

    assert (video.sighting.views_k, video.sighting.hashtags) == (0.005, ("fun",))
    assert row.reason == "no_count"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"columns": ["video_id"], "data": [["1"]]}, "a list where an object was expected"),
        ([["1", 5]], "orient='records'"),
        ([], "no row at all"),
        ({}, "no row at all"),
    ],
)
def test_json_without_rows_says_so(files, content, said):
    with pytest.raises(UnknownFormat, match=said):
        files.read("a.json", content)


def test_keywords_of_other_sites_hide_no_hashtag(files):
    text = f"id,views,tags,title\n{tiktok_id()},5,cats,a #short\n"

    [video], [] = files.read("a.csv", text, platform="youtube")
    assert video.sighting.hashtags == ("cats", "short")
    [video], [] = files.read("a.csv", text)
    assert video.sighting.hashtags == ("cats",)


@pytest.mark.parametrize("damaged", ["7.57186E+18", f"{tiktok_id()[:15]}0000", "7,57E+18"])
def test_an_address_gives_the_id_that_a_spreadsheet_has_rounded(files, damaged):
    links = [f"https://www.tiktok.com/@a/video/{tiktok_id(n)}" for n in range(4)]
    rows = "".join(f'"{damaged}",5,{link}\n' for link in links)

    report = ImportReport()
    videos, [] = files.read("a.csv", "id,views,webVideoUrl\n" + rows, report=report)

    assert (report.fields["id"].n_unreadable, report.fields["url"].n_unreadable) == (4, 0)
    assert [v.sighting.tiktok_id for v in videos] == [tiktok_id(n) for n in range(4)]
    other = f'id,views,url\n"{damaged}",5,https://www.tiktok.com/@a\n'
    assert [row.reason for row in files.read("b.csv", other)[1]] == ["bad_id"]
    whole = {"video_id": FIRST_ID // 1024 * 1024, "plays": 5, "link": links[0]}
    [video], [] = files.read("c.json", [whole])
    assert video.sighting.tiktok_id == tiktok_id()
