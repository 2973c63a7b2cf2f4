"""Follow the short links that an app shares, one redirection each, where that is allowed."""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import httpx
from protego import Protego

from scraper.errors import LiveSiteRefused, RobotsUnread, RowRefused
from scraper.files.http import open_client, parse_retry_after
from scraper.politeness import ROBOTS_AGENT, Site, read_robots

LINK_S = 20.0
MOVED = frozenset({301, 302, 303, 307, 308})
REFUSED = frozenset({401, 403, 429, 503})
INSTEAD = "open it yourself and give the address that it leads to"


class ShortLinks:
    """Gives the addresses that short links lead to, at the pace of the site and by its rules.

    open_site: opens the site, once there is a link to follow; raises LiveSiteRefused where it may
    not be visited. may_ask: says why nothing more may be asked now, None: go on. asked: is told of
    each visit. answered: is told how it ended: the words of a refusal and for how long the site
    wants to be left alone, or None for both.
    """

    def __init__(
        self,
        open_site: Callable[[], Site],
        *,
        may_ask: Callable[[Site], str | None] = lambda _site: None,
        asked: Callable[[Site], object] = lambda _site: None,
        answered: Callable[[Site, str | None, float | None], object] = lambda *_: None,
    ) -> None:
        self._open_site = open_site
        self._may_ask = may_ask
        self._asked = asked
        self._answered = answered
        self._site: Site | None = None
        self._robots: dict[str, Protego] = {}
        self._stop: str | None = None

    def __call__(self, link: str) -> str:
        """Return where a link leads. Raises RowRefused, for the rest too once the site refuses."""
        site = self._opened()
        url = urlsplit(link)
        base = f"{url.scheme}://{url.netloc}"
        is_other = not site.is_loopback and url.scheme == "https" and site.may_see_cookies(link)
        if not (site.is_own_url(link) or is_other):
            raise RowRefused("short_link", f"{link} is not of {site.host}: {INSTEAD}")
        self._stop = self._stop or self._may_ask(site)
        if self._stop is not None:
            raise RowRefused("short_link", f"{link} was not followed: {self._stop}")
        try:
            rules = self._robots[base] if base in self._robots else read_robots(base, site.proxy)
        except RobotsUnread as error:
            self._stop = str(error)
            raise RowRefused("short_link", self._stop) from error
        self._robots[base] = rules
        if not rules.can_fetch(link, ROBOTS_AGENT):
            raise RowRefused("short_link", f"{base}/robots.txt forbids {link}; {INSTEAD}")
        site.pause("page")
        self._asked(site)
        return self._led_to(site, link)

    def _opened(self) -> Site:
        if self._site is None:
            try:
                self._site = self._open_site()
            except LiveSiteRefused as error:
                raise RowRefused(
                    "short_link",
                    "a short link says where it leads only to who visits it: set site.allow_live "
                    f"(and have the site's leave), or {INSTEAD}",
                ) from error
        return self._site

    def _led_to(self, site: Site, link: str) -> str:
        agent = {"User-Agent": ROBOTS_AGENT}
        peer = site.is_allowed_peer
        try:
            with (
                open_client(
                    LINK_S, headers=agent, is_allowed_peer=peer, proxy=site.proxy
                ) as client,
                client.stream("GET", link) as reply,
            ):
                status, to = reply.status_code, str(reply.headers.get("location", ""))
                wish = str(reply.headers.get("retry-after", ""))
        except httpx.HTTPError as error:
            raise RowRefused("short_link", f"{link} did not answer ({error})") from error
        if status in REFUSED:
            self._stop = f"{site.host} answered {status} to the one before"
            self._answered(site, self._stop, parse_retry_after(wish, datetime.now(UTC)))
            raise RowRefused("short_link", f"{link} answered {status}; {INSTEAD}")
        self._answered(site, None, None)
        if status not in MOVED or not to:
            raise RowRefused("short_link", f"{link} leads nowhere (status {status})")
        return urljoin(link, to)
