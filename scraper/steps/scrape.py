"""The step that scrapes: list hashtag pages, and store what they show."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.console import Progress
from catalog.facts import HashtagTodo, ObservationFacts, VideoFacts
from catalog.read.pending import hashtags_to_list
from catalog.record.sightings import add_topics, mark_listed, store_sightings
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from scraper.browser import Browser, open_browser
from scraper.errors import ScrapeError
from scraper.items import Sighting, without_names
from scraper.politeness import Site
from scraper.pseudonyms import author_key
from scraper.settings import BrowserConfig
from scraper.steps.pauses import OpenBrowser, Stop, Visits, browse, require_open

# How a listing that saw all there was to see ends; after any other end it is tried again soon.
COMPLETE = frozenset({"limit", "end", "stalled"})
# Two hashtags that list one video minutes apart, or a listing begun anew, say nothing new of it.
REPEAT_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class ScrapeRequest:
    """Which hashtags to list, and how far.

    topics, hashtags: None means all that the catalog knows. fresh_for: a hashtag that was listed
    completely within this time is left alone, so that a repeated command does nothing twice.
    again: list also those that are paused because the site refused them.
    """

    limit: int
    topics: Sequence[str] | None = None
    hashtags: Sequence[str] | None = None
    fresh_for: timedelta | None = None
    again: bool = False


@dataclass(frozen=True)
class ScrapeResult:
    """What a scrape found, beside its outcome."""

    outcome: Outcome
    n_new_videos: int
    n_known_videos: int
    n_observations: int
    n_tombstoned: int
    rejected: dict[str, int]
    stopped: dict[str, int]
    sources: dict[str, int]

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"]
        return counts


def plan_scrape(catalog: Catalog, request: ScrapeRequest) -> list[HashtagTodo]:
    """Tell which hashtags a scrape would list now."""
    listed_before = None if request.fresh_for is None else datetime.now(UTC) - request.fresh_for
    with catalog.read() as session:
        return hashtags_to_list(
            session, topics=request.topics, hashtags=request.hashtags, listed_before=listed_before
        )


def scrape(
    catalog: Catalog,
    site: Site,
    browser_config: BrowserConfig,
    request: ScrapeRequest,
    *,
    salt: bytes,
    progress: Progress,
    keep_handles: bool = False,
    parent_id: int | None = None,
    open_with: OpenBrowser = open_browser,
) -> ScrapeResult:
    """List hashtag pages and store what they show. Safe to stop and repeat. Raises SitePaused."""
    require_open(catalog, site)
    todo = plan_scrape(catalog, request)
    params = {"limit": request.limit, "site": site.base_url}
    with record_run(catalog, "scrape", params=params, parent_id=parent_id) as run:
        run.expect(len(todo))
        progress.expect(len(todo))
        visits = Visits(catalog, site, run)

        def facts(sighting: Sighting) -> tuple[VideoFacts, ObservationFacts]:
            return facts_of(sighting, salt, keep_handles=keep_handles)

        work = _Scrape(catalog, request, run, visits, progress, facts)
        browse(
            open_with,
            site,
            browser_config,
            work.without_paused(todo),
            work.list_one,
            work.give_up,
            work.leave_out,
            progress,
            visits,
        )
    return work.result(run.outcome)


def facts_of(
    sighting: Sighting, salt: bytes, *, keep_handles: bool = False
) -> tuple[VideoFacts, ObservationFacts]:
    """Give the video and the observation of a sighting, with the author as a keyed hash.

    keep_handles: the author's name beside it, where the owner of the catalog has said so.
    """
    video = VideoFacts(
        tiktok_id=sighting.tiktok_id,
        # Without the handle: the site resolves an empty one, and nobody is named in the catalog.
        url=f"https://www.tiktok.com/@/video/{sighting.tiktok_id}",
        caption=sighting.caption,
        author_key=author_key(sighting.handle, salt) if sighting.handle else sighting.author_key,
        posted_at=sighting.posted_at,
        duration_s=sighting.duration_s,
        width_px=sighting.width_px,
        height_px=sighting.height_px,
        hashtags=tuple(sighting.hashtags),
        handle=sighting.handle if keep_handles else None,
        is_posted_at_stated=sighting.is_posted_at_stated,
        account=sighting.account,
        sound=sighting.sound if keep_handles else without_names(sighting.sound),
        traits=sighting.traits,
    )
    observation = ObservationFacts(
        observed_at=sighting.observed_at,
        display_text=sighting.display_text,
        views_k=sighting.views_k,
        step_k=sighting.step_k,
        source=sighting.source,
        reactions=sighting.reactions,
    )
    return video, observation


def add_hashtags(catalog: Catalog, topics: Mapping[str, Sequence[str]]) -> int:
    """Store topics with their hashtags; returns how many hashtags are new."""
    with catalog.write() as session:
        return add_topics(session, topics)


@dataclass
class _Scrape:
    """What a scrape does with each hashtag, and what it has found so far."""

    catalog: Catalog
    request: ScrapeRequest
    run: RunInProgress
    visits: Visits
    progress: Progress
    facts: Callable[[Sighting], tuple[VideoFacts, ObservationFacts]]
    stored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def without_paused(self, todo: Sequence[HashtagTodo]) -> list[HashtagTodo]:
        """Leave out, and say so, what the site has refused a short time ago."""
        units = []
        for hashtag in todo:
            name = f"#{hashtag.name}"
            if not self.request.again and self.visits.is_paused(name, subject=name):
                self.run.skipped(name, "paused")
                self.progress.advance()
            else:
                units.append(hashtag)
        return units

    def list_one(self, browser: Browser, hashtag: HashtagTodo) -> None:
        """List one page; what it shows is stored look by look."""
        name, before = f"#{hashtag.name}", self.stored.copy()

        def keep(sightings: Sequence[Sighting]) -> None:
            rows = [self.facts(sighting) for sighting in sightings]
            with self.catalog.write() as session:
                found = store_sightings(
                    session,
                    rows,
                    run_id=self.run.id,
                    found_by=hashtag.name,
                    repeat_after=REPEAT_AFTER,
                )
            self.stored.update(
                new=found.new_videos,
                known=found.known_videos,
                observations=found.new_observations,
                tombstoned=found.tombstoned,
            )

        listing = browser.list_hashtag(
            hashtag.name,
            limit=self.request.limit,
            keep=keep,
            on_progress=lambda n: self.progress.note(f"{n} videos"),
        )
        stop = listing.stop_reason
        self.rejected.update(listing.rejected)
        self.sources.update(listing.sources)
        self.stopped[stop] += 1
        self.run.note(name, "listed", listing.summary() | {"stored": dict(self.stored - before)})
        if stop in COMPLETE:
            self.visits.answered(name)
            with self.catalog.write() as session:
                mark_listed(session, hashtag.name, datetime.now(UTC))
            self.run.done()
            return
        kept = f"the page ended with {stop}; {len(listing.sightings)} videos are kept"
        if listing.error is None:
            self.visits.answered(name)
        else:
            kept += f": {self.visits.failed(listing.error, name)}"
        self.run.failed(name, f"listing_{stop}", kept, kept=bool(listing.sightings))

    def give_up(self, hashtag: HashtagTodo, error: ScrapeError) -> None:
        """Record a page that gave nothing."""
        name = f"#{hashtag.name}"
        self.run.failed(name, error.code, self.visits.failed(error, name))

    def leave_out(self, hashtag: HashtagTodo, stop: Stop) -> None:
        """Record a page that was not asked for."""
        self.run.skipped(f"#{hashtag.name}", stop.code)

    def result(self, outcome: Outcome) -> ScrapeResult:
        """Sum it up."""
        return ScrapeResult(
            outcome=outcome,
            n_new_videos=self.stored["new"],
            n_known_videos=self.stored["known"],
            n_observations=self.stored["observations"],
            n_tombstoned=self.stored["tombstoned"],
            rejected=dict(self.rejected),
            stopped=dict(self.stopped),
            sources=dict(self.sources),
        )
