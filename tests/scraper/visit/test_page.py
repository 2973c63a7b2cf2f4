import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from scraper.errors import (
    Blocked,
    NoMedia,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    PageChanged,
    PrivateAccount,
    PrivateVideo,
    RegionLocked,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.items import Rejected
from scraper.visit.capture import Body, Card, read_look
from scraper.visit.page import (
    ListingPage,
    card_sighting,
    check_bare,
    check_look,
    check_status,
    mark_of_title,
    read_answer,
    read_cards,
    read_detail,
    read_hydrated_items,
    read_hydration,
    read_item_list,
    read_scope_facts,
    read_video_page,
)
from tests.scraper.test_items import VIDEO, item

CATS = ListingPage("hashtag", "cats")
SOMEBODY = ListingPage("account", "Some.Body")
TUNE = ListingPage("sound", "7098765432109876543")
LIST_URL = "http://127.0.0.1/api/challenge/item_list/?cursor=0"


def document(scope, title="TikTok", extra=""):
    text = json.dumps({"__DEFAULT_SCOPE__": scope})
    mark = 'type="application/json" id="__UNIVERSAL_DATA_FOR_REHYDRATION__"'
    return f"<html><title>{title}</title>{extra}<script {mark}>{text}</script></html>"


@pytest.mark.parametrize("status", [0, 200, 206, 304, 399])
def test_an_unknown_or_good_status_is_no_error(status):
    assert check_status(status, "x", "60") is None


@pytest.mark.parametrize(
    ("status", "header", "mark", "wish_s"),
    [
        (401, "", "forbidden", None),
        (403, "60", "forbidden", 60.0),
        (429, "", "rate_limited", None),
        (429, "7", "rate_limited", 7.0),
        (429, "soon", "rate_limited", None),
        (503, "120", "rate_limited", 120.0),
    ],
)
def test_a_refusal_keeps_how_long_the_site_wants_to_be_left_alone(status, header, mark, wish_s):
    with pytest.raises(Blocked, match=f"x answered {status}") as refused:
        check_status(status, "x", header)
    assert (refused.value.mark, refused.value.retry_after_s) == (mark, wish_s)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_fault_of_the_sites_own_is_no_refusal(status):
    with pytest.raises(SiteFailed, match=str(status)):
        check_status(status, "x")


@pytest.mark.parametrize(
    ("text", "status", "mark"),
    [
        ("", 200, "empty"),
        (" \n", 200, "empty"),
        ('{"type": "verify"}', 200, "verify"),
        ('{"statusCode": 10000}', 200, "captcha"),
        ("no", 403, "forbidden"),
        ("no", 429, "rate_limited"),
    ],
)
def test_a_reply_that_refuses_says_by_which_mark_we_know(text, status, mark):
    with pytest.raises(Blocked) as refused:
        read_answer(Body(LIST_URL, status, text))
    assert refused.value.mark == mark


def test_a_reply_brings_its_header_along():
    with pytest.raises(Blocked) as refused:
        read_answer(Body(LIST_URL, 429, "slow down", retry_after="30"))
    assert refused.value.retry_after_s == 30.0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"statusCode": 10201}', SiteFailed),
        ('{"statusCode": {"a": 1}}', SiteFailed),
        ('{"statusCode": 10205}', NoSuchHashtag),
        ("<html>", PageChanged),
    ],
)
def test_a_reply_without_content_says_why(text, error):
    with pytest.raises(error):
        read_answer(Body(LIST_URL, 200, text))


def test_titles_tell_refusals_apart():
    assert mark_of_title("Please wait...") == "waf"
    assert mark_of_title("Log in | TikTok") == "login"
    assert mark_of_title("cats | TikTok") is None


