"""Train a preset on a frozen split, evaluate every part, register the model version."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from catalog.facts import FeatureSetFacts, ModelFacts, SplitFacts, TrainingRow
from catalog.lookup import find_model_by_inputs, find_split, newest_model
from catalog.pending import split_rows
from catalog.progress import Progress
from catalog.record import add_model_version
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from features.store import FeatureStore
from model.baselines import Constants
from model.batches import Dataset, InputShapes
from model.checkpoint import ModelCard, save_checkpoint
from model.errors import NothingToTrain
from model.fit import fit, predict
from model.metrics import evaluate
from model.network import Network
from model.registry import Preset, find_kind, find_preset
from model.steps.inputs import (
    PAPER_TENSORS,
    TENSORS,
    artifact_uris,
    dataset_of,
    hash_of,
    lacks,
    shapes_of,
)
from model.targets import QuartileEdges, TargetTransform
from model.training_state import EpochReport

PARTS = ("train", "val", "holdout")
Rows = Mapping[str, Sequence[TrainingRow]]  # by part


@dataclass(frozen=True)
class TrainRequest:
    """What to train; `fit` replaces single settings of the preset's training."""

    preset: str
    seed: int = 0
    fit: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None  # None: the newest
    again: bool = False  # even if exactly this training has been done
    if_missing: bool = False  # only if the model has no version yet


def train(
    catalog: Catalog,
    request: TrainRequest,
    feature_set: Callable[[str], FeatureSetFacts],
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
    parent_id: int | None = None,
) -> tuple[Outcome, ModelFacts]:
    """Train once what was asked for: the same rows and settings give the version that is there.

    feature_set: gives the feature set of each kind that the preset reads. A video whose features
    are still to come is left out and counted; one that has no sound is not left out. A killed
    training goes on from its last epoch.
    """
    preset = find_preset(request.preset)
    if preset.fit is not None:
        preset = replace(preset, fit=replace(preset.fit, seed=request.seed, **request.fit))
    kind = find_kind(preset.kind)
    sets = {str(feature): feature_set(feature) for feature in kind.reads}
    name = model_name(preset)
    with catalog.read() as session:
        split = find_split(session, request.split)
        ids = {feature: facts.id for feature, facts in sets.items()}
        rows = split_rows(session, split.id, ids, parts=PARTS)
    params = {"preset": preset.name, "split": split.name, "seed": request.seed, **request.fit}
    with record_run(catalog, "train", params=params, parent_id=parent_id) as run:
        usable = _usable(run, rows, kind.needs)
        hashes = {feature: facts.config_hash for feature, facts in sets.items()}
        inputs = hash_of(split.sha256, hashes, asdict(preset), request.seed, _contents(usable))
        with catalog.read() as session:
            model = find_model_by_inputs(session, name, inputs)
            if model is None and request.if_missing:
                model = newest_model(session, name)
        if model is not None and not request.again:
            run.skipped(f"{name} {model.version}", "trained_before")
        else:
            card = _card(usable["train"], preset, hashes, split, request.seed)
            tensors = PAPER_TENSORS if preset.name == "paper" else TENSORS
            parts = {part: dataset_of(usable[part], store, tensors) for part in PARTS}
            artifact, state = artifact_uris(name, inputs, run.id if model else None)
            state_file = data / state
            network = _fitted(run, preset, parts, usable["train"], card, state_file, progress)
            scores = {part: _evaluate(network, parts[part], usable[part], card) for part in PARTS}
            for part, metrics in scores.items():
                for metric, value in metrics.items():
                    run.metric(part, metric, value)
            card = replace(card, metrics=scores["val"])
            sha256 = save_checkpoint(data / artifact, network, card)
            with catalog.write() as session:
                model = add_model_version(
                    session,
                    name=name,
                    model_kind=preset.kind,
                    artifact_uri=artifact,
                    sha256=sha256,
                    hyper={
                        "preset": preset.name,
                        "network": asdict(network.config),
                        "fit": dict(card.fit),
                        "seed": request.seed,
                        "tensors": {feature: tensors[feature] for feature in kind.reads},
                    },
                    target=card.target.to_json(),
                    quartile_edges=card.edges.to_json(),
                    split_id=split.id,
                    train_run_id=run.id,
                    feature_set_ids=[facts.id for facts in sets.values()],
                    inputs_hash=inputs,
                )
            state_file.unlink(missing_ok=True)
            run.done()
    return run.outcome, model


