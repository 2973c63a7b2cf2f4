"""A new, empty SQLite catalog for the tests of a step, and a short way to ask it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from catalog.schema.session import Catalog, open_catalog, upgrade


@contextmanager
def fresh_catalog(folder: Path) -> Iterator[Catalog]:
    """Build `catalog.db` in the folder by the migrations, and open it."""
    url = f"sqlite:///{folder / 'catalog.db'}"
    upgrade(url)
    opened = open_catalog(url)
    yield opened
    opened.close()


def ask(catalog: Catalog, sql: str, **values: object) -> list[tuple]:
    """The rows that a query gives, as plain tuples."""
    with catalog.read() as session:
        return [tuple(row) for row in session.execute(text(sql), values)]
