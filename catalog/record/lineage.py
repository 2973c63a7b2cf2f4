"""Store feature sets, splits, model versions and predictions, each with what it was made of."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NameTaken, NotFound
from catalog.facts import (
    AsOf,
    FeatureSetFacts,
    HistoryRule,
    Member,
    ModelFacts,
    PredictionFacts,
    SplitFacts,
)
from catalog.files import sha256_text
from catalog.record.ledger import open_judgements
from catalog.schema.forecasts import (
    DatasetSplit,
    ModelAlias,
    ModelFeatureSet,
    ModelVersion,
    Prediction,
    SplitMember,
)
from catalog.schema.tables import Event, FeatureSet, Run
from catalog.schema.types import canonical_json, chunks, insert_into, plain_json, utc_now


def ensure_feature_set(
    session: Session,
    *,
    kind: str,
    config: Mapping[str, Any],
    config_hash: str,
    extractor: str,
    extractor_version: str,
    weights_sha256: str | None,
) -> int:
    """Return the id of the feature set of that kind and hash, making it when it is new."""
    row = {
        "kind": kind,
        "config_hash": config_hash,
        "config": plain_json(config),
        "extractor": extractor,
        "extractor_version": extractor_version,
        "weights_sha256": weights_sha256,
        "created_at": utc_now(),
    }
    session.execute(insert_into(session, FeatureSet).on_conflict_do_nothing(), [row])
    return session.execute(
        select(FeatureSet.id).where(FeatureSet.kind == kind, FeatureSet.config_hash == config_hash)
    ).scalar_one()


def feature_set_facts(row: FeatureSet) -> FeatureSetFacts:
    """Return a feature set's row as plain facts."""
    return FeatureSetFacts(
        id=row.id,
        kind=row.kind,
        config=row.config,
        config_hash=row.config_hash,
        extractor=row.extractor,
        extractor_version=row.extractor_version,
        weights_sha256=row.weights_sha256,
        input_set_id=row.input_set_id,
    )


def freeze_split(
    session: Session,
    *,
    name: str,
    strategy: str,
    params: Mapping[str, Any],
    members: Sequence[Member],
    told: Mapping[str, Any] | None = None,
) -> SplitFacts:
    """Keep a split for ever; the same members and parameters give the split already kept.

    told: stored with the parameters, but no part of what makes two splits the same.
    Raises NameTaken when the name stands for another split, BadValue for no or doubled members.
    """
    if len({member.video.video_id for member in members}) != len(members):
        raise BadValue(f"split {name!r} names a video twice")
    if not members:
        raise BadValue(f"split {name!r} has no members: no video has a readable count yet")
    lines = [canonical_json({"strategy": strategy, "params": params})]
    lines += sorted(f"{m.video.video_id:020d} {m.part} {_label_line(m)}" for m in members)
    sha256 = sha256_text("\n".join(lines))
    n_by_part = dict(sorted(Counter[str](member.part for member in members).items()))
    kept = session.scalar(select(DatasetSplit).where(DatasetSplit.sha256 == sha256))
    if kept is not None:
        return SplitFacts(kept.id, kept.name, sha256, False, n_by_part)
    if session.scalar(select(DatasetSplit.id).where(DatasetSplit.name == name)) is not None:
        raise NameTaken(f"split {name!r} exists with other members: choose another name")
    split = DatasetSplit(
        name=name,
        strategy=strategy,
        params=plain_json({**params, **(told or {})}),
        sha256=sha256,
        created_at=utc_now(),
    )
    session.add(split)
    session.flush()
    for chunk in chunks(sorted(members, key=lambda member: member.video.video_id)):
        rows = [
            {
                "split_id": split.id,
                "video_id": member.video.video_id,
                "part": member.part,
                "observation_id": member.label.id,
                **_label_row(member),
            }
            for member in chunk
        ]
        session.execute(insert_into(session, SplitMember), rows)
    return SplitFacts(split.id, name, sha256, True, n_by_part)


def _label_line(member: Member) -> str:
    """Write what makes a member's label; of a label that is an observation, its number alone."""
    if member.at_age is None:
        return str(member.label.id)
    # Not to the last digit, which another machine's logarithm may have otherwise.
    counts = (member.label.views_k, member.at_age.low_k, member.at_age.high_k)
    return " ".join(
        [f"{member.label.id} {member.at_age.second_id or 0}", *(f"{k:.9g}" for k in counts)]
    )


def _label_row(member: Member) -> dict[str, Any]:
    if member.at_age is None:
        return {}
    return {
        "second_observation_id": member.at_age.second_id,
        "label_k": member.label.views_k,
        "label_low_k": member.at_age.low_k,
        "label_high_k": member.at_age.high_k,
    }


def add_model_version(
    session: Session,
    *,
    name: str,
    model_kind: str,
    artifact_uri: str,
    sha256: str,
    hyper: Mapping[str, Any],
    target: Mapping[str, Any],
    quartile_edges: Sequence[float],
    split_id: int | None,
    train_run_id: int,
    feature_set_ids: Sequence[int],
    inputs_hash: str,
    as_of: AsOf | None = None,
    history_rule: HistoryRule | None = None,
    label: str = "latest",
    horizon_s: int | None = None,
) -> ModelFacts:
    """Add the next version of the model `name`. `hyper["objective"]` defaults to regression."""
    newest = session.scalar(select(func.max(ModelVersion.version)).where(ModelVersion.name == name))
    row = ModelVersion(
        name=name,
        version=(newest or 0) + 1,
        model_kind=model_kind,
        objective=str(hyper.get("objective", "regression")),
        artifact_uri=artifact_uri,
        sha256=sha256,
        hyper=plain_json(hyper),
        target=plain_json(target),
        quartile_edges=[float(edge) for edge in quartile_edges],
        split_id=split_id,
        train_run_id=train_run_id,
        inputs_hash=inputs_hash,
        created_at=utc_now(),
        as_of=as_of,
        history_rule=history_rule,
        label=label,
        horizon_s=horizon_s,
    )
    session.add(row)
    session.flush()
    session.add_all(
        ModelFeatureSet(model_version_id=row.id, feature_set_id=set_id)
        for set_id in sorted(set(feature_set_ids))
    )
    session.flush()
    return model_facts(row)


