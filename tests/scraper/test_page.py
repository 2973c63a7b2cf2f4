import json
from datetime import UTC, datetime

import pytest

from scraper.capture import Body, Card, read_look
from scraper.errors import Blocked, NoSuchHashtag, PageChanged, SiteFailed
from scraper.items import Rejected
from scraper.page import (
    card_sighting,
    check_bare,
    check_look,
    read_hydrated_items,
    read_item_list,
    read_tag_cards,
)
from tests.scraper.test_items import VIDEO, item

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LIST_URL = "http://127.0.0.1/api/challenge/item_list/?cursor=0"


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


def test_a_reply_that_is_neither_a_list_nor_an_end_is_a_change():
    with pytest.raises(PageChanged, match="itemList"):
        reply({"statusCode": 0, "cursor": "30", "hasMore": True})
    # A list that does not say whether it goes on may go on.
    assert reply({"statusCode": 0, "itemList": [item()]}).has_more


@pytest.mark.parametrize(
    ("found", "mark"),
    [
        ({"captcha": True}, "captcha"),
        ({"waf": True}, "waf"),
        ({"title": "Access Denied"}, "forbidden"),
        ({"title": "Log in | TikTok"}, "login"),
        ({"url": "http://127.0.0.1/login?x"}, "login"),
        ({"status": 403}, "forbidden"),
        ({"status": 429}, "rate_limited"),
    ],
)
def test_a_page_that_refuses_us_says_by_which_mark_we_know(found, mark):
    with pytest.raises(Blocked) as refused:
        check_look(read_look(found), "cats")
    assert refused.value.mark == mark


def test_a_page_that_stays_without_videos_is_empty_or_has_changed():
    with pytest.raises(Blocked) as refused:
        check_bare(read_look({}), "cats")
    assert refused.value.mark == "empty"
    with pytest.raises(PageChanged, match="#cats"):
        check_bare(read_look({"title": "TikTok"}), "cats")


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ({"status": 500}, SiteFailed),
        ({"text": "Couldn\u2019t find this hashtag\nCheck out"}, NoSuchHashtag),
        ({"text": "Something went wrong\nSorry"}, SiteFailed),
    ],
)
def test_a_page_that_is_no_listing_says_so(found, error):
    with pytest.raises(error):
        check_look(read_look(found), "cats")


def test_a_page_without_a_word_is_looked_at_on():
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


def test_items_of_the_page_itself_are_read():
    scope = {"webapp.updated-items": [item()]}
    found = read_hydrated_items(scope, observed_at=NOW)
    assert [s.source for s in found.sightings] == ["hydration"]
    assert read_hydrated_items({}, observed_at=NOW).sightings == ()
