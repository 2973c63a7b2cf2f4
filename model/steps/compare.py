"""Set the stored predictions of several model versions side by side, on the same videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from catalog.errors import NotFound
from catalog.facts import ModelFacts, forecast_of
from catalog.read.lookup import newest_predictions, train_labels
from catalog.schema.session import Catalog
from catalog.verdict import LEAST_GAIN
from model.errors import BadSetting, NothingToTrain
from model.evaluation.comparison import Comparison, compare_models
from model.evaluation.metrics import NOBODY, clusters_of
from model.solved.constants import Constants
from model.targets import Floats

WIDTH = 4  # video, actual, predicted, author


@dataclass(frozen=True)
class ComparedModels:
    """A comparison with what it could not use.

    n_left_out: videos that a model predicted and another did not, by model. n_other_count: videos
    of which two models knew different counts, so that no error of theirs can be paired.
    constants_of: the model whose training labels make the constants. forecasts: what each model
    forecasts, in words.
    """

    part: str
    names: tuple[str, ...]
    comparison: Comparison
    n_left_out: Mapping[str, int]
    n_other_count: int
    constants_of: str
    forecasts: Mapping[str, str]


def compare(
    catalog: Catalog,
    models: Sequence[ModelFacts],
    *,
    part: str,
    least_gain: float = LEAST_GAIN,
) -> ComparedModels:
    """Compare the newest predictions of each version for the videos that all of them have.

    The constants are of the first model's training labels. least_gain: the setting
    verdict.least_gain. Writes nothing. Raises BadSetting for
    a version named twice, NothingToTrain where the models have no video in common.
    """
    names = [f"{model.name}:{model.version}" for model in models]
    if len(set(names)) != len(names) or len(names) < 2:
        raise BadSetting(f"{', '.join(names)}: name two or more different model versions")
    tables = {
        name: _predictions(catalog, model, part) for name, model in zip(names, models, strict=True)
    }
    for name, table in tables.items():
        if not len(table):
            raise NothingToTrain(
                f"{name} has no prediction of a {part} video with a known count: run "
                f"`viewcast score --model {name}`"
            )
    common = _common([table[:, 0] for table in tables.values()])
    aligned = {
        name: table[np.isin(table[:, 0], common, assume_unique=True)]
        for name, table in tables.items()
    }
    actual = np.stack([table[:, 1] for table in aligned.values()])
    same = (actual == actual[0]).all(axis=0)
    authors = aligned[names[0]][same, 3].astype(np.int64)
    comparison = compare_models(
        actual[0, same],
        {name: table[same, 2] for name, table in aligned.items()},
        constants=_constants(catalog, models[0]),
        part=part,
        clusters=clusters_of(authors),
        least_gain=least_gain,
    )
    return ComparedModels(
        part=part,
        names=tuple(names),
        comparison=comparison,
        n_left_out={name: len(table) - len(common) for name, table in tables.items()},
        n_other_count=int((~same).sum()),
        constants_of=names[0],
        forecasts={
            name: forecast_of(model.label, model.horizon_s)
            for name, model in zip(names, models, strict=True)
        },
    )


def _predictions(catalog: Catalog, model: ModelFacts, part: str) -> Floats:
    """(n, 4) of video id, actual and predicted thousands, author; in the order of the ids."""
    with catalog.read() as session:
        rows = (
            value
            for row in newest_predictions(session, model, part)
            for value in (
                row.video_id,
                row.actual_k,
                row.predicted_k,
                NOBODY if row.author is None else row.author,
            )
        )
        # Ids are counted up by the database and stay far below 2^53, where floats end to be exact.
        return np.fromiter(rows, dtype=np.float64).reshape(-1, WIDTH)


def _common(ids: Sequence[Floats]) -> Floats:
    found = ids[0]
    for others in ids[1:]:
        found = np.intersect1d(found, others, assume_unique=True)
    return found


def _constants(catalog: Catalog, model: ModelFacts) -> Constants:
    if model.split_id is None:
        raise NotFound(f"{model.name}:{model.version} was trained on no split: it has no constants")
    with catalog.read() as session:
        return Constants.fit(np.fromiter(train_labels(session, model.split_id), dtype=np.float64))
