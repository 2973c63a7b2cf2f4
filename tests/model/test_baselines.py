import numpy as np
import pytest

from model.baselines import CONSTANTS, Constants, solve_constant
from model.errors import NotFinite, NothingToTrain
from model.fit import predict
from model.targets import TargetTransform
from tests.model.factories import dataset, examples

VIEWS_K = [1.0, 3.0, 7.0, 1000.0]


@pytest.mark.parametrize(
    ("name", "constant_k"),
    [("mean", 252.75), ("median", 5.0), ("geometric_mean", (2 * 4 * 8 * 1001) ** 0.25 - 1)],
)
def test_says_the_same_of_every_row(name, constant_k):
    network = solve_constant(name, VIEWS_K)
    scores = dict(predict(network, dataset(examples(3)), TargetTransform("raw")))
    assert scores == {i: pytest.approx(constant_k, rel=1e-12) for i in (1, 2, 3)}


def test_a_video_without_views_does_not_make_the_geometric_mean_zero():
    assert solve_constant("geometric_mean", [0.0, 8.0]).constant_k.item() == pytest.approx(2.0)


@pytest.mark.parametrize("name", CONSTANTS)
def test_no_rows_have_no_constant(name):
    with pytest.raises(NothingToTrain):
        solve_constant(name, [])


def test_the_constants_beside_each_model():
    assert Constants.fit(VIEWS_K) == Constants(train_mean_k=252.75, train_median_k=5.0)
    with pytest.raises(NotFinite):
        Constants.fit([1.0, np.nan])
