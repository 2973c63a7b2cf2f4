"""The commands about the catalog itself: db, sql, report, runs, errors, daemon."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app, table

if TYPE_CHECKING:
    from catalog.daemon import Job

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
    "status": "status",
    "verdict": "than constants",
}
RUNS = ("id", "kind", "status", "slot", "started_at", "n_total", "n_done", "n_failed", "n_skipped")
FAILURES = ("stage", "subject", "status", "error_code", "error", "attempts", "failed_at")


def leaderboard_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the leaderboard, the constants' errors in brackets behind the model's."""
    if not rows:
        return "No model has been trained or scored yet."
    cells = [[row[name] for name in LEADERBOARD] for row in rows]
    return table(list(LEADERBOARD.values()), cells, title="Models beside the constants")


@click.group()
def db() -> None:
    """The catalog's schema."""


@db.command("upgrade")
@click.option("--revision", default="head", show_default=True, help="Revision to stop at.")
@json_option
@dry_run_option
@pass_app
def db_upgrade(app: App, revision: str, as_json: bool, dry_run: bool) -> None:
    """Make the catalog, or bring its schema up to this program's."""
    from catalog import session

    url = app.settings.db_url
    before = session.current(url)
    after = session.head() if dry_run else session.upgrade(url, revision)
    _emit_move(url, before, after, as_json=as_json, dry_run=dry_run)


@db.command("downgrade")
@click.argument("revision")
@click.option("-f", "--force", is_flag=True, help="Do not ask; data of dropped tables is lost.")
@json_option
@dry_run_option
@pass_app
def db_downgrade(app: App, revision: str, force: bool, as_json: bool, dry_run: bool) -> None:
    """Take the schema down to REVISION ("base": no tables at all)."""
    from catalog import session

    url = app.settings.db_url
    before = session.current(url)
    if not (force or dry_run):
        click.confirm(f"Drop what came after {revision}, with its data?", abort=True, err=True)
    after = revision if dry_run else session.downgrade(url, revision)
    _emit_move(url, before, after, as_json=as_json, dry_run=dry_run)


@db.command("check")
@json_option
@pass_app
def db_check(app: App, as_json: bool) -> None:
    """Compare tables, rules and views with what this program expects; exit 3 when they differ."""
    from catalog import session

    differences = session.check(app.settings.db_url)
    text = "\n".join(differences) or "The schema is as it should be."
    emit({"ok": not differences, "differences": differences}, as_json=as_json, text=text)
    if differences:
        raise click.exceptions.Exit(3)


@db.command("current")
@json_option
@pass_app
def db_current(app: App, as_json: bool) -> None:
    """Print the schema's revision, and the one this program needs."""
    from catalog import session

    emit(
        {"revision": session.current(app.settings.db_url), "head": session.head()}, as_json=as_json
    )


@click.command()
@click.argument("statement")
@click.option("--limit", default=1000, show_default=True, help="Rows at most; 0: all of them.")
@json_option
@pass_app
def sql(app: App, statement: str, limit: int, as_json: bool) -> None:
    """Run one SELECT on the catalog, read-only. Start with the views, v_…"""
    from catalog.reports import query

    with query(app.catalog_to_read, statement, limit or None) as result:
        rows = list(result.rows)
    payload = {
        "columns": result.columns,
        "rows": [dict(zip(result.columns, row, strict=True)) for row in rows],
    }
    cut = f"\n(first {limit} rows; --limit 0 for all)" if limit and len(rows) == limit else ""
    emit(payload, as_json=as_json, text=table(result.columns, rows) + cut)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write the page.")
@click.option("--limit", default=20, show_default=True, help="Rows of the leaderboard.")
@json_option
@pass_app
def report(app: App, output: Path | None, limit: int, as_json: bool) -> None:
    """Print the leaderboard, models beside constants, and write the report as an HTML page."""
    from catalog.pages import report_path, write_report
    from catalog.reports import coverage, failure_counts, leaderboard, totals

    with app.catalog.read() as session:
        board = leaderboard(session, limit)
        payload = {
            "leaderboard": board,
            "coverage": coverage(session),
            "failures": failure_counts(session),
            "totals": totals(session),
        }
    page = write_report(app.catalog, (output or report_path(app.settings.data_folder)).resolve())
    text = f"{leaderboard_table(board)}\nThe whole report: {page}"
    emit({**payload, "page": str(page)}, as_json=as_json, text=text)


@click.group()
def runs() -> None:
    """What was run, and how it ended."""


