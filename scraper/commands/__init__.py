"""The commands that fill the catalog: one file per subject."""

import click

from scraper.commands.imports import import_
from scraper.commands.site import (
    fetch,
    refresh,
    refresh_request,
    replica,
    run_fetch,
    run_refresh,
    run_scrape,
    scrape,
)
from scraper.commands.topics import topic

__all__ = ["COMMANDS", "refresh_request", "run_fetch", "run_refresh", "run_scrape"]

COMMANDS: list[click.Command] = [topic, scrape, refresh, fetch, import_, replica]
