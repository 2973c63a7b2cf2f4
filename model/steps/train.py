"""Train a preset on a frozen split, evaluate every part, register the model version."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from catalog.ages import Label, label_of
from catalog.console import Progress
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, HistoryRule, ModelFacts
from catalog.read.histories import history_rule
from catalog.read.lookup import (
    SplitRow,
    find_model_by_inputs,
    find_split_row,
    model_feature_sets,
    newest_model,
)
from catalog.record.lineage import add_model_version
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.errors import WeightsMissing
from features.store import FeatureStore
from model.base import Network
from model.blocks.past import Histories
from model.checkpoint import ModelCard, save_checkpoint
from model.errors import BadCheckpoint, BadSetting, IncompatibleFeatures, NothingToTrain
from model.registry import Kind, Preset, TrainingInputs, find_kind, find_preset, with_overrides
from model.scoring import Forecast, Scorer
from model.solved.constants import Constants
from model.split import PARTS
from model.steps.rows import (
    SCRATCH_FOLDER,
    Part,
    PartRows,
    Reader,
    Wanted,
    artifact_uris,
    hash_of,
    only_one,
    read_histories,
    read_parts,
)
from model.steps.score import Judged, load_model
from model.targets import QuartileEdges, TargetTransform
from model.training.loop import EpochReport

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
    if_missing: bool = False  # only if the model has no version yet that reads today's features

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
            "crawl" if self.network.get("as_of") == "crawl" else None,
            "shuffled" if self.shuffle_labels else None,
        ]
        return "-".join([preset.name, *(str(word) for word in changed if word is not None)])


def require_seed(seed: int) -> None:
    """Raise BadSetting for a seed that not every generator takes."""
    if not 0 <= seed <= MOST_SEED:
        raise BadSetting(f"seed {seed} must be from 0 to {MOST_SEED}")


IN_SAMPLE_ROWS = 2_000  # of train are measured


@dataclass(frozen=True)
class _Plan:
    """One training as it was settled, before any row is read."""

    request: TrainRequest
    preset: Preset
    kind: Kind
    name: str
    split: SplitRow
    sets: Mapping[str, FeatureSetFacts]
    data: Path

    @property
    def hashes(self) -> dict[str, str]:
        """Hash of each feature set, by kind."""
        return {feature: facts.config_hash for feature, facts in self.sets.items()}

    @property
    def label(self) -> Label:
        """Which count of a video it learns to forecast."""
        return label_of(self.split.params)

    def wanted(self) -> Wanted:
        return Wanted(
            self.split.id,
            {feature: facts.id for feature, facts in self.sets.items()},
            self.preset.needs,
            self.kind.optional,
            with_facts=self.kind.reads_facts,
            as_of=getattr(self.preset.network, "as_of", "post"),
            history=self.history,
        )

    @property
    def history(self) -> HistoryRule | None:
        """Which counts of earlier posts are read; None: of none."""
        rule: HistoryRule | Literal["none"] = getattr(self.preset.network, "history", "none")
        return None if rule == "none" else rule

    def reader(self, store: FeatureStore) -> Reader:
        depth = getattr(self.preset.network, "depth", None)  # of a clip; most read none
        tensors = {
            feature: () if _is_text_only(facts) else self.preset.tensors[feature]
            for feature, facts in self.sets.items()
        }
        return Reader(store, tensors, depth if isinstance(depth, int) else None)

    def inputs_hash(self, contents: str, past: Histories | None) -> str:
        """Name everything that the result is made from."""
        return hash_of(
            self.split.sha256,
            self.hashes,
            self.preset.document(),
            self.request.seed,
            contents,
            *([] if past is None else [past.sha256()]),
            *(["shuffled"] if self.request.shuffle_labels else []),
        )

    def hyper(self, network: Network, card: ModelCard, reader: Reader) -> dict[str, Any]:
        """What the catalog keeps of the settings."""
        return {
            "preset": self.preset.name,
            "objective": self.preset.objective,
            "network": asdict(network.config),
            "fit": dict(card.fit),
            "seed": self.request.seed,
            "tensors": {feature: list(reader.tensors[feature]) for feature in self.sets},
            "needs": list(self.preset.needs),
            "clip_depth": reader.clip_depth,
            "learned_from": ["train", "val"] if self.kind.learns_from_val else ["train"],
            **({"shuffled_labels": True} if self.request.shuffle_labels else {}),
        }


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
    plan = _planned(catalog, request, feature_set, data)
    params = {**request.params(), "split": plan.split.name}
    with (
        ExitStack() as stack,
        record_run(catalog, "train", params=params, parent_id=parent_id) as run,
    ):
        parts, past, inputs = _read(catalog, run, plan)
        name = plan.name
        stack.enter_context(only_one(data, name, inputs))
        model, is_usable = _trained_before(catalog, plan, inputs)
        if model is not None and is_usable:
            run.skipped(f"{name} {model.version}", "trained_before")
        else:
            run.expect(1)
            artifact, state = artifact_uris(name, inputs, run.id if model else None)
            reader = plan.reader(store)
            # With shuffled labels not even earlier held-out posts have their true counts: a model
            # that goes by history would forecast well without having learned anything.
            later = past
            if not request.shuffle_labels:
                later = read_histories(catalog, plan.history, plan.split.id, parts=parts)

            def rows_of(parts: Mapping[str, Part], wanted: Wanted) -> dict[str, PartRows]:
                known = {**dict.fromkeys(PARTS, past), "holdout": later}
                return {
                    part: PartRows(catalog, parts[part], wanted, reader, known[part])
                    for part in PARTS
                }

            rows = rows_of(parts, plan.wanted())
            card = _card(plan, parts["train"])
            begun = _cpu_s()
            network, foreseen = _fitted(run, plan, rows, card, data / state, progress, past)
            # What a killed training had spent before is not in it.
            run.metric("train", "cpu_s", _cpu_s() - begun)
            # Of train, which proves nothing, no more is measured than tells an overfit. And
            # whatever the network reads: by whom a post is decides what it is drawn together with.
            few = {**parts, "train": parts["train"].thinned(IN_SAMPLE_ROWS)}
            rows = rows_of(few, replace(plan.wanted(), with_facts=True))
            scores = _evaluated(run, plan.kind, rows, network, card, foreseen)
            card = replace(
                card,
                metrics=scores.get("val", {}),
                label=str(plan.label),
                horizon_s=_horizon_s(plan.label, network),
            )
            model = _registered(catalog, run, plan, network, card, reader, artifact, inputs)
            (data / state).unlink(missing_ok=True)
            run.done()
    return run.outcome, model


def _cpu_s() -> float:
    """CPU seconds that this process and the ended ones that it started have spent."""
    return sum(os.times()[:4])


def _is_text_only(facts: FeatureSetFacts) -> bool:
    """Whether these are audio features without states: their words are read as facts alone."""
    return facts.kind == "audio" and facts.config.get("lane") == "text"


def _planned(
    catalog: Catalog,
    request: TrainRequest,
    feature_set: Callable[[str], FeatureSetFacts],
    data: Path,
) -> _Plan:
    preset = request.settled()
    kind = find_kind(preset.kind)
    sets = {}
    for feature in preset.reads:
        # What is not there, or cannot even be named without its weights, is done without.
        with suppress(*((NotFound, WeightsMissing) if kind.optional else ())):
            sets[str(feature)] = feature_set(feature)
            if _is_text_only(sets[str(feature)]) and not kind.optional:
                raise IncompatibleFeatures(
                    f"{preset.name} reads the states of what is heard, and audio.lane = 'text' "
                    "keeps none; set audio.lane to 'states' and run `viewcast extract audio`"
                )
    with catalog.read() as session:
        split = find_split_row(session, request.split)
        if getattr(preset.network, "history", None) == "auto":
            rule = history_rule(session, split.id)
            preset = with_overrides(preset, network={"history": rule})
    if label_of(split.params).kind == "at" and hasattr(preset.network, "age"):
        preset = with_overrides(preset, network={"age": "ignore"})  # all labels are of one age
    return _Plan(request, preset, kind, request.model_name(preset), split, sets, data)


def _read(
    catalog: Catalog, run: RunInProgress, plan: _Plan
) -> tuple[dict[str, Part], Histories | None, str]:
    """The usable rows by part, posts of the past that train and val may know, and their hash."""
    keep_refs = not plan.kind.reads_facts
    parts, contents = read_parts(catalog, run, plan.wanted(), keep_refs=keep_refs)
    if not len(parts["train"]):
        raise NothingToTrain(
            f"no training video has its features: {dict(run.outcome.codes)} of "
            f"{run.outcome.n_skipped} in the split; run the extract commands, or `split create` "
            "anew"
        )
    if plan.request.shuffle_labels:
        parts |= {part: parts[part].permuted(plan.request.seed) for part in ("train", "val")}
    learned = {part: parts[part] for part in ("train", "val")}
    past = read_histories(catalog, plan.history, plan.split.id, parts=learned)
    return parts, past, plan.inputs_hash(contents, past)


def _trained_before(catalog: Catalog, plan: _Plan, inputs: str) -> tuple[ModelFacts | None, bool]:
    """The version that is there already, and whether it will do."""
    request = plan.request
    with catalog.read() as session:
        model = find_model_by_inputs(session, plan.name, inputs)
        if model is None and request.if_missing:
            model = newest_model(session, plan.name)
            read = {} if model is None else model_feature_sets(session, model.id)
            if model is not None and (others := _others(plan, read)):
                log.warning("%s %s reads %s", model.name, model.version, others)
                model = None
    if model is None:
        return None, False
    is_lost = _is_lost(plan.data, model, read=request.if_missing)
    if is_lost:
        path = plan.data / model.artifact_uri
        log.warning("%s cannot be used: %s is trained again", path, plan.name)
    return model, not (request.again or is_lost)


def _others(plan: _Plan, read: Mapping[str, FeatureSetFacts]) -> str:
    """Say which of a version's features new videos do not get any more; empty: none."""
    others = [
        f"{kind} {facts.config_hash[:12]}, made as {plan.sets[kind].config_hash[:12]} now"
        for kind, facts in read.items()
        if kind in plan.sets and plan.sets[kind].config_hash != facts.config_hash
    ]
    return "; ".join(others)


