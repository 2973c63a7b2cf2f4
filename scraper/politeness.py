"""Decide which addresses may be visited, and how long to wait in between."""

import ipaddress
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import SplitResult, quote, urlsplit

import httpx
from protego import Protego

from scraper.errors import LiveSiteRefused, NotAllowed, RobotsUnread
from scraper.files.http import open_client
from scraper.items import check_id
from scraper.settings import SiteLimits

log = logging.getLogger(__name__)

Occasion = Literal["page", "scroll", "download"]
# A person reads about this fast; the site is not ours to hurry.
PAUSES_S: dict[Occasion, tuple[float, float]] = {
    "page": (8.0, 20.0),
    "scroll": (2.0, 5.0),
    "download": (2.0, 4.0),
}
ROBOTS_AGENT = "viewcast"
ROBOTS_S = 15.0
MAX_ROBOTS_BYTES = 512 * 1024
# Where the live site keeps its files, beside its own subdomains.
MEDIA_SUFFIXES = (".tiktok.com", ".tiktokcdn.com", ".tiktokcdn-us.com", ".tiktokcdn-eu.com")
LIVE_DAILY_PAGES = 1_500
NOTICE = """\
{host} is a live site. Its terms are likely to forbid collecting from it by program; that you have \
its leave, or the law's, is your statement by setting site.allow_live, and what you collect is \
your responsibility, people's data in particular. robots.txt is read first and obeyed; one page \
is opened every {low_s:.0f} to {high_s:.0f} seconds or slower, at most {pages} a day. At a \
captcha, a sign-in page or a refusal the work stops and stays away for a while: nothing is solved \
and nobody is impersonated."""


