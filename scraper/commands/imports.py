"""The command that takes what others collected: import."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from scraper.commands.site import author_salt
from scraper.importers.formats import FORMATS, Format

if TYPE_CHECKING:
    from scraper.steps.import_ import ImportResult


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: found out.")
@click.option(
    "--platform", metavar="NAME", help="Whose ids these are; default: what the rows say, or tiktok."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="A table's column, such as views=plays; repeatable.",
)
@click.option("--locale", help="Of displayed counts such as '1,2 Mio.': de. Default: English.")
@click.option(
    "--observed-at",
    type=click.DateTime(),
    help="When the counts were taken (UTC), for rows that do not say; default: the file's age.",
)
@click.option(
    "--media",
    type=click.Path(path_type=Path),
    help="A folder with the videos' files, their ids in their names.",
)
@click.option("--no-media", is_flag=True, help="Leave media files where they are.")
@json_option
@dry_run_option
@pass_app
def import_(
    app: App,
    path: Path,
    format_: Format | None,
    platform: str | None,
    columns: tuple[str, ...],
    locale: str | None,
    observed_at: datetime | None,
    media: Path | None,
    no_media: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Take the videos, counts and files of an export: yt-dlp, Zeeschuimer, Apify, CSV, Parquet, …

    PATH is a file, or a folder of yt-dlp's ID.mp4 and ID.info.json. What it is is found out. A
    second import of the same adds nothing; a later export adds observations.
    """
    from catalog.console import progress
    from scraper.importers.video import ImportOptions
    from scraper.settings import FetchConfig, ScrapeConfig
    from scraper.steps.import_ import import_path

    options = ImportOptions(
        format=format_,
        platform=platform,
        columns=dict(_column(text) for text in columns),
        locale=locale,
        observed_at=None if observed_at is None else observed_at.replace(tzinfo=UTC),
        media=media,
    )
    with progress("import", quiet=as_json) as bar:
        result = import_path(
            app.catalog,
            path,
            options,
            # Made at first use, and a dry run writes nothing at all.
            salt=b"" if dry_run else author_salt(app),
            keep_handles=app.settings.of(ScrapeConfig).keep_handles,
            data=app.settings.data_folder,
            with_media=not no_media,
            progress=bar,
            limits=app.settings.of(FetchConfig),
            dry_run=dry_run,
        )
    if not as_json and result.sample:
        click.echo(_rejected_table(result), err=True)
    counts = {name: value for name, value in result.counts().items() if as_json or name != "sample"}
    if result.outcome is None:
        emit({"dry_run": True, **counts}, as_json=as_json)
    else:
        emit_outcome(result.outcome, as_json=as_json, extra=counts)


def _column(text: str) -> tuple[str, str]:
    field, mark, column = text.partition("=")
    if not (mark and field and column):
        raise click.UsageError(f"--column {text!r}: expected FIELD=COLUMN, such as views=plays")
    return field, column


def _rejected_table(result: "ImportResult") -> str:
    rows: list[list[Any]] = [
        [f"{row.file}:{row.line}" if row.file else row.line, row.reason, row.detail]
        for row in result.sample
    ]
    n_rows, n_files = sum(result.rejected.values()), sum(result.media_failed.values())
    title = f"{n_rows} rows not taken" + (f", {n_files} files" if n_files else "")
    return table(["line", "reason", "what was there"], rows, title=title)
