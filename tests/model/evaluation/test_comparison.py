import numpy as np
import pytest

from catalog.verdict import MIN_EVIDENCE
from model.errors import BadSetting, NothingToTrain
from model.evaluation.comparison import compare_models
from model.evaluation.metrics import clusters_of
from model.solved.constants import Constants

CONSTANTS = Constants(train_mean_k=30.0, train_median_k=8.0, geometric_mean_k=9.0)


def rows(n: int = 200, *, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    actual = generator.lognormal(2, 1.5, n)
    return actual, actual * generator.lognormal(0, noise, n)


def compared(actual, predicted, part="holdout"):
    found = compare_models(actual, predicted, constants=CONSTANTS, part=part)
    return found, {(d.metric, d.first, d.second): d for d in found.differences}


def test_a_sharper_model_is_better_in_everything_and_the_other_is_not():
    actual, sharp = rows(noise=0.1)
    _same, blunt = rows(noise=1.5)
    _found, by_pair = compared(actual, {"blunt": blunt, "sharp": sharp})
    for metric in ("mae_k", "log_mae", "spearman"):
        difference = by_pair[metric, "blunt", "sharp"]
        assert difference.verdict == "worse"
        assert (difference.low > 0) == (difference.high > 0) == (metric != "spearman")
    assert by_pair["log_mae", "sharp", "train_median"].verdict == "better"


def test_every_model_meets_every_constant_and_a_constant_ranks_nothing():
    actual, predicted = rows(noise=1.0)
    found, by_pair = compared(actual, {"a": predicted, "b": predicted * 2})
    assert {second for _metric, first, second in by_pair if first == "a"} == {
        "b",
        "train_mean",
        "train_median",
        "geometric_mean",
    }
    assert ("spearman", "a", "train_mean") not in by_pair
    assert found.metrics["train_mean"]["mae_k"] == pytest.approx(np.abs(actual - 30).mean())
    assert found.metrics["a"]["mae_k.low"] < found.metrics["a"]["mae_k"]


def test_the_same_predictions_are_no_evidence_of_anything():
    actual, predicted = rows(noise=1.0)
    found, _by_pair = compared(actual, {"a": predicted, "b": predicted})
    same = [d for d in found.differences if d.second == "b"]
    assert [(d.value, d.low, d.high, d.verdict) for d in same] == [(0, 0, 0, "no evidence")] * 4


def test_a_difference_that_is_noise_gets_no_word():
    actual, first = rows(noise=0.5)
    second = actual * np.random.default_rng(9).lognormal(0, 0.5, actual.size)
    _found, by_pair = compared(actual, {"a": first, "b": second})
    assert by_pair["spearman", "a", "b"].verdict == "no evidence"


def test_no_verdict_of_training_videos_nor_of_few():
    actual, predicted = rows(noise=0.01)
    found, _by_pair = compared(actual, {"a": predicted, "b": actual}, part="train")
    assert {d.verdict for d in found.differences} == {"in sample"}
    few = MIN_EVIDENCE - 1
    found, _by_pair = compared(actual[:few], {"a": predicted[:few], "b": actual[:few]})
    assert {d.verdict for d in found.differences} == {"no evidence"}


def test_differences_come_pair_by_pair_and_metric_by_metric():
    actual, predicted = rows(40, noise=1.0)
    found, _by_pair = compared(actual, {"b": predicted, "a": predicted * 2})
    order = [(d.first, d.second, d.metric) for d in found.differences]
    errors = ["mse_k2", "mae_k", "log_mae"]
    assert order[:7] == [
        *(("b", "a", metric) for metric in [*errors, "spearman"]),
        *(("b", "train_mean", metric) for metric in errors),
    ]
    assert len(order) == len(set(order)) == 4 + 2 * 3 * 3


def test_a_lead_of_less_than_counts_gets_no_word():
    actual, first = rows(5_000, noise=0.5)
    second = actual * (first / actual) ** 1.005
    _found, by_pair = compared(actual, {"a": first, "b": second})
    tiny = by_pair["log_mae", "a", "b"]
    assert (tiny.high < 0, tiny.verdict) == (True, "no evidence")
    found = compare_models(
        actual,
        {"a": first, "b": second},
        constants=CONSTANTS,
        part="holdout",
        least_gain=0.001,
    )
    words = {(d.metric, d.second): d.verdict for d in found.differences if d.first == "a"}
    assert words["log_mae", "b"] == "better"


def test_an_almost_constant_forecast_at_the_right_level_is_no_better_than_a_constant():
    """The held-out videos have got more views than those before: that is no skill of a model."""
    draw = np.random.default_rng(3)
    actual = draw.lognormal(3, 1.0, 400)
    flat = 20.0 * draw.lognormal(0, 0.001, 400)
    _found, by_pair = compared(actual, {"flat": flat, "good": actual * draw.lognormal(0, 0.3, 400)})
    near = by_pair["log_mae", "flat", "train_median"]
    assert (near.high < 0, near.verdict) == (True, "no evidence")
    assert by_pair["log_mae", "flat", "good"].verdict == "worse"


def test_a_difference_that_hangs_on_one_author_gets_no_word():
    draw = np.random.default_rng(5)
    authors = np.concatenate([np.zeros(150, dtype=int), np.arange(1, 51)])
    actual = draw.lognormal(2, 1.0, 200)
    first = actual * draw.lognormal(0, 0.3, 200)
    second = actual * np.where(authors == 0, 2.0, 1.0) * draw.lognormal(0, 0.3, 200)
    words = [
        next(
            d.verdict
            for d in compare_models(
                actual,
                {"a": first, "b": second},
                constants=CONSTANTS,
                part="holdout",
                clusters=clusters,
            ).differences
            if (d.metric, d.second) == ("log_mae", "b")
        )
        for clusters in (None, clusters_of(authors))
    ]
    assert words == ["better", "no evidence"]


def test_two_rows_have_differences_and_one_has_none():
    actual, predicted = np.array([1.0, 9.0]), np.array([2.0, 7.0])
    found, _by_pair = compared(actual, {"a": predicted})
    assert "mae_k.low" in found.metrics["a"]
    assert found.differences
    found, _by_pair = compared(actual[:1], {"a": predicted[:1]})
    assert (found.n, found.metrics["a"]["mae_k"], found.differences) == (1, 1.0, ())


def test_nothing_to_compare_is_said():
    with pytest.raises(NothingToTrain, match="holdout"):
        compare_models(np.array([]), {"a": np.array([])}, constants=CONSTANTS, part="holdout")
    with pytest.raises(BadSetting, match="train_mean"):
        compare_models(np.ones(2), {"train_mean": np.ones(2)}, constants=CONSTANTS, part="new")
