"""Visit the site with a real Chromium: list a hashtag, open a video."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit
from uuid import uuid4

from selenium.common.exceptions import (
    TimeoutException,
    UnexpectedAlertPresentException,
    WebDriverException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError as DriverUnreachable

from scraper.errors import Blocked, BrowserFailed, PageChanged, PageTimeout, ScrapeError, SiteFailed
from scraper.items import MAX_BODY_CHARS, Sighting
from scraper.politeness import Site
from scraper.settings import BrowserConfig
from scraper.visit.capture import HOOK, LOOK, NUDGE, SCROLL, PageLook, read_look
from scraper.visit.chromium import Driver, default_profile_root, find_program, start_driver
from scraper.visit.cookies import for_browser, own_cookies, read_cookies
from scraper.visit.listing import Listing, ListingBuilder, StopReason, Window
from scraper.visit.page import (
    ListingPage,
    PageFacts,
    VideoPage,
    check_bare,
    check_look,
    check_status,
    read_video_page,
)

log = logging.getLogger(__name__)
# At DEBUG it repeats all that is said to the driver, a visitor's cookies too.
logging.getLogger("selenium").setLevel(logging.INFO)

SWITCHES = (
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--mute-audio",
    # A kept profile's cookies are readable again: without it, under a key of the desktop's.
    "--password-store=basic",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    # Pictures are not looked at, and half of the site's bytes.
    "--blink-settings=imagesEnabled=false",
)
# The browser reads pages; files are fetched by `download`, once, and checked.
BLOCKED_URLS = ("*/video/tos/*", "*.mp4*", "*/obj/cover/*", "*/obj/avatar/*")
WINDOW_PX = (1366, 900)
# A page that opens more dialogs than this while we look at it once will not stop.
MAX_DIALOGS = 10
MAX_STALLS = 3  # looks that show nothing new, before a page is left
VISIT = "const v = performance.getEntriesByType('navigation')[0]; return v ? v.responseStatus : 0;"


class Browser(Protocol):
    """What a scrape needs of a browser."""

    @property
    def user_agent(self) -> str:
        """The name that the browser gives itself; a download must give the same."""

    @property
    def is_lost(self) -> bool:
        """Whether it is used up: then the next visit needs a new one."""

    def list_page(
        self,
        page: ListingPage,
        *,
        limit: int,
        window: Window,
        keep: Callable[[Sequence[Sighting]], object],
        keep_about: Callable[[PageFacts], object],
        on_progress: Callable[[int], object],
    ) -> Listing:
        """List up to `limit` videos of a hashtag, an account or a sound.

        keep gets each video once, as soon as it is known, so that a listing that is never finished
        is not lost; keep_about, before it, what the page says of its account or sound, if it does;
        on_progress gets how many videos there are so far.
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
        config = self._config
        profiles = config.profile_root or default_profile_root()
        driver = self._stack.enter_context(
            start_driver(profiles, kept=config.profile, is_headful=config.headful)
        )
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

    def list_page(
        self,
        page: ListingPage,
        *,
        limit: int,
        window: Window,
        keep: Callable[[Sequence[Sighting]], object],
        keep_about: Callable[[PageFacts], object],
        on_progress: Callable[[int], object],
    ) -> Listing:
        """Scroll until enough videos, the end, a standstill or the time limit.

        Raises Blocked, NoSuchHashtag, NoSuchAccount, NoSuchSound, PrivateAccount, NotAllowed,
        PageChanged, SiteFailed, BrowserFailed. What goes wrong after the first videos is a stop
        reason instead, since these are kept.
        """
        builder = ListingBuilder(page, limit, window)
        driver = self._visit(self._site.listing_url(page.kind, page.name), page.where)

        def take(*, is_last: bool = False) -> None:
            if (about := builder.take_about()) is not None:
                keep_about(about)
            found = builder.take(observed_at=datetime.now(UTC), is_last=is_last)
            if found:
                keep(found)
            on_progress(min(builder.n_sightings, limit))

        stop: StopReason
        error: ScrapeError | None = None
        try:
            with self._using("listing"):
                eyes = Eyes(driver, self._key, self._config.look_s)
                stop = scroll(eyes, builder, page, self._config, take, self._site)
        except (Blocked, PageChanged, SiteFailed, BrowserFailed) as broken:
            if not builder.n_sightings:
                raise
            log.warning("%s: after %d videos: %s", page.where, builder.n_sightings, broken)
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
        with self._using(f"opening {where}"):
            drain_log(driver)
            driver.get(url)
            here = driver.current_url
            status = driver.execute_script(VISIT)
        if not self._site.is_own_url(here):
            host = urlsplit(here).netloc or here[:40]
            raise Blocked(f"{where} led to another site, {host[:200]}", mark="elsewhere")
        if urlsplit(here).path.startswith("/login"):
            raise Blocked(f"{where} led to a sign-in page", mark="login")
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


