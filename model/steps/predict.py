"""Forecast media files that are in no catalog, by a trained model; stores nothing unless asked."""

import logging
import re
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog.errors import name_text
from catalog.facts import LEAST_GAIN, FeatureRef, FeatureSetFacts, ModelFacts, PostFacts
from catalog.files import clean_text, sha256_of
from catalog.read.lookup import (
    KnownVideo,
    all_models,
    all_views,
    final_metrics,
    find_feature_set,
    find_model,
    known_videos,
    model_feature_sets,
    part_in_split,
    videos_of_files,
    views_with_hashtags,
)
from catalog.schema.session import Catalog
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from features.device import resolve
from features.errors import FeatureError, WeightsMismatch, WeightsMissing
from features.extractor import FeatureSetSpec
from features.one_video import Aside, HeldStore, MadeFeatures, OneOff
from features.plan import AUTOENCODER, FilePlan, Plan, VisualPlan
from model.batches import Example
from model.checkpoint import Checkpoint
from model.errors import IncompatibleFeatures, NotFinite
from model.forecast.ablation import moves_of
from model.forecast.card import (
    ForecastCard,
    ModelLine,
    Move,
    Refused,
    Similar,
    Standing,
    TrackRecord,
    card_document,
    judge,
    percentile_of,
    plain,
)
from model.forecast.cautions import cautions_of
from model.modern.neighbours import Neighbour
from model.registry import Kind, find_kind
from model.scoring import Forecast, Scorer
from model.solved.constants import ConstantRegressor
from model.steps.rows import Reader
from model.steps.score import load_model, reader_of

log = logging.getLogger(__name__)

DIFFERENCES_SHOWN = 4
UNEXPECTED = "unexpected"


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


HASHTAG = re.compile(r"#([\w\u200d\ufe0f]{1,200})")
HASHTAGS_AT_MOST = 100


@dataclass(frozen=True)
class PredictRequest:
    """Files to forecast; what is said of the post holds for each of them.

    files: in place of one that an argument should have named, why there is none. posted_at: aware;
    None: unknown. similar: also look for similar videos. record: keep the forecasts as a run.
    least_gain: the setting verdict.least_gain.
    """

    files: tuple[Path | Refused, ...]
    caption: str = ""
    hashtags: tuple[str, ...] = ()
    posted_at: datetime | None = None
    similar: bool = True
    record: bool = False
    least_gain: float = LEAST_GAIN

    def facts(self, made: MadeFeatures) -> PostFacts:
        """What a model may read of the post and of the file."""
        audio = made.made.get("audio")
        heard = {} if audio is None else audio.detail
        caption = clean_text(self.caption)
        return PostFacts(
            caption=caption,
            hashtags=sorted_hashtags((*self.hashtags, *HASHTAG.findall(caption))),
            posted_at=self.posted_at,
            duration_s=made.probe.duration_s,
            width_px=made.probe.width_px,
            height_px=made.probe.height_px,
            transcript=heard.get("text"),
            language=heard.get("language"),
            speech_s=heard.get("speech_s"),
        )

    def params(self) -> dict[str, Any]:
        """What the run was asked for."""
        return {
            "n_files": len(self.files),
            "caption": clean_text(self.caption),
            "hashtags": list(sorted_hashtags(self.hashtags)),
            "posted_at": utc_text(self.posted_at),
        }


def sorted_hashtags(names: Iterable[str]) -> tuple[str, ...]:
    """Hashtags as the catalog has them: lower case, without '#', each once, in alphabetical order.

    Of very many the first so many count, as on a page.
    """
    plain = (clean_text(name).strip().lstrip("#").lower()[:200] for name in names)
    kept = dict.fromkeys(name for name in plain if name)
    return tuple(sorted(list(kept)[:HASHTAGS_AT_MOST]))