def model_name(preset: Preset) -> str:
    """Name under which a preset's versions are registered."""
    return preset.kind if preset.name == "default" else preset.name


def _usable(
    run: Run, rows: Sequence[TrainingRow], needs: Sequence[str]
) -> dict[str, list[TrainingRow]]:
    usable: dict[str, list[TrainingRow]] = {part: [] for part in PARTS}
    for row in rows:
        reason = lacks(row.features, needs)
        if reason is None:
            usable[row.part].append(row)
        else:
            run.skipped(row.tiktok_id, reason)
    if not usable["train"]:
        raise NothingToTrain(
            f"no training video has its features: {dict(run.outcome.codes)} of {len(rows)} in the "
            "split; run the extract commands, or `split create` anew"
        )
    return usable


def _card(
    rows: Sequence[TrainingRow],
    preset: Preset,
    feature_sets: Mapping[str, str],
    split: SplitFacts,
    seed: int,
) -> ModelCard:
    """Fit whatever comes from the training rows alone: scales, quartiles, constants."""
    views_k = np.array([row.views_k for row in rows])
    return ModelCard(
        kind=preset.kind,
        target=TargetTransform.fit(views_k, preset.target),
        edges=QuartileEdges.fit(views_k),
        constants=Constants.fit(views_k),
        feature_sets=feature_sets,
        split_sha256=split.sha256,
        seed=seed,
        fit={} if preset.fit is None else asdict(preset.fit),
    )


def _fitted(
    run: Run,
    preset: Preset,
    parts: Mapping[str, Dataset[TrainingRow]],
    train_rows: Sequence[TrainingRow],
    card: ModelCard,
    state_file: Path,
    progress: Progress,
) -> Network:
    kind = find_kind(preset.kind)
    run.expect(1)
    if kind.solve is not None:
        return kind.solve([row.views_k for row in train_rows])
    assert preset.fit is not None  # whatever is not solved has settings to be trained with
    progress.expect(preset.fit.epochs)

    def on_epoch(report: EpochReport) -> None:
        run.metric("train", "loss", report.train_loss, step=report.epoch)
        if report.val_loss is not None:
            run.metric("val", "loss", report.val_loss, step=report.epoch)
        progress.advance()
        progress.note(f"loss {report.loss:.3f}")

    network = _initial(preset, shapes_of(parts["train"], preset), card.seed)
    fit(
        network,
        parts["train"],
        parts["val"],
        preset.fit,
        card.target,
        on_epoch=on_epoch,
        state_file=state_file,
    )
    return network


def _initial(preset: Preset, shapes: InputShapes, seed: int) -> Network:
    # Forked, so that the seed decides this network and nothing else.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_kind(preset.kind).build(preset.sized(shapes))


def _evaluate(
    network: Network, dataset: Dataset[Any], rows: Sequence[TrainingRow], card: ModelCard
) -> dict[str, float]:
    if not rows:
        return {}
    predicted_k = [views_k for _video_id, views_k in predict(network, dataset, card.target)]
    actual_k = [row.views_k for row in rows]
    return evaluate(actual_k, predicted_k, constants=card.constants, edges=card.edges)


def _contents(usable: Rows) -> list[list[object]]:
    """List what the rows hold, so that a feature made anew makes another training."""
    return [
        [part, row.video_id, row.views_k, *(ref.sha256 for _, ref in sorted(row.features.items()))]
        for part in PARTS
        for row in usable[part]
    ]
