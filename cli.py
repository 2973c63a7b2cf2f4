"""viewcast on the command line: the root group, the settings it reads, and what spans stages."""

import atexit
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

import catalog.commands
import features.commands
import model.commands
import scraper.commands
from catalog import logs
from catalog.console import (
    DEMO_FOLDER,
    App,
    dry_run_option,
    emit,
    emit_outcome,
    json_option,
    pass_app,
    table,
    write_readably,
)
from catalog.errors import CatalogError, masked_url
from catalog.stopping import stop_for
from features.errors import FeatureError
from model.errors import ModelError
from scraper.commands.add import author_named
from scraper.errors import ScrapeError

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from catalog.work.stages import Stage

# Before torch is loaded: by default its threads spin while they wait, which makes two threads on
# two busy cores 17 times slower than one (measured); waiting passively costs nothing measurable.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EXIT_PARTIAL, EXIT_INTERRUPTED = 4, 130
PACKAGE_ERRORS = (CatalogError, FeatureError, ModelError, ScrapeError)


FROM_HERE = "; the same command goes on from here"


class RootGroup(click.Group):
    """Turns the packages' errors into one line and an exit code; --debug shows the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PACKAGE_ERRORS as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"viewcast: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except OSError as error:
            # A full disk, a folder that may not be written: no fault of the program's.
            if ctx.params.get("debug") or error.filename is None:
                raise
            click.echo(f"viewcast: {error.strerror}: {error.filename}", err=True)
            raise click.exceptions.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            # What stores nothing begins anew.
            goes_on = "" if ctx.invoked_subcommand == "predict" else FROM_HERE
            click.echo(f"viewcast: interrupted{goes_on}", err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from interrupt


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--db", metavar="URL", help="Catalog, e.g. sqlite:////abs/catalog.db, postgresql://…")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of media, features, weights.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings; default viewcast.toml.")
@click.option("-v", "--verbose", count=True, help="Log each batch (-v) or each row (-vv).")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    help="Of the log; auto: text on a terminal, else a JSON document a line.",
)
@click.version_option(package_name="viewcast")
@click.pass_context
def main(
    ctx: click.Context,
    db: str | None,
    data: Path | None,
    config: Path | None,
    verbose: int,
    debug: bool,
    log_format: str | None,
) -> None:
    """Forecast the views of short vertical videos from what is in them, on a SQL catalog.

    A first run: `viewcast demo`. By hand: db upgrade, topic defaults, scrape, fetch, extract files,
    pretrain, extract visual, split create, train, score, report.
    """
    write_readably()
    named = (("db", db), ("data", data), ("log", log_format and {"format": log_format}))
    flags = {name: value for name, value in named if value is not None}
    ctx.obj = App(config, flags, debug, verbose, sections)
    ctx.obj.start_job = lambda *named: _start_job(ctx.obj, *named)
    ctx.obj.author_named = lambda text: author_named(ctx.obj, text)
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logs.set_up(level, ctx.obj.log_format)
    _collect_rarely()
    # SIGTERM raises nothing by itself, and neither may break a write off half-way: without this,
    # what is recorded on leaving would be lost.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)


def sections() -> dict[str, type[Any]]:
    """The class of settings of each section that belongs to a stage, by the section's name."""
    from features.settings import SECTIONS as OF_FEATURES
    from model.settings import SECTIONS as OF_MODEL
    from scraper.settings import SECTIONS as OF_SCRAPER

    return {**OF_SCRAPER, **OF_FEATURES, **OF_MODEL}


@main.group()
def config() -> None:
    """The settings."""


@config.command("show")
@click.option("--origin", is_flag=True, help="Also say which source set each one.")
@json_option
@pass_app
def config_show(app: App, origin: bool, as_json: bool) -> None:
    """Print every setting; secrets are masked."""
    from catalog.settings import leaves

    loaded = app.loaded
    rows = [(leaf, masked_url(str(value))) for leaf, value in leaves(loaded.settings.model_dump())]
    if origin:
        payload: dict[str, Any] = {
            leaf: {"value": value, "origin": loaded.origins[leaf]} for leaf, value in rows
        }
        text = table(
            ["setting", "value", "from"],
            [(leaf, value, loaded.origins[leaf]) for leaf, value in rows],
        )
    else:
        payload = dict(rows)
        text = table(["setting", "value"], rows)
    emit({"settings": payload}, as_json=as_json, text=text)


