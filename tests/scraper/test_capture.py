import pytest

from scraper.capture import HOOK, Body, Card, read_look


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
