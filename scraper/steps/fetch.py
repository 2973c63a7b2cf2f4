"""The step that fetches: download the media files that are not here yet.

The site's own pages give the addresses of its files to the browser; yt-dlp, where it is set, is
asked for the videos of every platform, each host for itself at the pace and within the budget of
a site.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from catalog.console import Progress
from catalog.facts import SITE_PLATFORM
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
from scraper.errors import (
    BadOption,
    Blocked,
    ExtraMissing,
    LiveSiteRefused,
    NoMedia,
    NoSpace,
    RobotsUnread,
    ScrapeError,
    SitePaused,
    ToolMissing,
    UrlExpired,
    VideoGone,
)
from scraper.files.download import MEDIA_FOLDER, MediaFacts, fetch_media
from scraper.files.transfer import drop_part
from scraper.files.ytdlp import Wish, fetch_with_ytdlp, require_ytdlp
from scraper.importers.media import imported_media_path
from scraper.politeness import Site
from scraper.settings import BrowserConfig, FetchConfig
from scraper.steps.pauses import OpenBrowser, Stop, Visits, browse, require_open
from scraper.visit.browser import Browser, open_browser
from scraper.visit.cookies import for_file, own_cookies, read_cookies

log = logging.getLogger(__name__)

# A page, a signed address and a download take seconds; a claim of few videos stays well inside.
FETCH_BATCH = 8
FETCH_LEASE_S = 600.0
OF_YTDLP = (
    "It is asked by yt-dlp, some of whose readers present themselves as an app of the platform's."
)
# The same for every video until somebody does something about it.
HOPELESS = (BadOption, ExtraMissing, NoSpace, ToolMissing)


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
    announce: Callable[[str], object] = log.warning,
) -> Outcome:
    """Download the media files that are not here yet. Safe to stop and repeat.

    announce: gets the notice of a live host that is not `site`, before it is visited. Raises
    SitePaused, and what is no one video's fault: NoSpace, ToolMissing, ExtraMissing, BadCookies.
    """
    is_direct = limits.backend == "direct"
    site.check_proxy(limits.proxy)
    cookies = ""
    if is_direct:
        require_open(catalog, site)
    else:
        require_ytdlp()
        if browser_config.cookies is not None:
            cookies = for_file(own_cookies(read_cookies(browser_config.cookies), site))
    with catalog.write() as session:
        enrol_media(session, every_platform=not is_direct)
    params = {"site": site.base_url, "backend": limits.backend}
    with record_run(catalog, "fetch", params=params, parent_id=parent_id) as run:
        with catalog.read() as session:
            n_open = count_media_to_fetch(session, every_platform=not is_direct)
        n_left = n_open if max_videos is None else min(n_open, max_videos)
        run.expect(n_left)
        progress.expect(n_left)
        if is_direct:
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
        else:
            agent = browser_config.user_agent
            asked = _Asked(catalog, run, site, data, limits, cookies, agent, announce)
            asked.all(n_left, progress)
    return run.outcome


def count_to_fetch(catalog: Catalog, limits: FetchConfig) -> int:
    """Count the videos that `fetch` would try now."""
    with catalog.read() as session:
        return count_media_to_fetch(session, every_platform=limits.backend != "direct")


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
        return _claims(self.catalog, self.run, n_wanted, self.visits.stop)

    def fetch_one(self, browser: Browser, claim: MediaClaim) -> None:
        """Download one file. An address that is over is signed anew, once."""
        try:
            media = self._download(browser, claim)
        except UrlExpired as error:
            log.info("video %s: %s; its page is asked again", claim.tiktok_id, error)
            media = self._download(browser, claim)
        self.visits.answered()
        self.keep(claim, media)

    def keep(self, claim: MediaClaim, media: MediaFacts) -> None:
        """Record a file that is here."""
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
            drop_part(_target(self.data, claim))
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


@dataclass(frozen=True)
class _Asked:
    """A fetch by yt-dlp: one video after the other, of whatever host its address names."""

    catalog: Catalog
    run: RunInProgress
    site: Site
    data: Path
    limits: FetchConfig
    cookies: str = field(repr=False)
    user_agent: str
    announce: Callable[[str], object]
    # By the name of the site: what is done with its claims, or why nothing is asked of it.
    hosts: dict[str, "_Fetch | Stop"] = field(default_factory=dict)

    def all(self, n_wanted: int, progress: Progress) -> None:
        """Ask for every video that is to be had."""
        for claim in _claims(self.catalog, self.run, n_wanted, every_platform=True):
            self._one(claim)
            progress.advance()

    def _one(self, claim: MediaClaim) -> None:
        try:
            site, url = self._address(claim)
        except LiveSiteRefused as error:
            # Leave may be given later: no attempt is used up, the claim goes back with the run.
            self.run.failed(claim.tiktok_id, error.code, str(error))
            return
        work = self._work_of(site)
        stop = work if isinstance(work, Stop) else work.visits.stop()
        if isinstance(work, Stop) or stop is not None:
            assert stop is not None
            self.run.skipped(claim.tiktok_id, stop.code)
            return
        try:
            if not url:
                raise NoMedia(f"{claim.platform} {claim.tiktok_id} has no address")
            media = self._bring(work.site, claim, url)
        except RobotsUnread as error:
            self.hosts[site.name] = Stop(error.code, str(error))
            self.run.failed(claim.tiktok_id, error.code, str(error))
        except ScrapeError as error:
            work.give_up(claim, error)
        else:
            work.visits.answered()
            work.keep(claim, media)

    def _address(self, claim: MediaClaim) -> tuple[Site, str]:
        """Say where a video is: the site's own where the site is, others where they say."""
        if claim.platform == SITE_PLATFORM:
            return self.site, self.site.video_url(claim.tiktok_id)
        if not claim.url:
            return self.site, ""
        return self.site.beside(claim.url), claim.url

    def _work_of(self, site: Site) -> "_Fetch | Stop":
        if site.name not in self.hosts:
            try:
                require_open(self.catalog, site)
            except SitePaused as error:
                self.hosts[site.name] = Stop(error.code, str(error))
                self.run.failed(site.name, error.code, str(error))
            else:
                if site.notice is not None and site.name != self.site.name:
                    self.announce(f"{site.notice} {OF_YTDLP}")
                visits = Visits(self.catalog, site, self.run)
                self.hosts[site.name] = _Fetch(
                    self.catalog, self.run, visits, site, self.data, self.limits
                )
        return self.hosts[site.name]

    def _bring(self, site: Site, claim: MediaClaim, url: str) -> MediaFacts:
        wish = Wish(
            platform=claim.platform,
            tiktok_id=claim.tiktok_id,
            url=url,
            duration_s=claim.duration_s,
            # A visitor of the site is nobody elsewhere.
            cookies=self.cookies if self.site.may_see_cookies(url) else "",
            user_agent=self.user_agent,
        )
        return fetch_with_ytdlp(wish, _target(self.data, claim), site, self.limits)


def _claims(
    catalog: Catalog,
    run: RunInProgress,
    n_wanted: int,
    stop: Callable[[], Stop | None] = lambda: None,
    *,
    every_platform: bool = False,
) -> Iterator[MediaClaim]:
    while n_wanted > 0 and stop() is None:
        claims = claim_media(
            catalog,
            owner=run.uid,
            limit=min(FETCH_BATCH, n_wanted),
            lease_s=FETCH_LEASE_S,
            every_platform=every_platform,
        )
        if not claims:
            return
        n_wanted -= len(claims)
        yield from claims


def _target(data: Path, claim: MediaClaim) -> Path:
    return imported_media_path(data / MEDIA_FOLDER, claim.platform, claim.tiktok_id)
