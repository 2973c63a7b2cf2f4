"""The commands that visit the site: scrape, refresh, fetch; and its replica."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.console import DURATION, App, dry_run_option, emit, emit_outcome, json_option, pass_app

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from scraper.politeness import Site
    from scraper.settings import RefreshConfig
    from scraper.steps.refresh import RefreshResult, Watched
    from scraper.steps.scrape import ScrapeRequest, ScrapeResult
    from scraper.visit.listing import Window


DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--topic", "topics", multiple=True, help="Only this topic's hashtags; repeatable.")
@click.option("--hashtag", "hashtags", multiple=True, help="Only this hashtag; repeatable.")
@click.option("--account", "accounts", multiple=True, help="Only this account, @NAME; repeatable.")
@click.option("--sound", "sounds", multiple=True, help="Only this sound, by its id; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Videos per page.")
@click.option("--since", type=DAY, help="Only what was posted on this day (UTC) or later.")
@click.option("--until", type=DAY, help="Only what was posted on this day (UTC) or earlier.")
@click.option("--again", is_flag=True, help="Also what was listed, or refused us, just now.")
@json_option
@dry_run_option
@pass_app
def scrape(
    app: App,
    topics: tuple[str, ...],
    hashtags: tuple[str, ...],
    accounts: tuple[str, ...],
    sounds: tuple[str, ...],
    limit: int | None,
    since: datetime | None,
    until: datetime | None,
    again: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """List pages in a real browser and store each video with its displayed count.

    Without a choice: every hashtag of the topics, and the accounts and sounds that `add` has put
    on the list.
    """
    from scraper.settings import ScrapeConfig
    from scraper.steps.scrape import ScrapeRequest, count_fresh, plan_scrape

    settings = app.settings_with(scrape={"limit": limit}).of(ScrapeConfig)
    request = ScrapeRequest(
        limit=settings.limit,
        topics=topics or None,
        hashtags=[name.lstrip("#").lower() for name in hashtags] or None,
        accounts=[_named(text, "account") for text in accounts] or None,
        sounds=[_named(text, "sound") for text in sounds] or None,
        window=_window(since, until),
        fresh_for=None if again else timedelta(hours=settings.fresh_for_h),
        again=again,
    )
    if dry_run:
        todo = plan_scrape(app.catalog, request, salt=known_salt(app))
        names = {
            f"{kind}s": [unit.page.name for unit in todo if unit.page.kind == kind]
            for kind in ("hashtag", "account", "sound")
        }
        n_fresh = count_fresh(app.catalog, request, todo, salt=known_salt(app))
        facts = {**names, "n_fresh": n_fresh, "limit": request.limit}
        emit({"dry_run": True, **facts}, as_json=as_json)
        return
    result = run_scrape(app, request, quiet=as_json)
    if result.n_fresh:
        _announce(
            f"{result.n_fresh} pages were listed less than {settings.fresh_for_h:g} hours ago "
            "(scrape.fresh_for_h) and are left alone; --again lists them all the same"
        )
    emit_outcome(result.outcome, as_json=as_json, extra=result.counts())


@click.command()
@click.option("--older-than", type=DURATION, help="Such as 1d, 12h, 30m; default: the settings.")
@click.option("--limit", type=click.IntRange(min=1), help="Open at most this many video pages.")
@click.option("--due", "only_due", is_flag=True, help="Only what has no count, or comes of age.")
@click.option("--slot", help="Name of this refresh on a clock; done once.")
@click.option("--scheduled-for", type=click.DateTime(), help="When it was due (UTC).")
@json_option
@dry_run_option
@pass_app
def refresh(
    app: App,
    older_than: timedelta | None,
    limit: int | None,
    only_due: bool,
    slot: str | None,
    scheduled_for: datetime | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Look at known videos again and add their counts of now; what is gone is noted as gone.

    First come videos without any count, and those that come to an age at which their views are
    wanted (`ages.days`, and the horizons of forecasts).
    """
    from scraper.settings import RefreshConfig
    from scraper.steps.refresh import plan_refresh

    older_than_h = None if older_than is None else older_than.total_seconds() / 3600
    flags = {"older_than_h": older_than_h, "limit": limit}
    request = app.settings_with(refresh=flags).of(RefreshConfig)
    if dry_run:
        plan = plan_refresh(app.catalog, request, _watched(app), only_due=only_due)
        payload = {**asdict(plan), "hashtags": list(plan.hashtags)}
        emit({"dry_run": True, **payload}, as_json=as_json)
        return
    due = None if scheduled_for is None else scheduled_for.replace(tzinfo=UTC)
    result = run_refresh(
        app, request, only_due=only_due, quiet=as_json, slot=slot, scheduled_for=due
    )
    emit_outcome(result.outcome, as_json=as_json, extra=result.counts())


