"""The commands that visit the site: scrape, refresh, fetch; and its replica."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app

if TYPE_CHECKING:
    from catalog.runs import Outcome
    from scraper.politeness import Site
    from scraper.steps import ScrapeRequest, ScrapeResult


@click.command()
@click.option("--topic", "topics", multiple=True, help="Only this topic's hashtags; repeatable.")
@click.option("--hashtag", "hashtags", multiple=True, help="Only this hashtag; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Videos per hashtag.")
@click.option("--again", is_flag=True, help="Also list hashtags that were listed a short time ago.")
@json_option
@dry_run_option
@pass_app
def scrape(
    app: App,
    topics: tuple[str, ...],
    hashtags: tuple[str, ...],
    limit: int | None,
    again: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """List hashtag pages in a real browser and store each video with its displayed count."""
    from scraper import steps

    settings = app.settings
    request = steps.ScrapeRequest(
        limit=limit or settings.scrape.limit,
        topics=topics or None,
        hashtags=[name.lstrip("#").lower() for name in hashtags] or None,
        fresh_for=None if again else timedelta(hours=settings.scrape.fresh_for_h),
    )
    if dry_run:
        todo = [entry.name for entry in steps.plan_scrape(app.catalog, request)]
        emit({"dry_run": True, "hashtags": todo, "limit": request.limit}, as_json=as_json)
        return
    result = run_scrape(app, request, quiet=as_json)
    emit_outcome(result.outcome, as_json=as_json, extra=result.counts())


@click.command()
@click.option("--limit", type=click.IntRange(min=1), help="At most this many files.")
@json_option
@dry_run_option
@pass_app
def fetch(app: App, limit: int | None, as_json: bool, dry_run: bool) -> None:
    """Download the mp4 of every video that has none yet; verified, resumable, atomic."""
    from scraper import steps

    if dry_run:
        emit({"dry_run": True, "n_to_fetch": steps.count_to_fetch(app.catalog)}, as_json=as_json)
        return
    emit_outcome(run_fetch(app, max_videos=limit, quiet=as_json), as_json=as_json)


def run_scrape(
    app: App, request: "ScrapeRequest", *, quiet: bool = False, parent_id: int | None = None
) -> "ScrapeResult":
    """Scrape with the application's settings; what `scrape`, `nightly` and `demo` call."""
    from catalog.progress import progress
    from scraper import steps
    from scraper.browser import BrowserConfig
    from scraper.pseudonyms import load_salt

    with progress("scrape", quiet=quiet) as bar:
        return steps.scrape(
            app.catalog,
            _site(app),
            BrowserConfig(),
            request,
            salt=load_salt(app.settings.data_folder, app.settings.author_salt.get_secret_value()),
            progress=bar,
            parent_id=parent_id,
        )


def run_fetch(
    app: App, *, max_videos: int | None = None, quiet: bool = False, parent_id: int | None = None
) -> "Outcome":
    """Fetch with the application's settings; what `fetch`, `nightly` and `demo` call."""
    from catalog.progress import progress
    from scraper import steps
    from scraper.browser import BrowserConfig
    from scraper.download import DownloadLimits

    settings = app.settings.fetch
    with progress("fetch", quiet=quiet) as bar:
        return steps.fetch(
            app.catalog,
            _site(app),
            BrowserConfig(),
            data=app.settings.data_folder,
            limits=DownloadLimits(
                max_bytes=int(settings.max_mb * 1e6),
                max_s=settings.max_s,
                min_free_bytes=int(settings.min_free_gb * 1e9),
            ),
            progress=bar,
            max_videos=max_videos,
            parent_id=parent_id,
        )


def _site(app: App) -> "Site":
    from scraper.politeness import Site

    return Site(app.settings.site.base_url, allow_live=app.settings.site.allow_live)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--per-topic", default=6, show_default=True, help="Videos of each of the 12 topics.")
@json_option
@pass_app
def replica(app: App, port: int, per_topic: int, as_json: bool) -> None:
    """Serve the local replica of the site until SIGTERM or Ctrl-C; prints its address first."""
    import threading

    from scraper.replica.content import ReplicaConfig
    from scraper.replica.server import Replica

    media = app.settings.data_folder / "replica-media"
    with Replica(ReplicaConfig(videos_per_tag=per_topic), media, port) as site:
        emit({"url": site.url, "media": str(media)}, as_json=as_json, text=site.url)
        threading.Event().wait()  # SIGTERM and Ctrl-C raise in here
