import json
import os
import re
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoAlertPresentException,
    TimeoutException,
    UnexpectedAlertPresentException,
    WebDriverException,
)
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.remote.client_config import ClientConfig
from urllib3.exceptions import HTTPError

from scraper.replica.content import ReplicaConfig
from scraper.replica.odd_pages import BAD_IDS, MISSING, SCRIPTS
from scraper.replica.server import Replica
from scraper.visit.chromium import find_program, start_driver


def walk(visitor, most=10):
    """Ids by part, as a page asks that follows each reply's cursor."""
    parts, cursor = [], 0
    while len(parts) < most:
        answer = json.loads(visitor.part(cursor).body)
        parts.append([item["id"] for item in answer.get("itemList", [])])
        cursor = int(answer["cursor"])
        if not answer["hasMore"]:
            break
    return parts


def test_a_part_comes_twice_and_nothing_is_missing(visitor):
    first, second, third = walk(visitor)
    visitor.site.set_fault("sports", "repeated_page")
    assert walk(visitor) == [first, first, second, third]
    visitor.site.set_fault("sports", "repeated_page:2")
    assert walk(visitor) == [first, second, second, third]


def test_there_is_always_more_and_never_anything_new(visitor):
    first, second, _ = walk(visitor)
    visitor.site.set_fault("sports", "endless_more")
    assert walk(visitor) == [first] * 10
    visitor.site.set_fault("sports", "endless_more:2")
    assert walk(visitor) == [first, second] + [second] * 8


def test_json_is_nested_deeper_than_a_reader_can_follow(visitor):
    visitor.site.set_fault("sports", "deep_json")
    assert walk(visitor, most=1)
    text = visitor.part(30).body.decode()
    assert text.count("[") == text.count("]") == 100_000
    with pytest.raises(RecursionError):
        json.loads(text)


def test_a_page_may_draw_from_a_script_of_its_own(visitor):
    ids = [v.tiktok_id for v in visitor.listed]
    visitor.site.set_fault("sports", "dom_only")
    page = visitor.page()
    scope = visitor.scope(page)
    assert scope["webapp.page-context"]["cardVariant"] == "A"
    assert not any(number in json.dumps(scope) for number in ids)
    listed = re.search(rb"window\.__LISTED__ = (.*?);</script>", page.body)[1]
    assert [item["id"] for item in json.loads(listed)] == ids


def test_a_page_may_bring_the_listing_in_its_data(visitor):
    ids = [v.tiktok_id for v in visitor.listed]
    visitor.site.set_fault("sports", "hydration_only")
    page = visitor.page()
    assert [item["id"] for item in visitor.scope(page)["webapp.updated-items"]] == ids
    assert b"__LISTED__ =" not in page.body


N_CARDS = "return document.querySelectorAll('[data-e2e=challenge-item]').length;"
N_VIEWS = "return document.querySelectorAll('[data-e2e=video-views]').length;"
SCROLL = "window.scrollTo(0, document.documentElement.scrollHeight);"
# Waits inside the page, for 10 s at most: a busy machine draws slowly. Only what ends a page
# without end waits longer.
UNTIL = """
const [test, done] = arguments;
const deadline = performance.now() + 10_000;
const look = () => {
  const found = eval(test);
  if (found || performance.now() > deadline) done(found); else setTimeout(look, 20);
};
look();
"""


@pytest.fixture(scope="module")
def replica(media_folder):
    config = ReplicaConfig(videos_per_tag=70, topics=("Sports", "Dance"))
    with Replica(config, media_folder) as running:
        yield running


