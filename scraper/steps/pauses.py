"""A run's visits to a site: one browser for all of its units, the day's budget, and pauses."""

import logging
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from catalog.console import Progress
from catalog.record.site_days import (
    WHOLE_SITE,
    count_pages,
    end_pause,
    n_pauses,
    pages_today,
    pause_of,
    set_pause,
)
from catalog.schema.session import Catalog
from catalog.work.runs import RunInProgress
from scraper.errors import (
    Blocked,
    BrowserFailed,
    NoMedia,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    PrivateAccount,
    RobotsUnread,
    ScrapeError,
    SitePaused,
    VideoGone,
    VideoUnavailable,
)
from scraper.files.http import FIRST_PAUSE_S, MAX_PAUSE_S, pause_s
from scraper.politeness import Site
from scraper.settings import BrowserConfig
from scraper.visit.browser import Browser

log = logging.getLogger(__name__)


BUDGET_SPENT = "budget_spent"
# These too are answers of a site that talks to us.
ANSWERS = (
    NoMedia,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    PrivateAccount,
    VideoGone,
    VideoUnavailable,
)
DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Stop:
    """Why nothing more is asked in this run; `code` is what the units that are left get."""

    code: str
    message: str


def require_open(catalog: Catalog, site: Site) -> None:
    """Raise SitePaused while the whole site is left alone."""
    now = datetime.now(UTC)
    with catalog.read() as session:
        pause = pause_of(session, site.name, WHOLE_SITE, now)
    if pause is not None:
        raise SitePaused(
            f"{site.name} is left alone until {utc_minute(pause.until)}: {pause.reason}; "
            "no flag shortens this, come again then"
        )


def utc_minute(moment: datetime) -> str:
    """Write a time for a message, to the minute above."""
    later = moment + timedelta(minutes=1) if moment.second or moment.microsecond else moment
    return f"{later.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


class Visits:
    """The visits of one run to one site, written down after each unit."""

    def __init__(
        self, catalog: Catalog, site: Site, run: RunInProgress, *, rng: random.Random | None = None
    ) -> None:
        self._catalog = catalog
        self._site = site
        self._run = run
        self._rng = rng or random.Random()
        self._n_counted = site.n_visits
        self._n_blocked = 0
        self._stop: Stop | None = None
        self._is_stop_recorded = False
        with catalog.read() as session:
            # After a pause of the whole site one more refusal is enough to begin the next.
            self._is_on_trial = n_pauses(session, site.name, WHOLE_SITE) > 0

    def stop(self) -> Stop | None:
        """Say why no further unit may be begun; None: go on. The first time, it is recorded."""
        if self._stop is None and self._is_budget_spent():
            self._stop = Stop(
                BUDGET_SPENT,
                f"{self._site.daily_pages} pages of {self._site.name} were opened today (UTC), as "
                "many as site.daily_pages allows; the rest waits for tomorrow",
            )
        if self._stop is not None and not self._is_stop_recorded:
            self._is_stop_recorded = True
            self._run.failed(self._site.name, self._stop.code, self._stop.message)
        return self._stop

    @property
    def is_over(self) -> bool:
        """Whether it was said that nothing more is asked in this run."""
        return self._stop is not None

    def is_paused(self, scope: str, *, subject: str) -> bool:
        """Tell whether a part of the site is to be left alone still, and record until when."""
        with self._catalog.read() as session:
            pause = pause_of(session, self._site.name, scope, datetime.now(UTC))
        if pause is None:
            return False
        until = utc_minute(pause.until)
        self._run.note(subject, "paused", {"until": until, "reason": pause.reason})
        log.info("%s is left alone until %s: %s", subject, until, pause.reason)
        return True

    def answered(self, *scopes: str) -> None:
        """Note that the site has answered: the pauses of these scopes and its own are forgotten."""
        over = [*scopes, WHOLE_SITE] if self._is_on_trial else list(scopes)
        self._n_blocked, self._is_on_trial = 0, False
        self.count()
        if over:
            with self._catalog.write() as session:
                for scope in over:
                    end_pause(session, self._site.name, scope)

    def failed(self, error: ScrapeError, *scopes: str) -> str:
        """Note a unit that failed, and return its error's words with what follows from it.

        After a refusal the unit's scopes are left alone for a while, each time for longer. What
        the site asks for is waited for here, or ends the run if it is long.
        """
        if not isinstance(error, Blocked):
            if isinstance(error, ANSWERS):
                self.answered(*scopes)
            else:
                self.count()
            return str(error)
        self._n_blocked += 1
        limits, wish_s = self._site.limits, error.retry_after_s
        words = str(error)
        if wish_s is not None:
            words += f"; the site asks to be left alone for {wish_s:.0f} s"
        until = self.pause(words, *scopes, retry_after_s=wish_s)
        if wish_s is not None and wish_s > limits.max_wait_s:
            return self._leave(f"{words}, which is longer than site.max_wait_s", wish_s)
        if self._is_on_trial or self._n_blocked >= limits.blocks_to_stop:
            times = f"refused {self._n_blocked} times in a row" if self._n_blocked > 1 else "again"
            return self._leave(f"{words} ({times})", wish_s)
        if wish_s:
            log.warning("%s: waiting %.0f s, as the site asks", self._site.name, wish_s)
            self._site.wait(wish_s)
        return words if until is None else f"{words}; try again after {utc_minute(until)}"

    def put_off(self, error: ScrapeError, scope: str) -> str:
        """Leave alone for days what is not shown to us; return the error's words with until when.

        Else it would be among the first to be asked for, each time, for ever.
        """
        words = self.failed(error)
        until = self.pause(words, scope, first_s=DAY_S, max_s=30 * DAY_S)
        return f"{words}; try again after {utc_minute(until)}" if until else words

    def pause(
        self,
        reason: str,
        *scopes: str,
        retry_after_s: float | None = None,
        first_s: float = FIRST_PAUSE_S,
        max_s: float = MAX_PAUSE_S,
    ) -> datetime | None:
        """Leave parts of the site alone for a while; return until when, None without a scope."""
        self.count()
        until: datetime | None = None
        for scope in scopes:
            with self._catalog.write() as session:
                n_before = n_pauses(session, self._site.name, scope)
                wait_s = pause_s(n_before, retry_after_s, self._rng, first_s, max_s)
                until = datetime.now(UTC) + timedelta(seconds=wait_s)
                set_pause(session, self._site.name, scope, until, reason)
        return until

    def count(self) -> None:
        """Write down the pages opened since the last time."""
        n_new = self._site.n_visits - self._n_counted
        if n_new:
            with self._catalog.write() as session:
                count_pages(session, self._site.name, n_new, datetime.now(UTC))
            self._n_counted += n_new

    def _is_budget_spent(self) -> bool:
        most = self._site.daily_pages
        if most is None:
            return False
        with self._catalog.read() as session:
            return pages_today(session, self._site.name, datetime.now(UTC)) >= most

    def _leave(self, reason: str, wish_s: float | None) -> str:
        until = self.pause(reason, WHOLE_SITE, retry_after_s=wish_s)
        assert until is not None
        message = f"{reason}; nothing more is asked of {self._site.name} until {utc_minute(until)}"
        self._stop = Stop(SitePaused.code, message)
        log.warning("%s", message)
        return message


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
