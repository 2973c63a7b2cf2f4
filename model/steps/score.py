"""Score in batch: predict what was not predicted, and measure it where the truth is known."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from catalog.ages import AgeRule
from catalog.console import Progress
from catalog.facts import IN_SAMPLE, FeatureSetFacts, ModelFacts, PredictionFacts, ScoreRow
from catalog.read.lookup import model_feature_sets
from catalog.read.pending import scored_rows, videos_to_score
from catalog.record.lineage import store_predictions
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.errors import FeatureError
from features.store import FeatureStore
from model.batches import NO_FACTS, Example
from model.checkpoint import Checkpoint, ModelCard, load_checkpoint
from model.errors import BadCheckpoint, IncompatibleFeatures, NotFinite
from model.evaluation.metrics import NOBODY, clusters_of, evaluate
from model.registry import PRESETS, Kind, find_kind
from model.scoring import Forecast, Scorer
from model.solved.judge import Judge
from model.steps.rows import Reader, Wanted, attached, facts_of, hash_of, read_histories


@dataclass
class Judged:
    """What was forecast and what came of it, in thousands, and whose post it is; 41 bytes a row."""

    actual: "array[float]" = field(default_factory=lambda: array("d"))
    predicted: "array[float]" = field(default_factory=lambda: array("d"))
    low: "array[float]" = field(default_factory=lambda: array("d"))
    high: "array[float]" = field(default_factory=lambda: array("d"))
    quartile: "array[int]" = field(default_factory=lambda: array("b"))
    author: "array[int]" = field(default_factory=lambda: array("q"))

    def add(
        self,
        actual_k: float,
        predicted_k: float,
        low_k: float | None,
        high_k: float | None,
        quartile: int | None,
        author: int | None = None,
    ) -> None:
        """Count a row in; what is None for one row is not measured for any, but for its author."""
        self.author.append(NOBODY if author is None else author)
        self.actual.append(actual_k)
        self.predicted.append(predicted_k)
        if low_k is not None and high_k is not None:
            self.low.append(low_k)
            self.high.append(high_k)
        if quartile is not None:
            self.quartile.append(quartile)

    def metrics(self, card: ModelCard) -> dict[str, float]:
        """Measure the rows beside the constants of the model's training; nothing for no row."""
        n = len(self.actual)
        if not n:
            return {}
        has_interval = len(self.low) == n
        return evaluate(
            self.actual,
            self.predicted,
            constants=card.constants,
            edges=card.edges,
            low_k=self.low if has_interval else None,
            high_k=self.high if has_interval else None,
            predicted_quartile=self.quartile if len(self.quartile) == n else None,
            clusters=clusters_of(self.author),
        )


SCORE_PAGE, SCORE_BATCH = 1_000, 64  # rows read, and predictions written, at once


def score(
    catalog: Catalog,
    model: ModelFacts,
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
    device: str = "cpu",
    rescore: bool = False,
    parts: Sequence[str] | None = None,
    parent_id: int | None = None,
    ages: AgeRule | None = None,
) -> Outcome:
    """Predict every ready video that this model version has not scored. Safe to stop and repeat.

    device: of a network, as the settings say it. parts: only these of the model's split, such as
    holdout; "new" is what it does not hold. ages: by which the count at the model's horizon is
    told, that is the truth of a new video; None: the settings' defaults.

    A run that was killed goes on as itself, so that its metrics cover all of its rows: by part
    (`new` are the videos that the model's split does not hold), beside the constants of the
    training rows.
    """
    checkpoint = load_model(data, model, device)
    card = checkpoint.card
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    card.require_features({feature: facts.config_hash for feature, facts in sets.items()})
    kind = find_kind(card.kind)
    scorer = Scorer(checkpoint.network, card.target, card.edges, card.medians_k)
    reader = reader_of(model, store)
    with (
        record_run(
            catalog,
            "score",
            params={"rescore": rescore, **({} if parts is None else {"parts": list(parts)})},
            model_version_id=model.id,
            parent_id=parent_id,
            resume=True,
        ) as run,
        kind.threads(),
    ):
        todo = _Todo(catalog, model, kind, sets, run.id, rescore, parts, ages)
        n_ready = todo.count()
        wanted = wanted_of(model, kind, sets)
        past = read_histories(catalog, wanted.history, model.split_id) if n_ready else None
        run.expect(n_ready)
        progress.expect(n_ready)
        for rows in todo.pages():
            predictions = []
            facts = facts_of(catalog, wanted, [row.video_id for row in rows])
            for row in rows:
                said = facts.get(row.video_id, NO_FACTS)
                try:
                    # A new video is asked for at the horizon, which is what no age stands for.
                    example = reader(row.video_id, row.features, None, said, row.label_age_s)
                    [example] = attached([example], past)
                    forecast = scorer(example)
                except (FeatureError, IncompatibleFeatures, NotFinite) as error:
                    run.failed(row.tiktok_id, error.code, str(error))
                else:
                    predictions.append(_prediction(row, example, forecast, model, card))
            with catalog.write() as session:
                n_new = store_predictions(session, run.id, predictions)
            run.done(n_new)
            progress.advance(len(rows))
        if isinstance(checkpoint.network, Judge):
            run.note(model.name, "judge_asked", checkpoint.network.counts())
        _record_scores(catalog, run, card)
    return run.outcome


def count_to_score(
    catalog: Catalog, model: ModelFacts, *, rescore: bool, parts: Sequence[str] | None = None
) -> int:
    """Count the videos that `score` would predict now."""
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    return _Todo(catalog, model, find_kind(model.model_kind), sets, 0, rescore, parts).count()