@click.command()
@click.option("--limit", type=click.IntRange(min=1), help="At most this many files.")
@json_option
@dry_run_option
@pass_app
def fetch(app: App, limit: int | None, as_json: bool, dry_run: bool) -> None:
    """Download the file of every video that has none yet; verified, resumable, atomic."""
    from scraper.settings import FetchConfig
    from scraper.steps.fetch import count_to_fetch

    if dry_run:
        n_to_fetch = count_to_fetch(app.catalog, app.settings.of(FetchConfig))
        emit({"dry_run": True, "n_to_fetch": n_to_fetch}, as_json=as_json)
        return
    emit_outcome(run_fetch(app, max_videos=limit, quiet=as_json), as_json=as_json)


def run_scrape(
    app: App, request: "ScrapeRequest", *, quiet: bool = False, parent_id: int | None = None
) -> "ScrapeResult":
    """Scrape with the application's settings; what `scrape`, `nightly` and `demo` call."""
    from catalog.console import progress
    from scraper.settings import BrowserConfig, ScrapeConfig
    from scraper.steps.scrape import scrape as step

    with progress("scrape", quiet=quiet) as bar:
        return step(
            app.catalog,
            open_site(app),
            app.settings.of(BrowserConfig),
            request,
            salt=author_salt(app),
            keep_handles=app.settings.of(ScrapeConfig).keep_handles,
            progress=bar,
            parent_id=parent_id,
        )


def _watched(app: App) -> "Watched":
    from scraper.steps.refresh import Watched

    ages = app.settings.ages
    return Watched(tuple(days * 86_400 for days in ages.days), ages.reach)


def run_refresh(
    app: App,
    request: "RefreshConfig",
    *,
    only_due: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
    slot: str | None = None,
    scheduled_for: datetime | None = None,
) -> "RefreshResult":
    """Refresh with the application's settings; what `refresh` and `nightly` call."""
    from catalog.console import progress
    from scraper.settings import BrowserConfig, ScrapeConfig
    from scraper.steps.refresh import refresh as step

    with progress("refresh", quiet=quiet) as bar:
        return step(
            app.catalog,
            open_site(app),
            app.settings.of(BrowserConfig),
            request,
            watched=_watched(app),
            only_due=only_due,
            salt=author_salt(app),
            keep_handles=app.settings.of(ScrapeConfig).keep_handles,
            progress=bar,
            parent_id=parent_id,
            slot=slot,
            scheduled_for=scheduled_for,
        )


def run_fetch(
    app: App, *, max_videos: int | None = None, quiet: bool = False, parent_id: int | None = None
) -> "Outcome":
    """Fetch with the application's settings; what `fetch`, `nightly` and `demo` call."""
    from catalog.console import progress
    from scraper.settings import BrowserConfig, FetchConfig
    from scraper.steps.fetch import fetch as step

    with progress("fetch", quiet=quiet) as bar:
        return step(
            app.catalog,
            open_site(app),
            app.settings.of(BrowserConfig),
            data=app.settings.data_folder,
            limits=app.settings.of(FetchConfig),
            progress=bar,
            max_videos=max_videos,
            parent_id=parent_id,
            announce=_announce,
        )


def author_salt(app: App) -> bytes:
    """Return the key of the author hash; made at first use."""
    from scraper.pseudonyms import load_salt

    settings = app.settings
    return load_salt(settings.data_folder, settings.author_salt.get_secret_value())


def known_salt(app: App) -> bytes:
    """Return the key of the author hash where there is one already; a dry run makes none."""
    from scraper.pseudonyms import SALT_FILE

    has_salt = app.settings.author_salt or (app.settings.data_folder / SALT_FILE).exists()
    return author_salt(app) if has_salt else b""


