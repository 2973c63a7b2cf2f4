"""Bulk writes that read the same on SQLite and PostgreSQL."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

# Far below PostgreSQL's 65,535 parameters a statement, with room for twenty columns.
CHUNK = 1_000

Insert = sqlite.Insert | postgresql.Insert
T = TypeVar("T")


def table_of(entity: type[DeclarativeBase]) -> Table:
    """Return the table behind an ORM class."""
    table = entity.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{entity.__name__} is not mapped to a table")
    return table


def insert_into(session: Session, entity: type[DeclarativeBase]) -> Insert:
    """Return an INSERT that knows ON CONFLICT, for the session's database."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table_of(entity))
    return sqlite.insert(table_of(entity))


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def n_changed(session: Session, statement: Executable, values: Mapping[str, Any]) -> int:
    """Run one statement and return how many rows it inserted or changed."""
    session.flush()
    return session.connection().execute(statement, dict(values)).rowcount