def load_model(data: Path, model: ModelFacts, device: str = "cpu") -> Checkpoint:
    """Load a registered version onto a device, as the settings say it.

    Raises DeviceMissing, and BadCheckpoint where its file is not the registered one.
    """
    path = data / model.artifact_uri
    try:
        checkpoint = load_checkpoint(path, device)
    except BadCheckpoint as error:
        preset = model.hyper.get("preset")
        preset = preset if preset in PRESETS else model.model_kind  # an old one may be no more
        raise BadCheckpoint(
            f"{model.name} version {model.version} cannot be used: {error}; train a "
            f"new version (`viewcast train {preset} --name {model.name} --again`) and, where this "
            f"one is {model.name}@production, promote it, or restore the file that was registered"
        ) from error
    if checkpoint.sha256 != model.sha256:
        raise BadCheckpoint(
            f"{path} has sha256 {checkpoint.sha256}; {model.name} version {model.version} was "
            f"registered with {model.sha256}"
        )
    return checkpoint


def reader_of(model: ModelFacts, store: FeatureStore) -> Reader:
    """Make what reads rows the way they were read in the model's training."""
    tensors: Mapping[str, str | Sequence[str]] = model.hyper["tensors"]
    named = {kind: (one,) if isinstance(one, str) else one for kind, one in tensors.items()}
    return Reader(store, named, model.hyper.get("clip_depth"))


def wanted_of(model: ModelFacts, kind: Kind, sets: Mapping[str, FeatureSetFacts]) -> Wanted:
    """What of a row a registered model reads, by the rules it was trained with.

    One of shuffled labels reads no history: what earlier posts really got is no chance.
    """
    settings = model.hyper.get("network", {})
    rule = settings.get("history", "none")
    if model.hyper.get("shuffled_labels"):
        rule = "none"
    return Wanted(
        model.split_id or 0,
        {feature: facts.id for feature, facts in sets.items()},
        model.hyper.get("needs", kind.needs),
        kind.optional,
        with_facts=kind.reads_facts,
        as_of=settings.get("as_of", "post"),
        history=None if rule == "none" else rule,
    )


@dataclass(frozen=True)
class _Todo:
    """The videos that one run of one model version has to score."""

    catalog: Catalog
    model: ModelFacts
    kind: Kind
    sets: Mapping[str, FeatureSetFacts]
    run_id: int
    rescore: bool
    parts: Sequence[str] | None
    ages: AgeRule | None = None

    def count(self) -> int:
        with self.catalog.read() as session:
            return sum(1 for _ in self._ready(session))

    def pages(self) -> Iterator[Sequence[ScoreRow]]:
        """Give what is to score, a page read in one short transaction, in batches to be written."""
        last = 0
        while True:
            with self.catalog.read() as session:
                page = list(islice(self._ready(session, after=last), SCORE_PAGE))
            for start in range(0, len(page), SCORE_BATCH):
                yield page[start : start + SCORE_BATCH]
            if len(page) < SCORE_PAGE:
                return
            last = page[-1].video_id

    @property
    def _ready(self) -> "partial[Iterator[ScoreRow]]":
        return partial(
            videos_to_score,
            model_version_id=self.model.id,
            feature_set_ids={feature: facts.id for feature, facts in self.sets.items()},
            required=self.model.hyper.get("needs", self.kind.needs),
            run_id=self.run_id,
            rescore=self.rescore,
            optional=self.kind.optional,
            parts=self.parts,
            horizon_s=self.model.horizon_s,
            ages=self.ages,
        )


def _record_scores(catalog: Catalog, run: RunInProgress, card: ModelCard) -> None:
    """Store the metrics of all rows of the run whose truth is known, by part."""
    parts: dict[str, Judged] = {}
    with catalog.read() as session:
        for row in scored_rows(session, run.id):
            parts.setdefault(row.part, Judged()).add(
                row.actual_k,
                row.predicted_k,
                row.low_k,
                row.high_k,
                row.pred_quartile,
                row.author,
            )
    for part, judged in parts.items():
        for metric, value in judged.metrics(card).items():
            run.metric(part, metric, value)


def _prediction(
    row: ScoreRow, example: Example, forecast: Forecast, model: ModelFacts, card: ModelCard
) -> PredictionFacts:
    inputs: list[object] = [model.sha256]
    if model.horizon_s is not None and example.age_s is not None:
        inputs.append(example.age_s)
    inputs += [ref.sha256 for _, ref in sorted(row.features.items())]
    if example.facts is not NO_FACTS:
        inputs.append(asdict(example.facts))
    if example.history is not None:
        inputs.append(np.asarray(example.history, dtype="<f4").tobytes().hex())
    taught = row.part in model.hyper.get("learned_from", [IN_SAMPLE])
    return PredictionFacts(
        video_id=row.video_id,
        predicted_k=forecast.views_k,
        actual_k=row.actual_k,
        observation_id=row.observation_id,
        pred_quartile=forecast.quartile,
        actual_quartile=None if row.actual_k is None else int(card.edges.classify(row.actual_k)),
        inputs_sha256=hash_of(*inputs),
        part=IN_SAMPLE if taught else row.part,
        low_k=forecast.low_k,
        high_k=forecast.high_k,
        horizon_s=_horizon_s(row, model),
        posted_at=row.posted_at,
    )


def _horizon_s(row: ScoreRow, model: ModelFacts) -> int | None:
    """Age that a forecast is of; of a member of the split whose labels are of any age, its own."""
    if model.horizon_s is None or row.part == "new" or model.label.startswith("at:"):
        return model.horizon_s
    return None if row.label_age_s is None else max(0, round(row.label_age_s))