def _named(text: str, kind: str) -> str:
    """Read the name of an account or the id of a sound, which may be written as its address."""
    from scraper.addresses import read_account_name, read_sound_id
    from scraper.errors import RowRefused

    try:
        return read_account_name(text) if kind == "account" else read_sound_id(text)
    except RowRefused as refused:
        raise click.UsageError(f"--{kind} {text!r}: {refused.detail}") from refused


def _window(since: datetime | None, until: datetime | None) -> "Window":
    from scraper.visit.listing import Window

    if since is not None and until is not None and until < since:
        raise click.UsageError("--until is before --since: nothing was posted then")
    # The whole of the last day.
    end = None if until is None else until.replace(tzinfo=UTC) + timedelta(days=1)
    return Window(None if since is None else since.replace(tzinfo=UTC), end)


def open_site(app: App) -> "Site":
    """Open the site of the settings, and say what is to be known of a live one.

    Raises LiveSiteRefused.
    """
    from scraper.politeness import Site
    from scraper.settings import BrowserConfig, SiteConfig

    settings = app.settings.of(SiteConfig)
    site = Site(
        settings.base_url,
        allow_live=settings.allow_live,
        limits=settings,
        proxy=app.settings.of(BrowserConfig).proxy,
    )
    if site.notice is not None:
        _announce(site.notice)
    return site


def _announce(notice: str) -> None:
    click.echo(f"viewcast: {notice}", err=True)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--per-topic", default=6, show_default=True, help="Videos of each of the 12 topics.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="TAG=NAME[:NUMBER]",
    help="Let a hashtag misbehave, such as sports=captcha, or @NAME or sound:ID; repeatable; "
    "'TAG=?' lists the names.",
)
@click.option("--day", default=0.0, help="Days since the site's snapshot, when it starts.")
@click.option("--days-per-s", default=0.0, help="Days that pass in a second; counts grow.")
@click.option("--posts-per-day", default=0, help="New posts a day; counts start from nothing.")
@click.option(
    "--snapshot-at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When the snapshot was (UTC): days are told by the clock. Default with new posts: now.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Serve nothing: write ID.mp4 and ID.info.json of every video, for `viewcast import`.",
)
@json_option
@pass_app
def replica(
    app: App,
    port: int,
    per_topic: int,
    faults: tuple[str, ...],
    day: float,
    days_per_s: float,
    posts_per_day: int,
    snapshot_at: datetime | None,
    write: Path | None,
    as_json: bool,
) -> None:
    """Serve the local replica of the site until SIGTERM or Ctrl-C; prints its address first."""
    import threading
    import time

    from scraper.errors import UnknownFault
    from scraper.replica.clips import warm, write_collection
    from scraper.replica.content import ReplicaConfig, build_content
    from scraper.replica.faults import parse_fault
    from scraper.replica.growth import days_since
    from scraper.replica.server import Replica

    by_clock = snapshot_at is not None or posts_per_day > 0
    if by_clock and (day or days_per_s):
        raise click.UsageError(
            "--snapshot-at and --posts-per-day go by the clock, not by --day and --days-per-s"
        )
    try:
        switched = dict(parse_fault(text) for text in faults)
    except UnknownFault as error:
        raise click.UsageError(str(error)) from error
    began_at = snapshot_at.replace(tzinfo=UTC) if snapshot_at else datetime.now(UTC)
    config = ReplicaConfig(videos_per_tag=per_topic, posts_per_day=posts_per_day)
    if by_clock:
        config = replace(config, snapshot_at=began_at.replace(microsecond=0))
    media = app.settings.data_folder / "replica-media"
    if write is not None:
        content = build_content(config)
        warm(content, media)
        n_videos = write_collection(content, write, clips=media)
        facts = {"n_videos": n_videos, "folder": str(write)}
        emit(facts, as_json=as_json, text=f"{n_videos} videos in {write}")
        return
    began_s = time.monotonic()
    days = days_since(config.snapshot_at)
    if not by_clock:
        days = lambda: day + (time.monotonic() - began_s) * days_per_s  # noqa: E731
    with Replica(config, media, port, faults=switched, days=days) as site:
        emit({"url": site.url, "media": str(media)}, as_json=as_json, text=site.url)
        threading.Event().wait()  # SIGTERM and Ctrl-C raise in here