def utc_text(at: datetime | None) -> str | None:
    """A time as people and programs read it, in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


COMPARABLE_AT_LEAST = 30  # videos with a common hashtag; with fewer, all are compared with
N_SIMILAR = 5


@dataclass(frozen=True)
class Predicted:
    """One card or refusal per file, in their order; load_s: seconds that loading took, by part.

    outcome: of the run, None where nothing was recorded.
    """

    results: tuple[ForecastCard | Refused, ...]
    load_s: Mapping[str, float]
    outcome: Outcome | None = None

    @property
    def n_failed(self) -> int:
        """How many files have no forecast."""
        return sum(isinstance(result, Refused) for result in self.results)

    @property
    def n_partial(self) -> int:
        """How many forecasts rest on a part of their file only."""
        return sum(isinstance(one, ForecastCard) and one.is_partial for one in self.results)

    @property
    def exit_code(self) -> int:
        """0 where all files have a forecast of the whole of them, 4 where some have one at all.

        1 where none has, and where something happened that nobody expected.
        """
        codes = {result.code for result in self.results if isinstance(result, Refused)}
        if self.n_failed == len(self.results) or UNEXPECTED in codes:
            return 1
        return 4 if self.n_failed or self.n_partial else 0


def predict(
    catalog: Catalog,
    model: ModelFacts,
    request: PredictRequest,
    plan_of: Callable[[str], Plan],
    *,
    data: Path,
    on_result: Callable[[ForecastCard | Refused], None] = lambda _result: None,
    device: str = "cpu",
    visual_device: str = "cpu",
    asides: Mapping[str, Aside] | None = None,
) -> Predicted:
    """Forecast each file; a bad one costs itself. Every network is loaded once.

    plan_of: how each kind of feature is made by the settings. on_result: is told of each file as
    soon as it is done, so that it is not lost when the rest is. device: of the model's network.
    visual_device: of the autoencoder. asides: processes that make some kinds beside this one.
    Raises IncompatibleFeatures where the settings make other features than those the model was
    trained on, FeatureError where weights are missing, DeviceMissing.
    """
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    plans = settled_plans(catalog, sets, plan_of, data, visual_device=visual_device)
    for plan in plans.values():
        resolve(plan.device)  # before any file is read: it is no fault of theirs
    seconds: dict[str, float] = {}
    one_off = OneOff(plans, asides)
    with _timed(seconds, "model"):
        checkpoint = load_model(data, model, device)
    checkpoint.card.require_features({kind: one.config_hash for kind, one in sets.items()})
    is_constant = isinstance(checkpoint.network, ConstantRegressor)
    beside = _Beside(catalog, model, is_constant, request.least_gain)
    forecasting = _Forecasting(checkpoint, model, request, one_off, beside)
    results: list[ForecastCard | Refused] = []
    with _recorded(catalog, model, request) as run:
        if run is not None:
            run.expect(len(request.files))
        for given in request.files:
            result = given if isinstance(given, Refused) else forecasting.of(given)
            results.append(result)
            on_result(result)
            if run is not None:
                _record(run, result)
    load_s = {**seconds, **one_off.load_s}
    return Predicted(tuple(results), load_s, None if run is None else run.outcome)


@dataclass
class _Forecasting:
    """One loaded model that forecasts file after file; it asks the catalog through `beside`."""

    checkpoint: Checkpoint
    model: ModelFacts
    request: PredictRequest
    one_off: OneOff
    beside: "_Beside"
    _store: HeldStore = field(default_factory=HeldStore)

    def of(self, path: Path) -> ForecastCard | Refused:
        name = name_text(path)
        try:
            made = self._made(path)
            if isinstance(made, Refused):
                return made
            missing = self._missing(made)
            if missing is not None:
                return Refused(name, missing.code, str(missing))
            return self._card(path, name, made)
        except (WeightsMissing, WeightsMismatch):
            raise  # no file's fault
        except (FeatureError, IncompatibleFeatures, NotFinite) as error:
            return Refused(name, error.code, str(error))

    def _made(self, path: Path) -> MadeFeatures | Refused:
        """Read the file, by extractors of which some live in other processes."""
        try:
            return self.one_off(path, clean_text(self.request.caption))
        except (FeatureError, IncompatibleFeatures, NotFinite):
            raise
        except Exception as error:
            log.exception("%s: an error that nobody expected", name_text(path))
            why = f"{type(error).__name__}: {error}; a defect of this program, please report it"
            return Refused(name_text(path), UNEXPECTED, why)

    def _card(self, path: Path, name: str, made: MadeFeatures) -> ForecastCard:
        seconds = {"look": made.probe_s}
        seconds |= {kind: part.seconds for kind, part in made.made.items()}
        card, facts = self.checkpoint.card, self.request.facts(made)
        with _timed(seconds, "catalog"):
            known, part = self.beside.known(path)
        example = self._example(made, facts, 0 if known is None else known.video_id)
        said, moves = self._forecast(example, seconds)
        with _timed(seconds, "catalog"):
            standing = self.beside.standing(said.views_k, facts.hashtags)
            similar = self._similar(example) if self.request.similar else None
        errors = {kind: made.made[kind].error for kind in card.feature_sets}
        return ForecastCard(
            file=name,
            model=self._line,
            views_k=said.views_k,
            low_k=said.low_k,
            high_k=said.high_k,
            quartile=said.quartile,
            edges_k=card.edges.edges,
            standing=standing,
            similar=similar,
            moves=moves,
            record=self.beside.record,
            duration_s=facts.duration_s,
            width_px=made.probe.width_px,
            height_px=made.probe.height_px,
            caption=facts.caption,
            hashtags=facts.hashtags,
            posted_at=utc_text(facts.posted_at),
            transcript=facts.transcript,
            language=facts.language,
            read=tuple(kind for kind, error in errors.items() if error is None),
            absent={kind: str(error) for kind, error in errors.items() if error is not None},
            known_as=None if known is None else known.tiktok_id,
            known_part=part,
            cautions=cautions_of(made),
            is_similar_asked=self.request.similar,
            seconds=seconds,
        )

    def _forecast(
        self, example: Example, seconds: dict[str, float]
    ) -> tuple[Forecast, tuple[Move, ...]]:
        """The forecast, and what moved it."""
        with _timed(seconds, "forecast"):
            said = self._scorer(example)
        with _timed(seconds, "leaving out"):
            moves = moves_of(
                self.checkpoint.network,
                example,
                target=self.checkpoint.card.target,
                score=self._scorer,
                kind=self._kind,
            )
        return said, moves

    def _missing(self, made: MadeFeatures) -> FeatureError | None:
        """Why a feature that the model cannot do without is not there."""
        needs = self._kind.needs_of(self.checkpoint.network.config)
        errors = (made.made[kind].error for kind in needs)
        return next((error for error in errors if error is not None), None)

    def _example(self, made: MadeFeatures, facts: PostFacts, video_id: int) -> Example:
        parts = {kind: made.made[kind].tensors for kind in self.checkpoint.card.feature_sets}
        self._store.held = {kind: found for kind, found in parts.items() if found is not None}
        refs = {kind: FeatureRef("done", kind, 0, None) for kind in self._store.held}
        return self._reader(video_id, refs, None, facts)

    def _similar(self, example: Example) -> tuple[Similar, ...] | None:
        """The most similar known videos; None where the model looks at no others."""
        find: Callable[[Example, int], Sequence[Neighbour]] | None = getattr(
            self.checkpoint.network, "nearest", None
        )
        return None if find is None else self.beside.similar(find(example, N_SIMILAR))

    @cached_property
    def _scorer(self) -> Scorer:
        card = self.checkpoint.card
        return Scorer(self.checkpoint.network, card.target, card.edges, card.medians_k)

    @cached_property
    def _reader(self) -> Reader:
        return reader_of(self.model, self._store)

    @cached_property
    def _kind(self) -> Kind:
        return find_kind(self.checkpoint.card.kind)

    @cached_property
    def _line(self) -> ModelLine:
        return ModelLine(
            self.model.name,
            self.model.version,
            self.model.model_kind,
            self.checkpoint.card.objective,
            is_shuffled=bool(self.model.hyper.get("shuffled_labels")),
        )


@dataclass
class _Beside:
    """What the catalog says beside a forecast: of the file, of other videos, of the model."""

    catalog: Catalog
    model: ModelFacts
    is_constant: bool
    least_gain: float

    def known(self, path: Path) -> tuple[KnownVideo | None, str | None]:
        """The catalog's video that has this very file, and its part in the model's split."""
        sha256 = sha256_of(path)
        with self.catalog.read() as session:
            known = videos_of_files(session, [sha256]).get(sha256)
            if known is None or self.model.split_id is None:
                return known, None
            return known, part_in_split(session, self.model.split_id, known.video_id)

    def standing(self, views_k: float, hashtags: tuple[str, ...]) -> Standing:
        """The share of comparable videos that a forecast is above."""
        with self.catalog.read() as session:
            others = views_with_hashtags(session, hashtags)
        if len(others) >= COMPARABLE_AT_LEAST:
            return Standing(percentile_of(views_k, others), len(others), hashtags)
        return Standing(percentile_of(views_k, self._all_views), len(self._all_views))

    def similar(self, nearest: Sequence[Neighbour]) -> tuple[Similar, ...]:
        """What is known of the videos that are still there."""
        with self.catalog.read() as session:
            found = known_videos(session, [one.video_id for one in nearest])
        return tuple(
            Similar(video.tiktok_id, video.url, video.caption, video.views_k, one.similarity)
            for one in nearest
            if (video := found.get(one.video_id)) is not None
        )

    @cached_property
    def record(self) -> TrackRecord:
        """How the model did in the run that trained it."""
        with self.catalog.read() as session:
            metrics = {
                part: final_metrics(session, self.model.train_run_id, part)
                for part in ("holdout", "val")
            }
        return judge(metrics, is_constant=self.is_constant, least_gain=self.least_gain)

    @cached_property
    def _all_views(self) -> "array[float]":
        with self.catalog.read() as session:
            return all_views(session)


@contextmanager
def _recorded(
    catalog: Catalog, model: ModelFacts, request: PredictRequest
) -> Iterator[RunInProgress | None]:
    if not request.record:
        yield None
        return
    # However many of the files are bad: they were named one by one.
    budget = FailureBudget(min_failures=len(request.files) + 1)
    with record_run(
        catalog, "predict", params=request.params(), model_version_id=model.id, budget=budget
    ) as run:
        yield run


def _record(run: RunInProgress, result: ForecastCard | Refused) -> None:
    if isinstance(result, Refused):
        run.failed(result.file, result.code, plain(result.message, 1000))
    else:
        run.note(result.file, "prediction", card_document(result))
        run.done()


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - start