def _is_lost(data: Path, model: ModelFacts, *, read: bool) -> bool:
    """Tell whether a version's file is gone or (read) is no model of this program any more."""
    if not read:
        return not (data / model.artifact_uri).is_file()
    try:
        load_model(data, model)
    except BadCheckpoint:
        return True
    return False


def _card(plan: _Plan, part: Part) -> ModelCard:
    """Fit whatever comes from the training rows alone: scales, quartiles, constants."""
    preset = plan.preset
    edges = QuartileEdges.fit(part.views_k)
    return ModelCard(
        kind=preset.kind,
        target=TargetTransform.fit(part.views_k, preset.target),
        edges=edges,
        constants=Constants.fit(part.views_k),
        objective=preset.objective,
        medians_k=edges.medians(part.views_k) if preset.objective == "quartile" else None,
        feature_sets=plan.hashes,
        split_sha256=plan.split.sha256,
        seed=plan.request.seed,
        fit={} if preset.fit is None else asdict(preset.fit),
    )


def _fitted(
    run: RunInProgress,
    plan: _Plan,
    rows: Mapping[str, PartRows],
    card: ModelCard,
    state_file: Path,
    progress: Progress,
    histories: Histories | None,
) -> tuple[Network, Mapping[int, float]]:
    """Compute the network, with no transaction open, and what it foresaw of val by video id."""
    foreseen: dict[int, float] = {}
    if plan.preset.fit is not None:
        progress.expect(plan.preset.fit.epochs)

    def on_epoch(report: EpochReport) -> None:
        run.metric("train", "loss", report.train_loss, step=report.epoch)
        if report.val_loss is not None:
            run.metric("val", "loss", report.val_loss, step=report.epoch)
        progress.advance()
        progress.note(f"loss {report.loss:.3f}")

    with _scratch(plan.data / SCRATCH_FOLDER / state_file.stem) as scratch:
        inputs = TrainingInputs(
            train=rows["train"],
            val=rows["val"],
            target=card.target,
            edges=card.edges,
            seed=card.seed,
            scratch=scratch,
            state_file=state_file,
            note=lambda code, detail: run.note(plan.preset.name, code, detail),
            progress=progress.note,
            on_epoch=on_epoch,
            histories=histories,
            foresaw=lambda ids, points: foreseen.update(zip(ids, points, strict=True)),
        )
        return plan.kind.train(plan.preset, inputs), foreseen


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder, for as long as the block runs."""
    # What a killed training has left there is of no use to this one.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _evaluated(
    run: RunInProgress,
    kind: Kind,
    rows: Mapping[str, PartRows],
    network: Network,
    card: ModelCard,
    foreseen: Mapping[int, float],
) -> dict[str, dict[str, float]]:
    """Measure every part beside the constants, and record it; of who is asked only `score` does.

    Of val, where its rows taught the network, what had been foreseen before.
    """
    scorer = Scorer(network, card.target, card.edges, card.medians_k)
    scores: dict[str, dict[str, float]] = {}
    with kind.threads():
        for part in () if kind.asks else PARTS:
            judged = Judged()
            for example in rows[part]:
                assert example.views_k is not None  # the rows of a split are labelled
                if part == "val" and kind.learns_from_val:
                    if example.video_id not in foreseen:
                        continue
                    said = _foreseen(foreseen[example.video_id], card)
                else:
                    said = scorer(example)
                judged.add(
                    example.views_k,
                    said.views_k,
                    said.low_k,
                    said.high_k,
                    said.quartile,
                    example.facts.author,
                )
            scores[part] = judged.metrics(card)
            for metric, value in scores[part].items():
                run.metric(part, metric, value)
    return scores


def _foreseen(point: float, card: ModelCard) -> Forecast:
    views_k = float(card.target.score(point))
    return Forecast(views_k, quartile=int(card.edges.classify(views_k)))


def _reads_history(network: Network) -> bool:
    """Whether any row had one; with none a model has learned to do without."""
    return getattr(network.config, "history", "none") != "none"


def _horizon_s(label: Label, network: Network) -> int | None:
    """Age that forecasts of new posts are of: the label's, or the one that the network states."""
    stated: int = getattr(network.config, "horizon_s", 0)
    return label.age_s if label.kind == "at" else stated or None


def _registered(
    catalog: Catalog,
    run: RunInProgress,
    plan: _Plan,
    network: Network,
    card: ModelCard,
    reader: Reader,
    artifact: str,
    inputs: str,
) -> ModelFacts:
    """Write the file first, then the row."""
    sha256 = save_checkpoint(plan.data / artifact, network, card)
    with catalog.write() as session:
        return add_model_version(
            session,
            name=plan.name,
            model_kind=plan.preset.kind,
            artifact_uri=artifact,
            sha256=sha256,
            hyper=plan.hyper(network, card, reader),
            target=card.target.to_json(),
            quartile_edges=card.edges.to_json(),
            split_id=plan.split.id,
            train_run_id=run.id,
            feature_set_ids=[facts.id for facts in plan.sets.values()],
            inputs_hash=inputs,
            as_of=getattr(plan.preset.network, "as_of", None),
            history_rule=plan.history if _reads_history(network) else None,
            label=card.label,
            horizon_s=card.horizon_s,
        )
