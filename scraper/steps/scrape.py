"""The step that scrapes: list pages of hashtags, accounts and sounds, and store what they show."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

from catalog.console import Progress
from catalog.facts import SITE_PLATFORM, ObservationFacts, SoundFacts, VideoFacts, without_names
from catalog.read.pending import accounts_to_list, hashtags_to_list, sounds_to_list
from catalog.record.accounts import (
    account_subject,
    buried_keys,
    mark_account_listed,
    mark_sound_listed,
    store_account,
    store_sound,
)
from catalog.record.hashtags import add_topics, mark_listed
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from scraper.errors import NoSuchAccount, NoSuchSound, PrivateAccount, ScrapeError
from scraper.items import Sighting
from scraper.politeness import Site
from scraper.pseudonyms import author_key
from scraper.settings import BrowserConfig
from scraper.steps.pauses import OpenBrowser, Stop, Visits, browse, require_open
from scraper.visit.browser import Browser, open_browser
from scraper.visit.listing import ALL, Window
from scraper.visit.page import ListingPage, PageFacts

# How a listing that saw all there was to see ends; after any other end it is tried again soon.
COMPLETE = frozenset({"limit", "since", "end", "stalled"})
# Of a list of accounts and sounds many may be gone, which says nothing of the others.
LIST_BUDGET = FailureBudget(min_failures=20, max_fraction=0.5)
# Two hashtags that list one video minutes apart, or a listing begun anew, say nothing new of it.
REPEAT_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class ScrapeRequest:
    """Which pages to list, and how far.

    topics, hashtags, accounts (by name), sounds (by the site's id): all that the catalog knows or
    has on its list, where all four are None; else those that are named. fresh_for: a page that was
    listed completely within this time is left alone, so that a repeated command does nothing twice.
    again: list also those that are paused because the site refused them. window: only videos that
    were posted then.
    """

    limit: int
    topics: Sequence[str] | None = None
    hashtags: Sequence[str] | None = None
    accounts: Sequence[str] | None = None
    sounds: Sequence[str] | None = None
    fresh_for: timedelta | None = None
    again: bool = False
    window: Window = ALL


@dataclass(frozen=True)
class PageTodo:
    """A page to list; author_key: of an account, whose name stays out of the journal."""

    page: ListingPage
    author_key: str | None = None

    @property
    def subject(self) -> str:
        """What the journal and the pauses call it."""
        if self.page.kind == "account":
            return account_subject(self.author_key or "")
        return f"#{self.page.name}" if self.page.kind == "hashtag" else f"sound {self.page.name}"


@dataclass(frozen=True)
class ScrapeResult:
    """What a scrape found, beside its outcome.

    n_fresh: pages that were left alone, as they had been listed a short time ago.
    """

    outcome: Outcome
    n_fresh: int
    n_new_videos: int
    n_known_videos: int
    n_observations: int
    n_tombstoned: int
    n_account_observations: int
    n_sound_observations: int
    rejected: dict[str, int]
    stopped: dict[str, int]
    sources: dict[str, int]

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"]
        return counts


def count_fresh(
    catalog: Catalog, request: ScrapeRequest, todo: Sequence[PageTodo], *, salt: bytes
) -> int:
    """Count the pages that a scrape leaves alone because they were listed a short time ago."""
    if request.fresh_for is None:
        return 0
    return len(plan_scrape(catalog, replace(request, fresh_for=None), salt=salt)) - len(todo)


def plan_scrape(catalog: Catalog, request: ScrapeRequest, *, salt: bytes) -> list[PageTodo]:
    """Tell which pages a scrape would list now: hashtags, then accounts, then sounds."""
    listed_before = None if request.fresh_for is None else datetime.now(UTC) - request.fresh_for
    tags_named = request.topics is not None or request.hashtags is not None
    is_everything = not tags_named and request.accounts is None and request.sounds is None
    named = {author_key(name, salt): name for name in request.accounts or ()}
    todo: list[PageTodo] = []
    with catalog.read() as session:
        if tags_named or is_everything:
            for tag in hashtags_to_list(
                session,
                topics=request.topics,
                hashtags=request.hashtags,
                listed_before=listed_before,
            ):
                todo.append(PageTodo(ListingPage("hashtag", tag.name)))
        accounts = accounts_to_list(
            session, named=None if is_everything else named, listed_before=listed_before
        )
        sounds = sounds_to_list(
            session,
            named=None if is_everything else request.sounds or (),
            listed_before=listed_before,
        )
    todo += [PageTodo(ListingPage("account", a.handle), a.author_key) for a in accounts]
    return todo + [PageTodo(ListingPage("sound", name)) for name in sounds]


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
    """List pages and store what they show. Safe to stop and repeat. Raises SitePaused."""
    require_open(catalog, site)
    todo = plan_scrape(catalog, request, salt=salt)
    n_fresh = count_fresh(catalog, request, todo, salt=salt)
    params: dict[str, object] = {"limit": request.limit, "site": site.base_url}
    for name, moment in asdict(request.window).items():
        if moment is not None:
            params[name] = moment.isoformat()
    budget = LIST_BUDGET if any(unit.page.kind != "hashtag" for unit in todo) else None
    with record_run(catalog, "scrape", params=params, parent_id=parent_id, budget=budget) as run:
        run.expect(len(todo))
        progress.expect(len(todo))
        visits = Visits(catalog, site, run)

        def facts(sighting: Sighting) -> tuple[VideoFacts, ObservationFacts]:
            return facts_of(sighting, salt, keep_handles=keep_handles)

        work = _Scrape(catalog, request, run, visits, progress, facts, keep_handles, n_fresh)
        browse(
            open_with,
            site,
            browser_config,
            work.without_paused(work.without_buried(todo)),
            work.list_one,
            work.give_up,
            work.leave_out,
            progress,
            visits,
        )
    return work.result(run.outcome)


def facts_of(
    sighting: Sighting, salt: bytes, *, keep_handles: bool = False, is_time_stated: bool = True
) -> tuple[VideoFacts, ObservationFacts]:
    """Give the video and the observation of a sighting, with the author as a keyed hash.

    keep_handles: the author's name beside it, where the owner of the catalog has said so.
    is_time_stated: see ObservationFacts.
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
        is_time_stated=is_time_stated,
        reactions=sighting.reactions,
    )
    return video, observation


