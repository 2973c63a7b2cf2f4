"""The commands that tell somebody: alerts check, test, list."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import click

from catalog.console import (
    App,
    cut_note,
    dry_run_option,
    emit,
    emit_outcome,
    first_of,
    json_option,
    pass_app,
    table,
)

DELIVERY = ("channel", "reason", "n_tries", "seconds")
EVENT = ("at", "code", "subject", "channel", "text")


@click.group()
def alerts() -> None:
    """Who is told that something is wrong."""


@contextmanager
def telling(app: App) -> Iterator[None]:
    """Tell somebody when the block of an unattended job ends because it cannot use the catalog.

    Also one that is open: a server that goes away, or a disk that fills, before the end.
    """
    from sqlalchemy.exc import InterfaceError, OperationalError

    from catalog.errors import NotReady, SchemaBehind
    from catalog.work.alerts import tell_closed

    try:
        yield
    except (NotReady, SchemaBehind, OperationalError, InterfaceError) as error:
        tell_closed(app.settings, error)
        raise


@alerts.command("check")
@click.option("--slot", help="Ask about this execution of a job; default: the newest night.")
@json_option
@dry_run_option
@pass_app
def alerts_check(app: App, slot: str | None, as_json: bool, dry_run: bool) -> None:
    """Look at how things stand and tell whom `alerts.urls` names, once for each slot and kind.

    For cron, once an hour or so. What a channel did not take is tried again by the next check, for
    three days.
    """
    from catalog.read.nights import facts_of
    from catalog.work.alerts import run_alerts, wanted

    with nullcontext() if dry_run else telling(app):
        with app.catalog.read() as session:
            found = wanted(facts_of(session, app.settings.data_folder, slot=slot), app.settings)
        outcome = None if dry_run else run_alerts(app, slot=slot, quiet=as_json)
    lines = [{"kind": one.kind, "slot": one.slot, "text": one.text} for one in found]
    if outcome is None:
        text = "\n".join(f"{one.kind} ({one.slot}): {one.text}" for one in found)
        emit({"dry_run": True, "alerts": lines}, as_json=as_json, text=text or "Nothing to tell.")
        return
    extra: dict[str, Any] = {"alerts": lines} if as_json else {one.kind: one.text for one in found}
    emit_outcome(outcome, as_json=as_json, extra=extra)


@alerts.command("test")
@json_option
@dry_run_option
@pass_app
def alerts_test(app: App, as_json: bool, dry_run: bool) -> None:
    """Send a test message to every channel and ask for the ping's address; exit 1 if one failed."""
    from catalog.work.alerts import ping_address, try_channels
    from catalog.work.channels import channels_of

    settings = app.settings
    if dry_run:
        names = [channel.name for channel in channels_of(settings.alerts.urls)]
        names += ["ping"] if ping_address(settings, is_good=True) else []
        text = "\n".join(names) or NOBODY
        emit({"dry_run": True, "channels": names}, as_json=as_json, text=text)
        return
    rows = [asdict(delivery) for delivery in try_channels(settings)]
    is_good = bool(rows) and all(row["reason"] is None for row in rows)
    cells = [[row["channel"], row["reason"] or "taken", *list(row.values())[2:]] for row in rows]
    text = table(DELIVERY, cells) if rows else NOBODY
    emit({"ok": is_good, "channels": rows}, as_json=as_json, text=text)
    if not is_good:
        raise click.exceptions.Exit(1)


NOBODY = "Nobody is told: `alerts.urls` and `alerts.ping_url` are empty."


@alerts.command("list")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="The newest so many.",
)
@json_option
@pass_app
def alerts_list(app: App, limit: int, as_json: bool) -> None:
    """List what was told, to which channel, and what was not taken, the newest first."""
    from catalog.work.alerts import journal

    with app.catalog_to_read.read() as session:
        rows, is_cut = first_of(journal(session, limit + 1), limit)
    text = table(EVENT, [[row[name] for name in EVENT] for row in rows])
    text += cut_note(limit, "lines") if is_cut else ""
    said = text if rows else "Nobody was told of anything."
    emit({"alerts": rows, "truncated": is_cut}, as_json=as_json, text=said)
