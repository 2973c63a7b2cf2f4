"""The tables of splits, trained models, what they forecast and what came of it.

"model" only ever means a trained network.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import String

from catalog.schema.tables import Base, ViewObservation, finite, one_of

UNJUDGED = "status = 'open'"


def bounded(what: str, low: str | None = None, high: str | None = None) -> CheckConstraint:
    """Return the rule that a count's bounds are both known or both not, and in order."""
    low, high = low or f"{what}_low_k", high or f"{what}_high_k"
    return CheckConstraint(
        f"({low} IS NULL) = ({high} IS NULL) AND ({low} IS NULL OR {low} <= {high})",
        name=f"{what}_bounded",
    )


class DatasetSplit(Base):
    """A frozen partition of videos into train, val and holdout."""

    __tablename__ = "dataset_split"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    strategy: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]


class SplitMember(Base):
    """One video's part in a split, with the observation that is its label."""

    __tablename__ = "split_member"
    __table_args__ = (
        one_of("part", "train", "val", "holdout"),
        finite("label_k"),
        bounded("label"),
    )
    split_id: Mapped[int] = mapped_column(
        ForeignKey("dataset_split.id", ondelete="RESTRICT"), primary_key=True
    )
    video_id: Mapped[int] = mapped_column(
        ForeignKey("video.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    part: Mapped[str] = mapped_column(String(20))
    observation_id: Mapped[int] = mapped_column(
        ForeignKey("view_observation.id", ondelete="RESTRICT"),
        comment="the label, or of a label at an age the count before it, else the one after it",
    )
    second_observation_id: Mapped[int | None] = mapped_column(
        ForeignKey("view_observation.id", ondelete="RESTRICT"),
        comment="of a label at an age that lies between two counts, the one after it",
    )
    label_k: Mapped[float | None] = mapped_column(
        comment="views at the label's age; NULL: the label is the observation itself"
    )
    label_low_k: Mapped[float | None] = mapped_column(comment="bounds of label_k")
    label_high_k: Mapped[float | None]


def member_label_k(observed: type[ViewObservation] = ViewObservation) -> ColumnElement[Any]:
    """Return the label of a split member, in thousands; observed: its joined observation."""
    return func.coalesce(SplitMember.label_k, observed.views_k)


class ModelVersion(Base):
    """Trained weights with everything that made them."""

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index(None, "name", "inputs_hash"),
        one_of("as_of", "post", "crawl"),
        one_of("history_rule", "observed", "posted"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    model_kind: Mapped[str] = mapped_column(String(40))
    objective: Mapped[str] = mapped_column(String(40))
    artifact_uri: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    hyper: Mapped[dict[str, Any]]
    target: Mapped[dict[str, Any]]
    quartile_edges: Mapped[list[Any]]
    inputs_hash: Mapped[str] = mapped_column(String(64))
    split_id: Mapped[int | None] = mapped_column(
        ForeignKey("dataset_split.id", ondelete="RESTRICT")
    )
    train_run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime]
    as_of: Mapped[str | None] = mapped_column(
        String(20), comment="up to when it reads of accounts and sounds; NULL: of neither"
    )
    history_rule: Mapped[str | None] = mapped_column(
        String(20), comment="which counts of earlier posts it reads; NULL: of none"
    )
    label: Mapped[str] = mapped_column(
        String(40),
        default="latest",
        comment="what it forecasts: 'latest', or 'at:7d', the views at that age",
    )
    horizon_s: Mapped[int | None] = mapped_column(
        comment="age of a video, s, that its forecasts are of; NULL: none is stated"
    )


class ModelFeatureSet(Base):
    """One feature set that a model version reads."""

    __tablename__ = "model_feature_set"
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"), primary_key=True)
    feature_set_id: Mapped[int] = mapped_column(ForeignKey("feature_set.id"), primary_key=True)


class ModelAlias(Base):
    """A movable name for a model version; its history is in `event`."""

    __tablename__ = "model_alias"
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    alias: Mapped[str] = mapped_column(String(100), primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"))
    set_at: Mapped[datetime]
    set_by: Mapped[str]
    reason: Mapped[str]


class Prediction(Base):
    """What a run predicted for a video, with what was known of the truth then."""

    __tablename__ = "prediction"
    __table_args__ = (
        finite("predicted_k"),
        finite("actual_k"),
        finite("low_k"),
        finite("high_k"),
        CheckConstraint(
            "(low_k IS NULL) = (high_k IS NULL) AND (low_k IS NULL OR low_k <= high_k)",
            name="interval_whole",
        ),
        one_of("part", "train", "val", "holdout", "new"),
        Index(None, "video_id", "run_id"),
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"), primary_key=True)
    part: Mapped[str] = mapped_column(String(20), comment="where it stood for the model")
    predicted_k: Mapped[float]
    actual_k: Mapped[float | None]
    observation_id: Mapped[int | None] = mapped_column(ForeignKey("view_observation.id"))
    pred_quartile: Mapped[int | None]
    actual_quartile: Mapped[int | None]
    inputs_sha256: Mapped[str] = mapped_column(String(64))
    low_k: Mapped[float | None] = mapped_column(comment="low end of the 80 % interval; NULL: none")
    high_k: Mapped[float | None] = mapped_column(comment="high end of it")
    made_at: Mapped[datetime | None] = mapped_column(comment="NULL: before this was kept")
    horizon_s: Mapped[int | None] = mapped_column(
        comment="age of the video, s, that it is a forecast of; NULL: none is stated"
    )


class Judgement(Base):
    """A forecast made before its horizon, and once the horizon has passed, what came of it.

    Each version's first forecast of a video at an age is in here, and is judged once. A row of
    status "open" waits for its horizon; "unobserved" is closed without a truth, since nobody looked
    at the video near that age after the forecast was made.
    """

    __tablename__ = "judgement"
    __table_args__ = (
        one_of("status", "open", "judged", "unobserved"),
        finite("truth_k"),
        bounded("truth"),
        CheckConstraint(
            "(status = 'judged') = (truth_k IS NOT NULL)"
            " AND (truth_k IS NULL) = (error_log IS NULL)",
            name="judged_has_truth",
        ),
        CheckConstraint("(status = 'open') = (judged_at IS NULL)", name="open_or_closed"),
        CheckConstraint("made_at < due_at", name="made_before_due"),
        UniqueConstraint("video_id", "model_version_id", "horizon_s"),
        ForeignKeyConstraint(["run_id", "video_id"], ["prediction.run_id", "prediction.video_id"]),
        Index(
            "ix_judgement_open",
            "due_at",
            sqlite_where=text(UNJUDGED),
            postgresql_where=text(UNJUDGED),
        ),
        Index(None, "judged_at"),
    )
    run_id: Mapped[int] = mapped_column(primary_key=True)
    video_id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"))
    horizon_s: Mapped[int] = mapped_column(comment="age of the video, s, that was forecast")
    made_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(comment="when the video reaches that age")
    status: Mapped[str] = mapped_column(String(20))
    truth_k: Mapped[float | None] = mapped_column(
        comment="views at that age, of counts that were seen after the forecast was made"
    )
    truth_low_k: Mapped[float | None] = mapped_column(comment="bounds of truth_k")
    truth_high_k: Mapped[float | None]
    before_id: Mapped[int | None] = mapped_column(
        ForeignKey("view_observation.id"), comment="the count before that age; NULL: none"
    )
    after_id: Mapped[int | None] = mapped_column(
        ForeignKey("view_observation.id"), comment="the count after it; NULL: none"
    )
    error_log: Mapped[float | None] = mapped_column(
        comment="ln(1 + views) forecast minus that of the truth"
    )
    is_inside: Mapped[bool | None] = mapped_column(
        comment="whether the truth is in the 80 % interval; NULL: none was stated"
    )
    judged_at: Mapped[datetime | None]
    judged_run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))


class ReportedAge(Base):
    """An age at which views are reported, how, and up to where the observations have been read."""

    __tablename__ = "reported_age"
    age_s: Mapped[int] = mapped_column(primary_key=True, comment="of a video, s")
    reach: Mapped[float] = mapped_column(
        comment="the counts on both sides are at most this share of the age away"
    )
    tolerance: Mapped[float] = mapped_column(comment="a count this near, as a share, stands alone")
    read_to_id: Mapped[int] = mapped_column(comment="newest observation that was looked at")
    closed_to: Mapped[datetime | None] = mapped_column(
        comment="videos whose time for a count was over by then have been looked at"
    )


class ViewsAtAge(Base):
    """Views of a video at a reported age, from the counts around it; no row: not known (yet)."""

    __tablename__ = "views_at_age"
    __table_args__ = (
        finite("views_k"),
        bounded("views", "low_k", "high_k"),
        one_of("method", "interpolated", "nearest"),
    )
    video_id: Mapped[int] = mapped_column(ForeignKey("video.id"), primary_key=True)
    age_s: Mapped[int] = mapped_column(ForeignKey("reported_age.age_s"), primary_key=True)
    views_k: Mapped[float]
    low_k: Mapped[float] = mapped_column(comment="bounds: what the counts around it allow")
    high_k: Mapped[float]
    method: Mapped[str] = mapped_column(String(20), comment="nearest: one count, near that age")
    before_id: Mapped[int | None] = mapped_column(ForeignKey("view_observation.id"))
    after_id: Mapped[int | None] = mapped_column(ForeignKey("view_observation.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))


#: Every table of the catalog: those here and those of `tables.py`.
METADATA = Base.metadata
