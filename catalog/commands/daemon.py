"""The commands of the clock: daemon."""

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app

if TYPE_CHECKING:
    from catalog.work.daemon import Job


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
    from catalog.schema.types import utc_now
    from catalog.work.daemon import run_daemon

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
    from catalog.work import daemon as clock

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

    from catalog.work.daemon import Job, Slot

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
