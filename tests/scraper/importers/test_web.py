import json
from datetime import UTC, datetime

import pytest

from tests.scraper.importers.rows import WRITTEN_AT, tiktok_id, web_item


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
