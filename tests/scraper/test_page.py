import json
from datetime import UTC, datetime

import pytest

from scraper.capture import Body, Card, read_look
from scraper.errors import (
    Blocked,
    NoMedia,
    NoSuchHashtag,
    PageChanged,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.items import Rejected
from scraper.page import (
    card_sighting,
    check_look,
    check_status,
    read_hydrated_items,
    read_hydration,
    read_item_list,
    read_tag_cards,
    read_video_page,
)
from tests.scraper.test_items import VIDEO, item

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LIST_URL = "http://127.0.0.1/api/challenge/item_list/?cursor=0"


def document(scope, title="TikTok", extra=""):
    text = json.dumps({"__DEFAULT_SCOPE__": scope})
    mark = 'type="application/json" id="__UNIVERSAL_DATA_FOR_REHYDRATION__"'
    return f"<html><title>{title}</title>{extra}<script {mark}>{text}</script></html>"


def video_document(**detail):
    return document({"webapp.video-detail": {"statusCode": 0} | detail})


def read_video(html):
    return read_video_page(html, VIDEO, "http://127.0.0.1/", observed_at=NOW)


def reply(answer, status=200):
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return read_item_list(Body(LIST_URL, status, text), observed_at=NOW)


@pytest.mark.parametrize("more", [True, 1, "1"])
def test_reads_a_part_of_a_listing(more):
    found = reply({"itemList": [item(), item(isAd=True), 3], "hasMore": more, "cursor": "30"})
    assert [s.tiktok_id for s in found.sightings] == [VIDEO]
    assert found.rejected == (Rejected("ad", VIDEO), Rejected("not_an_item", None))
    assert found.has_more


def test_the_end_of_a_listing_has_no_list():
    found = reply({"statusCode": 0, "cursor": "800", "hasMore": False})
    assert (found.sightings, found.has_more) == ((), False)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ("", 200, Blocked),
        ({"type": "verify"}, 200, Blocked),
        ({"statusCode": 10000}, 200, Blocked),
        ("nothing", 403, Blocked),
        ("nothing", 429, Blocked),
        ("nothing", 502, SiteFailed),
        ({"statusCode": 10201}, 200, SiteFailed),
        ({"statusCode": 10205}, 200, NoSuchHashtag),
        ("<html>", 200, PageChanged),
    ],
)
def test_a_reply_that_is_no_listing_says_so(answer, status, error):
    with pytest.raises(error):
        reply(answer, status)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ({"captcha": True}, Blocked),
        ({"title": "Access Denied"}, Blocked),
        ({"url": "http://127.0.0.1/login?x"}, Blocked),
        ({"status": 403}, Blocked),
        ({"status": 500}, SiteFailed),
        ({"text": "Couldn\u2019t find this hashtag\nCheck out"}, NoSuchHashtag),
        ({"text": "Something went wrong\nSorry"}, SiteFailed),
    ],
)
def test_a_page_that_is_no_listing_says_so(found, error):
    with pytest.raises(error):
        check_look(read_look(found), "cats")


def test_an_unknown_or_good_status_is_no_error():
    check_status(0, "x")
    check_status(200, "x")
    check_look(read_look({}), "cats")


def test_cards_are_read_by_the_path_of_their_link():
    facts, rejected = read_tag_cards(
        [
            Card(f"https://www.tiktok.com/@cat.1/video/{VIDEO}?lang=en", " 1.2K ", "x\0"),
            Card(f"/@/video/{VIDEO}", None, ""),
            Card(f"/@a/photo/{VIDEO}", None, ""),
            Card("/@a/video/999999999999999", None, ""),
            Card("javascript:alert(1)", None, ""),
        ]
    )
    assert [(f.tiktok_id, f.handle, f.views_text) for f in facts] == [
        (VIDEO, "cat.1", "1.2K"),
        (VIDEO, None, None),
    ]
    assert [r.reason for r in rejected] == ["photo", "bad_id", "no_link"]


def test_a_card_alone_is_a_sighting_if_it_shows_a_count():
    (with_count, odd, without), _ = read_tag_cards(
        [Card(f"/@a/video/{VIDEO}", text, "#a b") for text in ("30.58M", "viele", None)]
    )
    found = card_sighting(with_count, observed_at=NOW)
    assert (found.views_k, found.step_k, found.source) == (30_580.0, 10.0, "dom")
    assert found.hashtags == ("a",)
    unread = card_sighting(odd, observed_at=NOW)
    assert (unread.views_k, unread.step_k, unread.display_text) == (None, None, "viele")
    assert card_sighting(without, observed_at=NOW) == Rejected("no_count", VIDEO)


def test_hydration_is_found_whatever_the_order_of_attributes():
    scope = read_hydration(document({"webapp.updated-items": [item()]}))
    assert [s.source for s in read_hydrated_items(scope, observed_at=NOW).sightings] == [
        "hydration"
    ]


@pytest.mark.parametrize(
    ("html", "error"),
    [
        ("<title>TikTok</title>", PageChanged),
        (document({}), PageChanged),
        ("<title>Access Denied</title>", Blocked),
        ('<div class="captcha_verify_container">', Blocked),
        ('<p id="cs" class="BASE64">', Blocked),
    ],
)
def test_a_page_without_its_data_says_why(html, error):
    with pytest.raises(error):
        read_hydration(html)


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
        ({"statusCode": 10216}, VideoGone),
        ({"statusCode": 10231}, VideoUnavailable),
        ({"statusCode": 10000}, Blocked),
        ({}, PageChanged),
        ({"itemInfo": {"itemStruct": item(id="7571863205253778711")}}, PageChanged),
        ({"itemInfo": {"itemStruct": item(imagePost={"images": [1]})}}, NoMedia),
        ({"itemInfo": {"itemStruct": item(createTime="0")}}, Blocked),
        ({"itemInfo": {"itemStruct": item(privateItem=True)}}, VideoUnavailable),
        ({"itemInfo": {"itemStruct": item()}}, NoMedia),
    ],
)
def test_a_video_that_cannot_be_fetched_says_why(detail, error):
    with pytest.raises(error):
        read_video(video_document(**detail))
