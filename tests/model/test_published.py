"""The paper's constant rows, worked out again from the moments that are published.

A constant's MSE on the 100 test videos is their variance plus the square of its distance from
their mean, so both moments of the test views give the MSE of any constant. Its MAE depends on
every single view count, which are not published: the three MAE cannot be worked out again.
"""

import numpy as np
import pytest

from model.evaluation.metrics import evaluate
from model.experiment.table import TABLE
from model.solved.constants import Constants
from model.targets import QuartileEdges

TEST_VARIANCE_M = 70.2017  # million k²: what always answering the test mean scores
TEST_MEAN_K = 5428.0
TRAIN_MEAN_K, TRAIN_MEDIAN_K = 7260.9, 2100.0
PUBLISHED = {planned.name: planned.published for planned in TABLE}


def mse_m(constant_k: float) -> float:
    """MSE of a constant on the test videos in million k², from their published moments."""
    return TEST_VARIANCE_M + (TEST_MEAN_K - constant_k) ** 2 / 1e6


def test_the_train_mean_scores_what_is_published():
    assert mse_m(TRAIN_MEAN_K) == pytest.approx(PUBLISHED["mean"][0], abs=0.005)
    assert 1 - mse_m(TRAIN_MEAN_K) / TEST_VARIANCE_M == pytest.approx(-0.048, abs=0.0005)


def test_the_train_median_scores_what_is_published_as_far_as_its_digits_go():
    # 81.28 from the printed moments. The published 81.2 is from views read off a picture, whose
    # mean came out 6 k lower: the same sum with that mean is 81.24.
    assert mse_m(TRAIN_MEDIAN_K) == pytest.approx(PUBLISHED["median"][0], abs=0.1)
    with_mean_of_picture = TEST_VARIANCE_M + (5422.0 - TRAIN_MEDIAN_K) ** 2 / 1e6
    assert with_mean_of_picture == pytest.approx(PUBLISHED["median"][0], abs=0.05)


def test_the_scaled_swin_is_the_mean_of_the_test_videos_within_thirty_thousand_views():
    excess_m = PUBLISHED["paper-swin-scaled"][0] - mse_m(TEST_MEAN_K)
    assert excess_m >= 0
    assert np.sqrt(excess_m * 1e6) == pytest.approx(30.0, abs=2.0)


def test_no_published_model_is_below_both_constants():
    models = [planned for planned in TABLE if planned.group == "paper" and planned.published]
    assert len(models) == 4
    best_mse = min(mse_m(TRAIN_MEAN_K), mse_m(TRAIN_MEDIAN_K), mse_m(TEST_MEAN_K))
    for planned in models:
        mse, mae = planned.published
        assert mse > best_mse
        assert mae > PUBLISHED["median"][1]


def test_our_metrics_give_a_constant_the_same_mse_as_its_moments():
    generator = np.random.default_rng(0)
    views_k = generator.lognormal(7.6, 1.4, 100)
    # Shifted and stretched until the moments are the published ones, which keeps them above zero.
    views_k = TEST_MEAN_K + (views_k - views_k.mean()) / views_k.std() * np.sqrt(
        TEST_VARIANCE_M * 1e6
    )
    shift = min(0.0, float(views_k.min()))
    constants = Constants(
        train_mean_k=TRAIN_MEAN_K - shift,
        train_median_k=TRAIN_MEDIAN_K - shift,
        geometric_mean_k=1000.0,
    )
    found = evaluate(
        views_k - shift,
        np.full(100, TEST_MEAN_K - shift),
        constants=constants,
        edges=QuartileEdges((403.6, 2100.0, 7500.5)),
    )
    assert found["mse_k2"] / 1e6 == pytest.approx(TEST_VARIANCE_M)
    assert found["mse_k2.train_mean"] / 1e6 == pytest.approx(mse_m(TRAIN_MEAN_K))
    assert found["mse_k2.train_median"] / 1e6 == pytest.approx(mse_m(TRAIN_MEDIAN_K))


def test_moments_do_not_determine_a_constants_mae():
    # Two lots of views with the same mean and variance, whose MAE of one constant differ by far.
    even = np.array([0.0, 0.0, 2.0, 2.0])
    uneven = 1.0 + np.array([-1.0, -1.0, -1.0, 3.0]) / np.sqrt(3.0)
    assert even.mean() == pytest.approx(uneven.mean())
    assert even.var() == pytest.approx(uneven.var())
    assert np.abs(even - 1.0).mean() > 1.1 * np.abs(uneven - 1.0).mean()
