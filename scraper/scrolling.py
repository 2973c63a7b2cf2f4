"""Look at a hashtag's page and scroll it, until there is a reason to stop."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from selenium.common.exceptions import UnexpectedAlertPresentException
from selenium.webdriver.remote.webdriver import WebDriver

from scraper.capture import LOOK, NUDGE, SCROLL, Look, read_look
from scraper.errors import Blocked, BrowserFailed, SiteFailed
from scraper.listing import ListingBuilder, StopReason
from scraper.page import check_bare, check_look
from scraper.politeness import Site
from scraper.session import driver_errors

# A page that opens more dialogs than this while we look at it once will not stop.
MAX_DIALOGS = 10


@dataclass(frozen=True)
class ScrollConfig:
    """How long one look waits for something new, and what bounds one hashtag."""

    look_s: float = 5.0
    max_stalls: int = 3
    listing_s: float = 600.0


class Eyes:
    """Looks at the page that is open, and knows what it has seen of it. Raises BrowserFailed."""

    def __init__(self, driver: WebDriver, key: str, look_s: float) -> None:
        self._driver = driver
        self._key = key
        self._wait_ms = int(look_s * 1_000)
        self._page = 0.0
        self._n_bodies = self._n_cards = 0

    def look(self) -> Look:
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
    name: str,
    config: ScrollConfig,
    take: Callable[[], None],
    site: Site,
) -> StopReason:
    """Add look after look to a listing; `take` is called after each. Returns why it is over.

    Raises Blocked, NoSuchHashtag, PageChanged, SiteFailed, BrowserFailed.
    """
    deadline_s = time.monotonic() + config.listing_s
    n_stalls = 0
    while True:
        n_before, look = builder.n_ids, eyes.look()
        # The replies first: they tell a refusal from a fault, where the page says the same.
        builder.add(look, observed_at=datetime.now(UTC))
        check_look(look, name)
        take()
        n_stalls = n_stalls + 1 if builder.n_ids == n_before else 0
        if (stop := builder.stop_reason) is not None:
            return stop
        if n_stalls >= config.max_stalls:
            _check_stall(look, name, has_videos=builder.n_ids > 0)
            return "stalled"
        if time.monotonic() > deadline_s:
            return "timeout"
        site.pause("scroll")
        eyes.scroll(nudge=n_stalls > 0)


def _check_stall(look: Look, name: str, *, has_videos: bool) -> None:
    """Raise where the page says why nothing comes any more."""
    if look.asks_login:
        raise Blocked(f"the page of #{name} wants us to sign in", mark="login")
    if look.n_pending > 0:
        raise SiteFailed(f"the listing of #{name} does not answer any more")
    if not has_videos:
        check_bare(look, name)


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
