"""Visit the site with a real Chromium: list a hashtag, open a video."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from selenium.webdriver.remote.webdriver import WebDriver

from scraper.capture import LOOK, NUDGE, SCROLL, Look, read_look
from scraper.chromium import default_profile_root, start_driver
from scraper.errors import Blocked, BrowserFailed, PageChanged, SiteFailed
from scraper.items import MAX_BODY_CHARS
from scraper.listing import Listing, ListingBuilder, StopReason
from scraper.page import VideoPage, check_look, check_status, read_video_page
from scraper.politeness import Site
from scraper.session import SessionConfig, connect, driver_errors

log = logging.getLogger(__name__)

VISIT = "const v = performance.getEntriesByType('navigation')[0]; return v ? v.responseStatus : 0;"


@dataclass(frozen=True)
class BrowserConfig(SessionConfig):
    """How Chromium is run and how long it may take.

    look_s is how long one look waits for something new, listing_s bounds one hashtag. Memory
    grows with the pages visited, so the browser is replaced after `pages_per_session`.
    """

    look_s: float = 5.0
    max_stalls: int = 3
    listing_s: float = 600.0
    pages_per_session: int = 60
    profile_root: Path = field(default_factory=default_profile_root)


class Browser(Protocol):
    """What a scrape needs of a browser."""

    @property
    def user_agent(self) -> str:
        """The name that the browser gives itself; a download must give the same."""

    def list_hashtag(
        self, name: str, *, limit: int, on_progress: Callable[[int], object]
    ) -> Listing:
        """List up to `limit` videos of a hashtag; on_progress gets how many there are so far."""

    def open_video(self, tiktok_id: str) -> VideoPage:
        """Open a video's own page, which signs the file's addresses for this visitor."""

    def cookies(self) -> dict[str, str]:
        """Return the cookies that belong to the page that is open."""


@contextmanager
def open_browser(config: BrowserConfig, site: Site) -> Iterator[Browser]:
    """Run a browser of its own; no process of it is left afterwards, whatever happens.

    Raises BrowserMissing and BrowserFailed.
    """
    with ExitStack() as stack:
        browser = _Chromium(config, site)
        stack.callback(browser.close)
        browser.start()
        yield browser


class _Chromium:
    """A browser for one site. Any failure of the driver is BrowserFailed: then it is used up."""

    def __init__(self, config: BrowserConfig, site: Site) -> None:
        self._config = config
        self._site = site
        self._stack = ExitStack()
        self._driver: WebDriver | None = None
        self._n_pages = 0
        self._key = ""
        self.user_agent = ""

    def start(self) -> None:
        driver = self._stack.enter_context(start_driver(self._config.profile_root))
        # A new name each time, so that no page can wait for ours.
        self._key = f"k{uuid4().hex}"
        with driver_errors("starting"):
            self._driver = self._stack.enter_context(
                connect(driver, self._config, self._site, self._key)
            )
            self.user_agent = str(self._driver.execute_script("return navigator.userAgent;"))
        self._n_pages = 0
        log.debug("browser %d started", driver.pid)

    def close(self) -> None:
        self._driver = None
        self._stack.close()

    def list_hashtag(
        self, name: str, *, limit: int, on_progress: Callable[[int], object]
    ) -> Listing:
        """Scroll until enough videos, the end, a standstill or the time limit.

        Raises Blocked, NoSuchHashtag, NotAllowed, PageChanged, SiteFailed, BrowserFailed. What the
        site refuses after the first videos is a stop reason instead, so that these are kept.
        """
        deadline_s = time.monotonic() + self._config.listing_s
        builder = ListingBuilder(limit)
        self._visit(self._site.tag_url(name))
        n_stalls = n_cards = 0
        stop: StopReason | None = None
        while stop is None:
            n_before = builder.n_ids
            look = self._look(n_cards)
            try:
                # The replies first: they tell a refusal from a fault, where the page says the same.
                builder.add(look, observed_at=datetime.now(UTC))
                check_look(look, name)
            except (Blocked, PageChanged, SiteFailed) as error:
                if not builder.n_sightings:
                    raise
                log.warning("#%s: after %d videos: %s", name, builder.n_sightings, error)
                stop = "blocked" if isinstance(error, Blocked) else "broken"
                break
            n_cards = len(look.cards)
            on_progress(min(builder.n_sightings, limit))
            n_stalls = n_stalls + 1 if builder.n_ids == n_before else 0
            stop = builder.stop_reason
            if stop is None and n_stalls >= self._config.max_stalls:
                stop = "stalled"
            if stop is None and time.monotonic() > deadline_s:
                stop = "timeout"
            if stop is None:
                self._site.pause("scroll")
                self._run(NUDGE if n_stalls else SCROLL)
        if not builder.n_ids and stop == "stalled":
            raise PageChanged(f"the page of #{name} has neither videos nor a word why")
        return builder.finish(stop, observed_at=datetime.now(UTC))

    def open_video(self, tiktok_id: str) -> VideoPage:
        """Open the page and read its data.

        Raises VideoGone, VideoUnavailable, NoMedia, Blocked, NotAllowed, PageChanged, SiteFailed,
        BadId, BrowserFailed.
        """
        url = self._site.video_url(tiktok_id)
        driver = self._visit(url)
        where = f"the page of video {tiktok_id}"
        with driver_errors("reading a video's page"):
            status = driver.execute_script(VISIT)
            html = driver.page_source
        check_status(status if isinstance(status, int) else 0, where)
        if len(html) > MAX_BODY_CHARS:
            raise PageChanged(f"{where} has {len(html)} characters, more than {MAX_BODY_CHARS}")
        return read_video_page(html, tiktok_id, url, observed_at=datetime.now(UTC))

    def cookies(self) -> dict[str, str]:
        with driver_errors("reading cookies"):
            # Through the driver, because the one that opens files is hidden from scripts.
            found = self._open().get_cookies()
        return {str(cookie["name"]): str(cookie["value"]) for cookie in found}

    def _visit(self, url: str) -> WebDriver:
        """Open an address of the site, and make sure that this is where we are."""
        self._site.require_allowed(url)
        self._site.pause("page")
        if self._n_pages >= self._config.pages_per_session:
            self.close()
            self.start()
        self._n_pages += 1
        driver = self._open()
        with driver_errors(f"opening {url}"):
            driver.get(url)
            here = driver.current_url
        if not self._site.is_own_url(here):
            raise Blocked(f"{url} led to {here[:200]}")
        if urlsplit(here).path.startswith("/login"):
            raise Blocked(f"{url} led to a login page")
        return driver

    def _look(self, n_seen: int) -> Look:
        with driver_errors("looking at a page"):
            wait_ms = int(self._config.look_s * 1_000)
            found = self._open().execute_async_script(LOOK, self._key, wait_ms, n_seen)
        return read_look(found)

    def _run(self, script: str) -> None:
        with driver_errors("scrolling"):
            self._open().execute_script(script)

    def _open(self) -> WebDriver:
        if self._driver is None:
            raise BrowserFailed("the browser is closed")
        return self._driver
