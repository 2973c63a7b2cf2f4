"""Differences between a database and what its tables and view files say it should be."""

import re
from collections.abc import Iterable
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text

from catalog.schema.forecasts import METADATA

SEARCH = "transcript_search"


def is_ours(name: str | None, kind: str) -> bool:
    """Say whether a table or index found in the database is one that is compared with `tables`."""
    if kind not in ("table", "index"):
        return True
    # Views and what words are looked up in, with the tables FTS5 keeps it in, are compared by
    # their files; a job store's table is not ours to drop.
    return not (name or "").startswith(("v_", "apscheduler_", SEARCH))


def newest_views(folder: Path, dialect: str = "sqlite", at: str | None = None) -> dict[str, str]:
    """Return the text of each view as it is at revision `at` (None: the newest), by name.

    A view has a file in the revisions that change it only. One in the folder named after the
    dialect stands in for the one beside that folder.
    """
    return _newest(folder, ("", dialect), at)


def newest_search(folder: Path, dialect: str) -> dict[str, str]:
    """Return what words are looked up in: on SQLite a table and its triggers, else an index."""
    return _newest(folder, (f"search/{dialect}",), None)


def _newest(folder: Path, places: Iterable[str], at: str | None) -> dict[str, str]:
    revisions = sorted(entry for entry in folder.iterdir() if at is None or entry.name <= at)
    files = [
        file
        for revision in revisions
        for place in places
        for file in sorted((revision / place).glob("*.sql"))
    ]
    # A later file of a name takes the place of the earlier one.
    return {file.stem: file.read_text("utf-8") for file in files}


def differences(connection: Connection, views: Path) -> list[str]:
    """Return one line for each table, column, key, rule or view that is not as written."""
    context = MigrationContext.configure(
        connection,
        opts={
            "include_name": lambda name, kind, _parents: is_ours(name, kind),
            "compare_type": True,
        },
    )
    found = [f"schema: {difference!r}" for difference in compare_metadata(context, METADATA)]
    dialect = connection.dialect.name
    found += _rules(connection) + _views(connection, newest_views(views, dialect))
    return found + _search(connection, newest_search(views, dialect))


def _rules(connection: Connection) -> list[str]:
    # Alembic does not compare CHECK constraints; a missing one lets wrong numbers in.
    inspector = inspect(connection)
    lines = []
    for table in METADATA.sorted_tables:
        wanted = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
        if not inspector.has_table(table.name):
            continue
        present = {str(c["name"]) for c in inspector.get_check_constraints(table.name)}
        lines += [f"rule missing: {table.name}.{name}" for name in sorted(wanted - present)]
        lines += [f"rule too many: {table.name}.{name}" for name in sorted(present - wanted)]
    return lines


def _views(connection: Connection, wanted: dict[str, str]) -> list[str]:
    present = {name for name in inspect(connection).get_view_names() if name.startswith("v_")}
    lines = [f"view missing: {name}" for name in sorted(wanted.keys() - present)]
    lines += [f"view too many: {name}" for name in sorted(present - wanted.keys())]
    same = _same_text if connection.dialect.name == "sqlite" else _same_definition
    return lines + [
        f"view differs from its file: {name}"
        for name in sorted(wanted.keys() & present)
        if not same(connection, name, wanted[name])
    ]


def _search(connection: Connection, wanted: dict[str, str]) -> list[str]:
    """Compare by the text on SQLite; PostgreSQL's is another than was given: there by the name."""
    if connection.dialect.name == "sqlite":
        statement = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')"
    else:
        statement = "SELECT indexname, NULL FROM pg_indexes WHERE schemaname = CURRENT_SCHEMA"
    present: dict[str, str | None] = dict(connection.execute(text(statement)).all())
    lines = [f"search missing: {name}" for name in sorted(wanted.keys() - present.keys())]
    return lines + [
        f"search differs from its file: {name}"
        for name in sorted(wanted.keys() & present.keys())
        if (found := present[name]) is not None and _plain(found) != _plain(wanted[name])
    ]


def _same_text(connection: Connection, name: str, wanted: str) -> bool:
    found = connection.execute(
        text("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = :name"), {"name": name}
    ).scalar_one()
    return _plain(str(found)) == _plain(wanted)


def _same_definition(connection: Connection, name: str, wanted: str) -> bool:
    # PostgreSQL keeps the parsed query only, so our text goes through the same parser.
    definition = text("SELECT pg_get_viewdef(CAST(:name AS regclass))")
    twin = re.sub(r"CREATE VIEW \w+", f"CREATE TEMPORARY VIEW twin_of_{name}", wanted, count=1)
    with connection.begin_nested() as savepoint:
        connection.execute(text(twin))
        made = connection.execute(definition, {"name": f"twin_of_{name}"}).scalar_one()
        found = connection.execute(definition, {"name": name}).scalar_one()
        savepoint.rollback()
    return bool(made == found)


def _plain(sql: str) -> str:
    # SQLite keeps the statement's text, but not what stands before it.
    return re.sub(r"\s+", " ", sql[sql.index("CREATE ") :]).strip().rstrip(";")
