"""Show what is seen and heard in videos: the opening, words on screen, words that were refused.

Revises: 0005
"""

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


def upgrade() -> None:
    op.drop_views(OLD_VIEWS)
    op.make_views("0006", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    op.make_views("0005", OLD_VIEWS)
