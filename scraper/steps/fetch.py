"""The step that fetches: download the media files that are not here yet."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from catalog.console import Progress
from catalog.read.pending import count_media_to_fetch
from catalog.record.sightings import mark_gone
from catalog.schema.session import Catalog
from catalog.work.claims import (
    MAX_ATTEMPTS,
    Failed,
    MediaClaim,
    MediaDone,
    claim_media,
    enrol_media,
    finish_media,
)
from catalog.work.runs import Outcome, RunInProgress, record_run
from scraper.browser import Browser, open_browser
from scraper.download import MEDIA_FOLDER, MediaFacts, fetch_media, media_path
from scraper.errors import Blocked, NoSpace, ScrapeError, ToolMissing, UrlExpired, VideoGone
from scraper.politeness import Site
from scraper.settings import BrowserConfig, FetchConfig
from scraper.steps.pauses import OpenBrowser, Stop, Visits, browse, require_open
from scraper.transfer import drop_part

log = logging.getLogger(__name__)

# A page, a signed address and a download take seconds; a claim of few videos stays well inside.
FETCH_BATCH = 8
FETCH_LEASE_S = 600.0
# The same for every video until somebody does something about it.
HOPELESS = (NoSpace, ToolMissing)


def fetch(
    catalog: Catalog,
    site: Site,
    browser_config: BrowserConfig,
    *,
    data: Path,
    limits: FetchConfig,
    progress: Progress,
    max_videos: int | None = None,
    parent_id: int | None = None,
    open_with: OpenBrowser = open_browser,
) -> Outcome:
    """Download the media files that are not here yet. Safe to stop and repeat.

    Raises SitePaused, and what is no one video's fault: NoSpace, ToolMissing.
    """
    require_open(catalog, site)
    with catalog.write() as session:
        enrol_media(session)
    with record_run(catalog, "fetch", params={"site": site.base_url}, parent_id=parent_id) as run:
        with catalog.read() as session:
            n_open = count_media_to_fetch(session)
        n_left = n_open if max_videos is None else min(n_open, max_videos)
        run.expect(n_left)
        progress.expect(n_left)
        work = _Fetch(catalog, run, Visits(catalog, site, run), site, data, limits)
        browse(
            open_with,
            site,
            browser_config,
            work.claims(n_left),
            work.fetch_one,
            work.give_up,
            work.leave_out,
            progress,
            work.visits,
        )
    return run.outcome


def count_to_fetch(catalog: Catalog) -> int:
    """Count the videos that `fetch` would try now."""
    with catalog.read() as session:
        return count_media_to_fetch(session)


@dataclass(frozen=True)
class _Fetch:
    """What a fetch does with each claim."""

    catalog: Catalog
    run: RunInProgress
    visits: Visits
    site: Site
    data: Path
    limits: FetchConfig

    def claims(self, n_wanted: int) -> Iterator[MediaClaim]:
        """Take videos to fetch, a few at a time; none any more when the site is to be left."""
        while n_wanted > 0 and self.visits.stop() is None:
            limit = min(FETCH_BATCH, n_wanted)
            owner = self.run.uid
            claims = claim_media(self.catalog, owner=owner, limit=limit, lease_s=FETCH_LEASE_S)
            if not claims:
                return
            n_wanted -= len(claims)
            yield from claims

    def fetch_one(self, browser: Browser, claim: MediaClaim) -> None:
        """Download one file. An address that is over is signed anew, once."""
        try:
            media = self._download(browser, claim)
        except UrlExpired as error:
            log.info("video %s: %s; its page is asked again", claim.tiktok_id, error)
            media = self._download(browser, claim)
        self.visits.answered()
        done = MediaDone(
            # Relative to the data folder, so that the folder can be moved.
            uri=media.path.relative_to(self.data).as_posix(),
            sha256=media.sha256,
            n_bytes=media.n_bytes,
            probe=media.probe,
        )
        if self._finish(claim, done):
            self.run.done()

    def give_up(self, claim: MediaClaim, error: ScrapeError) -> None:
        """Record a video that gave no file. Raises again what no other video would change."""
        words = self.visits.failed(error)
        if isinstance(error, HOPELESS):
            raise error
        if isinstance(error, Blocked):
            # The site refused us, not this video: no attempt is used up, and when the run ends
            # the claim is given back.
            self.run.failed(claim.tiktok_id, error.code, words)
            return
        if error.permanent or claim.attempt >= MAX_ATTEMPTS:
            drop_part(media_path(self.data / MEDIA_FOLDER, claim.tiktok_id))
        if self._finish(claim, Failed(error.code, words, permanent=error.permanent)):
            self.run.failed(claim.tiktok_id, error.code, words)

    def leave_out(self, claim: MediaClaim, stop: Stop) -> None:
        """Record a video that was claimed and not asked for; it is given back with the run."""
        self.run.skipped(claim.tiktok_id, stop.code)

    def _download(self, browser: Browser, claim: MediaClaim) -> MediaFacts:
        page = browser.open_video(claim.tiktok_id)
        return fetch_media(
            page,
            cookies=browser.cookies(),
            user_agent=browser.user_agent,
            site=self.site,
            folder=self.data / MEDIA_FOLDER,
            limits=self.limits,
        )

    def _finish(self, claim: MediaClaim, result: MediaDone | Failed) -> bool:
        with self.catalog.write() as session:
            is_ours = finish_media(session, claim, self.run.uid, result)
            if isinstance(result, Failed) and result.code == VideoGone.code:
                mark_gone(session, claim.video_id, datetime.now(UTC), result.message)
        if not is_ours:  # the lease ran out and another run has the video now; it will count it
            log.warning("video %s: the lease was lost, nothing recorded", claim.tiktok_id)
        return is_ours