@contextmanager
def connect(driver: Driver, config: BrowserConfig, site: Site, key: str) -> Iterator[WebDriver]:
    """Open a session; key is the name under which the hook answers in a page.

    Only the connection is closed at the end: the browser is ended by who started the driver. One
    with a kept profile is asked to leave before, since it writes cookies down when it does.
    """
    cookies = own_cookies(read_cookies(config.cookies), site) if config.cookies else []
    # Without retries: a driver that hangs would be waited for four times over.
    once = {"init_args_for_pool_manager": {"retries": False}}
    connection = ChromeRemoteConnection(
        driver.url,
        client_config=ClientConfig(
            driver.url,
            proxy=Proxy(raw={"proxyType": ProxyType.DIRECT}),
            init_args_for_pool_manager=once,
            timeout=cast(int, config.command_s),  # urllib3 takes fractions as well
        ),
    )
    try:
        session = WebDriver(command_executor=connection, options=_options(site, config, driver))
        session.set_page_load_timeout(config.page_s)
        session.set_script_timeout(config.script_s)
        hook = HOOK.replace("KEY", f"'{key}'")
        _devtools(session, "Page.addScriptToEvaluateOnNewDocument", source=hook)
        _devtools(session, "Browser.setDownloadBehavior", behavior="deny")
        _devtools(session, "Network.enable")
        _devtools(session, "Network.setBlockedURLs", urls=list(BLOCKED_URLS))
        if cookies:
            _devtools(
                session, "Network.setCookies", cookies=[for_browser(c, site) for c in cookies]
            )
        yield session
        if config.profile is not None:
            with suppress(WebDriverException, DriverUnreachable, OSError):
                session.quit()
    finally:
        connection.close()  # type: ignore[no-untyped-call]  # Selenium has no types here


@contextmanager
def driver_errors(doing: str) -> Iterator[None]:
    """Turn what Selenium and its connection raise into PageTimeout or BrowserFailed."""
    try:
        yield
    except ScrapeError:
        raise
    except TimeoutException as error:
        raise PageTimeout(f"{doing}: {_first_line(error)}") from error
    except (WebDriverException, DriverUnreachable, OSError) as error:
        raise BrowserFailed(f"{doing}: {_first_line(error)}") from error


def drain_log(session: WebDriver) -> list[str]:
    """Return what the browser has noted of its network since the last time, and forget it."""
    found = session.execute("getLog", {"type": "performance"}).get("value")
    return [str(entry.get("message")) for entry in found or ()]


def document_header(log_entries: Iterable[str], name: str) -> str:
    """Find a header of the last page opened; empty where it has none. name: lower case."""
    value = ""
    for text in log_entries:
        if '"Network.responseReceived"' not in text:
            continue
        params = json.loads(text)["message"]["params"]
        if params.get("type") == "Document":
            headers = params["response"]["headers"]
            value = next((str(v) for k, v in headers.items() if k.lower() == name), "")
    return value