@main.command()
@click.option("--slot", help="Name of the night, such as nightly/2026-11-23; done once.")
@click.option("--scheduled-for", type=click.DateTime(), help="When it was due (UTC).")
@json_option
@dry_run_option
@pass_app
def nightly(
    app: App, slot: str | None, scheduled_for: datetime | None, as_json: bool, dry_run: bool
) -> None:
    """Do one night: scrape, refresh, fetch, extract, score, judge old forecasts, report, alert.

    What is missing is trained on the way. A stage that fails, or takes too long, is recorded and
    the next ones still work on what is there.
    """
    from catalog.commands.alerts import telling

    stages = _stages(app, quiet=as_json)
    if dry_run:
        _emit_stages(stages, as_json=as_json)
        return
    with telling(app):
        outcome, lines = _run(app, stages, slot=slot, scheduled_for=scheduled_for, quiet=as_json)
    emit_outcome(outcome, as_json=as_json, extra={"stages": lines} if as_json else None)


@main.command()
@click.option("--per-topic", default=6, show_default=True, help="Videos of each of the 12 topics.")
@json_option
@dry_run_option
@pass_app
def demo(app: App, per_topic: int, as_json: bool, dry_run: bool) -> None:
    """Run everything on the local replica site, with real Chromium, mp4 files and Whisper.

    The data lie in ./demo-data (or --data); a second run does only what is left to do.
    """
    from catalog import settings
    from catalog.console import progress
    from catalog.schema import session
    from scraper.items import DEFAULT_TOPICS
    from scraper.replica.clips import warm
    from scraper.replica.content import ReplicaConfig
    from scraper.replica.server import Replica
    from scraper.steps.scrape import add_hashtags

    data = Path(app.flags.get("data", DEMO_FOLDER)).resolve()
    also_train = ("fused", "mean", "median")
    app.flags = settings.merge(DEMO_SETTINGS, {**app.flags, "data": data})
    if dry_run:
        _emit_stages(_stages(app, quiet=True, also_train=also_train), as_json=as_json)
        return
    media = data / "replica-media"
    media.mkdir(parents=True, exist_ok=True)
    with Replica(ReplicaConfig(videos_per_tag=per_topic), media) as replica:
        with progress("make clips", quiet=as_json) as bar:
            # All at once on both cores; the server would make them one by one when asked.
            bar.expect(len(replica.content.videos))
            warm(replica.content, media, on_clip=lambda _path: bar.advance())
        app.flags["site"] = {"base_url": replica.url}
        session.upgrade(app.settings.db_url)
        add_hashtags(app.catalog, {name: tags[:1] for name, tags in DEFAULT_TOPICS.items()})
        stages = _stages(app, quiet=as_json, also_train=also_train)
        outcome, lines = _run(app, stages, quiet=as_json)
    _close_demo(app, outcome, lines, as_json=as_json)


@main.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--list", "is_list", is_flag=True, help="Public collections; FILE: whole, of one.")
@click.option("--only", multiple=True, metavar="COLLECTION", help="Only this one; repeatable.")
@click.option(
    "--catalogs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the collections' catalogs. Default: evaluate in the data folder.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also as .csv, .html or .md.")
@json_option
@dry_run_option
@pass_app
def evaluate(app: App, /, **asked: Any) -> None:
    """Train and compare models on each collection that FILE, a TOML, names; print one table.

    Each is imported into a catalog of its own, split by time and by author, and every model is set
    beside the best rival by a paired interval. A second run does only what is missing. The exit
    code is 4 where a collection or a model failed. --list tells of public collections.
    """
    from model.commands.evaluation import run_evaluation
    from scraper.commands.imports import run_import
    from scraper.settings import ImportConfig

    def take(own: App, path: Path, how: ImportConfig) -> "Outcome":
        outcome = run_import(own, path, how, with_media=False, quiet=asked["as_json"]).outcome
        assert outcome is not None  # only a dry run has none
        return outcome

    run_evaluation(app, ImportConfig, take, PACKAGE_ERRORS, **asked)


