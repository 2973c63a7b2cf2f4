"""The commands that fill the catalog: one file per subject."""

import click

from scraper.commands.site import fetch, replica, run_fetch, run_scrape, scrape
from scraper.commands.topics import topic

__all__ = ["COMMANDS", "run_fetch", "run_scrape"]

COMMANDS: list[click.Command] = [topic, scrape, fetch, replica]
