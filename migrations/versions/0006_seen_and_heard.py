"""Show what is seen and heard in videos: the opening, words on screen, words that were refused.

What is written on screen is looked up as what is said is: PostgreSQL's index has it already.

Revises: 0005
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

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
    "v_error_by_week",
    "v_transcript",
    "v_account",
    "v_known_at_post",
)
VIEWS = (*OLD_VIEWS, "v_opening", "v_screen_text", "v_unheard_window")
SEARCH = Path(__file__).resolve().parents[1] / "views"
TRIGGERS = ("transcript_search_insert", "transcript_search_update")
# What is found on screen has rows in the index like what is said.
FILL = """
INSERT INTO transcript_search (rowid, text)
SELECT
    f.feature_set_id * 1099511627776 + f.video_id,
    JSON_EXTRACT(f.detail, '$.text')
FROM feature f
JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'ocr'
WHERE f.status = 'done' AND JSON_EXTRACT(f.detail, '$.text') <> ''
"""
EMPTY = """
DELETE FROM transcript_search WHERE rowid IN (
    SELECT f.feature_set_id * 1099511627776 + f.video_id
    FROM feature f
    JOIN feature_set s ON s.id = f.feature_set_id AND s.kind = 'ocr'
    WHERE f.status = 'done' AND JSON_EXTRACT(f.detail, '$.text') <> ''
)
"""


def upgrade() -> None:
    op.drop_views(OLD_VIEWS)
    if _is_sqlite():
        _make_triggers("0006")
        op.execute(FILL)
    op.make_views("0006", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    if _is_sqlite():
        op.execute(EMPTY)
        _make_triggers("0003")
    op.make_views("0005", OLD_VIEWS)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _make_triggers(revision: str) -> None:
    for trigger in TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger}")
        file = SEARCH / revision / "search" / "sqlite" / f"{trigger}.sql"
        op.execute(file.read_text("utf-8"))
