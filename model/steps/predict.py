"""Forecast media files that are in no catalog, by a trained model; stores nothing unless asked."""

import hashlib
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from catalog.comparing import final_metrics
from catalog.facts import FeatureRef, ModelFacts
from catalog.lookup import model_feature_sets
from catalog.progress import Progress
from catalog.runs import FailureBudget, Outcome, Run, record_run
from catalog.session import Catalog
from catalog.similar import (
    KnownVideo,
    all_views,
    known_videos,
    part_in_split,
    videos_of_files,
    views_with_hashtags,
)
from features.aside import Aside
from features.errors import FeatureError, WeightsMismatch, WeightsMissing
from features.oneoff import HeldStore, MadeFeatures, OneOff
from features.plan import Plan
from model.batches import Example
from model.checkpoint import Checkpoint
from model.errors import IncompatibleFeatures, NotFinite
from model.facts import Facts
from model.forecast.card import (
    ForecastCard,
    ModelLine,
    Refused,
    Similar,
    Standing,
    TrackRecord,
    card_document,
    judge,
    percentile_of,
    plain,
)
from model.forecast.leaving_out import moves_of
from model.modern.neighbours import Neighbour
from model.registry import Kind, find_kind
from model.scoring import Scorer
from model.solved.baselines import ConstantRegressor
from model.steps.inputs import Reader
from model.steps.predict_plans import settled_plans
from model.steps.predict_request import PredictRequest, utc_text
from model.steps.score import load_model, reader_of

COMPARABLE_AT_LEAST = 30  # videos with a common hashtag; with fewer, all are compared with
N_SIMILAR = 5
CHECKSUM_BYTES = 1 << 20


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
    def exit_code(self) -> int:
        """0 where all files have a forecast, 4 where some have, 1 where none has."""
        if not self.n_failed:
            return 0
        return 4 if self.n_failed < len(self.results) else 1


def predict(
    catalog: Catalog,
    model: ModelFacts,
    request: PredictRequest,
    plan_of: Callable[[str], Plan],
    *,
    data: Path,
    progress: Progress,
    asides: Mapping[str, Aside] | None = None,
) -> Predicted:
    """Forecast each file; a bad one costs itself. Every network is loaded once.

    plan_of: how each kind of feature is made by the settings. asides: processes that make some
    kinds beside this one. Raises IncompatibleFeatures where the settings make other features than
    those the model was trained on, and FeatureError where weights are missing.
    """
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    plans = settled_plans(catalog, sets, plan_of, data)
    seconds: dict[str, float] = {}
    one_off = OneOff(plans, asides)
    with _timed(seconds, "model"):
        checkpoint = load_model(data, model)
    checkpoint.card.require_features({kind: one.config_hash for kind, one in sets.items()})
    forecasting = _Forecasting(catalog, model, checkpoint, request, one_off)
    results: list[ForecastCard | Refused] = []
    with _recorded(catalog, model, request) as run:
        progress.expect(len(request.files))
        if run is not None:
            run.expect(len(request.files))
        for path in request.files:
            result = forecasting.of(path)
            results.append(result)
            if run is not None:
                _record(run, result)
            progress.advance()
    load_s = {**seconds, **one_off.load_s}
    return Predicted(tuple(results), load_s, None if run is None else run.outcome)


