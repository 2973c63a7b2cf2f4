import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.replica.items import (
    challenge_detail,
    item_list,
    item_struct,
    round_count,
    show_count,
    text_extra,
)
from scraper.replica.messages import SignedMedia


@pytest.mark.parametrize(
    ("count", "rounded", "shown"),
    [
        (0, 0, "0"),
        (1_635, 1_635, "1635"),
        (9_999, 9_999, "9999"),
        (15_955, 16_000, "16K"),
        (22_609, 22_600, "22.6K"),
        (1_776_621, 1_800_000, "1.8M"),
        (999_960, 1_000_000, "1M"),
        (4_291_312, 4_300_000, "4.3M"),
        (37_099_000_000, 37_100_000_000, "37.1B"),
    ],
)
def test_rounds_and_shortens_as_the_real_site_does(count, rounded, shown):
    assert round_count(count) == rounded
    assert show_count(count) == shown


@given(st.integers(0, 10**11))
def test_rounding_twice_changes_nothing(count):
    assert round_count(round_count(count)) == round_count(count)
    assert show_count(round_count(count)) == show_count(count)


ITEM_MEDIA = SignedMedia(
    "http://replica.test", "o1", ("http://replica.test/a", "http://replica.test/b"), 9
)


@pytest.fixture
def video(content):
    return content.videos[0]


def test_hashtags_are_placed_in_utf16_units():
    found = text_extra("so 🔊🔊 loud #music @a.b")
    assert [(e["start"], e["end"], e["hashtagName"], e["userUniqueId"]) for e in found] == [
        (13, 19, "music", ""),
        (20, 24, "", "a.b"),
    ]


def test_listings_and_detail_pages_mix_types_as_the_real_site_does(video):
    listed = item_struct(video, ITEM_MEDIA, detail=False)
    detailed = item_struct(video, ITEM_MEDIA, detail=True)
    assert isinstance(listed["createTime"], int)
    assert detailed["createTime"] == str(listed["createTime"])
    assert isinstance(listed["stats"]["collectCount"], int)
    assert isinstance(detailed["stats"]["collectCount"], str)
    assert all(isinstance(n, str) for n in listed["statsV2"].values())
    assert listed["stats"]["playCount"] == round_count(video.views)
    assert listed["id"] == video.tiktok_id


def test_an_item_has_the_key_paths_that_tools_read(video):
    item = json.loads(json.dumps(item_struct(video, ITEM_MEDIA, detail=True)))
    assert item["author"]["secUid"].startswith("MS4wLjABAAAA")
    assert len(item["author"]["secUid"]) == 76
    assert {c["title"] for c in item["challenges"]} == set(video.hashtags)
    assert {e["hashtagName"] for e in item["textExtra"] if e["type"] == 1} == set(video.hashtags)
    assert (item["video"]["width"], item["video"]["height"]) == (video.width_px, video.height_px)
    assert item["video"]["duration"] == round(video.duration_s)
    best = item["video"]["bitrateInfo"][0]
    assert best["CodecType"] == "h264"
    assert best["PlayAddr"]["DataSize"] == item["video"]["size"] == 9
    assert best["PlayAddr"]["UrlList"] == list(ITEM_MEDIA.urls)
    assert item["isAd"] is item["privateItem"] is item["secret"] is False


def test_what_is_not_there_has_no_key(video):
    bare = replace(video, hashtags=(), caption="")
    item = item_struct(bare, replace(ITEM_MEDIA, n_bytes=None), detail=False)
    assert "challenges" not in item
    assert "size" not in item["video"]
    assert "DataSize" not in item["video"]["PlayAddrStruct"]


def test_past_the_end_of_a_listing_there_is_no_item_list():
    assert item_list([], 800, has_more=False, now_s=0) == {
        "statusCode": 0,
        "cursor": "800",
        "hasMore": False,
    }


# What tools read of the real site's JSON: where it is, and what it is there.
LISTED = {
    "id": str,
    "desc": str,
    "createTime": int,
    "author.id": str,
    "author.uniqueId": str,
    "author.nickname": str,
    "author.secUid": str,
    "author.verified": bool,
    "author.privateAccount": bool,
    "author.secret": bool,
    "stats.playCount": int,
    "stats.diggCount": int,
    "stats.commentCount": int,
    "stats.shareCount": int,
    "stats.collectCount": int,
    "statsV2.playCount": str,
    "statsV2.repostCount": str,
    "challenges.0.id": str,
    "challenges.0.title": str,
    "textExtra.0.hashtagName": str,
    "textExtra.0.start": int,
    "textExtra.0.type": int,
    "contents.0.desc": str,
    "music.id": str,
    "music.title": str,
    "music.authorName": str,
    "music.original": bool,
    "music.duration": int,
    "video.id": str,
    "video.height": int,
    "video.width": int,
    "video.duration": int,
    "video.ratio": str,
    "video.format": str,
    "video.codecType": str,
    "video.playAddr": str,
    "video.downloadAddr": str,
    "video.cover": str,
    "video.bitrateInfo.0.GearName": str,
    "video.bitrateInfo.0.CodecType": str,
    "video.bitrateInfo.0.PlayAddr.DataSize": int,
    "video.bitrateInfo.0.PlayAddr.Width": int,
    "video.bitrateInfo.0.PlayAddr.UrlKey": str,
    "video.bitrateInfo.0.PlayAddr.UrlList.0": str,
    "isAd": bool,
    "privateItem": bool,
    "secret": bool,
    "forFriend": bool,
    "isReviewing": bool,
    "locationCreated": str,
    "textLanguage": str,
    "diversificationLabels.0": str,
    "CategoryType": int,
    "indexEnabled": bool,
}
ENVELOPE = {
    "cursor": str,
    "hasMore": bool,
    "extra.fatal_item_ids": list,
    "extra.logid": str,
    "extra.now": int,
    "log_pb.impr_id": str,
    "statusCode": int,
    "status_code": int,
    "status_msg": str,
}
DETAIL = {
    "challengeInfo.challenge.id": str,
    "challengeInfo.challenge.title": str,
    "challengeInfo.challenge.desc": str,
    "challengeInfo.challenge.profileThumb": str,
    "challengeInfo.challenge.coverThumb": str,
    "challengeInfo.challenge.isCommerce": bool,
    "challengeInfo.challenge.splitTitle": str,
    "challengeInfo.stats.videoCount": int,
    "challengeInfo.stats.viewCount": int,
    "shareMeta.title": str,
    "statusCode": int,
    "status_msg": str,
}


def types_at(found, paths):
    def follow(value, path):
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        return type(value)

    return {path: follow(found, path) for path in paths}


def test_everything_is_where_the_real_site_has_it(content):
    video = next(v for v in content.videos if "#" in v.caption)
    listed = item_struct(video, ITEM_MEDIA, detail=False)
    own = item_struct(video, ITEM_MEDIA, detail=True)
    assert types_at(listed, LISTED) == LISTED
    strings = {"createTime": str, "stats.collectCount": str}
    assert types_at(own, LISTED) == LISTED | strings
    part = item_list([listed], 30, has_more=True, now_s=1.0)
    assert types_at(part, ENVELOPE) == ENVELOPE
    assert types_at(challenge_detail("x", [video], 1.0), DETAIL) == DETAIL
