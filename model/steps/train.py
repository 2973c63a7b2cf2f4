"""Train a preset on a frozen split, evaluate every part, register the model version."""

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts, SplitFacts, TrainingRow
from catalog.lookup import find_model_by_inputs, find_split, newest_model
from catalog.progress import Progress
from catalog.record import add_model_version
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from features.errors import WeightsMissing
from features.store import FeatureStore
from model.batches import Dataset, Example
from model.checkpoint import ModelCard, save_checkpoint
from model.errors import BadCheckpoint, NothingToTrain
from model.network import Network, SolveRequest
from model.registry import Kind, Preset, find_kind
from model.scoring import Scorer
from model.solved.baselines import Constants
from model.steps.alone import alone
from model.steps.inputs import PAPER_TENSORS, TENSORS, Reader, artifact_uris, hash_of
from model.steps.judging import Judged
from model.steps.request import TrainRequest
from model.steps.rows import PARTS, Part, PartRows, Wanted, read_parts
from model.steps.score import load_model
from model.steps.sizes import clip_depth_of, shapes_of
from model.targets import QuartileEdges, TargetTransform
from model.threads import threads_for
from model.training.fit import fit
from model.training.training_state import EpochReport

log = logging.getLogger(__name__)

SCRATCH_FOLDER = "scratch"
IN_SAMPLE_ROWS = 2_000  # of train are measured


@dataclass(frozen=True)
class _Training:
    """One training as it was settled: what `train` hands to its paragraphs."""

    preset: Preset
    kind: Kind
    sets: Mapping[str, FeatureSetFacts]
    split: SplitFacts
    parts: Mapping[str, Part]
    rows: Mapping[str, PartRows]
    judged_on: Mapping[str, PartRows]
    card: ModelCard
    data: Path
    progress: Progress


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
    training goes on from its last epoch. A version whose file is gone is trained anew, as another
    version. Raises Busy while another process is at the very same training.
    """
    preset = request.settled()
    kind = find_kind(preset.kind)
    sets = _sets(preset, kind, feature_set)
    name = request.model_name(preset)
    with catalog.read() as session:
        split = find_split(session, request.split)
    wanted = Wanted(
        split.id,
        {feature: facts.id for feature, facts in sets.items()},
        preset.needs,
        kind.optional,
        with_facts=kind.solve is not None,
    )
    params = {**request.params(), "split": split.name}
    with (
        ExitStack() as stack,
        record_run(catalog, "train", params=params, parent_id=parent_id) as run,
    ):
        parts, contents = read_parts(catalog, run, wanted, keep_refs=kind.solve is None)
        _require_rows(run, parts["train"])
        if request.shuffle_labels:
            parts |= {part: parts[part].permuted(request.seed) for part in ("train", "val")}
        hashes = {feature: facts.config_hash for feature, facts in sets.items()}
        inputs = hash_of(
            split.sha256,
            hashes,
            asdict(preset),
            request.seed,
            contents,
            *(["shuffled"] if request.shuffle_labels else []),
        )
        stack.enter_context(alone(data / SCRATCH_FOLDER / f"{name}-{inputs[:16]}.lock", name))
        with catalog.read() as session:
            model = find_model_by_inputs(session, name, inputs)
            if model is None and request.if_missing:
                model = newest_model(session, name)
        is_lost = model is not None and _is_lost(data, model, read=request.if_missing)
        if model is not None and is_lost:
            log.warning("%s cannot be used: %s is trained again", data / model.artifact_uri, name)
        if model is not None and not (request.again or is_lost):
            run.skipped(f"{name} {model.version}", "trained_before")
        else:
            tensors = PAPER_TENSORS if preset.name == "paper" else TENSORS
            reader = Reader(store, tensors, clip_depth_of(preset))
            training = _Training(
                preset=preset,
                kind=kind,
                sets=sets,
                split=split,
                parts=parts,
                rows={part: PartRows(catalog, parts[part], wanted, reader) for part in PARTS},
                judged_on=_judged_on(catalog, parts, wanted, reader),
                card=_card(parts["train"], preset, hashes, split, request.seed),
                data=data,
                progress=progress,
            )
            artifact, state = artifact_uris(name, inputs, run.id if model else None)
            network = _fitted(run, training, reader, data / state)
            with threads_for(is_solved=kind.solve is not None):
                scores = _evaluated(run, training, network)
            card = replace(training.card, metrics=scores["val"])
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
                        "objective": preset.objective,
                        "network": asdict(network.config),
                        "fit": dict(card.fit),
                        "seed": request.seed,
                        "tensors": {feature: list(tensors[feature]) for feature in sets},
                        "needs": list(preset.needs),
                        "clip_depth": reader.clip_depth,
                        **({"shuffled_labels": True} if request.shuffle_labels else {}),
                    },
                    target=card.target.to_json(),
                    quartile_edges=card.edges.to_json(),
                    split_id=split.id,
                    train_run_id=run.id,
                    feature_set_ids=[facts.id for facts in sets.values()],
                    inputs_hash=inputs,
                )
            (data / state).unlink(missing_ok=True)
            run.done()
    return run.outcome, model


def _is_lost(data: Path, model: ModelFacts, *, read: bool) -> bool:
    """Tell whether a version's file is gone or (read) is no model of this program any more."""
    if not read:
        return not (data / model.artifact_uri).is_file()
    try:
        load_model(data, model)
    except BadCheckpoint:
        return True
    return False