def _told_by(page: ListingPage, sighting: Sighting) -> Sighting:
    """Add to a video that a card alone showed whose page it was, or which sound's."""
    if page.kind == "account" and sighting.handle is None:
        return replace(sighting, handle=page.name)
    if page.kind == "sound" and sighting.sound is None:
        return replace(sighting, sound=SoundFacts(page.name))
    return sighting


def add_hashtags(catalog: Catalog, topics: Mapping[str, Sequence[str]]) -> int:
    """Store topics with their hashtags; returns how many hashtags are new."""
    with catalog.write() as session:
        return add_topics(session, topics)


@dataclass
class _Scrape:
    """What a scrape does with each page, and what it has found so far."""

    catalog: Catalog
    request: ScrapeRequest
    run: RunInProgress
    visits: Visits
    progress: Progress
    facts: Callable[[Sighting], tuple[VideoFacts, ObservationFacts]]
    keep_handles: bool
    n_fresh: int
    stored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def without_buried(self, todo: Sequence[PageTodo]) -> list[PageTodo]:
        """Leave out, and say so, the accounts that were purged."""
        keys = {unit.author_key for unit in todo if unit.author_key is not None}
        with self.catalog.read() as session:
            buried = buried_keys(session, SITE_PLATFORM, "author", keys)
        for unit in todo:
            if unit.author_key in buried:
                self.run.skipped(unit.subject, "tombstoned")
                self.progress.advance()
        return [unit for unit in todo if unit.author_key not in buried]

    def without_paused(self, todo: Sequence[PageTodo]) -> list[PageTodo]:
        """Leave out, and say so, what the site has refused a short time ago."""
        units = []
        for unit in todo:
            name = unit.subject
            if not self.request.again and self.visits.is_paused(name, subject=name):
                self.run.skipped(name, "paused")
                self.progress.advance()
            else:
                units.append(unit)
        return units

    def list_one(self, browser: Browser, unit: PageTodo) -> None:
        """List one page; what it shows is stored look by look."""
        name, before = unit.subject, self.stored.copy()

        def keep(sightings: Sequence[Sighting]) -> None:
            rows = [self.facts(_told_by(unit.page, sighting)) for sighting in sightings]
            with self.catalog.write() as session:
                found = store_sightings(
                    session,
                    rows,
                    run_id=self.run.id,
                    found_by=unit.page.name if unit.page.kind == "hashtag" else None,
                    repeat_after=REPEAT_AFTER,
                )
            self.stored.update(
                new=found.new_videos,
                known=found.known_videos,
                observations=found.new_observations,
                tombstoned=found.tombstoned,
            )

        listing = browser.list_page(
            unit.page,
            limit=self.request.limit,
            window=self.request.window,
            keep=keep,
            keep_about=lambda about: self._store_about(unit, about),
            on_progress=lambda n: self.progress.note(f"{n} videos"),
        )
        stop = listing.stop_reason
        self.rejected.update(listing.rejected)
        self.sources.update(listing.sources)
        self.stopped[stop] += 1
        self.run.note(name, "listed", listing.summary() | {"stored": dict(self.stored - before)})
        if stop in COMPLETE:
            self.visits.answered(name)
            self._mark_listed(unit)
            self.run.done()
            return
        kept = f"the page ended with {stop}; {len(listing.sightings)} videos are kept"
        if listing.error is None:
            self.visits.answered(name)
        else:
            kept += f": {self.visits.failed(listing.error, name)}"
        self.run.failed(name, f"listing_{stop}", kept, kept=bool(listing.sightings))

    def give_up(self, unit: PageTodo, error: ScrapeError) -> None:
        """Record a page that gave nothing; what is gone or private is left alone for long."""
        name = unit.subject
        if isinstance(error, (NoSuchAccount, NoSuchSound, PrivateAccount)):
            words = self.visits.put_off(error, name)
        else:
            words = self.visits.failed(error, name)
        self.run.failed(name, error.code, words)

    def leave_out(self, unit: PageTodo, stop: Stop) -> None:
        """Record a page that was not asked for."""
        self.run.skipped(unit.subject, stop.code)

    def _store_about(self, unit: PageTodo, about: PageFacts) -> None:
        """Add what the page said of its account or sound."""
        with self.catalog.write() as session:
            if about.account is not None and unit.author_key is not None:
                self.stored["account_observations"] += store_account(
                    session,
                    SITE_PLATFORM,
                    unit.author_key,
                    about.account,
                    observed_at=about.observed_at,
                    source=about.source,
                    run_id=self.run.id,
                )
            sound = about.sound if self.keep_handles else without_names(about.sound)
            if sound is not None:
                self.stored["sound_observations"] += store_sound(
                    session,
                    SITE_PLATFORM,
                    sound,
                    observed_at=about.observed_at,
                    source=about.source,
                    run_id=self.run.id,
                )

    def _mark_listed(self, unit: PageTodo) -> None:
        now = datetime.now(UTC)
        with self.catalog.write() as session:
            if unit.page.kind == "hashtag":
                mark_listed(session, unit.page.name, now)
            elif unit.page.kind == "sound":
                mark_sound_listed(session, SITE_PLATFORM, unit.page.name, now)
            elif unit.author_key is not None:
                mark_account_listed(session, SITE_PLATFORM, unit.author_key, now)

    def result(self, outcome: Outcome) -> ScrapeResult:
        """Sum it up."""
        return ScrapeResult(
            outcome=outcome,
            n_fresh=self.n_fresh,
            n_new_videos=self.stored["new"],
            n_known_videos=self.stored["known"],
            n_observations=self.stored["observations"],
            n_tombstoned=self.stored["tombstoned"],
            n_account_observations=self.stored["account_observations"],
            n_sound_observations=self.stored["sound_observations"],
            rejected=dict(self.rejected),
            stopped=dict(self.stopped),
            sources=dict(self.sources),
        )
