import pytest

from scraper.visit.capture import HOOK, Body, Card, read_look


def test_reads_what_the_script_brings():
    look = read_look(
        {
            "bodies": [{"url": "/api/challenge/item_list/", "status": 200, "body": "{}"}],
            "cards": [{"href": "/@a/video/1", "views": "1.2K", "caption": "x"}, {"views": 3}],
            "url": "http://127.0.0.1/tag/x",
            "status": 200,
            "captcha": True,
        }
    )
    assert look.bodies == (Body("/api/challenge/item_list/", 200, "{}"),)
    assert look.cards == (Card("/@a/video/1", "1.2K", "x"), Card("", None, ""))
    assert (look.status, look.has_captcha, look.text) == (200, True, "")


@pytest.mark.parametrize("found", [None, 3, [], {"bodies": 1, "cards": [2], "status": "x"}])
def test_whatever_the_page_makes_of_it_is_read(found):
    look = read_look(found)
    assert (look.bodies, look.cards, look.status) == ((), (), 0)


def test_the_hook_has_one_place_for_its_secret_name():
    assert HOOK.count("KEY") == 1


def test_what_a_hostile_page_did_not_cut_is_cut_here():
    card = {"href": "x" * 9_000, "views": "1" * 9_000, "caption": "y" * 99_000}
    look = read_look({"cards": [card], "title": "t" * 9_000, "text": "u" * 9_000})
    (found,) = look.cards
    assert (len(found.href), len(found.views_text), len(found.caption)) == (500, 100, 10_000)
    assert (len(look.title), len(look.text)) == (200, 1_000)


def test_a_refusals_header_and_the_pages_open_requests_are_read():
    body = {"url": "u", "status": 429, "body": "", "retry": "7"}
    look = read_look({"bodies": [body], "pending": 2, "waf": 1, "login": True, "page": 1.5})
    assert look.bodies == (Body("u", 429, "", "7"),)
    assert (look.n_pending, look.is_waiting, look.asks_login, look.page) == (2, True, True, 1.5)
