import math

import numpy as np
import pytest

from model.errors import NotFinite, NothingToTrain
from model.evaluation.metrics import evaluate
from model.solved.baselines import Constants
from model.targets import QuartileEdges

CONSTANTS = Constants(train_mean_k=40.0, train_median_k=10.0, geometric_mean_k=20.0)
EDGES = QuartileEdges((5.0, 10.0, 50.0))


def score(actual_k, predicted_k, **keywords) -> dict[str, float]:
    return evaluate(actual_k, predicted_k, constants=CONSTANTS, edges=EDGES, **keywords)


def test_the_errors_are_the_textbook_ones():
    found = score([1.0, 10.0, 100.0], [2.0, 10.0, 70.0])
    assert found["n"] == 3
    assert found["mse_k2"] == pytest.approx((1 + 0 + 900) / 3)
    assert found["mae_k"] == pytest.approx(31 / 3)
    assert found["median_ae_k"] == 1.0
    assert found["log_mae"] == pytest.approx((math.log(3 / 2) + math.log(101 / 71)) / 3)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["quartile_accuracy"] == pytest.approx(1.0)


def test_the_constants_stand_beside_the_model():
    found = score([1.0, 10.0, 100.0], [2.0, 10.0, 70.0])
    assert found["mse_k2.train_mean"] == pytest.approx((39**2 + 30**2 + 60**2) / 3)
    assert found["mae_k.train_mean"] == pytest.approx((39 + 30 + 60) / 3)
    assert found["mse_k2.train_median"] == pytest.approx((9**2 + 0 + 90**2) / 3)
    assert found["mae_k.train_median"] == pytest.approx((9 + 0 + 90) / 3)
    assert found["mae_k.geometric_mean"] == pytest.approx((19 + 10 + 80) / 3)
    logs = math.log(21 / 2) + math.log(21 / 11) + math.log(101 / 21)
    assert found["log_mae.geometric_mean"] == pytest.approx(logs / 3)


def test_a_perfect_score_explains_everything():
    found = score([1.0, 10.0, 100.0], [1.0, 10.0, 100.0])
    assert (found["r2_log"], found["mse_k2"], found["mae_k"]) == (1.0, 0.0, 0.0)


def test_a_constant_ranks_nothing_and_says_so_by_silence():
    found = score([1.0, 10.0, 100.0], [7.1, 7.1, 7.1])
    assert "spearman" not in found
    assert "r2_log" in found


def test_one_row_has_errors_but_no_rank_and_no_interval():
    found = score([10.0], [12.0])
    assert found["mae_k"] == 2.0
    assert not {"spearman", "r2_log", "mae_k_diff.train_median.low"} & set(found)


def test_every_metric_is_a_finite_float():
    for found in (score([10.0], [12.0]), score([0.0, 0.0], [0.0, 0.0]), score([1, 2], [2, 1])):
        assert all(type(value) is float and math.isfinite(value) for value in found.values())


def test_a_model_that_is_better_has_an_interval_below_zero():
    generator = np.random.default_rng(0)
    actual = generator.lognormal(2, 1.5, 200)
    found = score(actual, actual * generator.lognormal(0, 0.1, 200))
    for metric in ("mae_k_diff", "mse_k2_diff", "log_mae_diff"):
        for constant in ("train_mean", "train_median", "geometric_mean"):
            assert found[f"{metric}.{constant}.low"] < found[f"{metric}.{constant}.high"] < 0


def test_a_model_that_is_the_constant_is_not_better_than_it():
    found = score([1.0, 10.0, 100.0], [10.0, 10.0, 10.0])
    assert found["mae_k_diff.train_median.low"] == found["mae_k_diff.train_median.high"] == 0.0


def test_intervals_are_the_same_every_time():
    actual, predicted = np.arange(1.0, 30.0), np.arange(30.0, 1.0, -1.0)
    assert score(actual, predicted) == score(actual, predicted)
    assert score(actual, predicted) != score(actual, predicted, seed=1)


def test_a_metric_lies_inside_its_own_interval():
    generator = np.random.default_rng(1)
    actual = generator.lognormal(2, 1.5, 300)
    found = score(actual, actual * generator.lognormal(0, 1.0, 300))
    for metric in ("mse_k2", "mae_k", "log_mae", "spearman"):
        assert found[f"{metric}.low"] < found[metric] < found[f"{metric}.high"]


def test_quarters_are_counted_by_what_was_shown_and_what_was_predicted():
    # Quarters of the truth: 0, 0, 0, 1, 3; of the predictions: 0, 1, 0, 1, 2.
    found = score([1.0, 2.0, 3.0, 7.0, 90.0], [2.0, 6.0, 4.0, 8.0, 20.0])
    assert found["confusion.0.0"] == 2
    assert found["confusion.0.1"] == 1
    assert found["confusion.3.2"] == 1
    assert sum(found[f"confusion.{i}.{j}"] for i in range(4) for j in range(4)) == 5
    assert found["quartile_accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["majority_accuracy"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("quarter", range(4))
def test_the_majority_is_that_of_whichever_quarter_has_the_most_rows(quarter):
    one_of_each = [1.0, 7.0, 20.0, 90.0]
    actual = one_of_each + [one_of_each[quarter]] * 2
    assert score(actual, [1.0] * 6)["majority_accuracy"] == pytest.approx(3 / 6)


def test_a_classifier_is_judged_by_the_quarter_it_chose():
    found = score([1.0, 90.0], [1.0, 1.0], predicted_quartile=[0, 3])
    assert found["quartile_accuracy"] == 1.0
    assert found["mae_k"] == pytest.approx(89 / 2)


def test_intervals_of_a_model_are_measured_by_what_they_hold():
    found = score([1.0, 10.0, 100.0, 4.0], [2.0] * 4, low_k=[0, 1, 1, 3], high_k=[1, 20, 99, 3.9])
    assert found["coverage_80"] == 0.5
    widths = [math.log(2), math.log(21 / 2), math.log(100 / 2), math.log(4.9 / 4)]
    assert found["interval_width_log"] == pytest.approx(sum(widths) / 4)
    assert "coverage_80" not in score([1.0], [1.0])


@pytest.mark.parametrize(
    "keywords",
    [
        {"predicted_quartile": [0]},
        {"predicted_quartile": [0, 4]},
        {"low_k": [2.0, 1.0], "high_k": [1.0, 2.0]},
        {"low_k": [1.0], "high_k": [1.0]},
    ],
)
def test_what_is_no_quarter_and_no_interval_is_refused(keywords):
    with pytest.raises(NotFinite):
        score([1.0, 2.0], [1.0, 2.0], **keywords)


def test_no_rows_cannot_be_evaluated():
    with pytest.raises(NothingToTrain):
        score([], [])


@pytest.mark.parametrize(
    ("actual_k", "predicted_k"),
    [([1.0, math.nan], [1.0, 1.0]), ([1.0], [math.inf]), ([-1.0], [1.0]), ([1.0], [1.0, 2.0])],
)
def test_what_is_no_count_is_refused(actual_k, predicted_k):
    with pytest.raises(NotFinite):
        score(actual_k, predicted_k)
