import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper.importers.reading import read_path, sniff
from scraper.importers.video import ImportOptions
from tests.scraper.importers.rows import (
    FIRST_ID,
    WRITTEN_AT,
    actor_item,
    aweme,
    research_item,
    split,
    tiktok_id,
    web_item,
)

# The environment as it was before the tests hide the developer's own settings in it.
DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("VIEWCAST_DATA", DEFAULT))
TRENDING = SHARED / "trending_2020.json"


@pytest.mark.parametrize("content", [[actor_item()], {"collector": [actor_item()]}, actor_item()])
def test_an_item_of_the_family_is_read(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.caption) == (tiktok_id(), "author0", "a caption")
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.1)
    assert (found.hashtags, found.duration_s, found.width_px) == (("volleyball",), 15.0, 576)
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)
    assert video.url is None


def test_an_actor_may_say_when_it_looked(files):
    item = actor_item(createTime=None, createTimeISO="2025-11-12T15:36:28.000Z")
    [video], [] = files.read("a.json", [item | {"scrapedAt": "2025-11-13T00:00:00.000Z"}])

    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert video.sighting.observed_at == datetime(2025, 11, 13, tzinfo=UTC)
    assert video.is_time_stated


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"isSlideshow": True}, "photo"),
        ({"videoMeta": {"duration": 0}}, "no_video"),
        ({"playCount": None}, "no_count"),
        ({"playCount": -1}, "bad_count"),
        ({"playCount": True}, "bad_count"),
        ({"createTime": 2_000_000_000}, "bad_time"),
        ({"webVideoUrl": "https://www.tiktok.com/@a/video/7571863205253778799"}, "bad_id"),
    ],
)
def test_what_an_actor_gives_that_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [actor_item(1), actor_item(**changes)])

    assert row.reason == reason


def test_an_error_that_an_actor_noted_is_no_item(files):
    [_], [row] = files.read("a.json", [actor_item(), {"error": "Not found", "url": "x"}])

    assert row.reason == "not_an_item"
    assert "Not found" in row.detail


@pytest.mark.skipif(not TRENDING.is_file(), reason=f"there is no {TRENDING.name}")
def test_a_real_data_set_is_read_whole():
    videos, rejects = split(read_path(TRENDING, ImportOptions()))

    assert (sniff(TRENDING), len(videos), rejects) == ("actor", 1_000, [])
    assert len({video.sighting.tiktok_id for video in videos}) == 1_000
    assert len({video.sighting.handle for video in videos}) == 802


@pytest.mark.parametrize(
    "content",
    [
        [research_item()],
        {"data": {"videos": [research_item()], "cursor": 100}, "error": {"code": "ok"}},
        research_item(),
    ],
)
def test_an_answer_is_read_with_its_exact_count(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.0)
    assert found.duration_s == 15.0


def test_every_whole_number_is_an_exact_id(files):
    whole = FIRST_ID // 1024 * 1024
    [video], [] = files.read("a.json", [research_item(id=whole)])

    assert video.sighting.tiktok_id == str(whole)


def test_hashtags_may_stand_in_a_list_of_their_own(files):
    item = research_item(hashtag_names=None, hashtag_info_list=[{"hashtag_name": "Fun"}])
    [video], [] = files.read("a.json", [item])

    assert video.sighting.hashtags == ("fun",)


def test_a_count_is_never_taken_for_zero(files):
    [_], [row] = files.read("a.json", [research_item(), research_item(view_count=None)])

    assert row.reason == "no_count"


def test_an_answer_of_the_app_is_read(files):
    [video], [] = files.read("a.json", {"aweme_list": [aweme()], "has_more": 1})

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.views_k, found.step_k, found.duration_s) == (44.8, 0.0, 15.033)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_ads": True}, "ad"),
        ({"image_post_info": {"images": []}}, "photo"),
        ({"status": {"private_status": 1}}, "private"),
        ({"status": {"is_delete": True}}, "taken_down"),
        ({"video": {"duration": 0}}, "no_video"),
        ({"statistics": {}}, "no_count"),
        ({"aweme_id": None}, "bad_id"),
    ],
)
def test_what_an_app_feed_gives_that_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [aweme(1), aweme(**changes)])

    assert row.reason == reason


def test_a_length_that_no_float_can_be_is_no_length(files):
    [video], [] = files.read("a.json", [aweme(video={"duration": 10**4_000})])

    assert video.sighting.duration_s is None


@pytest.mark.parametrize(
    "content",
    [
        [web_item()],
        {"itemList": [web_item()], "hasMore": True, "cursor": "30"},
        {"items": [web_item()]},
        web_item(),
        {"itemInfo": {"itemStruct": web_item()}},
    ],
)
def test_an_item_is_read_from_every_wrapping(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle) == (tiktok_id(), "author0")
    assert (found.display_text, found.views_k, found.step_k) == ("1776621", 1776.621, 0.0)
    assert (found.hashtags, found.duration_s) == (("dance",), 15.0)
    assert (found.width_px, found.height_px) == (576, 1024)
    assert (found.source, video.platform, video.line) == ("import", "tiktok", 1)
    assert found.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)


def test_a_collected_line_says_when_it_was_collected(files):
    lines = [
        {
            "nav_index": n,
            "item_id": tiktok_id(n),
            "timestamp_collected": 1763000000123,
            "source_platform": "tiktok.com",
            "data": web_item(n),
        }
        for n in range(2)
    ]
    text = "\n".join(json.dumps(line) for line in lines)

    videos, [] = files.read("a.ndjson", text)

    assert [video.line for video in videos] == [1, 2]
    assert {video.is_time_stated for video in videos} == {True}
    assert videos[0].sighting.observed_at == datetime(2025, 11, 13, 2, 13, 20, 123000, tzinfo=UTC)


def test_a_tool_may_note_the_time_beside_the_item(files):
    noted = web_item(__import_meta={"timestamp_collected": 1763000000000})

    [video], [] = files.read("a.json", [noted])

    assert video.sighting.observed_at == datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)


def test_the_id_says_the_time_that_an_item_does_not(files):
    [video], [] = files.read("a.json", [web_item(createTime=None)])

    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"imagePost": {"images": [1]}}, "photo"),
        ({"liveRoomInfo": {"a": 1}}, "live"),
        ({"privateItem": True}, "private"),
        ({"video": {"duration": 0}}, "no_video"),
        ({"stats": {}, "statsV2": {}}, "emptied"),
        ({"id": "1"}, "bad_id"),
        ({"id": 7.5e18}, "bad_id"),
        ({"stats": {"playCount": "many"}, "statsV2": {}}, "bad_count"),
        ({"stats": {"diggCount": 1}, "statsV2": {}}, "no_count"),
        ({"source_platform": "instagram.com"}, "other_site"),
    ],
)
def test_what_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [video], [row] = files.read("a.json", [web_item(1), web_item(**changes)])

    assert (row.reason, video.sighting.tiktok_id) == (reason, tiktok_id(1))
    assert row.detail
    assert row.is_skip == (reason in {"ad", "photo", "live", "private", "no_video", "emptied"})


def test_a_whole_number_that_no_float_could_be_is_a_good_id(files):
    [video], [] = files.read("a.json", [web_item(id=int(tiktok_id()))])

    assert video.sighting.tiktok_id == tiktok_id()


def test_an_item_whose_video_was_left_out_is_a_video(files):
    item = web_item()
    del item["video"]

    [video], [] = files.read("a.json", [item])

    assert (video.sighting.views_k, video.sighting.duration_s) == (1776.621, None)
