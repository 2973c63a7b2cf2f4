"""Write docs/schema.md from the tables and the frozen views, and the README's list of commands.

Run it after any change of these: `python docs/make_schema.py`. A test compares both with the files.
"""

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql, sqlite

from catalog.schema import session
from catalog.schema.forecasts import METADATA
from catalog.schema.tables import Base
from cli import main as root

DOCS = Path(__file__).resolve().parent
SCHEMA_PAGE = DOCS / "schema.md"
README = DOCS.parent / "README.md"
COMMANDS_BLOCK = re.compile(r"(?<=<!-- commands -->\n).*?(?=<!-- /commands -->)", re.DOTALL)

HEAD = """\
# The catalog's schema

Written by `python docs/make_schema.py`; do not edit. What units and words mean is in
[data.md](data.md). Types are SQLite's; where PostgreSQL's differs it stands behind the slash. Times
are UTC. Reports should start from the views: they are part of the schema and change only with it.

```
viewcast db check
viewcast sql "select * from v_run_leaderboard limit 5"
```
"""


def schema_page() -> str:
    """Return the text of docs/schema.md."""
    parts = [HEAD, f"Schema revision: `{session.head()}`.\n", "## Reporting views\n", *_views()]
    parts.append("## Tables\n")
    parts += [_table(table) for _name, table in sorted(METADATA.tables.items())]
    return "\n".join(parts).rstrip() + "\n"


def commands_table() -> str:
    """Return the README's table: every command and the first sentence of its help."""
    lines = ["| command | what it does |", "|---|---|"]
    for path, command in _leaves(root, ()):
        arguments = "".join(
            f" {parameter.make_metavar(click.Context(command))}"
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        )
        summary = " ".join((command.help or "").split("\n\n")[0].split())
        lines.append(f"| `{' '.join(path)}{arguments}` | {_escape(summary)} |")
    return "\n".join(lines) + "\n"


def readme_page(text: str) -> str:
    """Return the README's text with the table of commands between its two marks."""
    return COMMANDS_BLOCK.sub(lambda _found: commands_table(), text)


def _views() -> Iterator[str]:
    """Yield a section per view: what a row is, and its columns, from a catalog just made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.db"
        session.upgrade(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name"
            ).fetchall()
            columns = {
                name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
                for name, _sql in found
            }
    for name, names in columns.items():
        listed = ", ".join(f"`{column}`" for column in names)
        yield f"### {name}\n\n{_purpose(name)}\n\n{listed}\n"


def _purpose(view: str) -> str:
    """Return the comment at the head of a view's newest frozen text."""
    newest = max((session.migrations_folder() / "views").glob(f"*/{view}.sql"))
    words = []
    for line in newest.read_text(encoding="utf-8").splitlines():
        if not line.startswith("--"):
            break
        words.append(line.removeprefix("--").strip())
    return " ".join(words)


def _table(table: Table) -> str:
    mapped = next(m.class_ for m in Base.registry.mappers if m.local_table is table)
    lines = [f"### {table.name}\n", f"{(mapped.__doc__ or '').strip()}\n"]
    lines += ["| column | type | null | key | note |", "|---|---|---|---|---|"]
    lines += [_column_line(column) for column in table.columns]
    rules = [*_rules(table)]
    if rules:
        lines += ["", *rules]
    return "\n".join(lines) + "\n"


def _column_line(column: "Column[object]") -> str:
    keys = ["primary"] if column.primary_key else []
    keys += [f"→ {key.target_fullname}" for key in sorted(column.foreign_keys, key=str)]
    null = "yes" if column.nullable else ""
    note = _escape(column.comment or "")
    return f"| `{column.name}` | {_type(column)} | {null} | {', '.join(keys)} | {note} |"


def _type(column: "Column[object]") -> str:
    here = column.type.compile(dialect=sqlite.dialect())
    there = column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy does not type it
    return here if here == there else f"{here} / {there}"


def _rules(table: Table) -> Iterator[str]:
    """Yield what the database holds beyond types: uniqueness, checks, partial unique indexes."""
    for constraint in sorted(table.constraints, key=lambda rule: str(rule.name)):
        if isinstance(constraint, UniqueConstraint):
            names = ", ".join(column.name for column in constraint.columns)
            yield f"- unique: `{names}`"
        elif isinstance(constraint, CheckConstraint):
            yield f"- check: `{' '.join(str(constraint.sqltext).split())}`"
        elif isinstance(constraint, ForeignKeyConstraint) and constraint.ondelete:
            names = ", ".join(constraint.column_keys)
            yield f"- `{names}`: a row that is pointed at cannot be deleted"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield _index_line(index)


def _index_line(index: Index) -> str:
    names = ", ".join(column.name for column in index.columns)
    where = index.dialect_options["sqlite"].get("where")
    only = f" where `{where}`" if where is not None else ""
    return f"- {'unique' if index.unique else 'index'}: `{names}`{only}"


def _leaves(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from _leaves(command.commands[name], (*path, name))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write both files."""
    SCHEMA_PAGE.write_text(schema_page(), encoding="utf-8")
    README.write_text(readme_page(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