def _options(site: Site, config: BrowserConfig, driver: Driver) -> Options:
    options = Options()
    options.binary_location = find_program(str((config.binary or Path("chromium")).expanduser()))
    options.page_load_strategy = "eager"
    # A dialog stops everything until somebody says no.
    options.unhandled_prompt_behavior = "dismiss"
    for switch in (*SWITCHES, *driver.switches):
        options.add_argument(switch)
    if not config.headful:
        options.add_argument("--headless=new")
    options.add_argument(f"--lang={config.language.partition(',')[0]}")
    options.add_argument(f"--accept-lang={config.language}")
    if config.user_agent:
        options.add_argument(f"--user-agent={config.user_agent}")
    width_px, height_px = WINDOW_PX
    options.add_argument(f"--window-size={width_px},{height_px}")
    # The one place where the headers of a page itself can be read.
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.add_experimental_option(
        "perfLoggingPrefs", {"enableNetwork": True, "enablePage": False}
    )
    if os.geteuid() == 0:
        # Chromium's sandbox does not work for root; anybody else keeps it.
        options.add_argument("--no-sandbox")
    here = [site.host]
    if config.proxy:
        # Chromium looks names up at the proxy whichever of the two it is called.
        options.add_argument(f"--proxy-server={config.proxy.replace('socks5h:', 'socks5:')}")
        # Chromium would ask for what is on this machine past the proxy, and through it for all
        # else, such as its own updates: at the proxy, names would be looked up after all.
        bypass = "*;<-loopback>" if site.is_loopback else "<-loopback>"
        options.add_argument(f"--proxy-bypass-list={bypass}")
        here.append(urlsplit(config.proxy).hostname or "")
    if site.is_loopback:
        # Not even a name is looked up: a test that reached the world would be a bug.
        excluded = " , ".join(f"EXCLUDE {host}" for host in here)
        options.add_argument(f"--host-resolver-rules=MAP * ~NOTFOUND , {excluded}")
    return options


def _devtools(session: WebDriver, command: str, **params: Any) -> None:
    session.execute("executeCdpCommand", {"cmd": command, "params": params})


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error)
    return str(text).strip().partition("\n")[0][:300]


class Eyes:
    """Looks at the page that is open, and knows what it has seen of it. Raises BrowserFailed."""

    def __init__(self, driver: WebDriver, key: str, look_s: float) -> None:
        self._driver = driver
        self._key = key
        self._wait_ms = int(look_s * 1_000)
        self._page = 0.0
        self._n_bodies = self._n_cards = 0

    def look(self) -> PageLook:
        """Wait for something new, or for the time to be over, and say what there is."""
        known = (self._n_cards, self._page, self._n_bodies)

        def look() -> object:
            return self._driver.execute_async_script(LOOK, self._key, self._wait_ms, *known)

        # A dialog ends our script, with nothing to show for it.
        found = read_look(_undisturbed("looking at a page", look, is_done=bool))
        if found.page != self._page:
            self._page, self._n_bodies = found.page, 0
        self._n_bodies += len(found.bodies)
        self._n_cards = len(found.cards)
        return found

    def scroll(self, *, nudge: bool) -> None:
        """Scroll to the end; with `nudge`, a little back before."""
        script = NUDGE if nudge else SCROLL
        _undisturbed("scrolling", lambda: self._driver.execute_script(script))


def scroll(
    eyes: Eyes,
    builder: ListingBuilder,
    page: ListingPage,
    config: BrowserConfig,
    take: Callable[[], None],
    site: Site,
) -> StopReason:
    """Add look after look to a listing; `take` is called after each. Returns why it is over.

    Raises what `list_page` raises.
    """
    deadline_s = time.monotonic() + config.listing_s
    n_stalls = 0
    while True:
        n_before, look = builder.n_ids, eyes.look()
        # The replies first: they tell a refusal from a fault, where the page says the same.
        builder.add(look, observed_at=datetime.now(UTC))
        check_look(look, page)
        take()
        n_stalls = n_stalls + 1 if builder.n_ids == n_before else 0
        if (stop := builder.stop_reason) is not None:
            return stop
        if n_stalls >= MAX_STALLS:
            _check_stall(look, page, has_videos=builder.n_ids > 0)
            return "stalled"
        if time.monotonic() > deadline_s:
            return "timeout"
        site.pause("scroll")
        eyes.scroll(nudge=n_stalls > 0)


def _check_stall(look: PageLook, page: ListingPage, *, has_videos: bool) -> None:
    """Raise where the page says why nothing comes any more."""
    if look.asks_login:
        raise Blocked(f"{page.where} wants us to sign in", mark="login")
    if look.n_pending > 0:
        raise SiteFailed(f"{page.where} does not answer any more")
    if not has_videos:
        check_bare(look, page)


def _undisturbed(
    doing: str, action: Callable[[], object], is_done: Callable[[object], bool] = lambda _: True
) -> object:
    """Do it again as often as a dialog of the page comes between; the driver closes these."""
    with driver_errors(doing):
        for _ in range(MAX_DIALOGS):
            with suppress(UnexpectedAlertPresentException):
                found = action()
                if is_done(found):
                    return found
    raise BrowserFailed(f"{doing}: interrupted {MAX_DIALOGS} times")
