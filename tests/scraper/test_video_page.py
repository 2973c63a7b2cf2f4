from datetime import UTC, datetime

import pytest

from scraper.errors import (
    Blocked,
    NoMedia,
    PageChanged,
    PrivateVideo,
    RegionLocked,
    VideoGone,
    VideoUnavailable,
)
from scraper.video_page import read_video_page
from tests.scraper.test_items import VIDEO, item
from tests.scraper.test_replies import document

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def video_document(**detail):
    return document({"webapp.video-detail": {"statusCode": 0} | detail})


def read_video(html):
    return read_video_page(html, VIDEO, "http://127.0.0.1/", observed_at=NOW)


def play(codec, *urls, size=None):
    return {"CodecType": codec, "PlayAddr": {"UrlList": list(urls), "DataSize": size}}


def test_a_videos_page_has_its_addresses_best_first():
    qualities = [play("bytevc2", "u2"), play("h265_hvc1", "u5"), play("h264", "u1", "u3", size="9")]
    video = {"duration": 15, "bitrateInfo": qualities, "playAddr": "u1", "codecType": "h264"}
    page = read_video(video_document(itemInfo={"itemStruct": item(video=video)}))
    assert [(p.url, p.codec, p.n_bytes) for p in page.play_urls] == [
        ("u1", "h264", 9),
        ("u3", "h264", 9),
        ("u5", "h265_hvc1", None),
    ]
    assert page.sighting.tiktok_id == VIDEO


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        ({"statusCode": 10204, "statusMsg": "item doesn't exist"}, VideoGone),
        ({"statusCode": 10204, "statusMsg": ""}, VideoUnavailable),
        ({"statusCode": 10221}, VideoGone),
        ({"statusCode": 10216}, PrivateVideo),
        ({"statusCode": 10222}, PrivateVideo),
        ({"statusCode": 10231}, RegionLocked),
        ({"statusCode": 10000}, Blocked),
        ({}, PageChanged),
        ({"itemInfo": {"itemStruct": item(id="7571863205253778711")}}, PageChanged),
        ({"itemInfo": {"itemStruct": item(imagePost={"images": [1]})}}, NoMedia),
        ({"itemInfo": {"itemStruct": item(createTime="0")}}, Blocked),
        ({"itemInfo": {"itemStruct": item(privateItem=True)}}, PrivateVideo),
        ({"itemInfo": {"itemStruct": item(takeDown=1)}}, VideoUnavailable),
    ],
)
def test_a_video_that_cannot_be_fetched_says_why(detail, error):
    with pytest.raises(error):
        read_video(video_document(**detail))


def test_a_page_without_a_file_still_has_its_count():
    page = read_video(video_document(itemInfo={"itemStruct": item()}))
    assert (page.sighting.views_k, page.play_urls) == (15.955, ())
