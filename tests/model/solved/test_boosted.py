from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from catalog.facts import PostFacts
from model.batches import collate
from model.blocks.encoder import BlockConfig, BlockEncoder, newest, row_chunks
from model.errors import BadSetting
from model.solved.boosted import BoostedConfig, Trees, solve_boosted
from tests.model.rows import START, log_target, told
from tests.model.solving import Solving, rebuilt, scored


def grown(*, n=400, missing=0.2, loss="absolute_error", seed=0, **settings):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 6)).astype(np.float32)
    y = x[:, 0] - np.abs(x[:, 1]) + np.where(x[:, 2] > 0, 2.0, 0.0) + draw.normal(0, 0.1, n)
    x[draw.random(x.shape) < missing] = np.nan
    regressor = HistGradientBoostingRegressor(
        loss=loss, max_iter=40, early_stopping=False, random_state=seed, **settings
    )
    with threadpool_limits(1):
        return regressor.fit(x, y), x


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
@pytest.mark.parametrize("missing", [0.0, 0.3, 0.95])
def test_predicts_what_scikit_learn_does(loss, missing):
    regressor, x = grown(loss=loss, missing=missing)
    unseen = np.random.default_rng(9).normal(size=(200, 6)).astype(np.float32) * 3
    unseen[::3, ::2] = np.nan
    unseen[1] = np.nan
    trees = Trees.export(regressor)
    for rows in (x, unseen):
        np.testing.assert_allclose(trees.read(rows), regressor.predict(rows), rtol=0, atol=1e-9)


def test_fewer_trees_are_the_stage_of_so_many():
    regressor, x = grown()
    for n_trees, stage in zip(
        (1, 7), [list(regressor.staged_predict(x))[i] for i in (0, 6)], strict=True
    ):
        np.testing.assert_allclose(Trees.export(regressor, n_trees).read(x), stage, atol=1e-9)


def test_no_tree_at_all_is_the_number_they_start_from():
    regressor, x = grown()
    start = float(np.ravel(regressor._baseline_prediction)[0])
    assert Trees.export(regressor, 0).read(x[:3]).tolist() == [start] * 3


def test_trees_score_a_row_the_same_alone_and_among_others():
    regressor, x = grown()
    trees = Trees.export(regressor)
    alone = np.concatenate([trees.read(x[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(alone, trees.read(x))


def test_trees_that_ask_for_categories_are_refused():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 5, size=(300, 2)).astype(np.float32)
    y = np.where(np.isin(x[:, 0], (1, 3)), 5.0, 0.0)
    regressor = HistGradientBoostingRegressor(categorical_features=[0], max_iter=2).fit(x, y)
    with pytest.raises(BadSetting, match="categories"):
        Trees.export(regressor)


ROWS = told(380)
TRAIN, LATER = ROWS[:300], ROWS[300:]
CONFIG = BoostedConfig(text_buckets=512, use_author=True, max_trees=60, learning_rate=0.1)


@pytest.fixture(scope="module")
def solved():
    solving = Solving(TRAIN)
    return solve_boosted(CONFIG, solving.request()), solving


def test_finds_what_the_views_follow_from(solved):
    network, _ = solved
    wanted = log_target(TRAIN).apply([row.views_k for row in LATER])
    said = scored(network, LATER)["point"]
    assert spearmanr(said, wanted)[0] > 0.6


def test_a_row_scores_the_same_alone_and_among_others(solved):
    network, _ = solved
    together = network(collate(LATER, network.shapes)).numpy()
    assert np.array_equal(together, scored(network, LATER)["point"])


def test_its_config_and_tensors_give_the_same_scores(solved):
    network, _ = solved
    for name, value in scored(rebuilt(network), LATER).items():
        assert np.array_equal(value, scored(network, LATER)[name])


def test_two_runs_of_one_seed_are_identical(solved):
    network, _ = solved
    again = solve_boosted(CONFIG, Solving(TRAIN).request())
    assert again.config == network.config
    assert np.array_equal(scored(again, LATER)["point"], scored(network, LATER)["point"])


@pytest.mark.parametrize("val", [[], told(500, seed=4)[280:]])
def test_four_of_five_later_rows_lie_in_the_interval(val):
    solving = Solving(told(400, seed=2), val)
    network = solve_boosted(CONFIG, solving.request())
    later = told(900, seed=3)[400:]
    said = scored(network, later)
    wanted = log_target(solving.train).apply([row.views_k for row in later])
    inside = ((said["low"] <= wanted) & (wanted <= said["high"])).mean()
    assert 0.74 < inside < 0.88
    assert solving.notes["boosted_solved"]["interval_from"] == ("validation" if val else "folds")


def test_where_nothing_can_be_learned_it_is_the_median():
    draw = np.random.default_rng(0)
    rows = [
        replace(row, views_k=float(v), facts=PostFacts(duration_s=float(draw.integers(5, 60))))
        for row, v in zip(TRAIN, np.exp(draw.normal(3, 1, len(TRAIN))), strict=True)
    ]
    network = solve_boosted(CONFIG, Solving(rows).request())
    assert network.config.n_trees <= 6
    said = scored(rebuilt(network), LATER)["point"]
    median = np.median(log_target(rows).apply([row.views_k for row in rows]))
    np.testing.assert_allclose(said, median, atol=0.25)


def test_it_says_that_it_only_grew_on_the_newest_rows():
    solving = Solving(TRAIN)
    solve_boosted(replace(CONFIG, newest_rows=120), solving.request())
    assert solving.notes["boosted_newest_rows"] == {"rows": 120, "of": 300}


@pytest.mark.parametrize("limit", [1, 100, 299, 300, 2000])
def test_the_newest_rows_are_the_latest_posted(limit):
    rows = told(1300)
    target = log_target(rows)
    encoder = BlockEncoder.fit(rows, target=target, seed=0, settings=BlockConfig(text_width=0))
    mixed = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    kept, n_seen = newest(row_chunks(encoder, mixed, target, training=True, missing=np.nan), limit)
    by_time = sorted(rows, key=lambda r: (r.facts.posted_at or START - timedelta(1), r.video_id))
    assert n_seen == len(rows)
    np.testing.assert_array_equal(kept.y, target.apply([row.views_k for row in by_time[-limit:]]))


@pytest.mark.parametrize(
    "wrong", [{"max_trees": 0}, {"max_leaves": 1}, {"newest_rows": 1}, {"learning_rate": 0.0}]
)
def test_settings_that_no_trees_can_have_are_refused(wrong):
    with pytest.raises(BadSetting, match=f"{next(iter(wrong))} "):
        BoostedConfig(**wrong)
