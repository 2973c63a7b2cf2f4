import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from model.errors import BadSetting
from model.solved.trees import Trees


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


def test_a_row_scores_the_same_alone_and_among_others():
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
