import numpy as np
import pytest

from model.errors import NotFinite, NothingToTrain
from model.solved.constants import CONSTANTS, Constants, solve_constant
from model.targets import TargetTransform
from tests.model.factories import examples, scored_k

VIEWS_K = [1.0, 3.0, 7.0, 1000.0]
GEOMETRIC_K = ((1001 * 3001 * 7001 * 1_000_001) ** 0.25 - 1) / 1000


@pytest.mark.parametrize(
    ("name", "constant_k"),
    [("mean", 252.75), ("median", 5.0), ("geometric_mean", GEOMETRIC_K)],
)
def test_says_the_same_of_every_row(name, constant_k):
    network = solve_constant(name, VIEWS_K)
    scores = scored_k(network, examples(3), TargetTransform("raw"))
    assert scores == {i: pytest.approx(constant_k, rel=1e-12) for i in (1, 2, 3)}


def test_a_video_without_views_does_not_make_the_geometric_mean_zero():
    assert solve_constant("geometric_mean", [0.0, 0.008]).constant_k.item() == pytest.approx(0.002)


@pytest.mark.parametrize("name", CONSTANTS)
def test_no_rows_have_no_constant(name):
    with pytest.raises(NothingToTrain):
        solve_constant(name, [])


def test_the_constants_beside_each_model():
    found = Constants.fit(VIEWS_K)
    assert (found.train_mean_k, found.train_median_k) == (252.75, 5.0)
    assert found.geometric_mean_k == pytest.approx(GEOMETRIC_K)
    with pytest.raises(NotFinite):
        Constants.fit([1.0, np.nan])
