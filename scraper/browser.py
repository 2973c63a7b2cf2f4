"""Visit the site with a real Chromium: list a hashtag, open a video."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from selenium.webdriver.remote.webdriver import WebDriver

from scraper.chromium import default_profile_root, start_driver
from scraper.errors import Blocked, BrowserFailed, PageChanged, ScrapeError, SiteFailed
from scraper.items import MAX_BODY_CHARS, Sighting
from scraper.listing import Listing, ListingBuilder, StopReason
from scraper.politeness import Site
from scraper.replies import check_status
from scraper.scrolling import Eyes, ScrollConfig, scroll
from scraper.session import (
    SessionConfig,
    connect,
    document_header,
    drain_log,
    driver_errors,
)
from scraper.video_page import VideoPage, read_video_page

log = logging.getLogger(__name__)

VISIT = "const v = performance.getEntriesByType('navigation')[0]; return v ? v.responseStatus : 0;"


@dataclass(frozen=True)
class BrowserConfig(SessionConfig, ScrollConfig):
    """How Chromium is run and how long it may take.

    Memory grows with the pages visited, so the browser is replaced after `pages_per_session`.
    """

    pages_per_session: int = 60
    profile_root: Path = field(default_factory=default_profile_root)


class Browser(Protocol):
    """What a scrape needs of a browser."""

    @property
    def user_agent(self) -> str:
        """The name that the browser gives itself; a download must give the same."""

    @property
    def is_lost(self) -> bool:
        """Whether it is used up: then the next visit needs a new one."""

    def list_hashtag(
        self,
        name: str,
        *,
        limit: int,
        keep: Callable[[Sequence[Sighting]], object],
        on_progress: Callable[[int], object],
    ) -> Listing:
        """List up to `limit` videos of a hashtag.

        keep gets each video once, as soon as it is known, so that a listing that is never finished
        is not lost; on_progress gets how many there are so far.
        """

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
        self.is_lost = False

    def start(self) -> None:
        driver = self._stack.enter_context(start_driver(self._config.profile_root))
        # A new name each time, so that no page can wait for ours.
        self._key = f"k{uuid4().hex}"
        with self._using("starting"):
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
        self,
        name: str,
        *,
        limit: int,
        keep: Callable[[Sequence[Sighting]], object],
        on_progress: Callable[[int], object],
    ) -> Listing:
        """Scroll until enough videos, the end, a standstill or the time limit.

        Raises Blocked, NoSuchHashtag, NotAllowed, PageChanged, SiteFailed, BrowserFailed. What goes
        wrong after the first videos is a stop reason instead, since these are kept.
        """
        builder = ListingBuilder(limit)
        driver = self._visit(self._site.tag_url(name), f"the page of #{name}")

        def take(*, is_last: bool = False) -> None:
            found = builder.take(observed_at=datetime.now(UTC), is_last=is_last)
            if found:
                keep(found)
            on_progress(min(builder.n_sightings, limit))

        stop: StopReason
        error: ScrapeError | None = None
        try:
            with self._using("listing"):
                eyes = Eyes(driver, self._key, self._config.look_s)
                stop = scroll(eyes, builder, name, self._config, take, self._site)
        except (Blocked, PageChanged, SiteFailed, BrowserFailed) as broken:
            if not builder.n_sightings:
                raise
            log.warning("#%s: after %d videos: %s", name, builder.n_sightings, broken)
            stop, error = _stop_of(broken), broken
        take(is_last=True)
        return builder.finish(stop, observed_at=datetime.now(UTC), error=error)

    def open_video(self, tiktok_id: str) -> VideoPage:
        """Open the page and read its data.

        Raises VideoGone, VideoUnavailable, NoMedia, Blocked, NotAllowed, PageChanged, SiteFailed,
        BadId, BrowserFailed.
        """
        url, where = self._site.video_url(tiktok_id), f"the page of video {tiktok_id}"
        driver = self._visit(url, where)
        with self._using("reading a video's page"):
            html = driver.page_source
        if len(html) > MAX_BODY_CHARS:
            raise PageChanged(f"{where} has {len(html)} characters, more than {MAX_BODY_CHARS}")
        return read_video_page(html, tiktok_id, url, observed_at=datetime.now(UTC))

    def cookies(self) -> dict[str, str]:
        with self._using("reading cookies"):
            # Through the driver, because the one that opens files is hidden from scripts.
            found = self._open().get_cookies()
        return {str(cookie["name"]): str(cookie["value"]) for cookie in found}

    def _visit(self, url: str, where: str) -> WebDriver:
        """Open an address of the site, and make sure that this is where we are and welcome."""
        self._site.require_allowed(url)
        self._site.pause("page")
        if self._n_pages >= self._config.pages_per_session:
            self.close()
            self.start()
        self._n_pages += 1
        driver = self._open()
        with self._using(f"opening {url}"):
            drain_log(driver)
            driver.get(url)
            here = driver.current_url
            status = driver.execute_script(VISIT)
        if not self._site.is_own_url(here):
            raise Blocked(f"{url} led to {here[:200]}", mark="elsewhere")
        if urlsplit(here).path.startswith("/login"):
            raise Blocked(f"{url} led to a sign-in page", mark="login")
        if isinstance(status, int) and status >= 400:
            with self._using(f"reading the headers of {where}"):
                retry_after = document_header(drain_log(driver), "retry-after")
            check_status(status, where, retry_after)
        return driver

    @contextmanager
    def _using(self, doing: str) -> Iterator[None]:
        try:
            with driver_errors(doing):
                yield
        except BrowserFailed:
            self.is_lost = True
            raise

    def _open(self) -> WebDriver:
        if self._driver is None:
            raise BrowserFailed("the browser is closed")
        return self._driver


def _stop_of(error: ScrapeError) -> StopReason:
    if isinstance(error, BrowserFailed):
        return "crashed"
    return "blocked" if isinstance(error, Blocked) else "broken"
