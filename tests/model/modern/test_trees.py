import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from model.errors import BadSetting
from model.modern.config import ModernConfig
from model.modern.trees import Trees, best_number, grow

CONFIG = ModernConfig(trees=40, leaves=8, learning_rate=0.1, min_leaf_rows=10, tree_columns=1.0)


def sample(n=400, *, missing=0.2, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 6)).astype(np.float32)
    y = x[:, 0] - np.abs(x[:, 1]) + np.where(x[:, 2] > 0, 2.0, 0.0) + draw.normal(0, 0.1, n)
    x[draw.random(x.shape) < missing] = np.nan
    return x, y


def fitted(x, y, n_trees=None):
    with threadpool_limits(1):
        return grow(CONFIG, x, y, 0, n_trees)


def grown(**more):
    x, y = sample(**more)
    return fitted(x, y), x


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.95])
def test_predicts_what_scikit_learn_does(missing):
    regressor, x = grown(missing=missing)
    unseen = np.random.default_rng(9).normal(size=(200, 6)).astype(np.float32) * 3
    unseen[::3, ::2] = np.nan
    unseen[1] = np.nan
    trees = Trees.export(regressor)
    for rows in (x, unseen):
        np.testing.assert_allclose(trees.read(rows), regressor.predict(rows), rtol=0, atol=1e-9)


def test_an_unknown_number_goes_its_own_way():
    """Where being unknown tells something it is not as a low, a high or a middle number is."""
    x = np.linspace(-1, 1, 300, dtype=np.float32)[:, None]
    x[::3] = np.nan
    y = np.where(np.isnan(x[:, 0]), 5.0, x[:, 0])
    trees = Trees.export(fitted(x, y))
    unknown, low, middle, high = trees.read(np.array([[np.nan], [-1], [0], [1]], np.float32))
    assert unknown == pytest.approx(5, abs=0.3)
    assert max(low, middle, high) < 2


def test_fewer_trees_are_the_stage_of_so_many():
    regressor, x = grown()
    stages = list(regressor.staged_predict(x))
    for n_trees in (1, 7):
        said = Trees.export(regressor, n_trees).read(x)
        np.testing.assert_allclose(said, stages[n_trees - 1], atol=1e-9)


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


def test_a_column_of_which_nothing_is_known_does_no_harm():
    x, y = sample()
    x[:, 3] = np.nan
    trees = Trees.export(fitted(x, y))
    told = x.copy()
    told[:, 3] = 7.0
    assert np.array_equal(trees.read(x), trees.read(told))


def test_a_handful_of_rows_grows_to_their_mean():
    x, y = sample(5)
    assert Trees.export(fitted(x, y)).read(x) == pytest.approx(y.mean())


def test_as_many_grow_as_are_asked_for():
    x, y = sample()
    assert fitted(x, y, 3).n_iter_ == 3
    assert fitted(x, y).n_iter_ == CONFIG.trees


def test_the_best_number_errs_least_on_rows_that_came_later():
    regressor, _ = grown()
    x, y = sample(seed=5)
    n = best_number(regressor, x, y)
    errors = [np.square(y - said).mean() for said in regressor.staged_predict(x)]
    assert errors[n - 1] == min(errors)
    noise = np.random.default_rng(1).permutation(y)
    assert best_number(regressor, x, noise) < n
