"""A new, empty SQLite catalog for the tests of a step, and a short way to ask it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from catalog.schema.forecasts import METADATA
from catalog.schema.session import Catalog, open_catalog, upgrade

FACTS = (
    "topic",
    "hashtag",
    "topic_hashtag",
    "account",
    "account_observation",
    "sound",
    "sound_observation",
    "video",
    "video_hashtag",
    "view_observation",
    "tombstone",
)


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


def told(catalog) -> dict[str, list[Any]]:
    """Every table of facts in words that mean the same in every catalog."""
    tables, out = METADATA.tables, {}
    names = {"account": "author_key", "sound": "platform_id", "video": "tiktok_id"}
    names |= {"topic": "name", "hashtag": "name"}
    with catalog.read() as session:
        word: dict[str, dict[Any, Any]] = {}
        for name, column in names.items():
            table = tables[name]
            rows = session.execute(select(table.c.id, table.c[column])).all()
            word[name] = {None: None, **dict(rows)}
        observed = tables["view_observation"]
        moments = session.execute(select(observed.c.id, observed.c.observed_at)).all()
        word["view_observation"] = {None: None, **dict(moments)}
        for name in FACTS:
            rows = session.execute(select(tables[name])).mappings()
            keys = {
                column.name: next(iter(column.foreign_keys)).column.table.name
                for column in tables[name].columns
                if column.foreign_keys
            }
            out[name] = sorted(
                [
                    tuple(
                        (c, word[keys[c]][value] if c in keys else value)
                        for c, value in row.items()
                        if c not in ("id", "run_id", "files_left")
                    )
                    for row in rows
                ],
                key=str,
            )
    return out
