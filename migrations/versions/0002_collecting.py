"""Keep tombstones, rejected rows, visits and pauses; show how counts grow.

Revises: 0001
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_DOC = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)
VIEWS_FOLDER = Path(__file__).resolve().parents[1] / "views" / "0002"
# The other ten are those of 0001, unchanged.
NEW_VIEWS = ("v_view_growth", "v_rejected_row")


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column(
            "handle",
            sa.String(length=100),
            nullable=True,
            comment="only where scrape.keep_handles is set",
        ),
    )
    op.create_table(
        "tombstone",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("platform", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column(
            "key",
            sa.String(length=100),
            nullable=False,
            comment="the video's id or the author's key",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "files_left",
            JSON_DOC,
            nullable=True,
            comment="files that are still to be cleaned; NULL: none",
        ),
        sa.CheckConstraint("kind IN ('video', 'author')", name=op.f("ck_tombstone_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone")),
        sa.UniqueConstraint("key", "kind", "platform", name=op.f("uq_tombstone_key_kind_platform")),
    )
    op.create_table(
        "rejected_row",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="the file's name"),
        sa.Column("line", BIG_ID, nullable=False, comment="or the number of the entry, from 1"),
        sa.Column("tiktok_id", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column(
            "detail",
            sa.Text(),
            nullable=False,
            comment="what there was, and what would have been right",
        ),
        sa.Column("row_sha256", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_rejected_row_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_row")),
        sa.UniqueConstraint(
            "source", "line", "row_sha256", name=op.f("uq_rejected_row_source_line_row_sha256")
        ),
    )
    op.create_index(op.f("ix_rejected_row_run_id"), "rejected_row", ["run_id"], unique=False)
    op.create_index(op.f("ix_rejected_row_reason"), "rejected_row", ["reason"], unique=False)
    op.create_table(
        "site_day",
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False, comment="2026-11-23"),
        sa.Column("n_pages", BIG_ID, nullable=False),
        sa.CheckConstraint("n_pages >= 0", name=op.f("ck_site_day_n_pages_counted")),
        sa.PrimaryKeyConstraint("site", "day", name=op.f("pk_site_day")),
    )
    op.create_table(
        "site_pause",
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column(
            "scope",
            sa.String(length=220),
            nullable=False,
            comment="'' is the whole site, '#dance' one hashtag",
        ),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "n_times", BIG_ID, nullable=False, comment="in a row, without a success in between"
        ),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site", "scope", name=op.f("pk_site_pause")),
    )
    for view in NEW_VIEWS:
        op.execute(_view_file(view).read_text("utf-8"))


def downgrade() -> None:
    for view in reversed(NEW_VIEWS):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("site_pause")
    op.drop_table("site_day")
    op.drop_index(op.f("ix_rejected_row_reason"), table_name="rejected_row")
    op.drop_index(op.f("ix_rejected_row_run_id"), table_name="rejected_row")
    op.drop_table("rejected_row")
    op.drop_table("tombstone")
    op.drop_column("account", "handle")


def _view_file(view: str) -> Path:
    # The two databases have no word in common for the time between two moments.
    own = VIEWS_FOLDER / op.get_bind().dialect.name / f"{view}.sql"
    return own if own.is_file() else VIEWS_FOLDER / f"{view}.sql"
