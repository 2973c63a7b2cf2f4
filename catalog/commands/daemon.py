"""The commands of the clock: daemon, and serve, which shows whether all is well."""

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from catalog.console import (
    App,
    Duration,
    dry_run_option,
    emit,
    json_option,
    pass_app,
    table,
)
from catalog.errors import NotReady

if TYPE_CHECKING:
    from catalog.work.daemon import Job
    from catalog.work.schedule import Schedule

# In this order: what waits for its turn goes first when it stands further up.
JOBS = ("nightly", "retrain", "refresh")


@click.group()
def daemon() -> None:
    """Nights, retraining and refreshing on their clock."""


@daemon.command("run")
@click.option("--at", metavar="HH:MM[:SS]", help="When a night is due; default: daemon.nightly.")
@click.option("--timezone", help="Of all times, such as Europe/Berlin; default: daemon.timezone.")
@json_option
@dry_run_option
@pass_app
def daemon_run(
    app: App, at: str | None, timezone: str | None, as_json: bool, dry_run: bool
) -> None:
    """Start what is due (nightly, retrain, refresh) until SIGTERM or Ctrl-C.

    When, say the settings [daemon]. One daemon per catalog, one job at a time.
    """
    from catalog.commands.alerts import telling
    from catalog.work.alerts import in_background, run_alerts, tell_closed
    from catalog.work.daemon import Telling, run_daemon

    schedules = _schedules(app, at, timezone)
    payload = {"jobs": [_describe(schedule) for schedule in schedules]}
    warnings = [schedule.dst_warning() for schedule in schedules]
    for warning in filter(None, warnings):
        click.echo(f"viewcast: {warning}", err=True)
    if dry_run:
        columns = ("job", "cron", "timezone", "last_due", "next_due")
        rows = [[job[column] for column in columns] for job in payload["jobs"]]
        emit({"dry_run": True, **payload}, as_json=as_json, text=table(columns, rows))
        return
    with telling(app):
        app.catalog  # noqa: B018 - opened first: a stale schema is said before anything else
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    jobs = [_job(app, schedule) for schedule in schedules]

    def tell_of(slot: str) -> None:
        with telling(app):
            run_alerts(app, slot=slot)

    run_daemon(
        app.catalog,
        jobs,
        stop=stop,
        catch_up_s=app.settings.daemon.catch_up_h * 3600,
        telling=Telling(
            of_slot=lambda slot: in_background(lambda: tell_of(slot)),
            of_absence=lambda error: in_background(lambda: tell_closed(app.settings, error)),
        ),
    )
    emit({**payload, "stopped": True}, as_json=as_json, text="Stopped.")


@daemon.command("status")
@click.option(
    "--max-age",
    type=Duration(default_unit="h"),
    default="26h",
    show_default=True,
    help="How long ago the last good night may be, and how late another job: 26h, 2d, or hours.",
)
@json_option
@pass_app
def status(app: App, max_age: timedelta, as_json: bool) -> None:
    """Say whether the daemon lives and its jobs are done in time; exit 1 when not."""
    from catalog.work.daemon_status import daemon_status, status_rows

    found = daemon_status(app.catalog, max_age)
    head = {name: found[name] for name in ("ok", "why", "running", "heartbeat_age_s", "owner")}
    lines = [f"{name}: {value}" for name, value in head.items() if value is not None]
    columns, rows = status_rows(found)
    emit(found, as_json=as_json, text="\n".join([*lines, table(columns, rows)]))
    if not found["ok"]:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--name", "names", multiple=True, help="Answer to this host name too; repeatable, * for any."
)
@click.option(
    "--max-age",
    type=Duration(default_unit="h"),
    default="26h",
    show_default=True,
    help="As `daemon status` has it.",
)
@json_option
@pass_app
def serve(
    app: App, bind: str, port: int, names: tuple[str, ...], max_age: timedelta, as_json: bool
) -> None:
    """Serve the report and /health until SIGTERM or Ctrl-C. Only reads; nobody has to log in."""
    try:
        from catalog.web.app import make_app, make_server
    except ModuleNotFoundError as error:
        raise NotReady("`serve` needs its extra: pip install 'viewcast[serve]'") from error

    settings = app.settings
    # The server has its own, and raises the signal once more when it is done.
    signal.signal(signal.SIGTERM, _leave)
    # Where it listens is no name that somebody else could have given it.
    names += (f"[{bind}]" if ":" in bind else bind,)
    web = make_app(settings.db_url, settings.data_folder, names=names, max_age=max_age)
    make_server(
        web,
        bind=bind,
        port=port,
        on_start=lambda url: emit({"url": url}, as_json=as_json, text=url),
    ).run()


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


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


def _schedules(app: App, at: str | None, timezone: str | None) -> "list[Schedule]":
    """Return when each job is due that has a time. Raises BadValue, UsageError."""
    from datetime import time

    from catalog.work.schedule import Schedule

    settings = app.settings.daemon
    crons: dict[str, tuple[str, int]] = {name: (getattr(settings, name), 0) for name in JOBS}
    if at is not None:
        try:
            due = time.fromisoformat(at)
        except ValueError as error:
            raise click.UsageError(f"--at {at!r} is no time of day: 04:30 or 04:30:15") from error
        crons["nightly"] = (f"{due.minute} {due.hour} * * *", due.second)
    zone = timezone or settings.timezone
    return [
        Schedule(name, cron, zone, second) for name, (cron, second) in crons.items() if cron.strip()
    ]


def _describe(schedule: "Schedule") -> dict[str, Any]:
    from catalog.schema.types import utc_now

    now = utc_now()
    last, following = schedule.newest(now), schedule.following(now)
    return {
        "job": schedule.job,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "last_due": last.scheduled_for.isoformat() if last else None,
        "next_due": following.scheduled_for.isoformat() if following else None,
        "warning": schedule.dst_warning(),
    }


def _job(app: App, schedule: "Schedule") -> "Job":
    from catalog.work.daemon import Job
    from catalog.work.schedule import Slot

    def start(slot: Slot) -> _ProcessGroup:
        if app.start_job is None:
            raise click.ClickException("this program was started without its jobs")
        # Without an offset: the option it is given to takes UTC.
        due_at = slot.scheduled_for.strftime("%Y-%m-%dT%H:%M:%S")
        return _ProcessGroup(app.start_job(schedule.job, slot.name, due_at))

    return Job(schedule, start)
