"""The step that refreshes: look at known videos again, and add their counts of now."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from catalog.ages import AgeRule
from catalog.console import Progress
from catalog.facts import ObservationFacts, RefreshTodo, VideoFacts
from catalog.read.refreshing import (
    ComingOfAge,
    coming_of_age,
    count_of_age,
    count_to_refresh,
    hashtags_to_refresh,
    videos_of_age,
    videos_to_refresh,
)
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.session import Catalog
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from scraper.errors import ScrapeError, VideoGone, VideoUnavailable
from scraper.items import Sighting
from scraper.politeness import Site
from scraper.settings import BrowserConfig, RefreshConfig
from scraper.steps.pauses import OpenBrowser, Stop, Visits, browse, require_open
from scraper.steps.scrape import facts_of
from scraper.visit.browser import Browser, open_browser
from scraper.visit.listing import ALL
from scraper.visit.page import ListingPage

PAGE_SIZE = 200
# A hashtag's page gives no more than this, whatever is asked.
LISTING_LIMIT = 1_000
# Videos that are kept from us come in crowds, and say nothing of the others.
BUDGET = FailureBudget(min_failures=20, max_fraction=0.5)


@dataclass(frozen=True)
class RefreshPlan:
    """What a refresh would begin with: tag pages, and all videos that are due.

    n_unseen: those of them that were put on the list and have no count at all; they come first.
    n_of_age: those that come, or have come, to an age at which their views are wanted.
    """

    hashtags: tuple[str, ...]
    n_videos: int
    n_unseen: int
    n_of_age: int


@dataclass(frozen=True)
class Watched:
    """The ages, s, at which the views of every video are wanted, and how near a count has to be."""

    ages_s: tuple[float, ...] = ()
    reach: float = AgeRule.reach


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh found, beside its outcome; n_left is what is still older than was wanted."""

    outcome: Outcome
    n_observations: int
    n_hashtags: int
    n_pages: int
    n_gone: int
    n_left: int

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"]
        return counts


def plan_refresh(
    catalog: Catalog, request: RefreshConfig, watched: Watched, *, only_due: bool = False
) -> RefreshPlan:
    """Tell what a refresh would look at now; watched, only_due: as `refresh` has them."""
    now = datetime.now(UTC)
    before = now - request.older_than
    with catalog.read() as session:
        n_unseen = count_to_refresh(session, observed_before=before, unseen=True)
        coming = coming_of_age(session, watched.ages_s, watched.reach, request.older_than, now)
        n_of_age = sum(count_of_age(session, one) for one in coming)
        if only_due:
            return RefreshPlan((), n_unseen + n_of_age, n_unseen, n_of_age)
        tags = hashtags_to_refresh(session, observed_before=before, at_least=request.per_tag)
        n_videos = count_to_refresh(session, observed_before=before)
    return RefreshPlan(tuple(name for name, _ in tags), n_videos, n_unseen, n_of_age)


def refresh(
    catalog: Catalog,
    site: Site,
    browser_config: BrowserConfig,
    request: RefreshConfig,
    *,
    salt: bytes,
    progress: Progress,
    watched: Watched,
    only_due: bool = False,
    keep_handles: bool = False,
    parent_id: int | None = None,
    slot: str | None = None,
    scheduled_for: datetime | None = None,
    open_with: OpenBrowser = open_browser,
) -> RefreshResult:
    """Observe known videos again, those never seen first.

    Then come those of which a forecast waits for its truth, and others that come to an age at which
    their views are wanted; then hashtags whose one page shows many old counts, and the rest of what
    is old. only_due: nothing of these last two. Safe to stop and repeat: what was observed is not
    old any more. Raises SitePaused.
    """
    require_open(catalog, site)
    before = datetime.now(UTC) - request.older_than
    params = {"older_than_h": request.older_than_h, "site": site.base_url}
    params |= {"limit": request.limit, "per_tag": request.per_tag}
    params |= {"only_due": True} if only_due else {}
    with record_run(
        catalog,
        "refresh",
        params=params,
        trigger="daemon" if slot else "manual",
        parent_id=parent_id,
        slot=slot,
        scheduled_for=scheduled_for,
        budget=BUDGET,
    ) as run:

        def facts(sighting: Sighting) -> tuple[VideoFacts, ObservationFacts]:
            return facts_of(sighting, salt, keep_handles=keep_handles)

        visits = Visits(catalog, site, run)
        work = _Refresh(catalog, request, before, run, visits, progress, facts, watched, only_due)
        browse(
            open_with,
            site,
            browser_config,
            work.units(),
            work.look,
            work.give_up,
            work.leave_out,
            progress,
            visits,
        )
    return work.result(run.outcome)


