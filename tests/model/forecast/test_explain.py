from dataclasses import replace

import numpy as np
import pytest

from model.errors import BadSetting, NothingToTrain
from model.forecast.ablation import ablate, forecaster_of
from model.forecast.explain import hashtag_effects, hour_effects, importances
from model.solved.boosted import BoostedConfig, solve_boosted
from model.solved.constants import solve_constant
from model.solved.ridge import RidgeConfig, solve_ridge
from model.targets import TargetTransform
from tests.model.modern.test_model import TINY, forecasts, request_for, solved
from tests.model.planted import planted

TRAIN = planted(400, noise=0.2)
LATER = planted(520, noise=0.2)[400:]
TARGET = TargetTransform.fit([row.views_k for row in TRAIN], "log1p")


@pytest.fixture(scope="module", params=["ridge", "boosted", "modern"])
def network(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    if request.param == "modern":
        return solved(TRAIN, folder, replace(TINY, epochs=6))[0]
    asked = request_for(TRAIN, folder)[0]
    if request.param == "ridge":
        return solve_ridge(RidgeConfig(use_author=True, text_buckets=2**10), asked)
    return solve_boosted(BoostedConfig(use_author=True, text_buckets=2**10, max_trees=60), asked)


def test_taken_apart_and_left_whole_it_forecasts_the_same(network):
    model = forecaster_of(network)
    rows = LATER[:10]
    apart = TARGET.score(model.forecast_encoded(model.encode_rows(rows)))
    assert apart == pytest.approx([one.views_k for one in forecasts(network, TARGET, rows)])


def test_each_block_of_a_row_has_a_factor_the_strongest_first(network):
    moved = ablate(forecaster_of(network), LATER[0], TARGET)
    assert {"meta", "text", "tags", "author"} <= {one.modality for one in moved}
    strength = [abs(np.log(one.factor)) for one in moved]
    assert strength == sorted(strength, reverse=True)
    assert strength[0] > 0


def test_a_block_that_a_row_has_not_moves_nothing(network):
    bare = replace(LATER[0], facts=replace(LATER[0].facts, caption=""))
    assert "text" not in {one.modality for one in ablate(forecaster_of(network), bare, TARGET)}


def test_what_counts_is_important_and_what_does_not_is_not(network):
    found = {one.block: one for one in importances(forecaster_of(network), LATER, TARGET, seed=0)}
    author, form = found["author"], found["form"]
    assert author.log_mae_interval.low > 0
    assert author.log_mae_interval.low < author.log_mae < author.log_mae_interval.high
    assert author.spearman > 0
    assert author.log_mae > form.log_mae
    assert form.log_mae < 0.05


def test_importance_needs_rows_with_views(network):
    model = forecaster_of(network)
    for rows in (LATER[:1], [LATER[0], replace(LATER[1], views_k=None)]):
        with pytest.raises(NothingToTrain):
            importances(model, rows, TARGET, seed=0)


def test_the_hour_that_was_planted_has_the_effect(network):
    effects = hour_effects(forecaster_of(network), LATER, TARGET, seed=0)
    assert [one.what for one in effects] == [f"{hour:02d}" for hour in range(24)]
    by_hour = {int(one.what): one for one in effects}
    assert by_hour[6].factor > 1.05 > 0.95 > by_hour[18].factor
    assert by_hour[6].interval.low > 1 > by_hour[18].interval.high
    assert by_hour[6].n == len(LATER)


def test_rows_without_a_time_have_no_hours(network):
    timeless = [replace(row, facts=replace(row.facts, posted_at=None)) for row in LATER[:5]]
    assert hour_effects(forecaster_of(network), timeless, TARGET, seed=0) == []


def test_hashtags_have_effects_over_the_rows_that_use_them(network):
    effects = hashtag_effects(forecaster_of(network), LATER, TARGET, seed=0)
    assert 4 <= len(effects) <= 20
    for effect in effects:
        n = sum(effect.what in row.facts.hashtags for row in LATER)
        assert effect.n == n >= 5
        assert effect.interval.low <= effect.factor <= effect.interval.high
    assert [one.factor for one in effects] == sorted((e.factor for e in effects), reverse=True)


def test_a_constant_cannot_be_taken_apart():
    with pytest.raises(BadSetting):
        forecaster_of(solve_constant("mean", [1.0, 2.0]))