def test_hydration_is_found_whatever_the_order_of_attributes():
    assert read_hydration(document({"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    ("html", "error"),
    [
        ("<title>TikTok</title>", PageChanged),
        (document({}), PageChanged),
        ("<title>Access Denied</title>", Blocked),
        ('<div class="captcha_verify_container">', Blocked),
        ('<p id="cs" class="BASE64">', Blocked),
        ("", Blocked),
        ("<html><head></head><body> </body></html>", Blocked),
    ],
)
def test_a_page_without_its_data_says_why(html, error):
    with pytest.raises(error):
        read_hydration(html)


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
        check_look(read_look(found), CATS)
    assert refused.value.mark == mark


def test_a_page_that_stays_without_videos_is_empty_or_has_changed():
    with pytest.raises(Blocked) as refused:
        check_bare(read_look({}), CATS)
    assert refused.value.mark == "empty"
    with pytest.raises(PageChanged, match="#cats"):
        check_bare(read_look({"title": "TikTok"}), CATS)


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
        check_look(read_look(found), CATS)


def test_what_a_page_says_beside_it_stays_out_of_the_message():
    text = "some.body\nSome Body\n12 Following\nSomething went wrong\nSorry"
    with pytest.raises(SiteFailed, match="says 'Something went wrong'") as failed:
        check_look(read_look({"text": text}), ListingPage("account", "some.body"))
    assert "ome" not in str(failed.value).replace("Something", "")
    with pytest.raises(PageChanged, match="without hydration data") as changed:
        read_hydration("<title>Some Body (@some.body) | TikTok</title><p>hello")
    assert "some.body" not in str(changed.value)


@pytest.mark.parametrize("found", [{}, {"title": "Log in", "cards": [{"href": "/@a/video/1"}]}])
def test_a_page_that_says_nothing_against_it_is_looked_at_on(found):
    assert check_look(read_look(found), CATS) is None
    with pytest.raises(Blocked, match="captcha"):
        check_look(replace(read_look(found), has_captcha=True), CATS)


def test_cards_are_read_by_the_path_of_their_link():
    facts, rejected = read_cards(
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
    (with_count, odd, without), _ = read_cards(
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


AT = datetime(2026, 11, 23, tzinfo=UTC)
USER = {
    "user": {"uniqueId": "some.body", "signature": "four", "verified": True, "region": "DE"},
    "stats": {"followerCount": 12_300, "followingCount": 5, "heartCount": 99, "videoCount": 7},
    "statsV2": {"followerCount": "12345", "heartCount": "99", "videoCount": "7"},
}
MUSIC = {
    "music": {"id": TUNE.name, "title": "A tune", "authorName": "A band", "original": False},
    "stats": {"videoCount": 1234},
}


def test_an_accounts_page_says_what_it_counts_and_the_exact_count_first():
    scope = {"webapp.user-detail": {"statusCode": 0, "userInfo": USER}}
    about = read_scope_facts(scope, SOMEBODY, observed_at=AT)
    account = about.account
    assert (account.n_followers, account.n_following, account.n_posts) == (12_345, 5, 7)
    assert (account.n_likes, account.is_verified, account.bio_chars) == (99, True, 4)
    assert (about.source, about.observed_at, about.sound) == ("hydration", AT, None)


def test_a_sounds_page_says_how_many_use_it():
    about = read_detail({"musicInfo": MUSIC}, TUNE, source="xhr", observed_at=AT)
    sound = about.sound
    assert (sound.platform_id, sound.title, sound.author) == (TUNE.name, "A tune", "A band")
    assert (sound.n_videos, sound.is_original) == (1234, False)


@pytest.mark.parametrize(
    ("scope", "page"),
    [
        ({}, SOMEBODY),
        ({"webapp.user-detail": {"userInfo": USER}}, ListingPage("account", "somebody")),
        ({"webapp.user-detail": {"userInfo": "x"}}, SOMEBODY),
        ({"webapp.music-detail": {"musicInfo": MUSIC}}, ListingPage("sound", "7")),
        ({"webapp.user-detail": {"userInfo": USER}}, CATS),
    ],
)
def test_what_a_page_says_of_another_or_nothing_is_nothing(scope, page):
    assert read_scope_facts(scope, page, observed_at=AT) is None


@pytest.mark.parametrize(
    ("status", "error"),
    [(10221, NoSuchAccount), (10222, PrivateAccount), (10218, NoSuchSound)],
)
def test_a_status_says_that_there_is_no_such_page(status, error):
    scope = {"webapp.user-detail": {"statusCode": status, "userInfo": USER}}
    with pytest.raises(error, match=str(status)):
        read_scope_facts(scope, SOMEBODY, observed_at=AT)
    detail = Body("/api/music/detail/", 200, json.dumps({"statusCode": status}))
    with pytest.raises(error, match=str(status)):
        read_answer(detail)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Couldn\u2019t find this account\nLooking for videos?", NoSuchAccount),
        ("This account is private", PrivateAccount),
        ("Couldn't find this sound", NoSuchSound),
    ],
)
def test_the_words_of_a_page_say_that_there_is_nothing(text, error):
    with pytest.raises(error) as told:
        check_look(read_look({"title": "TikTok", "text": text}), SOMEBODY)
    assert SOMEBODY.name not in str(told.value)


def test_a_page_whose_own_data_ask_for_a_captcha_is_a_refusal():
    with pytest.raises(Blocked) as told:
        read_scope_facts({"webapp.music-detail": {"statusCode": 10000}}, TUNE, observed_at=AT)
    assert told.value.mark == "captcha"


def test_the_oldest_of_a_part_is_not_what_is_pinned():
    items = [
        item(id="7571863205253778710", createTime=1_600_000_000, isPinnedItem=True),
        item(id="7571863205253778711", createTime=1_700_000_000),
        item(id="7571863205253778712", createTime=1_650_000_000),
        "x",
    ]
    body = Body(LIST_URL, 200, json.dumps({"itemList": items, "hasMore": True}))
    found = read_item_list(body, observed_at=AT)
    assert found.oldest_at == datetime.fromtimestamp(1_650_000_000, UTC)
