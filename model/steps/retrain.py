"""Train a challenger on all that is known, and let it take the champion's place if it is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from catalog.ages import AgeRule, read_label
from catalog.console import Progress
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, Member, ModelFacts, PartName, SplitFacts, uploaded_at
from catalog.read.lookup import (
    find_split,
    model_feature_sets,
    newest_model,
    part_members,
)
from catalog.read.model_history import RETRAIN, model_history, model_in_use
from catalog.read.pending import split_rows
from catalog.record.lineage import (
    PRODUCTION,
    Trial,
    freeze_split,
    refuse_challenger,
    set_alias,
)
from catalog.schema.session import Catalog
from catalog.verdict import MIN_EVIDENCE
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.store import FeatureStore
from model.batches import Example
from model.checkpoint import Checkpoint
from model.errors import BadCheckpoint, BadSetting
from model.evaluation.comparison import Comparison, compare_models
from model.evaluation.metrics import CONSTANT_NAMES, clusters_of
from model.registry import find_kind
from model.scoring import Scorer
from model.split import SplitConfig, assign_parts
from model.steps.rows import Part, PartRows, lacks, read_histories
from model.steps.score import load_model, reader_of, wanted_of
from model.steps.split import labelled, stored_settings
from model.steps.train import TrainRequest, train

SLICE: PartName = "holdout"


@dataclass(frozen=True)
class RetrainRequest:
    """What to train, on which split, and what it has to show.

    training: without a split. split: its strategy is time. metric: an error that has intervals.
    least_gain: the setting verdict.least_gain. set_by: who asks, for the history. device: where a
    network computes its forecasts. ages: the settings `ages`, for labels at an age.
    """

    training: TrainRequest
    split: SplitConfig
    metric: str
    min_rows: int
    least_gain: float
    set_by: str
    device: str = "cpu"
    ages: AgeRule = field(default_factory=AgeRule)

    @property
    def name(self) -> str:
        """The name of the model that is retrained."""
        return self.training.model_name(self.training.settled())


@dataclass(frozen=True)
class Verdict:
    """What became of a challenger, and by which numbers."""

    challenger: ModelFacts
    champion: ModelFacts | None
    is_promoted: bool
    reason: str
    trial: Trial


@dataclass(frozen=True)
class _Field:
    """Where the forecasts of a retraining are made."""

    catalog: Catalog
    run: RunInProgress
    split: SplitFacts
    store: FeatureStore
    data: Path
    device: str


def retrain(
    catalog: Catalog,
    request: RetrainRequest,
    feature_set: Callable[[str], FeatureSetFacts],
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
    parent_id: int | None = None,
    slot: str | None = None,
    scheduled_for: datetime | None = None,
) -> tuple[Outcome, Verdict | None]:
    """Freeze a split, train a challenger on it, judge both on its newest slice, promote the better.

    The champion is NAME@production. Without one the challenger has to beat the constants, and may
    not be worse than the version that is used meanwhile. Safe to stop and to repeat: the split, the
    version and the verdict are made once; a challenger is never judged twice beside the same
    champion, so no luck is sought by asking again. Returns no verdict where none was passed now.
    Raises BadSetting for a model that asks somebody else for each forecast, AlreadyDone where the
    slot was done.
    """
    name = request.name
    if find_kind(request.training.settled().kind).asks:
        raise BadSetting(f"{name} is asked and not trained: there is no challenger to make of it")
    params = {
        **request.training.params(),
        "model": name,
        "metric": request.metric,
        "split": request.split.to_json(),
    }
    verdict = None
    with record_run(
        catalog,
        RETRAIN,
        params=params,
        trigger="daemon" if slot else "manual",
        parent_id=parent_id,
        slot=slot,
        scheduled_for=scheduled_for,
        resume=True,
    ) as run:
        run.expect(1)
        split = _frozen(catalog, run, request)
        if split is None:
            run.skipped(name, "too_few_rows")
        else:
            training = replace(request.training, name=name, split=split.name)
            _trained, challenger = train(
                catalog,
                training,
                feature_set,
                store=store,
                data=data,
                progress=progress,
                parent_id=run.id,
            )
            progress.note("judge")
            field = _Field(catalog, run, split, store, data, request.device)
            verdict = _tried(field, request, challenger)
    return run.outcome, verdict


def _tried(field: _Field, request: RetrainRequest, challenger: ModelFacts) -> Verdict | None:
    """Judge a challenger that is not in use and was not judged beside this champion before."""
    catalog, run, name = field.catalog, field.run, challenger.name
    with catalog.read() as session:
        champion = newest_model(session, name, alias=PRODUCTION)
        judged = {
            (change.from_version, change.to_version)
            for change in model_history(session, name)
            if change.metric is not None
        }
    if champion is not None and champion.id == challenger.id:
        run.skipped(name, "is_production")
        return None
    if (None if champion is None else champion.version, challenger.version) in judged:
        run.skipped(name, "judged_before")
        return None
    return _recorded(catalog, run, request, _judged(field, request, challenger, champion))


def _frozen(catalog: Catalog, run: RunInProgress, request: RetrainRequest) -> SplitFacts | None:
    """Freeze who trains and who judges; None where too few videos have a label.

    A label at an age that was seen only after the slice began teaches nothing: nobody could have
    known it when the first video of the slice was posted.
    """
    name = f"{RETRAIN}-{run.id}"
    with catalog.read() as session:
        try:
            return find_split(session, name)  # this run's own, of before it was killed
        except NotFound:
            pass
    config = request.split
    label = read_label(config.label)
    found = {
        video: Member(video, "train", seen, at_age)
        for video, seen, at_age in labelled(catalog, run, label, request.ages)
    }
    if len(found) < request.min_rows:
        return None
    newest = assign_parts(list(found), replace(config, val=0.0))
    slice_ = {video for video in found if newest[video.video_id] == SLICE}
    begins = min(map(uploaded_at, slice_))
    older = [video for video in found if video not in slice_]
    if label.kind != "latest":
        late = {video for video in older if found[video].known_at > begins}
        for video in late:
            run.skipped(video.tiktok_id, "label_seen_too_late")
        older = [video for video in older if video not in late]
    share = config.val / (1 - config.holdout)
    parts = assign_parts(older, replace(config, val=share, holdout=0.0))
    parts |= {video.video_id: SLICE for video in slice_}
    members = [
        replace(member, part=parts[video.video_id])
        for video, member in found.items()
        if video.video_id in parts
    ]
    if not older or len(members) < request.min_rows:
        return None
    with catalog.write() as session:
        return freeze_split(
            session,
            name=name,
            strategy=config.strategy,
            params=stored_settings(config, request.ages),
            members=members,
        )


def _judged(
    field: _Field,
    request: RetrainRequest,
    challenger: ModelFacts,
    champion: ModelFacts | None,
) -> Verdict:
    """Forecast the slice with both, each by what was known of each post then, and compare."""
    own = load_model(field.data, challenger, request.device)
    beside = champion or _used_meanwhile(field.catalog, challenger)
    notes: list[str] = []
    rival = None
    if beside is not None:
        try:
            rival = load_model(field.data, beside, request.device)
        except BadCheckpoint as error:
            notes.append(f"beside the constants, for {error}")
            beside = None
    said = _forecasts(field, challenger, own)
    ids = sorted(said)
    predicted = {_label(challenger): said}
    if beside is not None and rival is not None:
        theirs = _forecasts(field, beside, rival)
        n_read = len(said.keys() & theirs.keys())
        if n_read < MIN_EVIDENCE <= len(said):  # its features are made no more
            notes.append(f"beside the constants, for {_label(beside)} can read only {n_read}")
            beside = None
        else:
            predicted[_label(beside)] = theirs
            ids = _common(field, challenger, beside, (said, theirs), notes)
    if len(ids) < MIN_EVIDENCE:
        trial = Trial(request.metric, len(ids), None, None, None, None, None)
        notes.insert(0, f"only {len(ids)} videos judge, of which {MIN_EVIDENCE} are asked for")
        return Verdict(challenger, champion, False, "; ".join(notes), trial)
    comparison = compare_models(
        np.array([said[video].actual_k for video in ids]),
        {
            version: np.array([of[video].predicted_k for video in ids])
            for version, of in predicted.items()
        },
        constants=own.card.constants,
        part=SLICE,
        clusters=clusters_of(said[video].author for video in ids),
        least_gain=request.least_gain,
    )
    is_champion = champion is not None and beside is not None
    trial, is_promoted, reason = _decided(
        comparison,
        request.metric,
        _label(challenger),
        (_label(champion),) if champion is not None and is_champion else CONSTANT_NAMES,
        None if beside is None or is_champion else _label(beside),
    )
    return Verdict(challenger, champion, is_promoted, "; ".join([reason, *notes]), trial)


def _decided(
    comparison: Comparison,
    metric: str,
    challenger: str,
    rivals: Sequence[str],
    meanwhile: str | None,
) -> tuple[Trial, bool, str]:
    """Whether the challenger is promoted, and why.

    It has to be better than each rival, and to rank the videos by any skill at all: of two that
    have learned nothing one may well stand nearer to the level of the newest. The numbers are those
    beside the rival that is the hardest to beat.
    """
    by_rival = {
        one.second: one
        for one in comparison.differences
        if one.metric == metric and one.first == challenger
    }
    hardest = max((by_rival[rival] for rival in rivals), key=lambda one: one.high)
    n = comparison.n
    numbers = comparison.metrics
    trial = Trial(
        metric,
        n,
        hardest.second,
        numbers[challenger][metric],
        numbers[hardest.second][metric],
        hardest.low,
        hardest.high,
    )
    said = (
        f"{metric} {trial.value:.4g} beside {trial.rival_value:.4g} of {trial.rival}, difference "
        f"{hardest.low:+.3g} to {hardest.high:+.3g} on {n} videos"
    )
    if not all(by_rival[rival].verdict == "better" for rival in rivals):
        return trial, False, f"not better: {said}"
    if not numbers[challenger].get("spearman.low", -1.0) > 0:
        return trial, False, f"its ranking may be luck: {said}"
    if meanwhile is not None and by_rival[meanwhile].verdict == "worse":
        return trial, False, f"worse than {meanwhile}, which is used meanwhile: {said}"
    return trial, True, f"better: {said}"


def _recorded(
    catalog: Catalog, run: RunInProgress, request: RetrainRequest, verdict: Verdict
) -> Verdict | None:
    """Promote or refuse in one transaction; None where meanwhile another was promoted."""
    challenger, champion = verdict.challenger, verdict.champion
    champion_id = None if champion is None else champion.id
    with catalog.write() as session:
        now = newest_model(session, challenger.name, alias=PRODUCTION)
        has_changed = (None if now is None else now.id) != champion_id
        if not has_changed and verdict.is_promoted:
            set_alias(
                session,
                challenger.name,
                PRODUCTION,
                challenger.id,
                set_by=request.set_by,
                reason=verdict.reason,
                trial=verdict.trial,
                run_id=run.id,
            )
        elif not has_changed:
            refuse_challenger(
                session,
                challenger,
                champion_id,
                set_by=request.set_by,
                reason=verdict.reason,
                trial=verdict.trial,
                run_id=run.id,
            )
    if has_changed:  # somebody promoted another one while these were judged
        run.skipped(challenger.name, "champion_changed")
        return None
    if verdict.is_promoted:
        run.done()
    else:
        run.skipped(_label(challenger), "challenger_refused")
    return verdict


@dataclass(frozen=True, slots=True)
class _Said:
    """A forecast of the slice beside what came of it, in thousands."""

    predicted_k: float
    actual_k: float
    author: int | None


def _forecasts(field: _Field, model: ModelFacts, checkpoint: Checkpoint) -> dict[int, _Said]:
    """What a version says of each video of the slice that it can read, by video id."""
    kind = find_kind(model.model_kind)
    with field.catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    # Whatever it reads: by whom a post is decides what it is drawn together with.
    wanted = replace(wanted_of(model, kind, sets), with_facts=True)
    part = Part()
    with field.catalog.read() as session:
        for row in split_rows(session, field.split.id, wanted.set_ids, parts=(SLICE,)):
            if lacks(row.features, wanted.needs, optional=wanted.optional) is None:
                part.add(row)
    past = read_histories(field.catalog, wanted.history, model.split_id)
    card = checkpoint.card
    scorer = Scorer(checkpoint.network, card.target, card.edges, card.medians_k)

    def said(example: Example) -> _Said:
        assert example.views_k is not None  # the rows of a split are labelled
        return _Said(scorer(example).views_k, example.views_k, example.facts.author)

    with kind.threads():
        rows = PartRows(field.catalog, part, wanted, reader_of(model, field.store), past)
        return {example.video_id: said(example) for example in rows}


def _common(
    field: _Field,
    challenger: ModelFacts,
    beside: ModelFacts,
    said: tuple[Mapping[int, _Said], Mapping[int, _Said]],
    notes: list[str],
) -> list[int]:
    """The videos of the slice that judge both; notes: is told what was left out, and why.

    Those that one of them cannot read are left out, and those that the rival had learned from.
    """
    both, either = said[0].keys() & said[1].keys(), said[0].keys() | said[1].keys()
    taught = both & _taught(field.catalog, beside)
    names = f"{_label(challenger)} or {_label(beside)}"
    for code, left_out, why in (
        ("not_read_by_both", either - both, f"that {names} cannot read"),
        ("rival_learned_from", taught, f"that {_label(beside)} had learned from"),
    ):
        for video in sorted(left_out):
            field.run.skipped(str(video), code)
        if left_out:
            notes.append(f"without {len(left_out)} videos {why}")
    if beside.label != challenger.label:
        notes.append(f"{_label(beside)} forecasts {beside.label}, judged on {challenger.label}")
    return sorted(both - taught)


def _taught(catalog: Catalog, model: ModelFacts) -> set[int]:
    """Videos that a version has learned from, or was chosen by."""
    if model.split_id is None:
        return set()
    with catalog.read() as session:
        return part_members(session, model.split_id, ("train", "val"))


def _used_meanwhile(catalog: Catalog, challenger: ModelFacts) -> ModelFacts | None:
    """The version that is used while none is promoted; None where it is none but the challenger."""
    with catalog.read() as session:
        try:
            model, _remark = model_in_use(session, challenger.name)
        except NotFound:
            return None
    return None if model.id == challenger.id else model


def _label(model: ModelFacts) -> str:
    return f"{model.name}:{model.version}"
