import json
from dataclasses import replace

import pytest

from scraper.replica import items
from scraper.replica.counts import round_count
from scraper.replica.media import SignedMedia

MEDIA = SignedMedia(
    "http://replica.test", "o1", ("http://replica.test/a", "http://replica.test/b"), 9
)


@pytest.fixture
def video(content):
    return content.videos[0]


def test_hashtags_are_placed_in_utf16_units():
    found = items.text_extra("so 🔊🔊 loud #music @a.b")
    assert [(e["start"], e["end"], e["hashtagName"], e["userUniqueId"]) for e in found] == [
        (13, 19, "music", ""),
        (20, 24, "", "a.b"),
    ]


def test_listings_and_detail_pages_mix_types_as_the_real_site_does(video):
    listed = items.item_struct(video, MEDIA, detail=False)
    detailed = items.item_struct(video, MEDIA, detail=True)
    assert isinstance(listed["createTime"], int)
    assert detailed["createTime"] == str(listed["createTime"])
    assert isinstance(listed["stats"]["collectCount"], int)
    assert isinstance(detailed["stats"]["collectCount"], str)
    assert all(isinstance(n, str) for n in listed["statsV2"].values())
    assert listed["stats"]["playCount"] == round_count(video.views)
    assert listed["id"] == video.tiktok_id


def test_an_item_has_the_key_paths_that_tools_read(video):
    item = json.loads(json.dumps(items.item_struct(video, MEDIA, detail=True)))
    assert item["author"]["secUid"].startswith("MS4wLjABAAAA")
    assert len(item["author"]["secUid"]) == 76
    assert {c["title"] for c in item["challenges"]} == set(video.hashtags)
    assert {e["hashtagName"] for e in item["textExtra"] if e["type"] == 1} == set(video.hashtags)
    assert (item["video"]["width"], item["video"]["height"]) == (video.width_px, video.height_px)
    assert item["video"]["duration"] == round(video.duration_s)
    best = item["video"]["bitrateInfo"][0]
    assert best["CodecType"] == "h264"
    assert best["PlayAddr"]["DataSize"] == item["video"]["size"] == 9
    assert best["PlayAddr"]["UrlList"] == list(MEDIA.urls)
    assert item["isAd"] is item["privateItem"] is item["secret"] is False


def test_what_is_not_there_has_no_key(video):
    bare = replace(video, hashtags=(), caption="")
    item = items.item_struct(bare, replace(MEDIA, n_bytes=None), detail=False)
    assert "challenges" not in item
    assert "size" not in item["video"]
    assert "DataSize" not in item["video"]["PlayAddrStruct"]


def test_past_the_end_of_a_listing_there_is_no_item_list():
    assert items.item_list([], 800, has_more=False, now_s=0) == {
        "statusCode": 0,
        "cursor": "800",
        "hasMore": False,
    }