@runs.command("list")
@click.option("--kind", help="Only runs of this kind, such as score.")
@click.option("--limit", default=20, show_default=True, help="The newest so many.")
@json_option
@pass_app
def runs_list(app: App, kind: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs."""
    from catalog import reports

    with app.catalog_to_read.read() as session:
        rows = reports.runs(session, kind=kind, limit=limit)
    text = table(RUNS, [[row[name] for name in RUNS] for row in rows])
    emit({"runs": rows}, as_json=as_json, text=text)


@runs.command("show")
@click.argument("run_id", type=int)
@json_option
@pass_app
def runs_show(app: App, run_id: int, as_json: bool) -> None:
    """Show all that is recorded of one run."""
    from catalog import reports

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
@click.option("--limit", default=50, show_default=True, help="The newest so many.")
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
    from catalog import reports
    from catalog.claims import retry_failed

    if retry and stage is not None:
        raise click.UsageError("--retry takes --code, not --stage")
    with app.catalog.read() as session:
        counts = reports.failure_counts(session)
        rows = reports.failures(session, stage=stage, code=code, limit=limit)
    payload: dict[str, Any] = {"counts": counts, "failures": rows}
    text = table(FAILURES, [[row[name] for name in FAILURES] for row in rows])
    if retry and not dry_run:
        with app.catalog.write() as session:
            payload["n_opened"] = retry_failed(session, None, code)
        text += f"\n{payload['n_opened']} opened again."
    emit(payload, as_json=as_json, text=text if rows else "Nothing has failed.")


@click.group()
def daemon() -> None:
    """The nightly run on its clock."""


@daemon.command("run")
@click.option("--at", metavar="HH:MM[:SS]", help="Time of day; default from the settings.")
@click.option("--timezone", help="Its zone, such as Europe/Berlin; default from the settings.")
@json_option
@dry_run_option
@pass_app
def daemon_run(
    app: App, at: str | None, timezone: str | None, as_json: bool, dry_run: bool
) -> None:
    """Run `nightly` every day at its time, until SIGTERM or Ctrl-C. One daemon per catalog."""
    from catalog.daemon import run_daemon
    from catalog.types import utc_now

    job = _nightly_job(app, at or app.settings.nightly.at, timezone)
    payload = {
        "job": job.name,
        "at": job.at.isoformat(),
        "timezone": job.timezone,
        "last_due": job.latest_slot(utc_now()).scheduled_for.isoformat(),
        "warning": job.dst_warning(),
    }
    if dry_run:
        emit(payload, as_json=as_json)
        return
    if payload["warning"]:
        click.echo(f"viewcast: {payload['warning']}", err=True)
    app.catalog  # noqa: B018 - opened first, so that a stale schema is said before anything else
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    run_daemon(app.catalog, job, stop=stop)
    emit({**payload, "stopped": True}, as_json=as_json, text="Stopped.")


@daemon.command("status")
@click.option("--max-age", "max_age_h", default=26.0, show_default=True, help="Hours.")
@json_option
@pass_app
def daemon_status(app: App, max_age_h: float, as_json: bool) -> None:
    """Say whether the daemon lives and its last night was good; exit 1 when not."""
    from catalog import daemon as clock

    status = clock.daemon_status(app.catalog, max_age_h)
    emit(status, as_json=as_json)
    if not status["ok"]:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _ProcessGroup:
    """A child that leads a session of its own: ended alone, or with all it started."""

    child: "subprocess.Popen[bytes]"

    def poll(self) -> int | None:
        return self.child.poll()

    def terminate(self) -> None:
        self.child.terminate()

    def kill(self) -> None:
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.child.wait()


def _nightly_job(app: App, at: str, timezone: str | None) -> "Job":
    from datetime import time

    from catalog.daemon import Job, Slot

    try:
        due = time.fromisoformat(at)
    except ValueError as error:
        raise click.UsageError(f"--at {at!r} is no time of day: 04:30 or 04:30:15") from error

    def start(slot: Slot) -> _ProcessGroup:
        if app.start_nightly is None:
            raise click.ClickException("this program was started without its nightly job")
        # Without an offset: the option it is given to takes UTC.
        due_at = slot.scheduled_for.strftime("%Y-%m-%dT%H:%M:%S")
        return _ProcessGroup(app.start_nightly(slot.name, due_at))

    return Job("nightly", due, timezone or app.settings.nightly.timezone, start)


def _emit_move(url: str, before: str | None, after: str, *, as_json: bool, dry_run: bool) -> None:
    payload = {"from": before, "to": after, "dry_run": dry_run}
    how = "would go" if dry_run else "went"
    same = f"The catalog is at schema {after}."
    text = same if before == after else f"The catalog {how} from {before or 'nothing'} to {after}."
    emit({"db": _without_password(url), **payload}, as_json=as_json, text=text)


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


COMMANDS: list[click.Command] = [db, sql, report, runs, errors, daemon]
