"""» Fetch the media files that are not here yet."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from catalog.backlog import count_media_to_fetch
from catalog.claims import (
    Failed,
    MediaClaim,
    MediaDone,
    claim_media,
    enrol_media,
    finish_media,
)
from catalog.progress import Progress
from catalog.record import mark_gone
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from scraper.browser import Browser, BrowserConfig, open_browser
from scraper.download import DownloadLimits, fetch_media
from scraper.errors import ScrapeError, VideoGone
from scraper.politeness import Site
from scraper.steps.browsing import OpenBrowser, browse

log = logging.getLogger(__name__)

# A page, a signed address and a download take seconds; a claim of few videos stays well inside.
FETCH_BATCH = 8
FETCH_LEASE_S = 600.0
MEDIA_FOLDER = "media"


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
        browse(open_with, site, browser_config, claims, fetch_one, give_up, progress)
    return run.outcome


def count_to_fetch(catalog: Catalog) -> int:
    """Count the videos that `fetch` would try now."""
    with catalog.read() as session:
        return count_media_to_fetch(session)


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
