"""The commands that fill the catalog: one file per subject."""

import click

from scraper.commands.add import add
from scraper.commands.imports import import_
from scraper.commands.site import fetch, refresh, replica, scrape
from scraper.commands.topics import topic

COMMANDS: list[click.Command] = [topic, add, scrape, refresh, fetch, import_, replica]
