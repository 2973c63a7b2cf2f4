"""Read what model versions predicted and what their runs measured, to be set side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from catalog.facts import ModelFacts
from catalog.paging import by_video_id
from catalog.tables import (
    ModelVersion,
    Prediction,
    Run,
    RunMetric,
    SplitMember,
    Video,
    ViewObservation,
)

FINAL = -1  # the step of a metric that is of no epoch


@dataclass(frozen=True, slots=True)
class Predicted:
    """The newest prediction of one model version for one video, and the truth it knew; thousands.
    """

    video_id: int
    actual_k: float
    predicted_k: float


@dataclass(frozen=True)
class LossPoint:
    """The loss of one part after one epoch."""

    part: str
    epoch: int
    loss: float


def newest_predictions(session: Session, model: ModelFacts, part: str) -> Iterator[Predicted]:
    """Yield a model version's newest predictions of one part's videos, in the order of their ids.

    Each video's is that of the newest run of the version, scoring or training, that did not fail.
    A video of which that prediction knew no count, or in which it stood elsewhere, is left out.
    """
    of_version = (
        select(Run.id)
        .join(ModelVersion, ModelVersion.id == model.id)
        .where(
            or_(Run.model_version_id == ModelVersion.id, Run.id == ModelVersion.train_run_id),
            Run.status != "failed",
        )
    )
    other = aliased(Prediction)
    newest = (
        select(func.max(other.run_id))
        .where(other.video_id == Video.id, other.run_id.in_(of_version))
        .scalar_subquery()
    )
    page = (
        select(Video.id, Prediction.actual_k, Prediction.predicted_k)
        .join(Prediction, Prediction.video_id == Video.id)
        .where(
            Prediction.run_id == newest,
            Prediction.part == part,
            Prediction.actual_k.is_not(None),
        )
    )
    for row in by_video_id(session, page):
        yield Predicted(*row)


def train_labels(session: Session, split_id: int) -> Iterator[float]:
    """Yield the label, in thousands, of each training video of a split."""
    page = (
        select(Video.id, ViewObservation.views_k)
        .join(SplitMember, SplitMember.video_id == Video.id)
        .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
        .where(
            SplitMember.split_id == split_id,
            SplitMember.part == "train",
            ViewObservation.views_k.is_not(None),
        )
    )
    for _video_id, views_k in by_video_id(session, page):
        yield views_k


def final_metrics(session: Session, run_id: int, part: str) -> dict[str, float]:
    """Return the numbers that a run recorded of one part at its end, by name."""
    rows = session.execute(
        select(RunMetric.name, RunMetric.value).where(
            RunMetric.run_id == run_id,
            RunMetric.split == part,
            RunMetric.step == FINAL,
            RunMetric.value.is_not(None),
        )
    )
    return {name: value for name, value in rows if value is not None}


def loss_points(session: Session, run_id: int) -> list[LossPoint]:
    """Return the losses of a training run by part and epoch."""
    rows = session.execute(
        select(RunMetric.split, RunMetric.step, RunMetric.value)
        .where(
            RunMetric.run_id == run_id,
            RunMetric.name == "loss",
            RunMetric.step != FINAL,
            RunMetric.value.is_not(None),
        )
        .order_by(RunMetric.split, RunMetric.step)
    )
    return [LossPoint(part, step, value) for part, step, value in rows if value is not None]