@contextmanager
def open_session():
    """A real browser that waits a few seconds for anything and closes no dialog."""
    options = webdriver.ChromeOptions()
    options.binary_location = find_program("chromium")
    options.page_load_strategy = "eager"
    options.unhandled_prompt_behavior = "ignore"
    for switch in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"):
        options.add_argument(switch)
    options.add_argument("--window-size=1366,900")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    options.add_argument("--blink-settings=imagesEnabled=false")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    # Not pytest's own folder: a socket's path below it would be too long.
    with (
        tempfile.TemporaryDirectory(prefix="vc") as folder,
        start_driver(Path(folder)) as driver,
    ):
        options.add_argument(f"--user-data-dir={Path(driver.profile) / 'u'}")
        # The driver waits for a renderer that hangs for as long as we do.
        once = {"init_args_for_pool_manager": {"retries": False}}
        patience = ClientConfig(driver.url, timeout=20, init_args_for_pool_manager=once)
        session = webdriver.Remote(
            options=options,
            command_executor=ChromeRemoteConnection(driver.url, client_config=patience),
        )
        session.set_page_load_timeout(12)
        session.set_script_timeout(15)
        yield session
        session.command_executor.close()


@pytest.fixture(scope="module")
def shared_session():
    """One browser for the faults that do not break it."""
    with open_session() as session:
        yield session


@pytest.fixture
def own_session():
    """A browser for a test that breaks it."""
    with open_session() as session:
        yield session


@pytest.fixture
def visit(replica):
    """Opens #sports under a fault, and waits until a card is there."""

    def open_page(browser, fault):
        replica.site.set_fault("sports", fault)
        browser.get(f"{replica.url}/tag/sports")
        card = "Boolean(document.querySelector('[data-e2e=challenge-item]'))"
        return browser.execute_async_script(UNTIL, card)

    yield open_page
    replica.site.set_fault("sports", None)


def n_cards(browser):
    return browser.execute_script(N_CARDS)


@pytest.mark.chromium
def test_a_script_without_end_begins_at_the_first_scroll(own_session, visit):
    assert visit(own_session, "infinite_js")
    assert n_cards(own_session) >= 30
    # In the page's own time: a scroll event comes with the next picture, not with the call.
    with pytest.raises((TimeoutException, HTTPError)):
        own_session.execute_async_script(SCROLL + "setTimeout(arguments[0], 1000);")


@pytest.mark.chromium
def test_a_script_without_end_may_keep_a_page_from_loading(own_session, visit):
    with pytest.raises(TimeoutException):
        visit(own_session, "infinite_js:0")


@pytest.mark.chromium
def test_a_dialog_stands_before_the_page(own_session, visit):
    assert visit(own_session, "alert")
    assert n_cards(own_session) >= 30
    with pytest.raises(NoAlertPresentException):
        own_session.switch_to.alert.accept()
    # A script that is running when the dialog opens ends without a result, or with an error.
    with suppress(UnexpectedAlertPresentException):
        assert own_session.execute_async_script(SCROLL + UNTIL, "false") is None
    assert own_session.switch_to.alert.text == "Rate this page!"


@pytest.mark.chromium
def test_the_process_that_draws_the_page_ends(own_session, visit):
    assert visit(own_session, "crash")
    assert n_cards(own_session) >= 30
    with pytest.raises(WebDriverException, match="tab crashed"):
        own_session.execute_async_script(SCROLL + UNTIL, "false")
    with pytest.raises(WebDriverException):
        n_cards(own_session)


@pytest.mark.chromium
def test_a_page_that_asks_whether_to_leave_does_not_hold_a_driven_browser(
    replica, shared_session, visit
):
    # Chromium asks only for somebody who has used the page, and WebDriver answers by itself.
    assert visit(shared_session, "beforeunload")
    shared_session.find_element("tag name", "h1").click()
    shared_session.get(f"{replica.url}/tag/dance")
    assert shared_session.current_url == f"{replica.url}/tag/dance"


@pytest.mark.chromium
def test_a_captcha_lies_over_what_was_listed(shared_session, visit):
    assert visit(shared_session, "captcha")
    shared_session.execute_script(SCROLL)
    asked = "performance.getEntriesByName(location.origin + '/captcha/get').length === 1"
    assert shared_session.execute_async_script(UNTIL, asked)
    assert shared_session.find_elements("id", "tiktok-verify-ele")
    assert n_cards(shared_session) == 30


