"""On a catalog in which views follow from what is seen and heard, a model must find it."""

from typing import Any

import pytest

from catalog.console import Silent
from catalog.facts import ModelFacts
from catalog.work.runs import Outcome
from model.split import SplitConfig
from model.steps.score import score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests.fresh_catalog import ask
from tests.planted import Planted, planted

pytestmark = pytest.mark.numeric

CONSTANTS = ("train_mean", "train_median", "geometric_mean")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory):
    """432 videos of the replica, the newest third of them held out."""
    with planted(tmp_path_factory.mktemp("planted")) as found:
        create_split(found.catalog, SplitConfig(val=0.1, holdout=0.35))
        yield found


def trained(study: Planted, preset: str, **more: Any) -> tuple[Outcome, ModelFacts]:
    return train(
        study.catalog,
        TrainRequest(preset, **more),
        study.sets.__getitem__,
        store=study.store,
        data=study.data,
        progress=Silent(),
    )


def holdout(study: Planted, run_id: int) -> dict[str, float]:
    sql = (
        "SELECT name, value FROM run_metric WHERE run_id = :id AND split = 'holdout' AND step = -1"
    )
    return dict(ask(study.catalog, sql, id=run_id))


def test_a_model_beats_every_constant_where_there_is_something_to_find(study):
    outcome, _model = trained(study, "modern")
    found = holdout(study, outcome.run_id)
    for constant in CONSTANTS:
        for metric in ("mse_k2", "mae_k", "log_mae"):
            assert found[f"{metric}_diff.{constant}.high"] < 0, (metric, constant)
    assert found["spearman.low"] > 0.5
    assert 0.7 <= found["coverage_80"] <= 0.95


def test_with_the_labels_shuffled_nothing_is_better_than_a_constant(study):
    outcome, model = trained(study, "modern", shuffle_labels=True)
    found = holdout(study, outcome.run_id)
    assert model.name == "modern-shuffled"
    for constant in ("train_median", "geometric_mean"):
        assert found[f"log_mae_diff.{constant}.high"] > 0
    assert found.get("spearman.low", -1.0) < 0.2


def test_an_interval_is_stored_with_each_forecast(study):
    _outcome, model = trained(study, "modern")
    score(study.catalog, model, store=study.store, data=study.data, progress=Silent())
    rows = ask(study.catalog, "SELECT predicted_k, low_k, high_k FROM prediction")
    assert len(rows) == 432
    assert all(low <= predicted <= high for predicted, low, high in rows)
