"""How a model's features are made again, as they were in its training."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from catalog.facts import FeatureSetFacts, ModelFacts
from catalog.read.lookup import all_models, find_feature_set, find_model
from catalog.schema.session import Catalog
from features.extractor import FeatureSetSpec
from features.plan import AUTOENCODER, FilePlan, Plan, VisualPlan
from model.errors import IncompatibleFeatures

DIFFERENCES_SHOWN: Final = 4


def settled_plans(
    catalog: Catalog,
    sets: Mapping[str, FeatureSetFacts],
    plan_of: Callable[[str], Plan],
    data: Path,
    *,
    visual_device: str = "cpu",
) -> dict[str, Plan]:
    """The plans of a model's feature sets, and of what they are made of, by kind.

    plan_of: what the settings say; where they are others now, the set's own take their place. The
    autoencoder is the one of the model's training, which need not be the newest; it computes on
    visual_device. Raises IncompatibleFeatures where this program makes such features no more.
    """
    plans: dict[str, Plan] = {}
    for kind, wanted in sets.items():
        if kind == "visual":
            clip_hash = str(wanted.config.get("clip_set"))
            with catalog.read() as session:
                clip_set = find_feature_set(session, "clip", clip_hash)
            clips = _as_trained(plan_of("clip"), clip_set)
            _require_same(clips.spec(), clip_hash, clip_set)
            plans["clip"] = clips
            visual = _visual_plan(catalog, wanted, clips, clip_hash, data)
            plan: Plan = replace(visual, device=visual_device)
        else:
            plan = _as_trained(plan_of(kind), wanted)
        _require_same(plan.spec(), wanted.config_hash, wanted)
        plans[kind] = plan
    return plans


def _as_trained(plan: Plan, wanted: FeatureSetFacts | None) -> Plan:
    """The plan with the settings that the feature set was made with."""
    if wanted is None or not isinstance(plan, FilePlan):
        return plan
    try:
        changed: dict[str, Any] = {"config": plan.config.as_trained(wanted.config)}
    except (KeyError, ValueError):
        return plan  # of another version of this program: the difference is named later
    return replace(plan, **changed)


def _visual_plan(
    catalog: Catalog, wanted: FeatureSetFacts, clips: Plan, clip_hash: str, data: Path
) -> VisualPlan:
    found = _autoencoder(catalog, wanted.weights_sha256)
    if found is None:
        raise IncompatibleFeatures(
            f"the model's visual features were made by an autoencoder (sha256 "
            f"{str(wanted.weights_sha256)[:12]}) that the catalog has no more; train a model on "
            "features that can still be made"
        )
    return VisualPlan(clip_hash, data / found.artifact_uri, found.sha256, clips.store_root)


def _autoencoder(catalog: Catalog, sha256: str | None) -> ModelFacts | None:
    with catalog.read() as session:
        versions = [row["version"] for row in all_models(session) if row["name"] == AUTOENCODER]
        for version in reversed(versions):
            found = find_model(session, name=AUTOENCODER, version=version)
            if found.sha256 == sha256:
                return found
    return None


def _require_same(spec: FeatureSetSpec, wanted: str, trained_on: FeatureSetFacts | None) -> None:
    if spec.hash == wanted:
        return
    differences = [] if trained_on is None else _differences(spec, trained_on)
    said = "; ".join(differences[:DIFFERENCES_SHOWN]) or "the settings differ"
    raise IncompatibleFeatures(
        f"the model was trained on {spec.kind} features {wanted[:12]}, the settings make "
        f"{spec.hash[:12]}: {said}. Look at the section [{spec.kind}] of the settings, or name a "
        "model trained with them"
    )


def _differences(spec: FeatureSetSpec, trained_on: FeatureSetFacts) -> list[str]:
    def line(name: str, now: Any, then: Any) -> str:
        return f"{spec.kind}.{name} is {now!r}, in training it was {then!r}"

    names = [*trained_on.config, *(name for name in spec.config if name not in trained_on.config)]
    nothing = "not set"
    lines = [
        line(name, spec.config.get(name, nothing), trained_on.config.get(name, nothing))
        for name in names
        if spec.config.get(name, nothing) != trained_on.config.get(name, nothing)
    ]
    if spec.extractor_version != trained_on.extractor_version:
        lines.append(
            f"this program makes them by version {spec.extractor_version} of {spec.extractor}, in "
            f"training it was {trained_on.extractor_version}"
        )
    if spec.weights_sha256 != trained_on.weights_sha256:
        lines.append("the weights are others")
    return lines
