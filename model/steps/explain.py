"""Say what drives a model's forecasts, on videos that it has not learned from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from catalog.console import Progress
from catalog.facts import ModelFacts
from catalog.read.lookup import model_feature_sets
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, record_run
from model.checkpoint import Checkpoint
from model.errors import NothingToTrain
from model.forecast.ablation import forecaster_of
from model.forecast.explain import Effect, Importance, hashtag_effects, hour_effects, importances
from model.registry import find_kind
from model.steps.rows import PartRows, Reader, attached, read_histories, read_parts
from model.steps.score import wanted_of
from model.steps.train import require_seed


@dataclass(frozen=True)
class Explained:
    """What was found, on n videos of one part of the model's split."""

    n: int
    part: str
    importances: Sequence[Importance]
    hashtags: Sequence[Effect]
    hours: Sequence[Effect]


def explain(
    catalog: Catalog,
    model: ModelFacts,
    checkpoint: Checkpoint,
    reader: Reader,
    *,
    part: str,
    at_most: int,
    seed: int,
    progress: Progress,
) -> tuple[Outcome, Explained]:
    """Measure what each block of inputs, hashtag and hour does to the forecasts; recorded as a run.

    at_most: so many videos, evenly spread over the part. Raises BadSetting for a model that reads
    no blocks, NothingToTrain for fewer than two labelled videos.
    """
    require_seed(seed)
    forecaster = forecaster_of(checkpoint.network)
    kind = find_kind(model.model_kind)
    with catalog.read() as session:
        sets = model_feature_sets(session, model.id)
    if model.split_id is None:
        raise NothingToTrain(f"{model.name} {model.version} was trained on no split")
    wanted = wanted_of(model, kind, sets)
    params = {"part": part, "at_most": at_most, "seed": seed}
    with record_run(catalog, "explain", params=params, model_version_id=model.id) as run:
        parts, _contents = read_parts(catalog, run, wanted, keep_refs=False)
        past = read_histories(catalog, wanted.history, model.split_id)
        rows = list(PartRows(catalog, parts[part].thinned(at_most), wanted, reader, past))
        if len(rows) < 2:
            raise NothingToTrain(
                f"the {part} part has {len(rows)} usable videos with a count; it takes 2 or more"
            )
        run.expect(3)
        target = checkpoint.card.target
        progress.expect(3)
        drives = importances(forecaster, rows, target, seed=seed)
        progress.advance()
        run.done()
        hashtags = hashtag_effects(
            forecaster, rows, target, seed=seed, remember=partial(attached, histories=past)
        )
        progress.advance()
        run.done()
        hours = hour_effects(forecaster, rows, target, seed=seed)
        progress.advance()
        run.done()
        explained = Explained(len(rows), part, drives, hashtags, hours)
        for importance in explained.importances:
            run.note(importance.block, "importance", asdict(importance))
        for hashtag in explained.hashtags:
            run.note(hashtag.what, "hashtag_effect", asdict(hashtag))
        for hour in explained.hours:
            run.note(hour.what, "hour_effect", asdict(hour))
    return run.outcome, explained
