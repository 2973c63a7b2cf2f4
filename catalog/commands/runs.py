"""The commands about what was run and what failed: runs, errors."""

from typing import Any

import click

from catalog.console import (
    App,
    cut_note,
    dry_run_option,
    emit,
    first_of,
    json_option,
    pass_app,
    table,
)

RUNS = ("id", "kind", "status", "slot", "started_at", "n_total", "n_done", "n_failed", "n_skipped")
FAILURES = ("stage", "subject", "status", "error_code", "error", "attempts", "failed_at")


@click.group()
def runs() -> None:
    """What was run, and how it ended."""


@runs.command("list")
@click.option("--kind", help="Only runs of this kind, such as score.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="The newest so many.",
)
@json_option
@pass_app
def runs_list(app: App, kind: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs."""
    from catalog.read import reports

    with app.catalog_to_read.read() as session:
        rows, is_cut = first_of(reports.runs(session, kind=kind, limit=limit + 1), limit)
    text = table(RUNS, [[row[name] for name in RUNS] for row in rows])
    text += cut_note(limit, "runs") if is_cut else ""
    emit({"runs": rows, "truncated": is_cut}, as_json=as_json, text=text)


@runs.command("show")
@click.argument("run_id", type=int)
@json_option
@pass_app
def runs_show(app: App, run_id: int, as_json: bool) -> None:
    """Show all that is recorded of one run."""
    from catalog.read import reports

    with app.catalog_to_read.read() as session:
        shown = reports.run_details(session, run_id)
    plain = {name: value for name, value in shown.items() if not isinstance(value, list)}
    lines = [f"{name}: {'–' if value is None else value}" for name, value in plain.items()]
    for name in ("metrics", "events"):
        if rows := shown[name]:
            lines.append(table(list(rows[0]), [list(row.values()) for row in rows], title=name))
    emit(shown, as_json=as_json, text="\n".join(lines))


@click.command()
@click.option("--stage", help="Only this stage: media, clip, visual, audio, scrape …")
@click.option("--code", help="Only this error code.")
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="The newest so many.",
)
@click.option("--retry", is_flag=True, help="Open these failures again, with all their attempts.")
@json_option
@dry_run_option
@pass_app
def errors(
    app: App,
    stage: str | None,
    code: str | None,
    limit: int,
    retry: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """List what failed and has not succeeded since; with --retry, let it be tried again."""
    from catalog.read import reports
    from catalog.work.claims import retry_failed

    if retry and stage is not None:
        raise click.UsageError("--retry takes --code, not --stage")
    with app.catalog.read() as session:
        counts = reports.failure_counts(session)
        more = reports.failures(session, stage=stage, code=code, limit=limit + 1)
    rows, is_cut = first_of(more, limit)
    payload: dict[str, Any] = {"counts": counts, "failures": rows, "truncated": is_cut}
    text = table(FAILURES, [[row[name] for name in FAILURES] for row in rows])
    text += cut_note(limit, "failures") if is_cut else ""
    if retry and not dry_run:
        with app.catalog.write() as session:
            payload["n_opened"] = retry_failed(session, None, code)
        text += f"\n{payload['n_opened']} opened again."
    emit(payload, as_json=as_json, text=text if rows else "Nothing has failed.")
