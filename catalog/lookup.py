"""Find one model, split or feature set by its name; say what exists when it is not there."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts, SplitFacts
from catalog.lineage import feature_set_facts, model_facts
from catalog.tables import (
    DatasetSplit,
    FeatureSet,
    ModelAlias,
    ModelFeatureSet,
    ModelVersion,
    SplitMember,
)


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