def model_facts(row: ModelVersion) -> ModelFacts:
    """Return a model version's row as plain facts."""
    return ModelFacts(
        id=row.id,
        name=row.name,
        version=row.version,
        model_kind=row.model_kind,
        objective=row.objective,
        artifact_uri=row.artifact_uri,
        sha256=row.sha256,
        hyper=row.hyper,
        target=row.target,
        quartile_edges=tuple(row.quartile_edges),
        split_id=row.split_id,
        train_run_id=row.train_run_id,
        inputs_hash=row.inputs_hash,
        as_of=cast(AsOf | None, row.as_of),
        history_rule=cast(HistoryRule | None, row.history_rule),
        label=row.label,
        horizon_s=row.horizon_s,
    )


#: What `score` and its like use, where a model has it.
PRODUCTION = "production"


@dataclass(frozen=True)
class Trial:
    """How a challenger did beside its rival on the same rows: what a promotion stands on.

    value, rival_value: of the metric. low, high: the 95 % interval of the challenger's minus the
    rival's; None: too few rows for one. rival: NAME:VERSION, or a constant.
    """

    metric: str
    n: int
    rival: str | None
    value: float | None
    rival_value: float | None
    low: float | None
    high: float | None


def set_alias(
    session: Session,
    name: str,
    alias: str,
    model_version_id: int,
    *,
    set_by: str,
    reason: str,
    action: Literal["promoted", "rolled back"] = "promoted",
    trial: Trial | None = None,
    run_id: int | None = None,
) -> None:
    """Let `alias` of the model `name` mean this version; who, when and why go to the journal.

    trial: the numbers that the promotion stands on, where it was earned by a run.
    """
    version = session.get(ModelVersion, model_version_id)
    if version is None or version.name != name:
        raise NotFound(f"model version {model_version_id} is not one of {name!r}")
    kept = session.get(ModelAlias, (name, alias))
    before = kept.model_version_id if kept is not None else None
    session.merge(
        ModelAlias(
            name=name,
            alias=alias,
            model_version_id=model_version_id,
            set_at=utc_now(),
            set_by=set_by,
            reason=reason,
        )
    )
    detail = {"from": before, "to": model_version_id, "action": action}
    _journal(session, "alias_set", f"{name}@{alias}", detail, set_by, reason, trial, run_id)


def refuse_challenger(
    session: Session,
    challenger: ModelFacts,
    champion_id: int | None,
    *,
    set_by: str,
    reason: str,
    trial: Trial,
    run_id: int | None,
) -> None:
    """Write to the journal why a challenger did not become what `@production` means."""
    detail = {"from": champion_id, "to": challenger.id, "action": "refused"}
    subject = f"{challenger.name}:{challenger.version}"
    _journal(session, "challenger_refused", subject, detail, set_by, reason, trial, run_id)


def _journal(
    session: Session,
    code: str,
    subject: str,
    detail: Mapping[str, Any],
    set_by: str,
    reason: str,
    trial: Trial | None,
    run_id: int | None,
) -> None:
    whole = {**detail, "by": set_by, "reason": reason, **({} if trial is None else asdict(trial))}
    session.add(
        Event(at=utc_now(), run_id=run_id, level="info", code=code, subject=subject, detail=whole)
    )
    session.flush()


def store_predictions(session: Session, run_id: int, predictions: Sequence[PredictionFacts]) -> int:
    """Add a run's predictions; return how many are new, those already there stay as they are.

    Those of a model version that are forecasts are entered into the ledger as well.
    Raises BadValue for a prediction that is not a finite count.
    """
    for fact in predictions:
        if not (math.isfinite(fact.predicted_k) and 0 <= fact.predicted_k < 1e12):
            raise BadValue(f"video {fact.video_id}: predicted {fact.predicted_k} thousand views")
    added = 0
    made_at = utc_now()
    model_version_id = session.scalar(select(Run.model_version_id).where(Run.id == run_id))
    statement = insert_into(session, Prediction).on_conflict_do_nothing()
    for chunk in chunks(sorted(predictions, key=lambda fact: fact.video_id)):
        rows = [
            {
                "run_id": run_id,
                "video_id": fact.video_id,
                "part": fact.part,
                "predicted_k": float(fact.predicted_k),
                "low_k": fact.low_k,
                "high_k": fact.high_k,
                "actual_k": None if fact.actual_k is None else float(fact.actual_k),
                "observation_id": fact.observation_id,
                "pred_quartile": fact.pred_quartile,
                "actual_quartile": fact.actual_quartile,
                "inputs_sha256": fact.inputs_sha256,
                "made_at": made_at,
                "horizon_s": fact.horizon_s,
            }
            for fact in chunk
        ]
        made = session.scalars(statement.returning(Prediction.video_id), rows)
        new = set(made.all())
        added += len(new)
        if model_version_id is not None:
            kept = [fact for fact in chunk if fact.video_id in new]
            open_judgements(session, run_id, model_version_id, kept, made_at=made_at)
    return added
