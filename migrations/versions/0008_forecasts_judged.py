"""Keep views at fixed ages, what each forecast is of, and a ledger of forecasts and their truth.

Going down, the ledger and the views at ages go; a label that lay between two counts becomes the one
before it. What a model forecasts is also in the settings of its split and its network: from there
models of before get their label, and those that went down get it back.

Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
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
    "v_opening",
    "v_screen_text",
    "v_unheard_window",
)
VIEWS = (
    *OLD_VIEWS,
    "v_views_at_age",
    "v_forecast_ledger",
    "v_ledger_by_night",
    "v_ledger_by_week",
    "v_model_history",
)
UNJUDGED = sa.text("status = 'open'")
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
SPLIT = sa.table(
    "dataset_split", sa.column("id", sa.BigInteger()), sa.column("params", DOCUMENT)
)
MODEL = sa.table(
    "model_version",
    *(sa.column(name, sa.BigInteger()) for name in ("id", "split_id", "horizon_s")),
    sa.column("hyper", DOCUMENT),
    sa.column("label", sa.String()),
)
UNITS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def upgrade() -> None:
    op.drop_views(OLD_VIEWS)
    op.create_index(op.f("ix_video_posted_at"), "video", ["posted_at"])
    op.create_index(op.f("ix_event_code_id"), "event", ["code", "id"])
    _label_at_age()
    label = "what it forecasts: 'latest', or 'at:7d', the views at that age"
    op.add_column(
        "model_version",
        sa.Column(
            "label", sa.String(length=40), nullable=False, server_default="latest", comment=label
        ),
    )
    horizon = "age of a video, s, that its forecasts are of; NULL: none is stated"
    op.add_column("model_version", sa.Column("horizon_s", BIG_ID, comment=horizon))
    _labels_of_models()
    op.add_column("prediction", sa.Column("made_at", MOMENT, comment="NULL: before this was kept"))
    horizon = "age of the video, s, that it is a forecast of; NULL: none is stated"
    op.add_column("prediction", sa.Column("horizon_s", BIG_ID, comment=horizon))
    _ages()
    _judgements()
    op.make_views("0008", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    for table in ("judgement", "views_at_age", "reported_age"):
        op.drop_table(table)
    op.drop_column("prediction", "horizon_s")
    op.drop_column("prediction", "made_at")
    op.drop_column("model_version", "horizon_s")
    op.drop_column("model_version", "label")
    # On SQLite the table is made anew: it cannot drop a column that a rule names.
    with op.batch_alter_table("split_member") as batch:
        batch.drop_constraint("label_bounded", type_="check")
        batch.drop_constraint("label_k_finite", type_="check")
        batch.drop_constraint(
            op.f("fk_split_member_second_observation_id_view_observation"), type_="foreignkey"
        )
        for name in ("label_high_k", "label_low_k", "label_k", "second_observation_id"):
            batch.drop_column(name)
        batch.alter_column("observation_id", existing_type=BIG_ID, comment=None)
    op.drop_index(op.f("ix_event_code_id"), "event")
    op.drop_index(op.f("ix_video_posted_at"), "video")
    op.make_views("0007", OLD_VIEWS)


def _labels_of_models() -> None:
    """Write down of each model that is there what its split and its network say that it forecasts."""
    bind = op.get_bind()
    models = sa.select(MODEL.c.id, MODEL.c.hyper, SPLIT.c.params).join_from(
        MODEL, SPLIT, SPLIT.c.id == MODEL.c.split_id
    )
    for model_id, hyper, params in bind.execute(models).all():
        label = params.get("label", "latest")
        if (age_s := params.get("label_age_s")) is not None:
            unit = next(unit for unit in UNITS_S if round(age_s) % UNITS_S[unit] == 0)
            label = f"from:{round(age_s) // UNITS_S[unit]}{unit}"
        horizon_s = (hyper.get("network") or {}).get("horizon_s") or None
        if label.startswith("at:"):
            horizon_s = int(label[3:-1]) * UNITS_S[label[-1]]
        if (label, horizon_s) != ("latest", None):
            told = sa.update(MODEL).where(MODEL.c.id == model_id)
            bind.execute(told.values(label=label, horizon_s=horizon_s))


def _label_at_age() -> None:
    """Give split members a label that lies between two counts."""
    with op.batch_alter_table("split_member") as batch:
        batch.alter_column(
            "observation_id",
            existing_type=BIG_ID,
            comment="the label, or of a label at an age the count before it, else the one after it",
        )
        batch.add_column(
            sa.Column(
                "second_observation_id",
                BIG_ID,
                comment="of a label at an age that lies between two counts, the one after it",
            )
        )
        batch.create_foreign_key(
            op.f("fk_split_member_second_observation_id_view_observation"),
            "view_observation",
            ["second_observation_id"],
            ["id"],
            ondelete="RESTRICT",
        )
        comment = "views at the label's age; NULL: the label is the observation itself"
        batch.add_column(sa.Column("label_k", sa.Double(), comment=comment))
        batch.add_column(sa.Column("label_low_k", sa.Double(), comment="bounds of label_k"))
        batch.add_column(sa.Column("label_high_k", sa.Double()))
        batch.create_check_constraint("label_k_finite", "label_k >= 0 AND label_k < 1e12")
        batch.create_check_constraint("label_bounded", _bounds("label_low_k", "label_high_k"))


def _ages() -> None:
    op.create_table(
        "reported_age",
        sa.Column("age_s", BIG_ID, nullable=False, comment="of a video, s"),
        sa.Column(
            "reach",
            sa.Double(),
            nullable=False,
            comment="the counts on both sides are at most this share of the age away",
        ),
        sa.Column(
            "tolerance",
            sa.Double(),
            nullable=False,
            comment="a count this near, as a share, stands alone",
        ),
        sa.Column(
            "read_to_id", BIG_ID, nullable=False, comment="newest observation that was looked at"
        ),
        sa.Column(
            "closed_to",
            MOMENT,
            comment="videos whose time for a count was over by then have been looked at",
        ),
        sa.PrimaryKeyConstraint("age_s", name=op.f("pk_reported_age")),
    )
    op.create_table(
        "views_at_age",
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("age_s", BIG_ID, nullable=False),
        sa.Column("views_k", sa.Double(), nullable=False),
        sa.Column(
            "low_k",
            sa.Double(),
            nullable=False,
            comment="bounds: what the counts around it allow",
        ),
        sa.Column("high_k", sa.Double(), nullable=False),
        sa.Column(
            "method",
            sa.String(length=20),
            nullable=False,
            comment="nearest: one count, near that age",
        ),
        sa.Column("before_id", BIG_ID),
        sa.Column("after_id", BIG_ID),
        sa.Column("run_id", BIG_ID),
        sa.CheckConstraint(
            "views_k >= 0 AND views_k < 1e12", name=op.f("ck_views_at_age_views_k_finite")
        ),
        sa.CheckConstraint(
            _bounds("low_k", "high_k"), name=op.f("ck_views_at_age_views_bounded")
        ),
        sa.CheckConstraint(
            "method IN ('interpolated', 'nearest')", name=op.f("ck_views_at_age_method_known")
        ),
        *_references("views_at_age", video_id="video", run_id="run"),
        *_references("views_at_age", before_id="view_observation", after_id="view_observation"),
        sa.ForeignKeyConstraint(
            ["age_s"], ["reported_age.age_s"], name=op.f("fk_views_at_age_age_s_reported_age")
        ),
        sa.PrimaryKeyConstraint("video_id", "age_s", name=op.f("pk_views_at_age")),
    )


def _judgements() -> None:
    op.create_table(
        "judgement",
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("model_version_id", BIG_ID, nullable=False),
        sa.Column(
            "horizon_s", BIG_ID, nullable=False, comment="age of the video, s, that was forecast"
        ),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column(
            "due_at", MOMENT, nullable=False, comment="when the video reaches that age"
        ),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column(
            "truth_k",
            sa.Double(),
            comment="views at that age, of counts that were seen after the forecast was made",
        ),
        sa.Column("truth_low_k", sa.Double(), comment="bounds of truth_k"),
        sa.Column("truth_high_k", sa.Double()),
        sa.Column("before_id", BIG_ID, comment="the count before that age; NULL: none"),
        sa.Column("after_id", BIG_ID, comment="the count after it; NULL: none"),
        sa.Column(
            "error_log", sa.Double(), comment="ln(1 + views) forecast minus that of the truth"
        ),
        sa.Column(
            "is_inside",
            sa.Boolean(),
            comment="whether the truth is in the 80 % interval; NULL: none was stated",
        ),
        sa.Column("judged_at", MOMENT),
        sa.Column("judged_run_id", BIG_ID),
        sa.CheckConstraint(
            "status IN ('open', 'judged', 'unobserved')", name=op.f("ck_judgement_status_known")
        ),
        sa.CheckConstraint(
            "truth_k >= 0 AND truth_k < 1e12", name=op.f("ck_judgement_truth_k_finite")
        ),
        sa.CheckConstraint(
            _bounds("truth_low_k", "truth_high_k"), name=op.f("ck_judgement_truth_bounded")
        ),
        sa.CheckConstraint(
            "(status = 'judged') = (truth_k IS NOT NULL)"
            " AND (truth_k IS NULL) = (error_log IS NULL)",
            name=op.f("ck_judgement_judged_has_truth"),
        ),
        sa.CheckConstraint(
            "(status = 'open') = (judged_at IS NULL)", name=op.f("ck_judgement_open_or_closed")
        ),
        sa.CheckConstraint("made_at < due_at", name=op.f("ck_judgement_made_before_due")),
        sa.ForeignKeyConstraint(
            ["run_id", "video_id"],
            ["prediction.run_id", "prediction.video_id"],
            name=op.f("fk_judgement_run_id_video_id_prediction"),
        ),
        *_references("judgement", model_version_id="model_version", judged_run_id="run"),
        *_references("judgement", before_id="view_observation", after_id="view_observation"),
        sa.PrimaryKeyConstraint("run_id", "video_id", name=op.f("pk_judgement")),
        sa.UniqueConstraint(
            "video_id",
            "model_version_id",
            "horizon_s",
            name=op.f("uq_judgement_video_id_model_version_id_horizon_s"),
        ),
    )
    op.create_index(
        "ix_judgement_open",
        "judgement",
        ["due_at"],
        sqlite_where=UNJUDGED,
        postgresql_where=UNJUDGED,
    )
    op.create_index(op.f("ix_judgement_judged_at"), "judgement", ["judged_at"])


def _bounds(low: str, high: str) -> str:
    return f"({low} IS NULL) = ({high} IS NULL) AND ({low} IS NULL OR {low} <= {high})"


def _references(of: str, **columns: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_{of}_{name}_{table}"))
        for name, table in columns.items()
    ]
