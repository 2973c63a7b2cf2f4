"""Forecast media files that are in no catalog, by a trained model; stores nothing unless asked."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.errors import name_text
from catalog.facts import FeatureRef, ModelFacts, PostFacts
from catalog.files import clean_text
from catalog.read.beside import newest_set_of
from catalog.read.lookup import model_feature_sets
from catalog.schema.session import Catalog
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from features.device import resolve
from features.errors import FeatureError, WeightsMismatch, WeightsMissing
from features.one_video import Aside, HeldStore, MadeFeatures, OneOff
from features.plan import Plan
from model.base import Network
from model.batches import Example
from model.checkpoint import Checkpoint
from model.errors import IncompatibleFeatures, NotFinite
from model.forecast.ablation import BLOCKS, moves_of
from model.forecast.card import ForecastCard, LikeIt, ModelLine, Move, Refused, Similar, plain
from model.forecast.card_json import card_document
from model.forecast.cautions import FAR_BELOW, Caution, cautions_of, far_from_training
from model.forecast.opening_facts import Measured, numbers_of, opening_of
from model.forecast.ranking import Ranking, Said, ranking_of
from model.forecast.request import PredictRequest, sorted_hashtags, utc_text
from model.forecast.what_if import WhatIf, changes_of, what_if
from model.modern.model import ModernNetwork
from model.modern.neighbours import Neighbour
from model.registry import Kind, find_kind
from model.scoring import Forecast, Scorer
from model.solved.constants import ConstantRegressor
from model.steps.beside import Beside
from model.steps.rows import Reader
from model.steps.score import load_model, reader_of, wanted_of
from model.steps.settled_plans import settled_plans

log = logging.getLogger(__name__)

UNEXPECTED = "unexpected"
OPENING = "opening"
N_SIMILAR = 5
N_LIKE_IT = 100


@dataclass(frozen=True)
class Predicted:
    """One card or refusal per file, in their order; load_s: seconds that loading took, by part.

    ranking: of the files that have a forecast; None of fewer than two, or of a constant.
    outcome: of the run, None where nothing was recorded.
    """

    results: tuple[ForecastCard | Refused, ...]
    load_s: Mapping[str, float]
    ranking: Ranking | None = None
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
    plans = {**_opening_plan(catalog, plan_of, data), **plans}
    for plan in plans.values():
        resolve(plan.device)  # before any file is read: it is no fault of theirs
    seconds: dict[str, float] = {}
    one_off = OneOff(plans, asides)
    with _timed(seconds, "model"):
        checkpoint = load_model(data, model, device)
    checkpoint.card.require_features({kind: one.config_hash for kind, one in sets.items()})
    wanted = wanted_of(model, find_kind(checkpoint.card.kind), sets)
    beside = Beside(
        catalog,
        model,
        wanted.history,
        request.posted_at or datetime.now(UTC),
        isinstance(checkpoint.network, ConstantRegressor),
        request.author,
        request.sound,
        _all_hashtags(request),
        request.least_gain,
        wanted.as_of,
        _levels(checkpoint.network),
    )
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
    ranking = None if beside.is_constant else _ranked(results, beside)
    return Predicted(tuple(results), load_s, ranking, None if run is None else run.outcome)


def _opening_plan(
    catalog: Catalog, plan_of: Callable[[str], Plan], data: Path
) -> Mapping[str, Plan]:
    """How openings are measured as those of the catalog were, where it has any."""
    with catalog.read() as session:
        found = newest_set_of(session, OPENING)
    if found is None:
        return {}
    try:
        return settled_plans(catalog, {OPENING: found}, plan_of, data)
    except IncompatibleFeatures as error:
        log.info("the opening is not compared: %s", error)
        return {}


def _all_hashtags(request: PredictRequest) -> tuple[str, ...]:
    """All that any forecast of the request is asked with."""
    captioned = request.captioned()
    more = () if captioned is None else captioned.all_hashtags
    tried = sorted_hashtags(request.try_hashtags)
    return tuple(sorted({*request.all_hashtags, *tried, *more}))


def _ranked(results: Sequence[ForecastCard | Refused], beside: Beside) -> Ranking | None:
    cards = [result for result in results if isinstance(result, ForecastCard)]
    if len(cards) < 2:
        return None
    said = [
        card.views_k
        if card.low_k is None or card.high_k is None
        else Said(card.views_k, card.low_k, card.high_k)
        for card in cards
    ]
    return ranking_of([card.file for card in cards], said, beside.shared)


def _levels(network: Network) -> NDArray[np.float64] | None:
    """Levels of the catalog that a network remembers; None: it remembers none."""
    return network.levels.numpy() if isinstance(network, ModernNetwork) else None


@dataclass
class _Forecasting:
    """One loaded model that forecasts file after file; it asks the catalog through `beside`."""

    checkpoint: Checkpoint
    model: ModelFacts
    request: PredictRequest
    one_off: OneOff
    beside: Beside
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
        card = self.checkpoint.card
        with _timed(seconds, "catalog"):
            known, part = self.beside.known(path)
            facts = self._facts(self.request, made)
        video_id = 0 if known is None else known.video_id
        with _timed(seconds, "catalog"):
            example = self._example(made, facts, video_id)
        said, moves = self._forecast(example, seconds)
        with _timed(seconds, "catalog"):
            standing = self.beside.standing(said.views_k, facts.hashtags)
            among_own = self.beside.among_own(said.views_k)
            similar, like_it = self._alike(example)
        likeness = self._likeness(example)
        with _timed(seconds, "opening beside others"):
            opening = self._opening(made)
        others = None
        if self.request.what_if:
            with _timed(seconds, "what if"):
                others = self._what_if(made, facts, video_id, said.views_k)
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
            cautions=self._cautions(made, likeness, moves),
            is_similar_asked=self.request.similar,
            seconds=seconds,
            account=facts.account,
            among_own=among_own,
            like_it=like_it,
            likeness=likeness,
            opening=opening,
            opening_against=self.beside.opening_table.against if opening else "forecast",
            what_if=others,
        )

    def _facts(self, request: PredictRequest, made: MadeFeatures) -> PostFacts:
        facts = self.beside.poster.fill(request.facts(made))
        return replace(facts, topics=self.beside.topics(facts.hashtags))

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
        """A row as the model reads it, with what earlier posts got as of the moment of posting."""
        parts = {kind: made.made[kind].tensors for kind in self.checkpoint.card.feature_sets}
        self._store.held = {kind: found for kind, found in parts.items() if found is not None}
        refs = {kind: FeatureRef("done", kind, 0, None) for kind in self._store.held}
        example = self._reader(video_id, refs, None, facts)
        return replace(example, history=self.beside.history_of(facts, video_id))

    def _alike(self, example: Example) -> tuple[tuple[Similar, ...] | None, LikeIt | None]:
        """The most similar known videos, and what the nearest hundred got.

        None where the model looks at no others, or nobody asked.
        """
        find: Callable[[Example, int], Sequence[Neighbour]] | None = getattr(
            self.checkpoint.network, "nearest", None
        )
        if find is None or not self.request.similar:
            return None, None
        # Without a caption, a sound or a picture nothing may be like it: 0 to each.
        nearest = [one for one in find(example, N_LIKE_IT) if one.similarity > 0]
        return self.beside.similar(nearest[:N_SIMILAR]), self.beside.like_it(nearest)

    def _likeness(self, example: Example) -> Mapping[str, float]:
        network = self.checkpoint.network
        return network.encoder.likeness(example) if isinstance(network, ModernNetwork) else {}

    def _opening(self, made: MadeFeatures) -> tuple[Measured, ...]:
        if OPENING not in made.made or made.made[OPENING].error is not None:
            return ()
        numbers = numbers_of({kind: one.detail for kind, one in made.made.items()})
        return opening_of(numbers, self.beside.opening_table)

    def _what_if(
        self, made: MadeFeatures, facts: PostFacts, video_id: int, views_k: float
    ) -> WhatIf:
        if not self._kind.reads_facts:
            return WhatIf((), None, reads_post=False)
        captioned = self.request.captioned()
        other = None if captioned is None else self._facts(captioned, made)
        changes = changes_of(
            facts, try_hashtags=sorted_hashtags(self.request.try_hashtags), captioned=other
        )

        def forecast(changed: PostFacts) -> float:
            topical = replace(changed, topics=self.beside.topics(changed.hashtags))
            said = made
            if changed.caption != facts.caption:
                said = self.one_off.with_caption(made, changed.caption)
            return self._scorer(self._example(said, topical, video_id)).views_k

        return what_if(changes, views_k, forecast, self.beside.record.log_mae)

    def _cautions(
        self, made: MadeFeatures, likeness: Mapping[str, float], moves: Sequence[Move]
    ) -> tuple[Caution, ...]:
        # What is measured for the card alone is no part of what the forecast rests on.
        wanted = {*self.checkpoint.card.feature_sets, "clip"}
        read = replace(made, made={kind: one for kind, one in made.made.items() if kind in wanted})
        far = {BLOCKS[name] for name, percentile in likeness.items() if percentile < FAR_BELOW}
        rest = [move.modality for move in moves if move.modality not in far]
        return (
            *cautions_of(read),
            *self.beside.poster.cautions,
            *far_from_training(likeness, rest),
        )

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
            as_of=self.model.as_of,
            history=self.model.history_rule,
            label=self.model.label,
            horizon_s=self.model.horizon_s,
        )


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
