"""Find a model, a split, a feature set or a video by its name, or say what exists instead."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from catalog.errors import NotFound
from catalog.facts import (
    Candidate,
    FeatureSetFacts,
    KnownFeature,
    LabelAtAge,
    Member,
    ModelFacts,
    Observed,
    SplitFacts,
    forecast_of,
)
from catalog.read.posts import CANDIDATE, OBSERVED, Page, by_video_id
from catalog.record.lineage import feature_set_facts, model_facts
from catalog.schema.forecasts import (
    DatasetSplit,
    ModelAlias,
    ModelFeatureSet,
    ModelVersion,
    Prediction,
    SplitMember,
    member_label_k,
)
from catalog.schema.tables import (
    Feature,
    FeatureSet,
    MediaFile,
    Run,
    RunMetric,
    Video,
    ViewObservation,
)
from catalog.schema.types import among, chunks


@dataclass(frozen=True)
class KnownVideo:
    """A video of the catalog; views_k is its latest readable count, None where there is none."""

    video_id: int
    tiktok_id: str
    url: str
    caption: str
    views_k: float | None


def known_videos(session: Session, video_ids: Sequence[int]) -> dict[int, KnownVideo]:
    """Return what is known of some videos, by id; one that is gone from the catalog is left out."""
    found: dict[int, KnownVideo] = {}
    for chunk in chunks(video_ids):
        rows = session.execute(
            select(Video.id, Video.tiktok_id, Video.url, Video.caption, ViewObservation.views_k)
            .outerjoin(ViewObservation, ViewObservation.id == Video.latest_observation_id)
            .where(Video.id.in_(chunk))
        )
        found |= {row.id: KnownVideo(*row) for row in rows}
    return found


def videos_of_files(session: Session, sha256s: Collection[str]) -> dict[str, KnownVideo]:
    """Return the videos whose fetched files have these checksums, by checksum."""
    found = session.execute(
        select(MediaFile.sha256, MediaFile.video_id)
        .where(among(session, MediaFile.sha256, sha256s))
        .order_by(MediaFile.video_id.desc())
    ).all()
    videos = known_videos(session, sorted({video_id for _sha256, video_id in found}))
    return {sha256: videos[video_id] for sha256, video_id in found if sha256 is not None}


def part_in_split(session: Session, split_id: int, video_id: int) -> str | None:
    """Return the part that a video plays in a split; None where it is not in it."""
    return session.scalar(
        select(SplitMember.part).where(
            SplitMember.split_id == split_id, SplitMember.video_id == video_id
        )
    )


def part_members(session: Session, split_id: int, parts: Sequence[str]) -> set[int]:
    """Return the ids of the videos of these parts of a split."""
    wanted = select(SplitMember.video_id).where(
        SplitMember.split_id == split_id, SplitMember.part.in_(parts)
    )
    return set(session.scalars(wanted))


FINAL = -1  # the step of a metric that is of no epoch


class PredictedCount(NamedTuple):
    """The newest prediction of a model version for a video, and the truth it knew; thousands.

    author: the account's id; None: nobody knows. low_k, high_k: the ends of the model's 80 %
    interval; None where it states none.
    """

    video_id: int
    actual_k: float
    predicted_k: float
    author: int | None
    low_k: float | None
    high_k: float | None


@dataclass(frozen=True)
class LossPoint:
    """The loss of one part after one epoch."""

    part: str
    epoch: int
    loss: float


def newest_predictions(session: Session, model: ModelFacts, part: str) -> Iterator[PredictedCount]:
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
        select(
            Video.id,
            Prediction.actual_k,
            Prediction.predicted_k,
            Video.account_id,
            Prediction.low_k,
            Prediction.high_k,
        )
        .join(Prediction, Prediction.video_id == Video.id)
        .where(
            Prediction.run_id == newest,
            Prediction.part == part,
            Prediction.actual_k.is_not(None),
        )
    )
    for row in by_video_id(session, page):
        yield PredictedCount(*row)


def train_labels(session: Session, split_id: int) -> Iterator[float]:
    """Yield the label, in thousands, of each training video of a split."""
    page = (
        select(Video.id, member_label_k())
        .join(SplitMember, SplitMember.video_id == Video.id)
        .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
        .where(
            SplitMember.split_id == split_id,
            SplitMember.part == "train",
            member_label_k().is_not(None),
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


def find_model(
    session: Session, *, name: str, version: int | None = None, alias: str | None = None
) -> ModelFacts:
    """Return a model version: that version, what the alias means, or else the newest.

    Raises NotFound, listing what exists.
    """
    wanted = select(ModelVersion).where(ModelVersion.name == name)
    if version is not None:
        wanted = wanted.where(ModelVersion.version == version)
    if alias is not None:
        wanted = wanted.join(ModelAlias, ModelAlias.model_version_id == ModelVersion.id).where(
            ModelAlias.name == name, ModelAlias.alias == alias
        )
    row = session.scalar(wanted.order_by(ModelVersion.version.desc()).limit(1))
    if row is not None:
        return model_facts(row)
    asked = name + (f" version {version}" if version else "") + (f"@{alias}" if alias else "")
    raise NotFound(f"no model {asked}; there are: {_models(session)}")


def newest_model(session: Session, name: str, alias: str | None = None) -> ModelFacts | None:
    """Return the newest version of a model, or what its alias means; None where there is none."""
    try:
        return find_model(session, name=name, alias=alias)
    except NotFound:
        return None


def all_models(session: Session) -> list[dict[str, Any]]:
    """Return every model version with its aliases, by name and version."""
    aliases: dict[int, list[str]] = {}
    for row in session.scalars(select(ModelAlias).order_by(ModelAlias.alias)):
        aliases.setdefault(row.model_version_id, []).append(row.alias)
    versions = select(ModelVersion).order_by(ModelVersion.name, ModelVersion.version)
    return [
        {
            "name": version.name,
            "version": version.version,
            "kind": version.model_kind,
            "objective": version.objective,
            "label": version.label,
            "horizon_s": version.horizon_s,
            "forecasts": forecast_of(version.label, version.horizon_s),
            "aliases": ", ".join(aliases.get(version.id, [])),
            "artifact_uri": version.artifact_uri,
            "train_run_id": version.train_run_id,
        }
        for version in session.scalars(versions)
    ]


def find_model_by_inputs(session: Session, name: str, inputs_hash: str) -> ModelFacts | None:
    """Return the newest version of `name` made from exactly these inputs, None if there is none."""
    row = session.scalar(
        select(ModelVersion)
        .where(ModelVersion.name == name, ModelVersion.inputs_hash == inputs_hash)
        .order_by(ModelVersion.version.desc())
        .limit(1)
    )
    return None if row is None else model_facts(row)


def model_feature_sets(session: Session, model_version_id: int) -> dict[str, FeatureSetFacts]:
    """Return the feature sets that a model version reads, by kind."""
    rows = session.scalars(
        select(FeatureSet)
        .join(ModelFeatureSet, ModelFeatureSet.feature_set_id == FeatureSet.id)
        .where(ModelFeatureSet.model_version_id == model_version_id)
        .order_by(FeatureSet.kind)
    )
    return {row.kind: feature_set_facts(row) for row in rows}


def find_feature_set(session: Session, kind: str, config_hash: str) -> FeatureSetFacts | None:
    """Return the feature set of that kind and hash, None if there is none."""
    row = session.scalar(
        select(FeatureSet).where(FeatureSet.kind == kind, FeatureSet.config_hash == config_hash)
    )
    return None if row is None else feature_set_facts(row)


def has_feature_set(session: Session, kind: str) -> bool:
    """Say whether anything of that kind was ever extracted, by whatever settings."""
    return session.scalar(select(FeatureSet.id).where(FeatureSet.kind == kind).limit(1)) is not None


def find_split(session: Session, name: str | None) -> SplitFacts:
    """Return the split of that name, the newest for None. Raises NotFound, listing what exists."""
    wanted = select(DatasetSplit).order_by(DatasetSplit.id.desc()).limit(1)
    if name is not None:
        wanted = wanted.where(DatasetSplit.name == name)
    row = session.scalar(wanted)
    if row is None:
        names = session.scalars(select(DatasetSplit.name).order_by(DatasetSplit.name).limit(20))
        raise NotFound(f"no split {name or 'yet'}; there are: {', '.join(names) or 'none'}")
    counts = session.execute(
        select(SplitMember.part, func.count())
        .where(SplitMember.split_id == row.id)
        .group_by(SplitMember.part)
        .order_by(SplitMember.part)
    )
    return SplitFacts(row.id, row.name, row.sha256, False, dict(counts.all()))


def newest_split(session: Session) -> SplitFacts | None:
    """Return the newest split; None where there is none."""
    try:
        return find_split(session, None)
    except NotFound:
        return None


def _models(session: Session) -> str:
    rows = session.execute(
        select(ModelVersion.name, func.max(ModelVersion.version))
        .group_by(ModelVersion.name)
        .order_by(ModelVersion.name)
        .limit(20)
    )
    listed = [f"{name} (versions to {version})" for name, version in rows]
    listed += [
        f"{name}@{alias}"
        for name, alias in session.execute(select(ModelAlias.name, ModelAlias.alias).limit(20))
    ]
    return ", ".join(listed) or "none"


@dataclass(frozen=True)
class SplitRow:
    """A split as it was frozen."""

    id: int
    name: str
    strategy: str
    params: dict[str, Any]
    sha256: str
    created_at: datetime
    n_by_part: dict[str, int]


def find_split_row(session: Session, name: str | None) -> SplitRow:
    """Return the split of that name, the newest for None. Raises NotFound, listing what exists."""
    found = find_split(session, name)
    row = session.get(DatasetSplit, found.id)
    if row is None:  # deleted between the two questions
        raise NotFound(f"no split {found.name}")
    return _row(row, dict(found.n_by_part))


def all_splits(session: Session) -> list[SplitRow]:
    """Return every split, the newest first."""
    counts: dict[int, dict[str, int]] = {}
    counted = select(SplitMember.split_id, SplitMember.part, func.count()).group_by(
        SplitMember.split_id, SplitMember.part
    )
    for split_id, part, n in session.execute(counted):
        counts.setdefault(split_id, {})[part] = n
    splits = session.scalars(select(DatasetSplit).order_by(DatasetSplit.id.desc()))
    return [_row(split, counts.get(split.id, {})) for split in splits]


def split_members(session: Session, split_id: int) -> Iterator[Member]:
    """Yield the videos of a split with their labels, in the order of their ids."""
    second = aliased(ViewObservation)
    aged = (SplitMember.label_k, SplitMember.label_low_k, SplitMember.label_high_k)
    page: Page = (
        select(*CANDIDATE, *OBSERVED, SplitMember.part, *aged, second.id, second.observed_at)
        .join(SplitMember, SplitMember.video_id == Video.id)
        .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
        .outerjoin(second, second.id == SplitMember.second_observation_id)
        .where(SplitMember.split_id == split_id)
    )
    n_facts = len(CANDIDATE) + len(OBSERVED)
    for row in by_video_id(session, page):
        video, label = Candidate(*row[: len(CANDIDATE)]), Observed(*row[len(CANDIDATE) : n_facts])
        part, label_at_age_k, *at_age = row[n_facts:]
        if label_at_age_k is None:
            yield Member(video, part, label)
        else:
            label = replace(label, views_k=label_at_age_k)
            yield Member(video, part, label, LabelAtAge(*at_age))


def _row(row: DatasetSplit, n_by_part: dict[str, int]) -> SplitRow:
    return SplitRow(
        row.id, row.name, row.strategy, dict(row.params), row.sha256, row.created_at, n_by_part
    )


def find_video(session: Session, name: str) -> KnownVideo:
    """Return the video of a platform's id, an address, or an id of the catalog, in this order.

    Raises NotFound; where several platforms have a video of that id, too.
    """
    name = name.strip()
    # In an address the id is the last part of the path.
    last = name.partition("?")[0].rstrip("/").rpartition("/")[2]
    named = (Video.tiktok_id == name, Video.url == name, Video.tiktok_id == last)
    # An id of ours is short: what is longer is no number that a database can hold.
    ours = (Video.id == int(name),) if name.isascii() and name.isdigit() and len(name) < 12 else ()
    for is_it in (*named, *ours):
        found = session.execute(select(Video.id, Video.platform).where(is_it).limit(2)).all()
        if len(found) > 1:
            platforms = ", ".join(f"{video_id} ({platform})" for video_id, platform in found)
            raise NotFound(f"{name} names several videos; ask by the catalog's id: {platforms}")
        if found:
            return known_videos(session, [found[0].id])[found[0].id]
    raise NotFound(f"no video {name}: give a platform's id, an address, or an id of the catalog")


def media_uri(session: Session, video_id: int) -> str | None:
    """Return where a video's file lies under the data folder; None where it was not fetched."""
    return session.scalar(
        select(MediaFile.uri).where(
            MediaFile.video_id == video_id, MediaFile.kind == "video", MediaFile.status == "ok"
        )
    )


def features_of_video(session: Session, video_id: int) -> dict[str, KnownFeature]:
    """Return what was made of a video by kind: of the newest set that has it, else the newest."""
    rows = session.execute(
        select(FeatureSet.kind, Feature)
        .join(FeatureSet, FeatureSet.id == Feature.feature_set_id)
        .where(Feature.video_id == video_id)
        .order_by(Feature.feature_set_id)
    )
    found: dict[str, KnownFeature] = {}
    for kind, row in rows:
        if row.status != "done" and kind in found and found[kind].status == "done":
            continue
        found[kind] = KnownFeature(
            status=row.status,
            uri=row.uri,
            row=row.row,
            sha256=row.sha256,
            detail=row.detail or {},
            error_code=row.error_code,
            error=row.error,
        )
    return found