@dataclass
class _Refresh:
    """What a refresh does with each page, and what it has found so far; a str is a hashtag."""

    catalog: Catalog
    request: RefreshConfig
    before: datetime
    run: RunInProgress
    visits: Visits
    progress: Progress
    facts: Callable[[Sighting], tuple[VideoFacts, ObservationFacts]]
    watched: Watched
    only_due: bool = False
    found: Counter[str] = field(default_factory=Counter)
    n_opened: int = 0

    def units(self) -> Iterator[str | RefreshTodo]:
        """Give what has no count yet, what comes of age, tag pages, and videos that are still old.

        As things stand when asked.
        """
        yield from self._videos(unseen=True)
        with self.catalog.read() as session:
            ahead, now = self.request.older_than, datetime.now(UTC)
            coming = coming_of_age(session, self.watched.ages_s, self.watched.reach, ahead, now)
        for one in coming:
            yield from self._of_age(one)
        if self.only_due:
            return
        tried: set[str] = set()
        while (name := self._next_hashtag(tried)) is not None:
            tried.add(name)
            yield name
            if self.visits.is_over:
                # Of a large catalog it takes seconds to say which page would be next.
                break
        yield from self._videos(unseen=False)

    def _videos(self, *, unseen: bool) -> Iterator[RefreshTodo]:
        with self.catalog.read() as session:
            n_old = count_to_refresh(session, observed_before=self.before, unseen=unseen)

        def page(after: int) -> list[RefreshTodo]:
            with self.catalog.read() as session:
                return videos_to_refresh(
                    session,
                    observed_before=self.before,
                    unseen=unseen,
                    after=after,
                    limit=PAGE_SIZE,
                )

        yield from self._pages(n_old, page)

    def _of_age(self, coming: ComingOfAge) -> Iterator[RefreshTodo]:
        with self.catalog.read() as session:
            n_due = count_of_age(session, coming)

        def page(after: int) -> list[RefreshTodo]:
            with self.catalog.read() as session:
                return videos_of_age(session, coming, after=after, limit=PAGE_SIZE)

        yield from self._pages(n_due, page)

    def _pages(self, n: int, page: Callable[[int], list[RefreshTodo]]) -> Iterator[RefreshTodo]:
        self._expect(min(n, self.request.limit - self.n_opened))
        after = 0
        while self.n_opened < self.request.limit:
            todo = page(after)
            if not todo:
                return
            after = todo[-1].video_id
            for video in todo:
                if self.n_opened >= self.request.limit:
                    return
                if self.visits.is_paused(f"@{video.tiktok_id}", subject=video.tiktok_id):
                    self.run.skipped(video.tiktok_id, "paused")
                else:
                    self.n_opened += 1
                    yield video

    def look(self, browser: Browser, unit: str | RefreshTodo) -> None:
        """Look at one page and add what it shows."""
        if isinstance(unit, str):
            self._list(browser, unit)
            return
        try:
            page = browser.open_video(unit.tiktok_id)
        except VideoGone as error:
            with self.catalog.write() as session:
                mark_gone(session, unit.video_id, datetime.now(UTC), str(error))
            self.found["gone"] += 1
            self.run.note(unit.tiktok_id, error.code, {"message": str(error)})
        else:
            self._store([page.sighting])
        self.found["pages"] += 1
        self.visits.answered(f"@{unit.tiktok_id}")
        self.run.done()

    def give_up(self, unit: str | RefreshTodo, error: ScrapeError) -> None:
        """Record a page that gave nothing; a video that is kept from us is left alone for long."""
        if isinstance(unit, str):
            subject, words = f"#{unit}", self.visits.failed(error, f"#{unit}")
        elif isinstance(error, VideoUnavailable):
            subject, words = unit.tiktok_id, self.visits.put_off(error, f"@{unit.tiktok_id}")
        else:
            subject, words = unit.tiktok_id, self.visits.failed(error)
        self.run.failed(subject, error.code, words)

    def leave_out(self, unit: str | RefreshTodo, stop: Stop) -> None:
        """Record a page that was not asked for."""
        self.run.skipped(f"#{unit}" if isinstance(unit, str) else unit.tiktok_id, stop.code)

    def result(self, outcome: Outcome) -> RefreshResult:
        """Sum it up."""
        return RefreshResult(
            outcome=outcome,
            n_observations=self.found["observations"],
            n_hashtags=self.found["hashtags"],
            n_pages=self.found["pages"],
            n_gone=self.found["gone"],
            n_left=self._n_left(),
        )

    def _next_hashtag(self, tried: set[str]) -> str | None:
        # Asked anew each time: one video is under many hashtags, and the last page had some.
        with self.catalog.read() as session:
            found = hashtags_to_refresh(
                session, observed_before=self.before, at_least=self.request.per_tag
            )
        for name, _n_old in found:
            if name in tried:
                continue
            if not self.visits.is_paused(f"#{name}", subject=f"#{name}"):
                return name
            tried.add(name)
        return None

    def _list(self, browser: Browser, name: str) -> None:
        subject, before = f"#{name}", self.found.copy()
        listing = browser.list_page(
            ListingPage("hashtag", name),
            limit=LISTING_LIMIT,
            window=ALL,
            keep=self._store,
            keep_about=lambda _about: None,
            on_progress=lambda n: self.progress.note(f"{n} videos"),
        )
        self.found["hashtags"] += 1
        summary = listing.summary() | {"stored": dict(self.found - before)}
        self.run.note(subject, "listed", summary)
        if listing.error is None:
            self.visits.answered(subject)
            self.run.done()
        else:
            words = self.visits.failed(listing.error, subject)
            self.run.failed(subject, f"listing_{listing.stop_reason}", words)

    def _store(self, sightings: Sequence[Sighting]) -> None:
        rows = [self.facts(sighting) for sighting in sightings]
        with self.catalog.write() as session:
            stored = store_sightings(
                session, rows, run_id=self.run.id, found_by=None, known_only=True
            )
        self.found.update(observations=stored.new_observations, unknown=stored.unknown)

    def _n_left(self) -> int:
        plan = plan_refresh(self.catalog, self.request, self.watched, only_due=self.only_due)
        return plan.n_videos

    def _expect(self, n_left: int) -> None:
        self.run.expect(n_left)
        self.progress.expect(self.run.outcome.n_total)
