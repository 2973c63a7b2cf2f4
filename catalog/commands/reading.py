"""The commands that read for people: sql, search, report, export."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from catalog.console import (
    App,
    cut_note,
    emit,
    emit_rows,
    first_of,
    json_option,
    pass_app,
    table,
)

if TYPE_CHECKING:
    from catalog.read.exports import Format

N_SHOWN = 1_000  # rows of a table, which nobody reads to its end


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--in",
    "place",
    type=click.Choice(["said", "screen", "all"]),
    default="all",
    show_default=True,
    help="What is said, what is written on screen, or either.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Videos.")
@json_option
@pass_app
def search(app: App, words: tuple[str, ...], place: str, limit: int, as_json: bool) -> None:
    """Find the videos that say all WORDS, or show them on screen; in quotation marks: a phrase.

    A star at the end of a word lets it go on: danc* finds dance and dancing.
    """
    from catalog.read.search import PLACES
    from catalog.read.search import search as search_texts

    places = list(PLACES) if place == "all" else [place]
    with app.catalog_to_read.read() as session:
        more = search_texts(session, words, limit=limit + 1, places=places)
    found, is_cut = first_of(more, limit)
    rows = [
        (video.tiktok_id, ", ".join(video.found_in), video.language, video.speech_s, video.snippet)
        for video in found
    ]
    text = table(["video", "where", "language", "speech s", "words"], rows)
    text += cut_note(limit, "videos") if is_cut else ""
    payload = {
        "words": list(words),
        "in": places,
        "videos": [asdict(video) for video in found],
        "truncated": is_cut,
    }
    emit(payload, as_json=as_json, text=text if found else "in no video")


LEADERBOARD = {
    "run_id": "run",
    "kind": "kind",
    "model_name": "model",
    "model_version": "v",
    "part": "part",
    "n": "n",
    "mse_k2": "MSE k²",
    "mse_k2_train_mean": "(mean)",
    "mse_k2_train_median": "(median)",
    "mae_k": "MAE k",
    "mae_k_train_mean": "(mean)",
    "mae_k_train_median": "(median)",
    "spearman": "Spearman",
    "log_mae": "log-MAE",
    "log_mae_train_median": "(median)",
    "status": "status",
    "verdict": "than constants",
    "as_of": "as of",
    "history_rule": "history",
    "forecasts": "forecasts",
}


def leaderboard_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the leaderboard, the constants' errors in brackets behind the model's."""
    if not rows:
        return "No model has been trained or scored yet."
    cells = [[row[name] for name in LEADERBOARD] for row in rows]
    return table(list(LEADERBOARD.values()), cells, title="Models beside the constants")


@click.command()
@click.argument("statement")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help="Rows at most; 0: all of them. Default: 1000 in a table, all with --json.",
)
@json_option
@pass_app
def sql(app: App, statement: str, limit: int | None, as_json: bool) -> None:
    """Run one SELECT on the catalog, read-only. Start with the views, v_…

    With --json rows are written as they are read, and `truncated` says whether there were more.
    """
    from catalog.read.reports import query

    if limit is None:
        limit = 0 if as_json else N_SHOWN
    with query(app.catalog_to_read, statement, limit + 1 if limit else None) as result:
        columns = result.columns
        if as_json:
            rows = (dict(zip(columns, row, strict=True)) for row in result.rows)
            emit_rows({"columns": columns}, rows, limit=limit or None)
            return
        found, is_cut = first_of(list(result.rows), limit or sys.maxsize)
    cut = f"\n(first {limit} rows; --limit 0 for all)" if is_cut else ""
    emit({}, as_json=False, text=table(columns, found) + cut)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write the page.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rows of the leaderboard.",
)
@json_option
@pass_app
def report(app: App, output: Path | None, limit: int, as_json: bool) -> None:
    """Print the leaderboard, models beside constants, and write the report as an HTML page."""
    from catalog.read.reports import coverage, failure_counts, leaderboard, totals
    from catalog.web.pages import report_path, write_report

    least_gain = app.settings.verdict.least_gain
    with app.catalog.read() as session:
        board, is_cut = first_of(leaderboard(session, limit + 1, least_gain=least_gain), limit)
        payload = {
            "leaderboard": board,
            "truncated": is_cut,
            "coverage": coverage(session),
            "failures": failure_counts(session),
            "totals": totals(session),
        }
    data_folder = app.settings.data_folder
    path = (output or report_path(data_folder)).resolve()
    page = write_report(app.catalog, path, data_folder, least_gain=least_gain)
    cut = cut_note(limit, "rows") if is_cut else ""
    text = f"{leaderboard_table(board)}{cut}\nThe whole report: {page}"
    emit({**payload, "page": str(page)}, as_json=as_json, text=text)


@contextmanager
def _replacing(output: Path) -> Iterator[TextIO]:
    """Open a file that takes its place when it is whole: a run that is killed leaves no half."""
    from catalog.files import atomic_file

    if output.exists() and not output.is_file():
        # As root, a device would be replaced by a file of its name, for everybody.
        raise click.UsageError(f"{output} is no plain file; without --output it goes to stdout")
    try:
        output.parent.stat()  # a folder that is not there is a slip of the pen: it is not made
        with atomic_file(output) as part, part.open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error


@click.command()
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "jsonl", "pairs", "facts"]),
    default="csv",
    show_default=True,
    help='pairs: the paper\'s [{"id", "views_k"}]; facts: all that was seen, for another catalog.',
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file; default: stdout.")
@click.option("--keep-mentions", is_flag=True, help="Leave @names in captions, and handles.")
@json_option
@pass_app
def export(
    app: App, format_: "Format", output: Path | None, keep_mentions: bool, as_json: bool
) -> None:
    """Write every video with its newest count as CSV, JSON lines or the paper's pairs.

    With --format facts: every observation of every video, account and sound, so that `import`
    makes the same catalog of it elsewhere.
    """
    from catalog.read.exports import export_videos

    if as_json and output is None:
        raise click.UsageError("--json reports about a file: give --output")
    with app.catalog_to_read.read() as session:
        if output is None:
            export_videos(session, sys.stdout, format_, keep_mentions=keep_mentions)
            return
        with _replacing(output) as out:
            n_rows = export_videos(session, out, format_, keep_mentions=keep_mentions)
    emit({"n_videos": n_rows, "file": str(output)}, as_json=as_json)
