"""Make all tables and the ten reporting views.

Revises: nothing
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_DOC = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)


VIEWS_FOLDER = Path(__file__).resolve().parents[1] / "views" / "0001"
# In this order, because some views read others.
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
)
# Two pairs of tables point at each other. SQLite writes these keys into the table and lets them
# point ahead; PostgreSQL leaves them out of CREATE TABLE without a word, so they are added after.
CYCLES = (
    ("run", "model_version", "model_version_id"),
    ("video", "view_observation", "latest_observation_id"),
)


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("platform", sa.String(length=40), nullable=False),
        sa.Column("author_key", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("author_key", "platform", name=op.f("uq_account_author_key_platform")),
    )
    op.create_table(
        "dataset_split",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("strategy", sa.String(length=40), nullable=False),
        sa.Column("params", JSON_DOC, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_split")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_split_name")),
        sa.UniqueConstraint("sha256", name=op.f("uq_dataset_split_sha256")),
    )
    op.create_table(
        "feature_set",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("config", JSON_DOC, nullable=False),
        sa.Column("extractor", sa.Text(), nullable=False),
        sa.Column("extractor_version", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=True),
        sa.Column("dim", BIG_ID, nullable=True),
        sa.Column(
            "input_set_id",
            BIG_ID,
            nullable=True,
            comment="the set it is made from; NULL: the media file",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["input_set_id"],
            ["feature_set.id"],
            name=op.f("fk_feature_set_input_set_id_feature_set"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_set")),
        sa.UniqueConstraint("kind", "config_hash", name=op.f("uq_feature_set_kind_config_hash")),
    )
    op.create_table(
        "hashtag",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "listed_at", sa.DateTime(timezone=True), nullable=True, comment="last complete listing"
        ),
        sa.CheckConstraint(
            "name = lower(name) AND substr(name, 1, 1) <> '#' AND length(name) > 0",
            name=op.f("ck_hashtag_name_plain"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hashtag")),
        sa.UniqueConstraint("name", name=op.f("uq_hashtag_name")),
    )
    op.create_table(
        "job_lease",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("fence", BIG_ID, nullable=False),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_lease")),
    )
    op.create_table(
        "run",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("uid", sa.String(length=200), nullable=False, comment="owner of its leases"),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("trigger", sa.String(length=40), nullable=False),
        sa.Column("parent_id", BIG_ID, nullable=True),
        sa.Column("retry_of_id", BIG_ID, nullable=True),
        sa.Column("slot", sa.String(length=100), nullable=True),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", BIG_ID, nullable=False),
        sa.Column(
            "process",
            sa.Text(),
            nullable=False,
            comment="tells this pid from a later one of that number",
        ),
        sa.Column("code_version", sa.String(length=60), nullable=False),
        sa.Column("git_sha", sa.String(length=64), nullable=True),
        sa.Column("git_dirty", sa.Boolean(), nullable=True),
        sa.Column("params", JSON_DOC, nullable=False),
        sa.Column("params_hash", sa.String(length=64), nullable=False),
        sa.Column("env", JSON_DOC, nullable=False),
        sa.Column("n_total", BIG_ID, nullable=True),
        sa.Column("n_done", BIG_ID, nullable=False),
        sa.Column("n_failed", BIG_ID, nullable=False),
        sa.Column("n_skipped", BIG_ID, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model_version_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status = 'running')", name=op.f("ck_run_finished_or_running")
        ),
        sa.CheckConstraint(
            "kind <> 'score' OR model_version_id IS NOT NULL", name=op.f("ck_run_score_has_model")
        ),
        sa.CheckConstraint(
            "status IN ('running', 'ok', 'partial', 'failed', 'cancelled', 'lost')",
            name=op.f("ck_run_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_run_model_version_id_model_version"),
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["run.id"], name=op.f("fk_run_parent_id_run")),
        sa.ForeignKeyConstraint(["retry_of_id"], ["run.id"], name=op.f("fk_run_retry_of_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("uid", name=op.f("uq_run_uid")),
    )
    op.create_index(op.f("ix_run_kind_started_at"), "run", ["kind", "started_at"], unique=False)
    op.create_index(op.f("ix_run_model_version_id"), "run", ["model_version_id"], unique=False)
    op.create_index(op.f("ix_run_parent_id"), "run", ["parent_id"], unique=False)
    op.create_index(op.f("ix_run_status"), "run", ["status"], unique=False)
    op.create_index(
        "uq_run_kind_slot",
        "run",
        ["kind", "slot"],
        unique=True,
        sqlite_where=sa.text("status IN ('running', 'ok', 'partial')"),
        postgresql_where=sa.text("status IN ('running', 'ok', 'partial')"),
    )
    op.create_table(
        "topic",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("name", name=op.f("uq_topic_name")),
    )
    op.create_table(
        "event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", JSON_DOC, nullable=False),
        sa.CheckConstraint(
            "level IN ('info', 'warning', 'error')", name=op.f("ck_event_level_known")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_event_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_at"), "event", ["at"], unique=False)
    op.create_index(op.f("ix_event_run_id"), "event", ["run_id"], unique=False)
    op.create_table(
        "model_version",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", BIG_ID, nullable=False),
        sa.Column("model_kind", sa.String(length=40), nullable=False),
        sa.Column("objective", sa.String(length=40), nullable=False),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("hyper", JSON_DOC, nullable=False),
        sa.Column("target", JSON_DOC, nullable=False),
        sa.Column("quartile_edges", JSON_DOC, nullable=False),
        sa.Column("inputs_hash", sa.String(length=64), nullable=False),
        sa.Column("split_id", BIG_ID, nullable=True),
        sa.Column("train_run_id", BIG_ID, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["split_id"],
            ["dataset_split.id"],
            name=op.f("fk_model_version_split_id_dataset_split"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["train_run_id"],
            ["run.id"],
            name=op.f("fk_model_version_train_run_id_run"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_model_version_name_version")),
    )
    op.create_index(
        op.f("ix_model_version_name_inputs_hash"),
        "model_version",
        ["name", "inputs_hash"],
        unique=False,
    )
    op.create_index(
        op.f("ix_model_version_train_run_id"), "model_version", ["train_run_id"], unique=False
    )
    op.create_table(
        "run_metric",
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False, comment="the part"),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("step", BIG_ID, nullable=False, comment="-1 final, else the epoch"),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_metric_run_id_run")),
        sa.PrimaryKeyConstraint("run_id", "split", "name", "step", name=op.f("pk_run_metric")),
    )
    op.create_table(
        "topic_hashtag",
        sa.Column("topic_id", BIG_ID, nullable=False),
        sa.Column("hashtag_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["hashtag_id"], ["hashtag.id"], name=op.f("fk_topic_hashtag_hashtag_id_hashtag")
        ),
        sa.ForeignKeyConstraint(
            ["topic_id"], ["topic.id"], name=op.f("fk_topic_hashtag_topic_id_topic")
        ),
        sa.PrimaryKeyConstraint("topic_id", "hashtag_id", name=op.f("pk_topic_hashtag")),
    )
    op.create_index(
        op.f("ix_topic_hashtag_hashtag_id"), "topic_hashtag", ["hashtag_id"], unique=False
    )
    op.create_table(
        "video",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("tiktok_id", sa.String(length=40), nullable=False),
        sa.Column("platform", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("account_id", BIG_ID, nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("width_px", BIG_ID, nullable=True),
        sa.Column("height_px", BIG_ID, nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_run_id", BIG_ID, nullable=True),
        sa.Column(
            "latest_observation_id",
            BIG_ID,
            nullable=True,
            comment="newest readable observation; the newest of all while none is readable",
        ),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("length(tiktok_id) > 0", name=op.f("ck_video_tiktok_id_given")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_video_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["first_run_id"], ["run.id"], name=op.f("fk_video_first_run_id_run")
        ),
        sa.ForeignKeyConstraint(
            ["latest_observation_id"],
            ["view_observation.id"],
            name=op.f("fk_video_latest_observation_id_view_observation"),
            use_alter=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_video")),
        sa.UniqueConstraint("tiktok_id", "platform", name=op.f("uq_video_tiktok_id_platform")),
    )
    op.create_index(op.f("ix_video_account_id"), "video", ["account_id"], unique=False)
    op.create_table(
        "feature",
        sa.Column("feature_set_id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", BIG_ID, nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("input_sha256", sa.String(length=64), nullable=True),
        sa.Column("uri", sa.Text(), nullable=True, comment="relative to the store root"),
        sa.Column("row", BIG_ID, nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("shape", JSON_DOC, nullable=True),
        sa.Column("dtype", sa.String(length=20), nullable=True),
        sa.Column("n_bytes", BIG_ID, nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True, comment="time spent extracting, s"),
        sa.Column("detail", JSON_DOC, nullable=True, comment="facts readable in SQL"),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", BIG_ID, nullable=True, comment="that finished it"),
        sa.CheckConstraint(
            "(status = 'leased') = (lease_owner IS NOT NULL)",
            name=op.f("ck_feature_leased_has_owner"),
        ),
        sa.CheckConstraint(
            "status <> 'done' OR (uri IS NOT NULL AND sha256 IS NOT NULL)",
            name=op.f("ck_feature_done_has_file"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'leased', 'done', 'failed', 'dead', 'skipped')",
            name=op.f("ck_feature_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["feature_set_id"],
            ["feature_set.id"],
            name=op.f("fk_feature_feature_set_id_feature_set"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_feature_run_id_run")),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_feature_video_id_video")),
        sa.PrimaryKeyConstraint("feature_set_id", "video_id", name=op.f("pk_feature")),
    )
    op.create_index(
        op.f("ix_feature_feature_set_id_status_error_code"),
        "feature",
        ["feature_set_id", "status", "error_code"],
        unique=False,
    )
    op.create_index(
        "ix_feature_held",
        "feature",
        ["lease_owner"],
        unique=False,
        sqlite_where=sa.text("status = 'leased'"),
        postgresql_where=sa.text("status = 'leased'"),
    )
    op.create_index(
        "ix_feature_open",
        "feature",
        ["feature_set_id", "status", "video_id"],
        unique=False,
        sqlite_where=sa.text("status IN ('pending', 'failed', 'leased')"),
        postgresql_where=sa.text("status IN ('pending', 'failed', 'leased')"),
    )
    op.create_index(op.f("ix_feature_video_id"), "feature", ["video_id"], unique=False)
    op.create_table(
        "media_file",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", BIG_ID, nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("n_bytes", BIG_ID, nullable=True),
        sa.Column("probe", JSON_DOC, nullable=True),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", BIG_ID, nullable=True, comment="that finished it"),
        sa.CheckConstraint(
            "(status = 'leased') = (lease_owner IS NOT NULL)",
            name=op.f("ck_media_file_leased_has_owner"),
        ),
        sa.CheckConstraint(
            "status <> 'ok' OR (uri IS NOT NULL AND sha256 IS NOT NULL AND n_bytes IS NOT NULL)",
            name=op.f("ck_media_file_ok_has_file"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'leased', 'ok', 'failed', 'dead', 'skipped')",
            name=op.f("ck_media_file_status_known"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_media_file_run_id_run")),
        sa.ForeignKeyConstraint(
            ["video_id"], ["video.id"], name=op.f("fk_media_file_video_id_video")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media_file")),
        sa.UniqueConstraint("video_id", "kind", name=op.f("uq_media_file_video_id_kind")),
    )
    op.create_index(
        "ix_media_file_held",
        "media_file",
        ["lease_owner"],
        unique=False,
        sqlite_where=sa.text("status = 'leased'"),
        postgresql_where=sa.text("status = 'leased'"),
    )
    op.create_index(
        "ix_media_file_open",
        "media_file",
        ["status", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('pending', 'failed', 'leased')"),
        postgresql_where=sa.text("status IN ('pending', 'failed', 'leased')"),
    )
    op.create_table(
        "model_alias",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=100), nullable=False),
        sa.Column("model_version_id", BIG_ID, nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_model_alias_model_version_id_model_version"),
        ),
        sa.PrimaryKeyConstraint("name", "alias", name=op.f("pk_model_alias")),
    )
    op.create_table(
        "model_feature_set",
        sa.Column("model_version_id", BIG_ID, nullable=False),
        sa.Column("feature_set_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_set_id"],
            ["feature_set.id"],
            name=op.f("fk_model_feature_set_feature_set_id_feature_set"),
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_model_feature_set_model_version_id_model_version"),
        ),
        sa.PrimaryKeyConstraint(
            "model_version_id", "feature_set_id", name=op.f("pk_model_feature_set")
        ),
    )
    op.create_table(
        "video_hashtag",
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("hashtag_id", BIG_ID, nullable=False),
        sa.Column("found_by", sa.String(length=20), nullable=False),
        sa.CheckConstraint(
            "found_by IN ('caption', 'listing')", name=op.f("ck_video_hashtag_found_by_known")
        ),
        sa.ForeignKeyConstraint(
            ["hashtag_id"], ["hashtag.id"], name=op.f("fk_video_hashtag_hashtag_id_hashtag")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["video.id"], name=op.f("fk_video_hashtag_video_id_video")
        ),
        sa.PrimaryKeyConstraint("video_id", "hashtag_id", name=op.f("pk_video_hashtag")),
    )
    op.create_index(
        op.f("ix_video_hashtag_hashtag_id_video_id"),
        "video_hashtag",
        ["hashtag_id", "video_id"],
        unique=False,
    )
    op.create_table(
        "view_observation",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("display_text", sa.Text(), nullable=False, comment="verbatim"),
        sa.Column(
            "views_k", sa.Double(), nullable=True, comment="thousands; NULL: text not readable"
        ),
        sa.Column("step_k", sa.Double(), nullable=True, comment="resolution shown; 0: exact"),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "source IN ('xhr', 'hydration', 'dom', 'import')",
            name=op.f("ck_view_observation_source_known"),
        ),
        sa.CheckConstraint(
            "(views_k IS NULL) = (step_k IS NULL)", name=op.f("ck_view_observation_count_with_step")
        ),
        sa.CheckConstraint(
            "step_k >= 0 AND step_k < 1e12", name=op.f("ck_view_observation_step_k_finite")
        ),
        sa.CheckConstraint(
            "views_k >= 0 AND views_k < 1e12", name=op.f("ck_view_observation_views_k_finite")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_view_observation_run_id_run")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["video.id"], name=op.f("fk_view_observation_video_id_video")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_view_observation")),
        sa.UniqueConstraint(
            "video_id", "observed_at", name=op.f("uq_view_observation_video_id_observed_at")
        ),
    )
    op.create_table(
        "prediction",
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column(
            "part", sa.String(length=20), nullable=False, comment="where it stood for the model"
        ),
        sa.Column("predicted_k", sa.Double(), nullable=False),
        sa.Column("actual_k", sa.Double(), nullable=True),
        sa.Column("observation_id", BIG_ID, nullable=True),
        sa.Column("pred_quartile", BIG_ID, nullable=True),
        sa.Column("actual_quartile", BIG_ID, nullable=True),
        sa.Column("inputs_sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "part IN ('train', 'val', 'holdout', 'new')", name=op.f("ck_prediction_part_known")
        ),
        sa.CheckConstraint(
            "actual_k >= 0 AND actual_k < 1e12", name=op.f("ck_prediction_actual_k_finite")
        ),
        sa.CheckConstraint(
            "predicted_k >= 0 AND predicted_k < 1e12", name=op.f("ck_prediction_predicted_k_finite")
        ),
        sa.ForeignKeyConstraint(
            ["observation_id"],
            ["view_observation.id"],
            name=op.f("fk_prediction_observation_id_view_observation"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_prediction_run_id_run")),
        sa.ForeignKeyConstraint(
            ["video_id"], ["video.id"], name=op.f("fk_prediction_video_id_video")
        ),
        sa.PrimaryKeyConstraint("run_id", "video_id", name=op.f("pk_prediction")),
    )
    op.create_index(
        op.f("ix_prediction_video_id_run_id"), "prediction", ["video_id", "run_id"], unique=False
    )
    op.create_table(
        "split_member",
        sa.Column("split_id", BIG_ID, nullable=False),
        sa.Column("video_id", BIG_ID, nullable=False),
        sa.Column("part", sa.String(length=20), nullable=False),
        sa.Column("observation_id", BIG_ID, nullable=False),
        sa.CheckConstraint(
            "part IN ('train', 'val', 'holdout')", name=op.f("ck_split_member_part_known")
        ),
        sa.ForeignKeyConstraint(
            ["observation_id"],
            ["view_observation.id"],
            name=op.f("fk_split_member_observation_id_view_observation"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["split_id"],
            ["dataset_split.id"],
            name=op.f("fk_split_member_split_id_dataset_split"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["video.id"],
            name=op.f("fk_split_member_video_id_video"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("split_id", "video_id", name=op.f("pk_split_member")),
    )
    op.create_index(op.f("ix_split_member_video_id"), "split_member", ["video_id"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        for table, other, column in CYCLES:
            op.create_foreign_key(f"fk_{table}_{column}_{other}", table, other, [column], ["id"])
    for view in VIEWS:
        op.execute((VIEWS_FOLDER / f"{view}.sql").read_text("utf-8"))


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    if op.get_bind().dialect.name == "postgresql":
        for table, other, column in CYCLES:
            op.drop_constraint(f"fk_{table}_{column}_{other}", table, type_="foreignkey")
    op.drop_index(op.f("ix_split_member_video_id"), table_name="split_member")
    op.drop_table("split_member")
    op.drop_index(op.f("ix_prediction_video_id_run_id"), table_name="prediction")
    op.drop_table("prediction")
    op.drop_table("view_observation")
    op.drop_index(op.f("ix_video_hashtag_hashtag_id_video_id"), table_name="video_hashtag")
    op.drop_table("video_hashtag")
    op.drop_table("model_feature_set")
    op.drop_table("model_alias")
    op.drop_index(
        "ix_media_file_open",
        table_name="media_file",
        sqlite_where=sa.text("status IN ('pending', 'failed', 'leased')"),
        postgresql_where=sa.text("status IN ('pending', 'failed', 'leased')"),
    )
    op.drop_index(
        "ix_media_file_held",
        table_name="media_file",
        sqlite_where=sa.text("status = 'leased'"),
        postgresql_where=sa.text("status = 'leased'"),
    )
    op.drop_table("media_file")
    op.drop_index(op.f("ix_feature_video_id"), table_name="feature")
    op.drop_index(
        "ix_feature_open",
        table_name="feature",
        sqlite_where=sa.text("status IN ('pending', 'failed', 'leased')"),
        postgresql_where=sa.text("status IN ('pending', 'failed', 'leased')"),
    )
    op.drop_index(
        "ix_feature_held",
        table_name="feature",
        sqlite_where=sa.text("status = 'leased'"),
        postgresql_where=sa.text("status = 'leased'"),
    )
    op.drop_index(op.f("ix_feature_feature_set_id_status_error_code"), table_name="feature")
    op.drop_table("feature")
    op.drop_index(op.f("ix_video_account_id"), table_name="video")
    op.drop_table("video")
    op.drop_index(op.f("ix_topic_hashtag_hashtag_id"), table_name="topic_hashtag")
    op.drop_table("topic_hashtag")
    op.drop_table("run_metric")
    op.drop_index(op.f("ix_model_version_train_run_id"), table_name="model_version")
    op.drop_index(op.f("ix_model_version_name_inputs_hash"), table_name="model_version")
    op.drop_table("model_version")
    op.drop_index(op.f("ix_event_run_id"), table_name="event")
    op.drop_index(op.f("ix_event_at"), table_name="event")
    op.drop_table("event")
    op.drop_table("topic")
    op.drop_index(
        "uq_run_kind_slot",
        table_name="run",
        sqlite_where=sa.text("status IN ('running', 'ok', 'partial')"),
        postgresql_where=sa.text("status IN ('running', 'ok', 'partial')"),
    )
    op.drop_index(op.f("ix_run_status"), table_name="run")
    op.drop_index(op.f("ix_run_parent_id"), table_name="run")
    op.drop_index(op.f("ix_run_model_version_id"), table_name="run")
    op.drop_index(op.f("ix_run_kind_started_at"), table_name="run")
    op.drop_table("run")
    op.drop_table("job_lease")
    op.drop_table("hashtag")
    op.drop_table("feature_set")
    op.drop_table("dataset_split")
    op.drop_table("account")