@pytest.mark.chromium
def test_a_login_dialog_may_be_closed_but_the_listing_stops_behind_it(shared_session, visit):
    assert visit(shared_session, "login_modal")
    shared_session.execute_script(SCROLL)
    assert shared_session.execute_async_script(
        UNTIL, "document.querySelectorAll('[data-e2e=challenge-item]').length === 60"
    )
    close = shared_session.find_element("css selector", "[data-e2e=modal-close-inner-button]")
    assert "Log in to TikTok" in shared_session.find_element("id", "login-modal").text
    shared_session.execute_script("arguments[0].click();", close)
    assert not shared_session.find_elements("id", "login-modal")
    for _ in range(3):
        shared_session.execute_script(SCROLL)
    assert n_cards(shared_session) == 60


@pytest.mark.chromium
@pytest.mark.parametrize("fault", ["dom_only", "hydration_only"])
def test_a_listing_that_came_with_the_page_is_drawn_without_a_request(
    replica, shared_session, visit, fault
):
    n_before = len(replica.requests)
    assert visit(shared_session, fault)
    shared_session.execute_script(SCROLL)
    more = "document.querySelectorAll('[data-e2e=challenge-item]').length >= 60"
    assert shared_session.execute_async_script(UNTIL, more)
    shows_counts = fault == "dom_only"
    assert bool(shared_session.execute_script(N_VIEWS)) is shows_counts
    asked = [r.path for r in replica.requests[n_before:]]
    assert not [path for path in asked if path.startswith("/api/")]


@pytest.mark.chromium
@pytest.mark.parametrize(
    "fault",
    [
        "missing_keys",
        "string_numbers",
        "photo_post",
        "live_room",
        "pinned",
        "path_id",
        "nul",
        "lone_surrogate",
        "huge_numbers",
        "script_caption",
        "huge_caption:10000",
    ],
)
def test_odd_posts_are_drawn_like_others_and_do_nothing(shared_session, visit, fault):
    assert visit(shared_session, fault)
    assert n_cards(shared_session) >= 30
    assert not shared_session.find_elements("css selector", "[data-e2e=challenge-item] script")
    with pytest.raises(NoAlertPresentException):
        shared_session.switch_to.alert.accept()


def is_marked(item, fault):
    """Whether a listed item is of the kind that a fault makes."""
    match fault:
        case "photo_post":
            return "imagePost" in item and item["video"]["duration"] == 0
        case "ad":
            return item["isAd"]
        case "pinned":
            return item.get("isPinnedItem", False)
        case "live_room":
            return "liveRoomInfo" in item
        case "private":
            return item["privateItem"] or item["secret"] or item["forFriend"]
        case "removed":
            return item.get("takeDown") == 1
    return False


@pytest.mark.parametrize("fault", ["photo_post", "ad", "pinned", "live_room", "private", "removed"])
def test_one_post_in_five_is_of_another_kind(visitor, fault):
    assert len(visitor.struck) == 14
    visitor.site.set_fault("sports", fault)
    items = [item for cursor in (0, 30, 60) for item in visitor.items(cursor)]
    marked = {item["id"] for item in items if is_marked(item, fault)}
    assert (len(items), marked) == (70, visitor.struck)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "status"), [("private", 10216), ("removed", 10204), ("region_locked", 10231)]
)
def test_a_withheld_video_has_a_status_on_its_own_page(visitor, fault, status):
    visitor.site.set_fault("sports", fault)
    detail = visitor.scope(visitor.video(visitor.odd))["webapp.video-detail"]
    assert detail["statusCode"] == status
    assert "itemInfo" not in detail
    assert visitor.struct(visitor.plain)["id"] == visitor.plain.tiktok_id


@pytest.mark.ffmpeg
@pytest.mark.parametrize("fault", ["photo_post", "ad", "pinned", "live_room"])
def test_an_odd_post_is_the_same_on_its_own_page(visitor, fault):
    visitor.site.set_fault("sports", fault)
    assert is_marked(visitor.struct(visitor.odd), fault)
    assert not is_marked(visitor.struct(visitor.plain), fault)


