"""Train a preset on a frozen split, evaluate every part, register the model version."""

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from catalog.console import Progress
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts, SplitFacts, TrainingRow
from catalog.read.lookup import find_model_by_inputs, find_split, newest_model
from catalog.record.lineage import add_model_version
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.errors import WeightsMissing
from features.store import FeatureStore
from model.base import Network, SolveRequest
from model.batches import AudioShape, ClipShape, Dataset, Example, InputShapes, VisualShape
from model.checkpoint import ModelCard, save_checkpoint
from model.errors import BadCheckpoint, BadSetting, NothingToTrain
from model.networks.fused import FusedConfig
from model.registry import Kind, Preset, find_kind, find_preset, with_overrides
from model.scoring import Scorer
from model.solved.constants import Constants
from model.steps.rows import (
    PAPER_TENSORS,
    PARTS,
    SCRATCH_FOLDER,
    TENSORS,
    Part,
    PartRows,
    Reader,
    Wanted,
    artifact_uris,
    hash_of,
    only_one,
    read_parts,
)
from model.steps.score import Judged, load_model
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import EpochReport, fit
from model.training.world import threads_for

log = logging.getLogger(__name__)


# A version's file is named after it, and NAME:VERSION and NAME@ALIAS have to be readable.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
MOST_SEED = 2**32 - 1  # what every library that draws here takes


@dataclass(frozen=True)
class TrainRequest:
    """What to train; what is None or empty stays as the preset has it.

    fit, network: single settings of the training and of the network. machine: where and in what
    to compute, for presets that are trained step by step. name: what the version is registered
    under; None: the preset's name and what differs from it.
    """

    preset: str
    seed: int = 0
    fit: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    objective: str | None = None
    target: str | None = None
    name: str | None = None
    split: str | None = None  # None: the newest
    shuffle_labels: bool = False  # of train and val: what is then learned is chance
    again: bool = False  # even if exactly this training has been done
    if_missing: bool = False  # only if the model has no version yet

    def params(self) -> dict[str, Any]:
        """What the run was asked for, without what was left to the preset."""
        given = {
            "target": self.target,
            "objective": self.objective,
            "name": self.name,
            "shuffle_labels": self.shuffle_labels or None,
        }
        return {
            "preset": self.preset,
            "seed": self.seed,
            **{name: value for name, value in given.items() if value is not None},
            **self.network,
            **self.fit,
        }

    def settled(self) -> Preset:
        """The preset with everything that is asked for otherwise.

        Raises UnknownKind, and BadSetting for a setting that it does not have, for a seed that
        cannot be drawn from, and for a name that no model can have.
        """
        preset = find_preset(self.preset)
        require_seed(self.seed)
        if self.name is not None and MODEL_NAME.fullmatch(self.name) is None:
            raise BadSetting(
                f"{self.name!r} is no name of a model: up to 80 letters (a to z), digits and any "
                "of . _ -, beginning with a letter or a digit"
            )
        machine = {} if preset.fit is None else self.machine
        return with_overrides(
            preset,
            fit={**machine, "seed": self.seed, **self.fit},
            network=self.network,
            objective=self.objective,
            target=self.target,
        )

    def model_name(self, preset: Preset) -> str:
        """Name that the versions are registered under: the preset's, and what differs from it."""
        if self.name is not None:
            return self.name
        changed = [
            self.target,
            None if preset.objective == "regression" else preset.objective,
            self.fit.get("loss"),
            self.network.get("modalities"),
            "shuffled" if self.shuffle_labels else None,
        ]
        return "-".join([preset.name, *(str(word) for word in changed if word is not None)])


def require_seed(seed: int) -> None:
    """Raise BadSetting for a seed that not every generator takes."""
    if not 0 <= seed <= MOST_SEED:
        raise BadSetting(f"seed {seed} must be from 0 to {MOST_SEED}")


def clip_depth_of(preset: Preset) -> int | None:
    """How many frames of a clip the preset's network reads; None: it reads no clips."""
    depth = getattr(preset.network, "depth", None)
    return depth if isinstance(depth, int) else None


def shapes_of(rows: Iterable[Example], preset: Preset) -> InputShapes:
    """Find what the features look like from the first rows that have them."""
    visual: VisualShape | None = None
    audio: AudioShape | None = None
    clip: ClipShape | None = None
    for example in rows:
        if visual is None and example.visual is not None:
            channels, height, width = example.visual.shape
            visual = channels, height, width
        if audio is None and example.audio is not None:
            states, width = example.audio.shape
            audio = states, width
        if clip is None and example.clip is not None:
            channels, depth, height, width = example.clip.shape
            clip = channels, depth, height, width
        if clip is not None or (visual is not None and audio is not None):
            break
    if audio is None and isinstance(preset.network, FusedConfig):
        # Where no training video has a sound track, the network keeps the size its preset names.
        audio = preset.network.audio_states, preset.network.audio_width
    return InputShapes(visual, audio, clip)


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
        stack.enter_context(only_one(data, name, inputs))
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


def _require_rows(run: RunInProgress, part: Part) -> None:
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


def _fitted(run: RunInProgress, training: _Training, reader: Reader, state_file: Path) -> Network:
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


def _evaluated(
    run: RunInProgress, training: _Training, network: Network
) -> dict[str, dict[str, float]]:
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
