"""Drop four columns that nothing reads: their values, where there are any, are given up.

Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Later ones stand on earlier ones.
VIEWS = (
    "v_video",
    "v_prediction",
    "v_run_leaderboard",
    "v_latest_score",
    "v_hashtag_performance",
    "v_performance_gap",
    "v_error_drift",
    "v_feature_coverage",
    "v_failure",
    "v_lineage",
    "v_view_growth",
    "v_rejected_row",
    "v_error_by_week",
    "v_transcript",
)
PLAIN = (("feature_set", "dim"), ("feature_set", "retired_at"))
KEYS = (("run", "retry_of_id"), ("video", "first_run_id"))


def upgrade() -> None:
    op.drop_views(VIEWS)
    for table, column in PLAIN:
        op.drop_column(table, column)
    for table, column in KEYS:
        # On SQLite the table is made anew: it cannot drop a column that a key of the table names.
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
    op.make_views("0004", VIEWS)


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number, moment = ("INTEGER", "DATETIME") if is_sqlite else ("BIGINT", "TIMESTAMP WITH TIME ZONE")
    op.drop_views(VIEWS)
    op.execute(f"ALTER TABLE feature_set ADD COLUMN dim {number}")
    op.execute(f"ALTER TABLE feature_set ADD COLUMN retired_at {moment}")
    # As columns' own keys, so that SQLite need not write the tables anew.
    for table, column in KEYS:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN {column} {number}"
            f" CONSTRAINT fk_{table}_{column}_run REFERENCES run (id)"
        )
    op.make_views("0003", VIEWS)
