"""Look words up in transcripts; keep a prediction's interval; show errors by week and calibration.

Revises: 0002
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SEARCH_FOLDER = Path(__file__).resolve().parents[1] / "views" / "0003" / "search"
# Later ones stand on earlier ones.
OLD_VIEWS = (
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
)
VIEWS = (*OLD_VIEWS, "v_error_by_week", "v_transcript")
# A later revision that makes `feature` anew on SQLite makes these anew as well.
TRIGGERS = ("transcript_search_insert", "transcript_search_update", "transcript_search_delete")

# As columns' own rules, so that SQLite need not write the largest table anew.
INTERVAL = (
    "ALTER TABLE prediction ADD COLUMN low_k {number}"
    " CONSTRAINT ck_prediction_low_k_finite CHECK (low_k >= 0 AND low_k < 1e12)",
    "ALTER TABLE prediction ADD COLUMN high_k {number}"
    " CONSTRAINT ck_prediction_high_k_finite CHECK (high_k >= 0 AND high_k < 1e12)"
    " CONSTRAINT ck_prediction_interval_whole CHECK ((low_k IS NULL) = (high_k IS NULL)"
    " AND (low_k IS NULL OR low_k <= high_k))",
)
FILL = """
INSERT INTO transcript_search (rowid, text)
SELECT
    f.feature_set_id * 1099511627776 + f.video_id,
    JSON_EXTRACT(f.detail, '$.text')
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'audio'
WHERE f.status = 'done' AND JSON_EXTRACT(f.detail, '$.text') <> ''
"""


def upgrade() -> None:
    is_sqlite = _dialect() == "sqlite"
    op.drop_views(OLD_VIEWS)
    for statement in INTERVAL:
        op.execute(statement.format(number="DOUBLE" if is_sqlite else "DOUBLE PRECISION"))
    if is_sqlite:
        _run("sqlite/transcript_search")
        op.execute(FILL)
        for trigger in TRIGGERS:
            _run(f"sqlite/{trigger}")
    else:
        op.execute(
            "COMMENT ON COLUMN prediction.low_k IS 'low end of the 80 % interval; NULL: none'"
        )
        op.execute("COMMENT ON COLUMN prediction.high_k IS 'high end of it'")
        _run("postgresql/transcript_search")
    op.make_views("0003", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    if _dialect() == "sqlite":
        for trigger in TRIGGERS:
            op.execute(f"DROP TRIGGER {trigger}")
        op.execute("DROP TABLE transcript_search")
    else:
        op.execute("DROP INDEX transcript_search")
    # The rule on both stands with the second column, and goes with it.
    op.execute("ALTER TABLE prediction DROP COLUMN high_k")
    op.execute("ALTER TABLE prediction DROP COLUMN low_k")
    op.make_views("0002", OLD_VIEWS)


def _dialect() -> str:
    return op.get_bind().dialect.name


def _run(name: str) -> None:
    op.execute((SEARCH_FOLDER / f"{name}.sql").read_text("utf-8"))
