import os
import tempfile
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

from scraper.chromium import find_program, start_driver
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica

pytestmark = pytest.mark.chromium

N_CARDS = "return document.querySelectorAll('[data-e2e=challenge-item]').length;"
N_VIEWS = "return document.querySelectorAll('[data-e2e=video-views]').length;"
SCROLL = "window.scrollTo(0, document.documentElement.scrollHeight);"
# Waits inside the page, for 3 s at most.
UNTIL = """
const [test, done] = arguments;
const deadline = performance.now() + 3000;
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
        patience = ClientConfig(driver.url, timeout=6, init_args_for_pool_manager=once)
        session = webdriver.Remote(
            options=options,
            command_executor=ChromeRemoteConnection(driver.url, client_config=patience),
        )
        session.set_page_load_timeout(3)
        session.set_script_timeout(5)
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


def test_a_script_without_end_begins_at_the_first_scroll(own_session, visit):
    assert visit(own_session, "infinite_js")
    assert n_cards(own_session) >= 30
    # In the page's own time: a scroll event comes with the next picture, not with the call.
    with pytest.raises((TimeoutException, HTTPError)):
        own_session.execute_async_script(SCROLL + "setTimeout(arguments[0], 1000);")


def test_a_script_without_end_may_keep_a_page_from_loading(own_session, visit):
    with pytest.raises(TimeoutException):
        visit(own_session, "infinite_js:0")


def test_a_dialog_stands_before_the_page(own_session, visit):
    assert visit(own_session, "alert")
    assert n_cards(own_session) >= 30
    with pytest.raises(NoAlertPresentException):
        own_session.switch_to.alert.accept()
    # A script that is running when the dialog opens ends without a result, or with an error.
    with suppress(UnexpectedAlertPresentException):
        assert own_session.execute_async_script(SCROLL + UNTIL, "false") is None
    assert own_session.switch_to.alert.text == "Rate this page!"


def test_the_process_that_draws_the_page_ends(own_session, visit):
    assert visit(own_session, "crash")
    assert n_cards(own_session) >= 30
    with pytest.raises(WebDriverException, match="tab crashed"):
        own_session.execute_async_script(SCROLL + UNTIL, "false")
    with pytest.raises(WebDriverException):
        n_cards(own_session)


def test_a_page_that_asks_whether_to_leave_does_not_hold_a_driven_browser(
    replica, shared_session, visit
):
    # Chromium asks only for somebody who has used the page, and WebDriver answers by itself.
    assert visit(shared_session, "beforeunload")
    shared_session.find_element("tag name", "h1").click()
    shared_session.get(f"{replica.url}/tag/dance")
    assert shared_session.current_url == f"{replica.url}/tag/dance"


def test_a_captcha_lies_over_what_was_listed(shared_session, visit):
    assert visit(shared_session, "captcha")
    shared_session.execute_script(SCROLL)
    asked = "performance.getEntriesByName(location.origin + '/captcha/get').length === 1"
    assert shared_session.execute_async_script(UNTIL, asked)
    assert shared_session.find_elements("id", "tiktok-verify-ele")
    assert n_cards(shared_session) == 30


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
