"""Keep what is seen of accounts and sounds over time, of posts beside their words, and reactions.

Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
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
)
VIEWS = (*OLD_VIEWS, "v_account", "v_known_at_post")
WANTED = "put on the list to collect"
LISTED = "last complete listing of its page"
HANDLE = "only where scrape.keep_handles is set"
SOURCES = "source IN ('xhr', 'hydration', 'dom', 'import')"
REACTIONS = ("n_likes", "n_comments", "n_shares", "n_saves")
OF_VIDEO = ("language", "region", "is_ad", "is_duet", "is_stitch", "n_mentions", "wanted_at")


def upgrade() -> None:
    op.drop_views(OLD_VIEWS)
    op.add_column("account", sa.Column("wanted_at", MOMENT, comment=WANTED))
    op.add_column("account", sa.Column("listed_at", MOMENT, comment=LISTED))
    _say_of_handle(f"{HANDLE}, or the account is wanted")
    op.create_table(
        "account_observation",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("observed_at", MOMENT, nullable=False),
        sa.Column("n_followers", BIG_ID, comment="sites round from 10,000 on"),
        sa.Column("n_following", BIG_ID),
        sa.Column("n_likes", BIG_ID, comment="received over all posts"),
        sa.Column("n_posts", BIG_ID),
        sa.Column("is_verified", sa.Boolean()),
        sa.Column("bio_chars", BIG_ID, comment="length of its own words, not kept"),
        sa.Column("region", sa.String(length=20)),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("run_id", BIG_ID),
        *(
            sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_account_observation_{name}_counted"))
            for name in ("n_followers", "n_following", "n_likes", "n_posts", "bio_chars")
        ),
        sa.CheckConstraint(SOURCES, name=op.f("ck_account_observation_source_known")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_account_observation_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_account_observation_run_id_run")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_observation")),
        sa.UniqueConstraint(
            "account_id", "observed_at", name=op.f("uq_account_observation_account_id_observed_at")
        ),
    )
    op.create_table(
        "sound",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("platform", sa.String(length=40), nullable=False),
        sa.Column("platform_id", sa.String(length=64), nullable=False),
        sa.Column(
            "title",
            sa.String(length=300),
            comment="of an original sound only where scrape.keep_handles is set",
        ),
        sa.Column(
            "author",
            sa.String(length=200),
            comment="of a published piece; of an original sound nobody",
        ),
        sa.Column("is_original", sa.Boolean()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("wanted_at", MOMENT, comment=WANTED),
        sa.Column("listed_at", MOMENT, comment=LISTED),
        sa.CheckConstraint("length(platform_id) > 0", name=op.f("ck_sound_platform_id_given")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sound")),
        sa.UniqueConstraint("platform_id", "platform", name=op.f("uq_sound_platform_id_platform")),
    )
    op.create_table(
        "sound_observation",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("sound_id", BIG_ID, nullable=False),
        sa.Column("observed_at", MOMENT, nullable=False),
        sa.Column("n_videos", BIG_ID, nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("run_id", BIG_ID),
        sa.CheckConstraint("n_videos >= 0", name=op.f("ck_sound_observation_n_videos_counted")),
        sa.CheckConstraint(SOURCES, name=op.f("ck_sound_observation_source_known")),
        sa.ForeignKeyConstraint(
            ["sound_id"], ["sound.id"], name=op.f("fk_sound_observation_sound_id_sound")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_sound_observation_run_id_run")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sound_observation")),
        sa.UniqueConstraint(
            "sound_id", "observed_at", name=op.f("uq_sound_observation_sound_id_observed_at")
        ),
    )
    for table in ("account", "sound"):
        _partial_index(f"ix_{table}_wanted", table, "id", "wanted_at IS NOT NULL")
    # As the column's own key, so that SQLite need not write the table anew.
    op.execute(
        f"ALTER TABLE video ADD COLUMN sound_id {_number()}"
        " CONSTRAINT fk_video_sound_id_sound REFERENCES sound (id)"
    )
    _partial_index("ix_video_sound_id", "video", "sound_id", "sound_id IS NOT NULL")
    op.add_column("video", sa.Column("language", sa.String(length=20), comment="of the caption"))
    op.add_column("video", sa.Column("region", sa.String(length=20), comment="where it was posted"))
    op.add_column(
        "video",
        sa.Column("is_ad", sa.Boolean(), comment="declared advertising or paid partnership"),
    )
    op.add_column("video", sa.Column("is_duet", sa.Boolean()))
    op.add_column("video", sa.Column("is_stitch", sa.Boolean()))
    _add_count("video", "n_mentions", "accounts named in the caption")
    op.add_column("video", sa.Column("wanted_at", MOMENT, comment=WANTED))
    for name in REACTIONS:
        comment = "an outcome, as all of these: no feature" if name == "n_likes" else None
        _add_count("view_observation", name, comment)
    op.make_views("0005", VIEWS)


def downgrade() -> None:
    op.drop_views(VIEWS)
    # On SQLite these tables are made anew: it cannot drop a column that a key or rule names.
    with op.batch_alter_table("view_observation") as batch:
        for name in reversed(REACTIONS):
            batch.drop_constraint(f"{name}_counted", type_="check")
            batch.drop_column(name)
    op.drop_index("ix_video_sound_id", table_name="video")
    with op.batch_alter_table("video") as batch:
        batch.drop_constraint("n_mentions_counted", type_="check")
        for name in ("sound_id", *OF_VIDEO):
            batch.drop_column(name)
    for table in ("account", "sound"):
        op.drop_index(f"ix_{table}_wanted", table_name=table)
    op.drop_table("sound_observation")
    op.drop_table("sound")
    op.drop_table("account_observation")
    op.drop_column("account", "listed_at")
    op.drop_column("account", "wanted_at")
    _say_of_handle(HANDLE)
    op.make_views("0004", OLD_VIEWS)


def _add_count(table: str, name: str, comment: str | None) -> None:
    rule = sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_{table}_{name}_counted"))
    op.add_column(table, sa.Column(name, BIG_ID, rule, comment=comment))


def _partial_index(name: str, table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, [column], sqlite_where=condition, postgresql_where=condition
    )


def _say_of_handle(comment: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"COMMENT ON COLUMN account.handle IS '{comment}'")


def _number() -> str:
    return "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
