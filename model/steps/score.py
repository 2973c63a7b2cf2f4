"""Score in batch: predict what was not predicted, and measure it where the truth is known."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from catalog.facts import ModelFacts, PredictionFacts, ScoreRow
from catalog.pending import model_feature_sets, scored_pairs, videos_to_score
from catalog.progress import Progress
from catalog.record import store_predictions
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from features.errors import FeatureError
from features.store import FeatureStore
from model.checkpoint import Checkpoint, ModelCard, load_checkpoint
from model.errors import BadCheckpoint, IncompatibleFeatures, NotFinite
from model.fit import Scorer
from model.metrics import evaluate
from model.registry import find_kind
from model.steps.inputs import hash_of, read_example

SCORE_PAGE, SCORE_BATCH = 1_000, 64  # rows read, and predictions written, at once


def score(
    catalog: Catalog,
    model: ModelFacts,
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
    rescore: bool = False,
    parent_id: int | None = None,
) -> Outcome:
    """Predict every ready video that this model version has not scored. Safe to stop and repeat.

    A run that was killed goes on as itself, so that its metrics cover all of its rows: by part
    (`new` are the videos that the model's split does not hold), beside the constants of the
    training rows.
    """
    checkpoint = _load(data, model)
    card = checkpoint.card
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    card.require_features({feature: facts.config_hash for feature, facts in sets.items()})
    kind = find_kind(card.kind)
    scorer = Scorer(checkpoint.network, card.target)
    tensors: Mapping[str, str] = model.hyper["tensors"]
    with record_run(
        catalog,
        "score",
        params={"rescore": rescore},
        model_version_id=model.id,
        parent_id=parent_id,
        resume=True,
    ) as run:
        ids = {feature: facts.id for feature, facts in sets.items()}
        n_ready = _count(catalog, model, ids, kind.needs, run.id, rescore=rescore)
        run.expect(n_ready)
        progress.expect(n_ready)
        for rows in _pages(catalog, model, ids, kind.needs, run, rescore=rescore):
            predictions = []
            for row in rows:
                try:
                    example = read_example(row.video_id, row.features, None, store, tensors)
                    predicted_k = scorer(example)
                except (FeatureError, IncompatibleFeatures, NotFinite) as error:
                    run.failed(row.tiktok_id, error.code, str(error))
                else:
                    predictions.append(_prediction(row, predicted_k, model, card))
            with catalog.write() as session:
                n_new = store_predictions(session, run.id, predictions)
            run.done(n_new)
            progress.advance(len(rows))
        _record_scores(catalog, run, card)
    return run.outcome


def count_to_score(catalog: Catalog, model: ModelFacts, *, rescore: bool) -> int:
    """Count the videos that `score` would predict now."""
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    ids = {feature: facts.id for feature, facts in sets.items()}
    return _count(catalog, model, ids, find_kind(model.model_kind).needs, 0, rescore=rescore)


def _count(
    catalog: Catalog,
    model: ModelFacts,
    set_ids: Mapping[str, int],
    needs: Sequence[str],
    run_id: int,
    *,
    rescore: bool,
) -> int:
    with catalog.read() as session:
        ready = videos_to_score(
            session,
            model_version_id=model.id,
            feature_set_ids=set_ids,
            required=needs,
            run_id=run_id,
            rescore=rescore,
        )
        return sum(1 for _ in ready)


def _pages(
    catalog: Catalog,
    model: ModelFacts,
    set_ids: Mapping[str, int],
    needs: Sequence[str],
    run: Run,
    *,
    rescore: bool,
) -> Iterator[Sequence[ScoreRow]]:
    """Give what is to score, a page read in one short transaction, in batches to be written."""
    last = 0
    while True:
        with catalog.read() as session:
            page = list(
                islice(
                    videos_to_score(
                        session,
                        model_version_id=model.id,
                        feature_set_ids=set_ids,
                        required=needs,
                        run_id=run.id,
                        rescore=rescore,
                        after=last,
                    ),
                    SCORE_PAGE,
                )
            )
        for start in range(0, len(page), SCORE_BATCH):
            yield page[start : start + SCORE_BATCH]
        if len(page) < SCORE_PAGE:
            return
        last = page[-1].video_id


def _record_scores(catalog: Catalog, run: Run, card: ModelCard) -> None:
    """Store the metrics of all rows of the run whose truth is known, by part."""
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    with catalog.read() as session:
        for part, actual_k, predicted_k in scored_pairs(session, run.id):
            actual, predicted = pairs.setdefault(part, ([], []))
            actual.append(actual_k)
            predicted.append(predicted_k)
    for part, (actual, predicted) in pairs.items():
        metrics = evaluate(actual, predicted, constants=card.constants, edges=card.edges)
        for metric, value in metrics.items():
            run.metric(part, metric, value)


def _prediction(
    row: ScoreRow, predicted_k: float, model: ModelFacts, card: ModelCard
) -> PredictionFacts:
    inputs = [model.sha256, *(ref.sha256 for _, ref in sorted(row.features.items()))]
    quartiles = card.edges.classify([predicted_k, row.actual_k or 0.0]).tolist()
    return PredictionFacts(
        video_id=row.video_id,
        predicted_k=predicted_k,
        actual_k=row.actual_k,
        observation_id=row.observation_id,
        pred_quartile=quartiles[0],
        actual_quartile=None if row.actual_k is None else quartiles[1],
        inputs_sha256=hash_of(*inputs),
        part=row.part,
    )


def _load(data: Path, model: ModelFacts) -> Checkpoint:
    path = data / model.artifact_uri
    checkpoint = load_checkpoint(path)
    if checkpoint.sha256 != model.sha256:
        raise BadCheckpoint(
            f"{path} has sha256 {checkpoint.sha256}; {model.name} version {model.version} was "
            f"registered with {model.sha256}"
        )
    return checkpoint
