"""Run migrations on the connection handed in, or on the one named by `-x url=…`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from alembic import context
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Connection

from catalog.schema.forecasts import METADATA
from catalog.schema.schema_check import is_ours, newest_views
from catalog.schema.session import migration_connection
from catalog.schema.types import BigId, JsonDoc, UtcDateTime

# A merged revision must not import our code, so our types are written as plain ones.
PLAIN = {
    UtcDateTime: "sa.DateTime(timezone=True)",
    BigId: "BIG_ID",
    JsonDoc: "JSON_DOC",
}


@Operations.register_operation("make_views")
@Operations.register_operation("drop_views")
class Views(MigrateOperation):
    """What revisions do with views: they name them in an order in which each finds those it reads.

    Each view's text is its newest at or before a revision, so that a revision brings a file only
    for the views that it changes.
    """

    @classmethod
    def make_views(cls, operations: Operations, at: str, names: Sequence[str]) -> None:
        """Make views as they are at a revision."""
        dialect = operations.get_bind().dialect.name
        texts = newest_views(Path(__file__).with_name("views"), dialect, at)
        for name in names:
            operations.execute(texts[name])

    @classmethod
    def drop_views(cls, operations: Operations, names: Sequence[str]) -> None:
        """Drop views, those that read others first."""
        for name in reversed(names):
            operations.execute(f"DROP VIEW {name}")


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write one of our column types in plain SQLAlchemy."""
    return PLAIN.get(type(item), False) if kind == "type" else False


def run(connection: Connection) -> None:
    """Run the migrations inside the transaction that `connection` is in."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        include_name=lambda name, kind, _parents: is_ours(name, kind),
        render_item=render_item,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    address = context.get_x_argument(as_dictionary=True).get("url")
    if not address:
        raise SystemExit("name the database: alembic -x url=sqlite:////path/viewcast.db …")
    with migration_connection(str(address)) as opened:
        run(opened)
