"""Work through units in a browser that is replaced when it breaks, as long as the site lets us."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from catalog.progress import Progress
from scraper.browser import Browser, BrowserConfig
from scraper.errors import BrowserFailed, RobotsUnread, ScrapeError
from scraper.politeness import Site
from scraper.steps.visits import Stop, Visits

OpenBrowser = Callable[[BrowserConfig, Site], AbstractContextManager[Browser]]
Unit = TypeVar("Unit")


def browse(
    open_with: OpenBrowser,
    site: Site,
    config: BrowserConfig,
    units: Iterable[Unit],
    work: Callable[[Browser, Unit], None],
    give_up: Callable[[Unit, ScrapeError], None],
    leave_out: Callable[[Unit, Stop], None],
    progress: Progress,
    visits: Visits,
) -> None:
    """Do every unit in one browser; a known error costs its unit, a broken browser is replaced.

    What is left when the site is not to be asked any more goes to `leave_out`. Raises RobotsUnread.
    """
    remaining = iter(units)
    unit = next(remaining, None)
    stop: Stop | None = None
    while unit is not None and (stop := visits.stop()) is None:
        with open_with(config, site) as browser:
            is_usable = True
            while unit is not None and is_usable:
                try:
                    work(browser, unit)
                except RobotsUnread:
                    # The same for every unit, and each would ask for it once more.
                    raise
                except ScrapeError as error:
                    give_up(unit, error)
                    is_usable = not isinstance(error, BrowserFailed)
                progress.advance()
                unit = next(remaining, None)
                is_usable = is_usable and not browser.is_lost
                # With nothing left to do there is nothing to be stopped.
                is_usable = is_usable and (unit is None or visits.stop() is None)
    while unit is not None and stop is not None:
        leave_out(unit, stop)
        progress.advance()
        unit = next(remaining, None)
