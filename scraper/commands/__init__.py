"""The commands that fill the catalog: one file per subject."""

import click

from scraper.commands.imports import import_
from scraper.commands.site import (
    fetch,
    refresh,
    replica,
    run_fetch,
    run_refresh,
    run_scrape,
    scrape,
)
from scraper.commands.topics import topic

__all__ = ["COMMANDS", "run_fetch", "run_refresh", "run_scrape"]

COMMANDS: list[click.Command] = [topic, scrape, refresh, fetch, import_, replica]
