"""The command that takes what others collected: import."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from scraper.commands.site import author_salt
from scraper.importers.formats import FORMATS, Format

if TYPE_CHECKING:
    from scraper.settings import ImportConfig
    from scraper.steps.import_ import ImportResult

# Of columns that nobody reads.
N_NAMED = 30


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
    "--ignore",
    multiple=True,
    metavar="COLUMN",
    help="A table's column to leave aside; repeatable.",
)
@click.option("--timezone", metavar="NAME", help="Of times without one: Asia/Tokyo. Default: UTC.")
@click.option("--date-format", metavar="FORM", help="Of times in a form of their own: %d/%m/%Y.")
@click.option("--encoding", metavar="NAME", help="Of separated text: windows-1252. Default: UTF-8.")
@click.option(
    "--keep-round-ids",
    is_flag=True,
    help="Take ids of tiktok's that end in 0000, or look otherwise as if they had been rounded.",
)
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
@click.option(
    "--caption-from-name", is_flag=True, help="Of files that nothing else describes, the caption."
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
    ignore: tuple[str, ...],
    timezone: str | None,
    date_format: str | None,
    encoding: str | None,
    keep_round_ids: bool,
    observed_at: datetime | None,
    media: Path | None,
    caption_from_name: bool,
    no_media: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Take the videos, counts and files of an export: yt-dlp, Zeeschuimer, Apify, CSV, Parquet, …

    PATH is a file, a saved page or a recorded visit (HAR), or a folder of such files and of the
    videos' own. What it is is found out. A second import of the same adds nothing; a later export
    adds observations. What became of each column or key is said, and kept with the run.
    """
    from scraper.settings import ImportConfig

    how = ImportConfig(
        format=format_,
        platform=platform,
        columns=dict(_column(text) for text in columns),
        locale=locale,
        ignore=ignore,
        timezone=_zone(timezone),
        date_format=date_format,
        encoding=encoding,
        keep_round_ids=keep_round_ids,
        observed_at=observed_at,
        caption_from_name=caption_from_name,
    )
    result = run_import(
        app, path, how, media=media, with_media=not no_media, quiet=as_json, dry_run=dry_run
    )
    if not as_json and result.sample:
        click.echo(_rejected_table(result), err=True)
    if not as_json:
        click.echo(_report_text(result.report))
    in_tables = ("sample", "report")
    counts = {
        name: value for name, value in result.counts().items() if as_json or name not in in_tables
    }
    if result.outcome is None:
        emit({"dry_run": True, **counts}, as_json=as_json)
    else:
        emit_outcome(result.outcome, as_json=as_json, extra=counts)


def run_import(
    app: App,
    path: Path,
    how: "ImportConfig",
    *,
    media: Path | None = None,
    with_media: bool = True,
    quiet: bool = False,
    dry_run: bool = False,
) -> "ImportResult":
    """Import with the application's settings; what `import` and `evaluate` call."""
    from catalog.console import progress
    from scraper.importers.video import ImportOptions
    from scraper.settings import FetchConfig, ScrapeConfig
    from scraper.steps.import_ import import_path

    known = {one.name: getattr(how, one.name) for one in fields(how)}
    at = how.observed_at
    known |= {
        "timezone": ZoneInfo(how.timezone),
        "observed_at": at.replace(tzinfo=UTC) if at and at.tzinfo is None else at,
    }
    with progress("import", quiet=quiet) as bar:
        return import_path(
            app.catalog,
            path,
            ImportOptions(**known, media=media),
            # Made at first use, and a dry run writes nothing at all.
            salt=b"" if dry_run else author_salt(app),
            keep_handles=app.settings.of(ScrapeConfig).keep_handles,
            data=app.settings.data_folder,
            with_media=with_media,
            progress=bar,
            limits=app.settings.of(FetchConfig),
            dry_run=dry_run,
        )


def _column(text: str) -> tuple[str, str]:
    field, mark, column = text.partition("=")
    if not (mark and field and column):
        raise click.UsageError(f"--column {text!r}: expected FIELD=COLUMN, such as views=plays")
    return field, column


def _zone(name: str | None) -> str:
    from scraper.settings import check_zone

    try:
        return "UTC" if name is None else check_zone(name)
    except ValueError as error:
        raise click.UsageError(f"--timezone {error}") from error


def _report_text(report: Mapping[str, Any]) -> str:
    """Lay out what became of each column or key."""
    rows: list[list[Any]] = []
    for row in report["fields"]:
        n_bad = row["n_unreadable"] + row["n_contradicting"]
        example = f"line {row['example_line']}: {row['example']}" if row["example"] else ""
        said = [row["field"], row["from"], row["n_read"], row["n_empty"], n_bad, example]
        rows.append(said)
    columns = ["field", "from", "read", "empty", "unusable", "such as"]
    lines = [table(columns, rows, title=f"{report['n_taken']} rows read")] if rows else []
    for what, names in (("left aside", report["left_aside"]), ("ignored", report["ignored"])):
        if names:
            more = len(names) - N_NAMED
            some = ", ".join(names[:N_NAMED])
            rest = f" and {more} more (--json has all)" if more > 0 else ""
            lines.append(f"{what}: {some}{rest}")
    return "\n".join([*lines, *(f"note: {note}" for note in report["notes"])])


def _rejected_table(result: "ImportResult") -> str:
    rows: list[list[Any]] = [
        [f"{row.file}:{row.line}" if row.file else row.line, row.reason, row.detail]
        for row in result.sample
    ]
    n_rows, n_files = sum(result.rejected.values()), sum(result.media_failed.values())
    title = f"{n_rows} rows not taken" + (f", {n_files} files" if n_files else "")
    return table(["line", "reason", "what was there"], rows, title=title)
