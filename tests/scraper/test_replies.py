import json

import pytest

from scraper.capture import Body
from scraper.errors import Blocked, NoSuchHashtag, PageChanged, SiteFailed
from scraper.replies import check_status, mark_of_title, read_answer, read_hydration

LIST_URL = "http://127.0.0.1/api/challenge/item_list/?cursor=0"


def document(scope, title="TikTok", extra=""):
    text = json.dumps({"__DEFAULT_SCOPE__": scope})
    mark = 'type="application/json" id="__UNIVERSAL_DATA_FOR_REHYDRATION__"'
    return f"<html><title>{title}</title>{extra}<script {mark}>{text}</script></html>"


def test_an_unknown_or_good_status_is_no_error():
    check_status(0, "x")
    check_status(200, "x")


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


@pytest.mark.parametrize("status", [404, 500, 503])
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
