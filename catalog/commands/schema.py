"""The commands about the catalog's schema: db."""

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app
from catalog.errors import masked_url, readable


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
    from catalog.schema import session

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
    from catalog.schema import session

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
    from catalog.schema import session

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
    from catalog.schema import session

    emit(
        {"revision": session.current(app.settings.db_url), "head": session.head()}, as_json=as_json
    )


def _emit_move(url: str, before: str | None, after: str, *, as_json: bool, dry_run: bool) -> None:
    payload = {"from": before, "to": after, "dry_run": dry_run}
    how = "would go" if dry_run else "went"
    same = f"The catalog is at schema {after}."
    text = same if before == after else f"The catalog {how} from {before or 'nothing'} to {after}."
    emit({"db": _without_password(url), **payload}, as_json=as_json, text=text)


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return masked_url(make_url(readable(url)).render_as_string(hide_password=True))