@dataclass
class _Forecasting:
    """One loaded model that forecasts file after file."""

    catalog: Catalog
    model: ModelFacts
    checkpoint: Checkpoint
    request: PredictRequest
    one_off: OneOff
    _store: HeldStore = field(default_factory=HeldStore)

    def of(self, path: Path) -> ForecastCard | Refused:
        name = plain(str(path))
        try:
            made = self.one_off(path)
            missing = self._missing(made)
            if missing is not None:
                return Refused(name, missing.code, str(missing))
            return self._card(path, name, made)
        except (WeightsMissing, WeightsMismatch):
            raise  # no file's fault
        except (FeatureError, IncompatibleFeatures, NotFinite) as error:
            return Refused(name, error.code, str(error))

    def _card(self, path: Path, name: str, made: MadeFeatures) -> ForecastCard:
        seconds = {"look": made.probe_s}
        seconds |= {kind: part.seconds for kind, part in made.made.items()}
        card, facts = self.checkpoint.card, self.request.facts(made)
        with _timed(seconds, "catalog"):
            known, part = self._known(path)
        example = self._example(made, facts, 0 if known is None else known.video_id)
        with _timed(seconds, "forecast"):
            said = self._scorer(example)
        with _timed(seconds, "leaving out"):
            moves = moves_of(
                self.checkpoint.network,
                example,
                target=card.target,
                score=self._scorer,
                kind=self._kind,
            )
        with _timed(seconds, "catalog"):
            standing = self._standing(said.views_k, facts.hashtags)
            similar = self._similar(example) if self.request.similar else None
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
            record=self._record,
            duration_s=facts.duration_s,
            width_px=made.probe.width_px,
            height_px=made.probe.height_px,
            caption=facts.caption,
            hashtags=facts.hashtags,
            posted_at=utc_text(facts.posted_at),
            transcript=facts.transcript,
            language=facts.language,
            read=tuple(kind for kind in card.feature_sets if made.made[kind].error is None),
            absent={
                kind: str(error)
                for kind in card.feature_sets
                if (error := made.made[kind].error) is not None
            },
            known_as=None if known is None else known.tiktok_id,
            known_part=part,
            seconds=seconds,
        )

    def _missing(self, made: MadeFeatures) -> FeatureError | None:
        """Why a feature that the model cannot do without is not there."""
        for kind in self._kind.needs_of(self.checkpoint.network.config):
            error = made.made[kind].error
            if error is not None:
                return error
        return None

    def _example(self, made: MadeFeatures, facts: Facts, video_id: int) -> Example:
        parts = {kind: made.made[kind].tensors for kind in self.checkpoint.card.feature_sets}
        self._store.held = {kind: found for kind, found in parts.items() if found is not None}
        refs = {kind: FeatureRef("done", kind, 0, None) for kind in self._store.held}
        return self._reader(video_id, refs, None, facts)

    def _known(self, path: Path) -> tuple[KnownVideo | None, str | None]:
        """The catalog's video that has this very file, and its part in the model's split."""
        checksum = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(CHECKSUM_BYTES):
                checksum.update(block)
        sha256 = checksum.hexdigest()
        with self.catalog.read() as session:
            known = videos_of_files(session, [sha256]).get(sha256)
            if known is None or self.model.split_id is None:
                return known, None
            return known, part_in_split(session, self.model.split_id, known.video_id)

    def _standing(self, views_k: float, hashtags: tuple[str, ...]) -> Standing:
        with self.catalog.read() as session:
            others = views_with_hashtags(session, hashtags)
        if len(others) >= COMPARABLE_AT_LEAST:
            return Standing(percentile_of(views_k, others), len(others), hashtags)
        return Standing(percentile_of(views_k, self._all_views), len(self._all_views))

    def _similar(self, example: Example) -> tuple[Similar, ...] | None:
        nearest = self._nearest(example)
        if nearest is None:
            return None
        with self.catalog.read() as session:
            found = known_videos(session, [one.video_id for one in nearest])
        return tuple(
            Similar(video.tiktok_id, video.url, video.caption, video.views_k, one.similarity)
            for one in nearest
            if (video := found.get(one.video_id)) is not None
        )

    def _nearest(self, example: Example) -> Sequence[Neighbour] | None:
        """The most similar known videos; None where the model looks at no others."""
        find: Callable[[Example, int], Sequence[Neighbour]] | None = getattr(
            self.checkpoint.network, "nearest", None
        )
        return None if find is None else find(example, N_SIMILAR)

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
    def _all_views(self) -> "array[float]":
        with self.catalog.read() as session:
            return all_views(session)

    @cached_property
    def _record(self) -> TrackRecord:
        """How the model did in the run that trained it."""
        with self.catalog.read() as session:
            metrics = {
                part: final_metrics(session, self.model.train_run_id, part)
                for part in ("holdout", "val")
            }
        return judge(metrics, is_constant=isinstance(self.checkpoint.network, ConstantRegressor))

    @cached_property
    def _line(self) -> ModelLine:
        return ModelLine(
            self.model.name,
            self.model.version,
            self.model.model_kind,
            self.checkpoint.card.objective,
            is_shuffled=bool(self.model.hyper.get("shuffled_labels")),
        )


@contextmanager
def _recorded(catalog: Catalog, model: ModelFacts, request: PredictRequest) -> Iterator[Run | None]:
    if not request.record:
        yield None
        return
    # However many of the files are bad: they were named one by one.
    budget = FailureBudget(min_failures=len(request.files) + 1)
    with record_run(
        catalog, "predict", params=request.params(), model_version_id=model.id, budget=budget
    ) as run:
        yield run


def _record(run: Run, result: ForecastCard | Refused) -> None:
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