class Site:
    """The one site that a scrape visits: its addresses, its robots.txt and its pace.

    Raises LiveSiteRefused for a host that is not this machine, unless `allow_live`. On this
    machine there is nobody to be polite to: pauses are 0, robots.txt is obeyed all the same.
    """

    def __init__(
        self,
        base_url: str,
        *,
        allow_live: bool = False,
        limits: SiteLimits | None = None,
        proxy: str = "",
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        parts = _split(base_url)
        self.host = (parts.hostname or "").lower()
        self.is_loopback = _is_loopback(self.host)
        self._allow_live = allow_live
        if not self.is_loopback and not allow_live:
            raise LiveSiteRefused(
                f"{base_url!r} is not on this machine: set site.allow_live (and have the site's "
                "leave), or point site.base_url at the replica, such as http://127.0.0.1:8765"
            )
        schemes = ("http", "https") if self.is_loopback else ("https",)
        is_plain = not (parts.username or parts.query or parts.path.strip("/"))
        if parts.scheme not in schemes or not is_plain:
            raise LiveSiteRefused(
                f"{base_url!r} is no site address: expected {' or '.join(schemes)}://HOST"
            )
        self.base_url = f"{parts.scheme}://{parts.netloc}"
        # What the catalog calls it.
        self.name = parts.netloc.lower()
        self.limits = limits or SiteLimits()
        self.check_proxy(proxy)
        self.proxy = proxy
        self.n_visits = 0
        self._sleep = sleep
        self._robots: Protego | None = None
        self._last_visit_s: float | None = None

    @property
    def daily_pages(self) -> int | None:
        """How many pages may be opened in a day; None: no limit."""
        if self.limits.daily_pages is None and not self.is_loopback:
            return LIVE_DAILY_PAGES
        return self.limits.daily_pages

    @property
    def notice(self) -> str | None:
        """What to know before a live site is visited; None for one on this machine."""
        if self.is_loopback:
            return None
        low_s, high_s = PAUSES_S["page"]
        return NOTICE.format(host=self.host, low_s=low_s, high_s=high_s, pages=self.daily_pages)

    def listing_url(self, kind: Literal["hashtag", "account", "sound"], name: str) -> str:
        """Give a page that lists videos, in English whatever the visitor's country.

        The site finds a sound by its id, whatever words stand before it.
        """
        start = {"hashtag": "tag/", "account": "@", "sound": "music/x-"}[kind]
        return f"{self.base_url}/{start}{quote(name, safe='')}?lang=en"

    def video_url(self, tiktok_id: str) -> str:
        """Give a video's page. The site finds it without the author's handle. Raises BadId."""
        return f"{self.base_url}/@/video/{check_id(tiktok_id)}?lang=en"

    def is_own_url(self, url: str) -> bool:
        """Tell whether an address is on the site itself, port included."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return f"{parts.scheme}://{parts.netloc}" == self.base_url

    def is_allowed_media_url(self, url: str) -> bool:
        """Tell whether a file may be asked for at an address that a page gave."""
        if self.is_loopback:
            return self.is_own_url(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or parts.username or parts.password or port not in (None, 443):
            return False
        # The site's own host answers with a page that wants a signed-in visitor.
        own = "." + self.host.removeprefix("www.")
        suffixes = MEDIA_SUFFIXES if own == ".tiktok.com" else (own,)
        return host != self.host and host.endswith(suffixes)

    def beside(self, url: str) -> "Site":
        """Return the site that an address is of, under this one's rules. Raises LiveSiteRefused."""
        parts = _split(url)
        other = Site(
            f"{parts.scheme}://{parts.netloc}",
            allow_live=self._allow_live,
            limits=self.limits,
            proxy=self.proxy,
            sleep=self._sleep,
        )
        if other.is_loopback and not self.is_loopback:
            raise LiveSiteRefused(f"{url[:200]!r} is on this machine, and {self.base_url} is not")
        return other

    def check_proxy(self, proxy: str) -> None:
        """Raise LiveSiteRefused where a proxy elsewhere would be asked for a site that is here."""
        host = (urlsplit(proxy).hostname or "").lower()
        if host and self.is_loopback and not _is_loopback(host):
            raise LiveSiteRefused(
                f"{self.base_url} is on this machine and the proxy {host} is not: unset the proxy"
            )

    def may_see_cookies(self, url: str) -> bool:
        """Tell whether the site's cookies are for an address, as a browser would."""
        host = (urlsplit(url).hostname or "").lower()
        domain = self.host.removeprefix("www.")
        return host == domain or host.endswith("." + domain)

    def is_allowed_peer(self, address: str) -> bool:
        """Tell whether a name led where it should: the live site is never inside our network."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return ip.is_loopback if self.is_loopback else ip.is_global

    def require_allowed(self, url: str) -> None:
        """Raise NotAllowed for an address of the site that its robots.txt forbids.

        Raises RobotsUnread, for all of them, when there is one that cannot be read.
        """
        if self._robots is None:
            self._robots = read_robots(self.base_url, self.proxy)
        if not self._robots.can_fetch(url, ROBOTS_AGENT):
            # Messages are kept, and an account's address names it.
            nameless = re.sub(r"/@[^/?]+", "/@…", url)
            raise NotAllowed(f"{self.base_url}/robots.txt forbids {nameless}")

    def pause(self, occasion: Occasion) -> None:
        """Wait as long as the occasion asks for; not before the first visit of all.

        Before a page it also counts the visit.
        """
        self.n_visits += occasion == "page"
        if self.is_loopback:
            return
        if self._last_visit_s is not None:
            wait_s = random.uniform(*PAUSES_S[occasion])
            asked_s = self._robots.crawl_delay(ROBOTS_AGENT) if self._robots else None
            wait_s = max(wait_s, asked_s or 0.0)
            # What the last visit itself took counts as waiting.
            self._sleep(max(0.0, wait_s - (time.monotonic() - self._last_visit_s)))
        self._last_visit_s = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Stay away as long as the site has asked for, on this machine as elsewhere."""
        self._sleep(seconds)


def read_robots(base_url: str, proxy: str = "") -> Protego:
    """Fetch a robots.txt; all is allowed where there is none. Raises RobotsUnread."""
    url = f"{base_url}/robots.txt"
    text = bytearray()
    try:
        with (
            open_client(ROBOTS_S, headers={"User-Agent": ROBOTS_AGENT}, proxy=proxy) as client,
            client.stream("GET", url) as reply,
        ):
            status = reply.status_code
            for block in reply.iter_bytes():
                text += block
                if len(text) > MAX_ROBOTS_BYTES:
                    break
    except httpx.HTTPError as error:
        raise RobotsUnread(f"{url} could not be read ({error}), so nothing is visited") from error
    if status in (404, 410):
        log.info("%s does not exist: everything is allowed", url)
        return Protego.parse("")
    if status != 200:
        raise RobotsUnread(f"{url} answered {status} instead of 200, so nothing is visited")
    return Protego.parse(text[:MAX_ROBOTS_BYTES].decode("utf-8", "replace"))


def _split(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        parts.port  # noqa: B018 (raises for one that no host has)
    except ValueError as error:
        raise LiveSiteRefused(f"{base_url!r} is no site address: {error}") from error
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
