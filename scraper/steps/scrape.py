"""» List hashtag pages and store what they show."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from catalog.facts import HashtagTodo
from catalog.pending import hashtags_to_list
from catalog.progress import Progress
from catalog.record import add_topics, mark_listed, store_sightings
from catalog.runs import Outcome, record_run
from catalog.session import Catalog
from scraper.browser import Browser, BrowserConfig, open_browser
from scraper.errors import ScrapeError
from scraper.politeness import Site
from scraper.steps.browsing import OpenBrowser, browse
from scraper.steps.facts import facts_of

log = logging.getLogger(__name__)

# How a listing that saw all there was to see ends; after any other end it is tried again soon.
COMPLETE = frozenset({"limit", "end", "stalled"})


@dataclass(frozen=True)
class ScrapeRequest:
    """Which hashtags to list, and how far.

    topics, hashtags: None means all that the catalog knows. fresh_for: a hashtag that was listed
    completely within this time is left alone, so that a repeated command does nothing twice.
    """

    limit: int
    topics: Sequence[str] | None = None
    hashtags: Sequence[str] | None = None
    fresh_for: timedelta | None = None


@dataclass(frozen=True)
class ScrapeResult:
    """What a scrape found, beside its outcome."""

    outcome: Outcome
    n_new_videos: int
    n_known_videos: int
    n_observations: int
    rejected: dict[str, int]
    stopped: dict[str, int]

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
    parent_id: int | None = None,
    open_with: OpenBrowser = open_browser,
) -> ScrapeResult:
    """List hashtag pages and store what they show. Safe to stop and repeat."""
    todo = plan_scrape(catalog, request)
    params = {"limit": request.limit, "site": site.base_url}
    counts = Counter[str]()
    rejected, stopped = Counter[str](), Counter[str]()
    with record_run(catalog, "scrape", params=params, parent_id=parent_id) as run:
        run.expect(len(todo))
        progress.expect(len(todo))

        def list_one(browser: Browser, hashtag: HashtagTodo) -> None:
            listing = browser.list_hashtag(
                hashtag.name,
                limit=request.limit,
                on_progress=lambda n: progress.note(f"{n} videos"),
            )
            rejected.update(listing.rejected)
            stopped[listing.stop_reason] += 1
            rows = [facts_of(sighting, salt) for sighting in listing.sightings]
            with catalog.write() as session:
                stored = store_sightings(session, rows, run_id=run.id, found_by=hashtag.name)
                if listing.stop_reason in COMPLETE:
                    mark_listed(session, hashtag.name, datetime.now(UTC))
            counts["new"] += stored.new_videos
            counts["known"] += stored.known_videos
            counts["observations"] += stored.new_observations
            log.info("#%s: %d new, %s", hashtag.name, stored.new_videos, listing.stop_reason)
            if listing.stop_reason in COMPLETE:
                run.done()
            else:
                kept = f"the page ended with {listing.stop_reason}; {len(rows)} videos are kept"
                run.failed(f"#{hashtag.name}", f"listing_{listing.stop_reason}", kept)

        def give_up(hashtag: HashtagTodo, error: ScrapeError) -> None:
            run.failed(f"#{hashtag.name}", error.code, str(error))

        browse(open_with, site, browser_config, todo, list_one, give_up, progress)
    return ScrapeResult(
        outcome=run.outcome,
        n_new_videos=counts["new"],
        n_known_videos=counts["known"],
        n_observations=counts["observations"],
        rejected=dict(rejected),
        stopped=dict(stopped),
    )


def add_hashtags(catalog: Catalog, topics: Mapping[str, Sequence[str]]) -> int:
    """Store topics with their hashtags; returns how many hashtags are new."""
    with catalog.write() as session:
        return add_topics(session, topics)
