"""» The scraper's door to the catalog: scrape hashtags, fetch media files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from catalog.backlog import count_media_to_fetch
from catalog.claims import (
    Failed,
    MediaClaim,
    MediaDone,
    claim_media,
    enrol_media,
    finish_media,
)
from catalog.facts import HashtagTodo, ObservationFacts, VideoFacts
from catalog.pending import hashtags_to_list
from catalog.progress import Progress
from catalog.record import (
    add_topics,
    mark_gone,
    mark_listed,
    store_sightings,
)
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from scraper.browser import Browser, BrowserConfig, open_browser
from scraper.download import DownloadLimits, fetch_media
from scraper.errors import BrowserFailed, ScrapeError, VideoGone
from scraper.items import Sighting
from scraper.politeness import Site
from scraper.pseudonyms import author_key

log = logging.getLogger(__name__)

# A page, a signed address and a download take seconds; a claim of few videos stays well inside.
FETCH_BATCH = 8
FETCH_LEASE_S = 600.0
MEDIA_FOLDER = "media"
# How a listing that saw all there was to see ends; after any other end it is tried again soon.
COMPLETE = frozenset({"limit", "end", "stalled"})
OpenBrowser = Callable[[BrowserConfig, Site], AbstractContextManager[Browser]]


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
            rows = [_facts(sighting, salt) for sighting in listing.sightings]
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

        _browse(open_with, site, browser_config, todo, list_one, give_up, progress)
    return ScrapeResult(
        outcome=run.outcome,
        n_new_videos=counts["new"],
        n_known_videos=counts["known"],
        n_observations=counts["observations"],
        rejected=dict(rejected),
        stopped=dict(stopped),
    )


def fetch(
    catalog: Catalog,
    site: Site,
    browser_config: BrowserConfig,
    *,
    data: Path,
    limits: DownloadLimits,
    progress: Progress,
    max_videos: int | None = None,
    parent_id: int | None = None,
    open_with: OpenBrowser = open_browser,
) -> Outcome:
    """Download the media files that are not here yet. Safe to stop and repeat."""
    with catalog.write() as session:
        enrol_media(session)
    with record_run(catalog, "fetch", params={"site": site.base_url}, parent_id=parent_id) as run:
        with catalog.read() as session:
            n_open = count_media_to_fetch(session)
        n_left = n_open if max_videos is None else min(n_open, max_videos)
        run.expect(n_left)
        progress.expect(n_left)

        def fetch_one(browser: Browser, claim: MediaClaim) -> None:
            _finish(catalog, run, claim, _download(browser, claim, site, data, limits))

        def give_up(claim: MediaClaim, error: ScrapeError) -> None:
            _finish(catalog, run, claim, Failed(error.code, str(error), permanent=error.permanent))

        claims = _claims(catalog, run, n_left)
        _browse(open_with, site, browser_config, claims, fetch_one, give_up, progress)
    return run.outcome


def count_to_fetch(catalog: Catalog) -> int:
    """Count the videos that `fetch` would try now."""
    with catalog.read() as session:
        return count_media_to_fetch(session)


def add_hashtags(catalog: Catalog, topics: Mapping[str, Sequence[str]]) -> int:
    """Store topics with their hashtags; returns how many hashtags are new."""
    with catalog.write() as session:
        return add_topics(session, topics)


Unit = TypeVar("Unit", HashtagTodo, MediaClaim)


def _browse(
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


def _claims(catalog: Catalog, run: Run, n_wanted: int) -> Iterator[MediaClaim]:
    while n_wanted > 0:
        limit = min(FETCH_BATCH, n_wanted)
        claims = claim_media(catalog, owner=run.uid, limit=limit, lease_s=FETCH_LEASE_S)
        if not claims:
            return
        n_wanted -= len(claims)
        yield from claims


def _download(
    browser: Browser, claim: MediaClaim, site: Site, data: Path, limits: DownloadLimits
) -> MediaDone:
    page = browser.open_video(claim.tiktok_id)
    media = fetch_media(
        page,
        cookies=browser.cookies(),
        user_agent=browser.user_agent,
        site=site,
        folder=data / MEDIA_FOLDER,
        limits=limits,
    )
    return MediaDone(
        # Relative to the data folder, so that the folder can be moved.
        uri=media.path.relative_to(data).as_posix(),
        sha256=media.sha256,
        n_bytes=media.n_bytes,
        probe=media.probe,
    )


def _finish(catalog: Catalog, run: Run, claim: MediaClaim, result: MediaDone | Failed) -> None:
    with catalog.write() as session:
        is_ours = finish_media(session, claim, run.uid, result)
        if isinstance(result, Failed) and result.code == VideoGone.code:
            mark_gone(session, claim.video_id, datetime.now(UTC), result.message)
    if not is_ours:  # the lease ran out and another run has the video now; it will count it
        log.warning("video %s: the lease was lost, nothing recorded", claim.tiktok_id)
    elif isinstance(result, Failed):
        run.failed(claim.tiktok_id, result.code, result.message)
    else:
        run.done()


def _facts(sighting: Sighting, salt: bytes) -> tuple[VideoFacts, ObservationFacts]:
    video = VideoFacts(
        tiktok_id=sighting.tiktok_id,
        # Without the handle: the site resolves an empty one, and nobody is named in the catalog.
        url=f"https://www.tiktok.com/@/video/{sighting.tiktok_id}",
        caption=sighting.caption,
        author_key=author_key(sighting.handle, salt) if sighting.handle else None,
        posted_at=sighting.posted_at,
        duration_s=sighting.duration_s,
        width_px=sighting.width_px,
        height_px=sighting.height_px,
        hashtags=tuple(sighting.hashtags),
    )
    observation = ObservationFacts(
        observed_at=sighting.observed_at,
        display_text=sighting.display_text,
        views_k=sighting.views_k,
        step_k=sighting.step_k,
        source=sighting.source,
    )
    return video, observation
