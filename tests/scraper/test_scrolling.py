import json

import pytest
from selenium.common.exceptions import UnexpectedAlertPresentException

from scraper.capture import NUDGE, SCROLL
from scraper.errors import Blocked, BrowserFailed, PageChanged, SiteFailed
from scraper.listing import ListingBuilder
from scraper.politeness import Site
from scraper.scrolling import MAX_DIALOGS, Eyes, ScrollConfig, scroll
from tests.scraper.test_items import item
from tests.scraper.test_listing import make_id


class FakeDriver:
    """Shows what was laid ready, one after the other, the last for ever; errors are raised."""

    def __init__(self, *shown):
        self.shown = list(shown)
        self.known = []
        self.scrolled = []

    def execute_async_script(self, _script, _key, _wait_ms, *known):
        self.known.append(known)
        found = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(found, Exception):
            raise found
        return found

    def execute_script(self, script):
        self.scrolled.append(script)


def shown(*numbers, page=1.0, more=True, **rest):
    """What the script brings: one body with these videos, none without."""
    body = {"itemList": [item(id=make_id(n)) for n in numbers], "hasMore": more}
    bodies = [{"url": "/api/challenge/item_list/", "status": 200, "body": json.dumps(body)}]
    return {"bodies": bodies if numbers else [], "page": page, "title": "#cats"} | rest


def scroll_with(driver, *, limit=100, **config):
    builder = ListingBuilder(limit)
    eyes, site = Eyes(driver, "key", 0.0), Site("http://127.0.0.1:9")
    taken = []
    stop = scroll(
        eyes, builder, "cats", ScrollConfig(**config), lambda: taken.append(builder.n_ids), site
    )
    return stop, taken


def test_each_look_is_taken_and_the_page_scrolled_until_its_end():
    driver = FakeDriver(shown(1, 2), shown(3), shown(4, more=False))
    assert scroll_with(driver) == ("end", [2, 3, 4])
    assert driver.scrolled == [SCROLL, SCROLL]


def test_a_page_that_stands_still_is_nudged_and_then_left():
    driver = FakeDriver(shown(1), shown())
    assert scroll_with(driver, max_stalls=2) == ("stalled", [1, 1, 1])
    assert driver.scrolled == [SCROLL, NUDGE]


def test_the_time_for_one_hashtag_has_an_end():
    assert scroll_with(FakeDriver(shown(1)), listing_s=-1.0) == ("timeout", [1])


def test_the_page_is_told_what_has_arrived_until_it_is_another_page():
    driver = FakeDriver(shown(1), shown(2), shown(3, page=2.0), shown(4, more=False, page=2.0))
    scroll_with(driver)
    # Cards seen, page, bodies that have arrived.
    assert driver.known == [(0, 0.0, 0), (0, 1.0, 1), (0, 1.0, 2), (0, 2.0, 1)]


@pytest.mark.parametrize(
    ("still", "error"),
    [
        ({"login": True}, Blocked),
        ({"pending": 1}, SiteFailed),
    ],
)
def test_a_standstill_with_a_reason_is_no_end(still, error):
    with pytest.raises(error):
        scroll_with(FakeDriver(shown(1), shown(**still)))


def test_a_page_without_any_video_says_why_or_has_changed():
    with pytest.raises(PageChanged):
        scroll_with(FakeDriver(shown()))
    with pytest.raises(Blocked):
        scroll_with(FakeDriver(shown(title="")))


def test_dialogs_cost_nothing_but_time():
    dialog = UnexpectedAlertPresentException("rate this page")
    driver = FakeDriver(dialog, None, shown(1, more=False))
    assert scroll_with(driver) == ("end", [1])


def test_a_page_that_never_stops_opening_dialogs_costs_the_browser():
    driver = FakeDriver(UnexpectedAlertPresentException("rate this page"))
    with pytest.raises(BrowserFailed, match=f"interrupted {MAX_DIALOGS} times"):
        scroll_with(driver)
