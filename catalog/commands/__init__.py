"""The commands about the catalog itself: one file per subject."""

import click

from catalog.commands.ages import ages
from catalog.commands.alerts import alerts
from catalog.commands.daemon import daemon, serve
from catalog.commands.ledger import ledger
from catalog.commands.reading import export, leaderboard_table, report, search, sql
from catalog.commands.runs import errors, runs
from catalog.commands.schema import db

__all__ = ["COMMANDS", "leaderboard_table"]

COMMANDS: list[click.Command] = [
    db,
    sql,
    search,
    report,
    export,
    runs,
    errors,
    ages,
    ledger,
    daemon,
    serve,
    alerts,
]