@pytest.mark.ffmpeg
def test_the_file_of_a_removed_video_is_denied(visitor):
    path = visitor.struct(visitor.odd)["video"]["playAddr"].removeprefix("http://replica.test")
    visitor.site.set_fault("sports", "removed")
    assert visitor.site.answer(visitor.ask(path.partition("?")[0])).status == 403
    assert visitor.file(visitor.plain).status == 200


def test_keys_are_missing_from_every_second_item(visitor):
    whole = set(visitor.items()[0])
    visitor.site.set_fault("sports", "missing_keys")
    missing = [whole - set(item) for item in visitor.items()]
    assert not any(missing[::2])
    assert [set(names) for names in MISSING] == missing[1::2][: len(MISSING)]


def test_every_number_may_be_text(visitor):
    visitor.site.set_fault("sports", "string_numbers")
    answer = json.loads(visitor.part().body)
    assert answer["statusCode"] == "0"
    for item in answer["itemList"]:
        assert isinstance(item["createTime"], str)
        assert isinstance(item["video"]["duration"], str)
        assert all(isinstance(n, str) for n in item["stats"].values())
        assert item["isAd"] is False


def test_a_caption_may_be_as_long_as_a_book(visitor):
    visitor.site.set_fault("sports", "huge_caption:5000")
    lengths = {item["id"]: len(item["desc"]) for item in visitor.items()}
    odd = visitor.struck
    assert all((n >= 5_000) is (tiktok_id in odd) for tiktok_id, n in lengths.items())


def test_ids_may_lead_out_of_a_folder(visitor):
    visitor.site.set_fault("sports", "path_id")
    ids = [item["id"] for cursor in (0, 30, 60) for item in visitor.items(cursor)]
    bad = [number for number in ids if not re.fullmatch("[0-9]{19}", number)]
    assert len(bad) == 14
    assert set(bad) == set(BAD_IDS)


@pytest.mark.parametrize(
    ("fault", "written"), [("nul", r"a\u0000b"), ("lone_surrogate", r"a\ud83db")]
)
def test_captions_and_hashtags_may_hold_what_no_text_should(visitor, fault, written):
    visitor.site.set_fault("sports", fault)
    body = visitor.part().body.decode("ascii")
    # In a caption, a challenge and a place in the text, each in 6 of 30.
    assert body.count(written) == 18
    assert len(json.loads(body)["itemList"]) == 30


def test_counts_may_be_no_numbers(visitor):
    visitor.site.set_fault("sports", "nan:0")
    body = visitor.part().body.decode()
    assert Counter(re.findall(r"-?(?:NaN|Infinity)\b", body)) == {
        "NaN": 4,
        "Infinity": 4,
        "-Infinity": 4,
    }
    visitor.site.set_fault("sports", "nan")
    assert b"NaN" not in visitor.part(0).body
    assert b"NaN" in visitor.part(30).body


def test_counts_may_be_beyond_every_type(visitor):
    visitor.site.set_fault("sports", "huge_numbers:40")
    odd = [i for i in visitor.items() if i["id"] in visitor.struck]
    counts = [item["stats"]["playCount"] for item in odd]
    assert counts == [10**40 - 1, -5, 2**63, float("inf"), 1.5, True]
    visitor.site.set_fault("sports", "huge_numbers:5000")
    with pytest.raises(ValueError, match="digits"):
        visitor.items()


@pytest.mark.ffmpeg
def test_a_caption_of_markup_ends_no_script(visitor):
    visitor.site.set_fault("sports", "script_caption")
    assert [item["desc"] for item in visitor.items()] == [
        SCRIPTS[i % len(SCRIPTS)] for i in range(30)
    ]
    page = visitor.video(visitor.plain)
    position = visitor.listed.index(visitor.plain)
    assert visitor.struct(visitor.plain)["desc"] == SCRIPTS[position % len(SCRIPTS)]
    assert b"<script>alert(1)" not in page.body
