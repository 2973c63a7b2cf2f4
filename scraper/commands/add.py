"""The command that puts addresses on the list to collect: add."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from scraper.commands.site import author_salt, known_salt, open_site
from scraper.errors import ScrapeError

if TYPE_CHECKING:
    from catalog.record.retention import Named
    from scraper.politeness import Site
    from scraper.short_links import ShortLinks
    from scraper.steps.add import AddResult

N_SHOWN = 20
# What the pauses call them; a site that refuses one is asked for none for a while.
SHORT_LINKS = "short links"


@click.command()
@click.argument("addresses", nargs=-1)
@click.option(
    "--from",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="A list: lines, a CSV, or TikTok's own data; '-' is standard input; repeatable.",
)
@click.option("--remove", is_flag=True, help="Take them off the list; what was collected stays.")
@json_option
@dry_run_option
@pass_app
def add(
    app: App,
    addresses: tuple[str, ...],
    files: tuple[Path, ...],
    remove: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Put videos, accounts and sounds on the list to collect.

    ADDRESSES are addresses of any form, ids of videos, or @names. `refresh` gives the videos their
    first count, `scrape` lists the pages of the accounts and sounds, `fetch` gets the files.
    """
    from scraper.address_lists import AddressList, ListedText, read_list
    from scraper.settings import ScrapeConfig
    from scraper.steps import add as step

    if not (addresses or files):
        raise click.UsageError("give an address, an id or @name, or a list with --from")
    given = tuple(ListedText(number, text) for number, text in enumerate(addresses, 1))
    lists = [AddressList("argument", given)]
    for file in files:
        # Read before anything is stored: a file that cannot be read is no half of a list.
        with click.open_file(str(file), "rb") as opened:
            content = opened.read()
        name = "-" if str(file) == "-" else file.name
        found = read_list(content, name)
        lists.append(found)
        if found.columns_left:
            left = ", ".join(found.columns_left)
            click.echo(f"viewcast: {name}: only addresses are read, not: {left}", err=True)
        elif not found.entries:
            click.echo(f"viewcast: {name}: nothing is in it", err=True)
    resolve = _unfollowed if dry_run else _short_links(app)
    if remove:
        keep_handles = app.settings.of(ScrapeConfig).keep_handles
        result = step.remove(
            app.catalog,
            lists,
            salt=known_salt(app),
            resolve=resolve,
            own_host=_own_host(app),
            keep_handles=keep_handles,
            dry_run=dry_run,
        )
    else:
        result = step.add(
            app.catalog,
            lists,
            salt=b"" if dry_run else author_salt(app),
            resolve=resolve,
            own_host=_own_host(app),
            dry_run=dry_run,
        )
    if not as_json and result.refused:
        click.echo(_refused_table(result), err=True)
    columns_left = {one.source: one.columns_left for one in lists if one.columns_left}
    counts = {name: n for name, n in result.counts().items() if as_json or name != "refused"}
    counts |= {"columns_left": columns_left} if as_json else {}
    if result.outcome is None:
        emit({"dry_run": True, **counts}, as_json=as_json)
    else:
        emit_outcome(result.outcome, as_json=as_json, extra=counts)


def _short_links(app: App) -> "ShortLinks":
    """Follow short links within the site's day and pauses."""
    import random
    from datetime import UTC, datetime, timedelta

    from catalog.record.site_days import (
        count_pages,
        end_pause,
        n_pauses,
        pages_today,
        pause_of,
        set_pause,
    )
    from scraper.errors import SitePaused
    from scraper.files.http import pause_s
    from scraper.short_links import ShortLinks
    from scraper.steps.pauses import require_open, utc_minute

    def may_ask(site: "Site") -> str | None:
        try:
            require_open(app.catalog, site)
        except SitePaused as paused:
            return str(paused)
        with app.catalog.read() as session:
            n_today = pages_today(session, site.name, datetime.now(UTC))
            pause = pause_of(session, site.name, SHORT_LINKS, datetime.now(UTC))
        if pause is not None:
            return f"{pause.reason}; try again after {utc_minute(pause.until)}"
        if site.daily_pages is not None and n_today >= site.daily_pages:
            return f"{n_today} pages of {site.name} were opened today, as many as are allowed"
        return None

    def asked(site: "Site") -> None:
        with app.catalog.write() as session:
            count_pages(session, site.name, 1, datetime.now(UTC))

    def answered(site: "Site", refusal: str | None, wish_s: float | None) -> None:
        with app.catalog.write() as session:
            if refusal is None:
                end_pause(session, site.name, SHORT_LINKS)
                return
            n_before = n_pauses(session, site.name, SHORT_LINKS)
            wait_s = pause_s(n_before, wish_s, random.Random())
            until = datetime.now(UTC) + timedelta(seconds=wait_s)
            set_pause(session, site.name, SHORT_LINKS, until, refusal)

    return ShortLinks(lambda: open_site(app), may_ask=may_ask, asked=asked, answered=answered)


def _unfollowed(link: str) -> str:
    from scraper.errors import RowRefused

    raise RowRefused("short_link", f"{link} is a short link, which a dry run does not follow")


def _own_host(app: App) -> str:
    from urllib.parse import urlsplit

    from scraper.settings import SiteConfig

    return urlsplit(app.settings.of(SiteConfig).base_url).netloc.lower()


def _refused_table(result: "AddResult") -> str:
    rows = [[f"{r.source}:{r.line}", r.reason, r.detail] for r in result.refused[:N_SHOWN]]
    n_all = result.n_refused + result.n_tombstoned
    title = f"{n_all} not taken" + (f", the first {N_SHOWN}" if n_all > len(rows) else "")
    return table(["line", "reason", "what was there"], rows, title=title)


def named_to_purge(
    app: App,
    videos: tuple[str, ...],
    authors: tuple[str, ...],
    keys: tuple[str, ...],
    platform: str | None,
    *,
    makes_key: bool,
) -> "list[Named]":
    """Read what a purge names, by platform; makes_key: for authors, where there is no key yet.

    Raises UsageError.
    """
    from catalog.record.retention import Named
    from scraper.addresses import read_account_name, read_video
    from scraper.pseudonyms import SALT_FILE, author_key, load_salt

    parts: dict[str, Named] = {}

    def of(name: str) -> Named:
        return parts.setdefault(name, Named(name, {}, {}))

    try:
        for text in videos:
            address = read_video(text, platform)
            of(address.platform).tiktok_ids[address.name] = text
        names = {text: read_account_name(text) for text in authors}
    except ScrapeError as error:
        raise click.UsageError(str(error)) from error
    settings = app.settings
    # Without a key nobody's videos can be found; one is made only for the tombstone.
    has_salt = bool(settings.author_salt) or (settings.data_folder / SALT_FILE).exists()
    if names and (has_salt or makes_key):
        salt = load_salt(settings.data_folder, settings.author_salt.get_secret_value())
        for text, name in names.items():
            of(platform or "tiktok").author_keys[author_key(name, salt)] = text
    for key in keys:
        of(platform or "tiktok").author_keys[key] = key
    return list(parts.values())


def author_named(app: App, text: str) -> tuple[str, tuple[str, ...]]:
    """The name of an author, and the keys of the catalog that the text may stand for."""
    from scraper.addresses import read_account_name
    from scraper.pseudonyms import author_key

    try:
        name = read_account_name(text)
    except ScrapeError:
        return text.strip().lstrip("@"), (text.strip(),)
    salt = known_salt(app)
    return name, (text.strip(), *([author_key(name, salt)] if salt else []))
