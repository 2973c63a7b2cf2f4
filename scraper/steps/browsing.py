"""Work through units in a browser that is replaced when it breaks."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from catalog.progress import Progress
from scraper.browser import Browser, BrowserConfig
from scraper.errors import BrowserFailed, ScrapeError
from scraper.politeness import Site

OpenBrowser = Callable[[BrowserConfig, Site], AbstractContextManager[Browser]]
Unit = TypeVar("Unit")


def browse(
    open_with: OpenBrowser,
    site: Site,
    config: BrowserConfig,
    units: Iterable[Unit],
    work: Callable[[Browser, Unit], None],
    give_up: Callable[[Unit, ScrapeError], None],
    progress: Progress,
) -> None:
    """Do every unit in one browser; a known error costs its unit, a broken browser is replaced."""
    remaining = iter(units)
    unit = next(remaining, None)
    while unit is not None:
        with open_with(config, site) as browser:
            is_usable = True
            while unit is not None and is_usable:
                try:
                    work(browser, unit)
                except ScrapeError as error:
                    give_up(unit, error)
                    is_usable = not isinstance(error, BrowserFailed)
                progress.advance()
                unit = next(remaining, None)
