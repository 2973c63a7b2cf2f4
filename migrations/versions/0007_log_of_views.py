"""Tell logs of views from the logs of thousands of before, and what a model may know of the past.

Metrics on the scale of ln(1 + thousands) get names of their own (`log_mae_k`), and their names
become free for those of ln(1 + views). Going down, these rest as `log_mae_views`, and the rules of
a model in its settings, `hyper`, from which they are read on the way up.

Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
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
    "v_account",
    "v_known_at_post",
    "v_opening",
    "v_screen_text",
    "v_unheard_window",
)
# Each stands for itself and for what follows it after a dot: log_mae.train_mean, log_mae.low.
ON_LOG_SCALE = ("log_mae{}", "log_mae{}_diff", "r2_log{}", "interval_width_log{}")
# What `explain` noted of a block, in its event's document.
OF_IMPORTANCE = ("log_mae{}", "log_mae{}_interval")
CHOICES = {"as_of": ("post", "crawl"), "history_rule": ("observed", "posted")}
COMMENTS = {
    "as_of": "up to when it reads of accounts and sounds; NULL: of neither",
    "history_rule": "which counts of earlier posts it reads; NULL: of none",
}
EVENT = sa.table(
    "event",
    sa.column("id", sa.BigInteger()),
    sa.column("code", sa.String()),
    sa.column("detail", sa.JSON().with_variant(JSONB(), "postgresql")),
)


MODEL = sa.table(
    "model_version",
    sa.column("id", sa.BigInteger()),
    sa.column("hyper", sa.JSON().with_variant(JSONB(), "postgresql")),
    *(sa.column(name, sa.String()) for name in CHOICES),
)


def upgrade() -> None:
    op.drop_views(VIEWS)
    _rename("", "_k")
    _rename("_views", "")
    for name, words in CHOICES.items():
        listed = ", ".join(f"'{word}'" for word in words)
        rule = sa.CheckConstraint(
            f"{name} IN ({listed})", name=op.f(f"ck_model_version_{name}_known")
        )
        column = sa.Column(name, sa.String(length=20), rule, comment=COMMENTS[name])
        op.add_column("model_version", column)
    _recall_rules()
    op.make_views("0007", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    # On SQLite the table is made anew: it cannot drop a column that a rule names.
    with op.batch_alter_table("model_version") as batch:
        for name in CHOICES:
            batch.drop_constraint(f"{name}_known", type_="check")
            batch.drop_column(name)
    _rename("", "_views")
    _rename("_k", "")
    op.make_views("0006", VIEWS)


def _recall_rules() -> None:
    """Take the rules of models that were trained before a way down; older ones have none."""
    connection = op.get_bind()
    for model_id, hyper in connection.execute(sa.select(MODEL.c.id, MODEL.c.hyper)).all():
        settings = hyper.get("network")
        if not isinstance(settings, dict):
            continue
        told = {"as_of": settings.get("as_of"), "history_rule": settings.get("history")}
        known = {name: word for name, word in told.items() if word in CHOICES[name]}
        if known:
            connection.execute(sa.update(MODEL).where(MODEL.c.id == model_id).values(known))


def _rename(old: str, new: str) -> None:
    """Give the names on the log scale another mark, in metrics and in what was explained."""
    for name in ON_LOG_SCALE:
        known = name.format(old)
        op.execute(
            f"UPDATE run_metric SET name = '{name.format(new)}' || SUBSTR(name, {len(known) + 1})"
            f" WHERE name = '{known}' OR SUBSTR(name, 1, {len(known) + 1}) = '{known}.'"
        )
    names = {name.format(old): name.format(new) for name in OF_IMPORTANCE}
    connection = op.get_bind()
    explained = sa.select(EVENT.c.id, EVENT.c.detail).where(EVENT.c.code == "importance")
    for event_id, detail in connection.execute(explained).all():
        renamed = {names.get(name, name): value for name, value in detail.items()}
        if renamed != detail:
            connection.execute(
                sa.update(EVENT).where(EVENT.c.id == event_id).values(detail=renamed)
            )