@main.command()
@click.option("--video", "videos", multiple=True, metavar="ID|URL", help="This one; repeatable.")
@click.option("--author", "authors", multiple=True, metavar="NAME|URL", help="All of theirs.")
@click.option("--author-key", "keys", multiple=True, help="The same, by the key in the catalog.")
@click.option("--platform", help="Whose ids and names; default: what an address says, or tiktok.")
@click.option("--reason", default="asked for", show_default=True, help="Kept with the tombstone.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@dry_run_option
@pass_app
def purge(
    app: App,
    videos: tuple[str, ...],
    authors: tuple[str, ...],
    keys: tuple[str, ...],
    platform: str | None,
    reason: str,
    force: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Delete videos with everything made from them, and never store them again.

    Rows, media files and features go, and of an author all that was seen of the account; a
    tombstone stays, so that no scrape or import brings them back, also of what was not there. When
    nothing of what is named is in the catalog the exit code is 1, when some of it is not, 4.
    Without an option it finishes what an interrupted purge has left.
    """
    from catalog.record import retention
    from scraper.commands.add import named_to_purge

    named = named_to_purge(app, videos, authors, keys, platform, makes_key=not dry_run)
    with app.catalog.read() as session:
        found = [retention.find_to_purge(session, part) for part in named]
    n_accounts = sum(part.n_accounts for part in found)
    payload: dict[str, Any] = {
        "videos": sorted(name for part in found for name in part.videos.values()),
        "not_found": [line for part in found for line in part.missing],
    }
    for line in payload["not_found"]:
        click.echo(f"viewcast: {line}", err=True)
    if dry_run:
        n = {"n_videos": len(payload["videos"]), "n_accounts": n_accounts}
        emit({"dry_run": True, **n, **payload}, as_json=as_json)
    else:
        if not force and (payload["videos"] or n_accounts):
            words = f"Delete {len(payload['videos'])} videos and {n_accounts} accounts for good?"
            click.confirm(words, abort=True, err=True)
        with app.catalog.erase() as session:
            done = [retention.purge(session, part, reason=reason) for part in named]
        del payload["videos"]
        payload = {**retention.sum_up(done), **payload, "n_cleaned": _clean_purged_files(app)}
        emit(payload, as_json=as_json)
    if payload["not_found"]:
        is_nothing = not n_accounts and not any(part.videos for part in found)
        raise click.exceptions.Exit(1 if is_nothing else EXIT_PARTIAL)


def _clean_purged_files(app: App) -> int:
    """Remove what is left on disk of purged videos; return of how many."""
    from catalog.record import retention
    from features.commands import run_drop_from_shards

    with app.catalog.read() as session:
        left = retention.files_left(session)
    for files in left:
        for uri in files.media:
            (app.settings.data_folder / uri).unlink(missing_ok=True)
        run_drop_from_shards(app, files.shards)
        with app.catalog.write() as session:
            retention.mark_clean(session, files.tombstone_id)
    return len(left)


# Small pictures and few epochs: the paper's networks at a size that two cores train in a minute.
DEMO_SETTINGS: dict[str, Any] = {
    "scrape": {"limit": 60},
    "clip": {"n_frames": 8, "height_px": 16, "width_px": 9},
    "pretrain": {"epochs": 6, "batch": 4, "lr": 3e-4},
    "extract": {"workers": 2, "batch": 6},
}


def _stages(
    app: App, *, quiet: bool, also_train: tuple[str, ...] = ()
) -> list[tuple[str, "Stage"]]:
    """Name the stages of a night in their order; each takes the id of the parent run."""
    from catalog.commands.ages import run_ages
    from catalog.commands.ledger import run_judge
    from catalog.web.pages import write_report_step
    from catalog.work.alerts import run_alerts
    from features.commands import has_weights, run_extract, run_extract_files
    from model.commands import run_pretrain, run_score, run_split, run_train
    from model.settings import TrainConfig
    from scraper.commands.site import run_fetch, run_scrape
    from scraper.settings import ScrapeConfig
    from scraper.steps.scrape import ScrapeRequest

    settings = app.settings
    listing = settings.of(ScrapeConfig)
    request = ScrapeRequest(limit=listing.limit, fresh_for=timedelta(hours=listing.fresh_for_h))
    retrain = settings.nightly.retrain
    if_missing = retrain == "if-missing"

    def wire(run: Callable[..., "Outcome"], *args: Any, **options: Any) -> "Stage":
        return lambda parent_id: run(app, *args, quiet=quiet, parent_id=parent_id, **options)

    stages = [
        ("scrape", wire(lambda *args, **options: run_scrape(*args, **options).outcome, request)),
        ("refresh", wire(_refresh)),
        ("fetch", wire(run_fetch)),
        ("extract files", wire(run_extract_files)),
    ]
    if settings.nightly.refresh == "never":
        del stages[1]
    if retrain != "never":
        stages.append(("pretrain", wire(run_pretrain, if_missing=if_missing)))
    stages.append(("extract visual", wire(run_extract, "visual")))
    if has_weights(app, "text"):
        stages.append(("extract text", wire(run_extract, "text")))
    # Before labels of an age are frozen, and before what was forecast of it is judged.
    stages.append(("ages", wire(run_ages)))
    if retrain != "never":
        stages.append(("split create", wire(run_split, if_missing=if_missing)))
        for preset in (settings.of(TrainConfig).preset, *also_train):
            stages.append((f"train {preset}", wire(run_train, preset, if_missing=if_missing)))
    stages += [
        ("score", wire(run_score)),
        ("judge", wire(run_judge)),
        ("report", wire(write_report_step)),
        ("alerts", wire(run_alerts)),
    ]
    return stages


def _emit_stages(stages: list[tuple[str, "Stage"]], *, as_json: bool) -> None:
    names = [name for name, _stage in stages]
    emit({"dry_run": True, "stages": names}, as_json=as_json, text="\n".join(names))


def _refresh(app: App, *, quiet: bool, parent_id: int) -> "Outcome":
    from scraper.commands.site import run_refresh
    from scraper.settings import RefreshConfig

    request = app.settings.of(RefreshConfig)
    only_due = app.settings.nightly.refresh == "due"
    result = run_refresh(app, request, only_due=only_due, quiet=quiet, parent_id=parent_id)
    return result.outcome


def _run(
    app: App, stages: list[tuple[str, "Stage"]], *, quiet: bool, **options: Any
) -> tuple["Outcome", list[dict[str, Any]]]:
    from catalog.work.stages import run_stages

    return run_stages(
        app.catalog,
        stages,
        known_errors=PACKAGE_ERRORS,
        report=(lambda _line: None) if quiet else click.echo,
        hours_of=app.settings.nightly.hours,
        **options,
    )


def _close_demo(
    app: App, outcome: "Outcome", lines: list[dict[str, Any]], *, as_json: bool
) -> None:
    """Print the leaderboard, and what to open next."""
    from catalog.commands import leaderboard_table
    from catalog.read import reports
    from catalog.web.pages import report_path

    with app.catalog.read() as session:
        board = reports.leaderboard(session, least_gain=app.settings.verdict.least_gain)
        videos = reports.totals(session)["video"]
    page = report_path(app.settings.data_folder)
    text = (
        f"\n{leaderboard_table(board)}\n\n{videos} videos in {app.settings.db_url}\n"
        f"Open next: {page}\n"
        f"Ask in SQL: viewcast --data {app.settings.data_folder} sql"
        " 'select * from v_run_leaderboard'\n"
        f"Look at one: viewcast --data {app.settings.data_folder} features show 1 -o sheet.html\n"
        f"Forecast a file: viewcast --data {app.settings.data_folder} predict FILE.mp4"
    )
    payload = {"stages": lines, "leaderboard": board, "n_videos": videos, "report": str(page)}
    emit(payload, as_json=as_json, text=text)
    if outcome.exit_code:
        raise click.exceptions.Exit(outcome.exit_code)


def _start_job(app: App, name: str, slot: str, due: str) -> "subprocess.Popen[bytes]":
    """Start a command in a child of its own session, so that the daemon can stop all of it."""
    settings = app.settings
    command = [sys.executable, str(Path(__file__).resolve()), "--data", str(settings.data_folder)]
    if app.settings_file is not None:
        command += ["--config", str(app.settings_file)]
    # What the daemon was told of its log holds for the jobs that write into it.
    command += ["-v"] * app.verbose
    if "log" in app.flags:
        command += ["--log-format", settings.log.format]
    command += [name, "--slot", slot, "--scheduled-for", due]
    if name == "refresh" and settings.nightly.refresh != "all":
        command.append("--due")
    # The URL may hold a password, and everybody can read another process's arguments.
    environment = {**os.environ, "VIEWCAST_DB": settings.db_url}
    return subprocess.Popen(command, env=environment, start_new_session=True)


for _commands in (catalog, scraper, features, model):
    for _command in _commands.commands.COMMANDS:
        main.add_command(_command)


def _collect_rarely() -> None:
    """Do not look for garbage among what loading torch makes, all of which stays.

    Looking while it is loaded, and once more at the end, takes a second of a command (measured).
    """
    gc.set_threshold(100_000, 20, 100)
    atexit.register(gc.freeze)


def _leave(number: int, _frame: FrameType | None) -> None:
    stop_for(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_INTERRUPTED))


if __name__ == "__main__":
    main()