def _sets(
    preset: Preset, kind: Kind, feature_set: Callable[[str], FeatureSetFacts]
) -> dict[str, FeatureSetFacts]:
    found = {}
    for feature in preset.reads:
        # What is not there, or cannot even be named without its weights, is done without.
        with suppress(*((NotFound, WeightsMissing) if kind.optional else ())):
            found[str(feature)] = feature_set(feature)
    return found


def _require_rows(run: Run, part: Part) -> None:
    if not len(part):
        raise NothingToTrain(
            f"no training video has its features: {dict(run.outcome.codes)} of "
            f"{run.outcome.n_skipped} in the split; run the extract commands, or `split create` "
            "anew"
        )


def _card(
    part: Part,
    preset: Preset,
    feature_sets: Mapping[str, str],
    split: SplitFacts,
    seed: int,
) -> ModelCard:
    """Fit whatever comes from the training rows alone: scales, quartiles, constants."""
    edges = QuartileEdges.fit(part.views_k)
    return ModelCard(
        kind=preset.kind,
        target=TargetTransform.fit(part.views_k, preset.target),
        edges=edges,
        constants=Constants.fit(part.views_k),
        objective=preset.objective,
        medians_k=edges.medians(part.views_k) if preset.objective == "quartile" else None,
        feature_sets=feature_sets,
        split_sha256=split.sha256,
        seed=seed,
        fit={} if preset.fit is None else asdict(preset.fit),
    )


def _fitted(run: Run, training: _Training, reader: Reader, state_file: Path) -> Network:
    run.expect(1)
    solve = training.kind.solve
    if solve is not None:
        scratch = training.data / SCRATCH_FOLDER / state_file.stem
        # What a killed training has left there is of no use to this one.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            return solve(
                training.preset.network,
                SolveRequest(
                    train=training.rows["train"],
                    val=training.rows["val"],
                    target=training.card.target,
                    seed=training.card.seed,
                    scratch=scratch,
                    note=lambda code, detail: run.note(training.preset.name, code, detail),
                    progress=training.progress.note,
                ),
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    config = training.preset.fit
    assert config is not None  # whatever is not solved has settings to be trained with
    training.progress.expect(config.epochs)

    def on_epoch(report: EpochReport) -> None:
        run.metric("train", "loss", report.train_loss, step=report.epoch)
        if report.val_loss is not None:
            run.metric("val", "loss", report.val_loss, step=report.epoch)
        training.progress.advance()
        training.progress.note(f"loss {report.loss:.3f}")

    def read(row: TrainingRow) -> Example:
        return reader(row.video_id, row.features, row.views_k)

    train_rows = Dataset(training.parts["train"].refs, read)
    network = _initial(training.preset, train_rows, training.card.seed)
    fit(
        network,
        train_rows,
        Dataset(training.parts["val"].refs, read),
        config,
        training.card.target,
        edges=training.card.edges,
        on_epoch=on_epoch,
        state_file=state_file,
    )
    return network


def _initial(preset: Preset, rows: Iterable[Example], seed: int) -> Network:
    # Forked, so that the seed decides this network and nothing else.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_kind(preset.kind).build(preset.sized(shapes_of(rows, preset)))


def _judged_on(
    catalog: Catalog, parts: Mapping[str, Part], wanted: Wanted, reader: Reader
) -> dict[str, PartRows]:
    """All of val and holdout; of train, which proves nothing, no more than tells an overfit."""
    thinned = {**parts, "train": parts["train"].thinned(IN_SAMPLE_ROWS)}
    return {part: PartRows(catalog, thinned[part], wanted, reader) for part in PARTS}


def _evaluated(run: Run, training: _Training, network: Network) -> dict[str, dict[str, float]]:
    """Measure every part beside the constants, and record it."""
    card = training.card
    scorer = Scorer(network, card.target, card.edges, card.medians_k)
    scores = {}
    for part in PARTS:
        judged = Judged()
        for example in training.judged_on[part]:
            assert example.views_k is not None  # the rows of a split are labelled
            said = scorer(example)
            judged.add(example.views_k, said.views_k, said.low_k, said.high_k, said.quartile)
        scores[part] = judged.metrics(card)
        for metric, value in scores[part].items():
            run.metric(part, metric, value)
    return scores
