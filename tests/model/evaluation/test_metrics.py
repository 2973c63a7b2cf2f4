import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr
from scipy.stats import t as student

from model.errors import NotFinite, NothingToTrain
from model.evaluation import metrics
from model.evaluation.metrics import (
    NOBODY,
    clusters_of,
    evaluate,
    mean_intervals,
    rank_intervals,
)
from model.solved.constants import Constants
from model.targets import QuartileEdges


def widened(ends: np.ndarray, centre: float, n: int) -> np.ndarray:
    """Percentiles of draws of n equal clusters, moved apart as Student's t has it."""
    factor = student.ppf(0.975, n - 1) / norm.ppf(0.975) * math.sqrt(n / (n - 1))
    return centre + (ends - centre) * factor


def test_an_interval_of_a_mean_is_as_wide_as_theory_says():
    rows = np.random.default_rng(0).normal(5.0, 2.0, (1, 400))
    [(low, high)] = mean_intervals(rows, seed=0)
    half = 1.96 * rows.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((rows.mean() - half, rows.mean() + half), abs=0.15 * half)


def test_intervals_hold_the_truth_nineteen_times_of_twenty():
    generator = np.random.default_rng(1)
    samples = generator.normal(0.0, 1.0, (200, 60))
    ends = [mean_intervals(row[None], seed=0)[0] for row in samples]
    held = sum(low <= 0 <= high for low, high in ends)
    # Percentile intervals of 60 rows are a little narrow; 0.90 to 0.99 is 3 sd around 0.945.
    assert 0.90 <= held / 200 <= 0.99


def prolific(generator: np.random.Generator) -> np.ndarray:
    """The author of each row: a dozen of 20 to 120 posts each, sixty of one to three."""
    sizes = np.concatenate([generator.integers(20, 120, 12), generator.integers(1, 4, 60)])
    return generator.permutation(np.repeat(np.arange(sizes.size), sizes))


def test_of_few_prolific_authors_only_an_interval_drawn_by_author_holds_the_truth(monkeypatch):
    """What an author's posts have in common is one number, however many posts there are."""
    monkeypatch.setattr(metrics, "RESAMPLES", 200)
    generator = np.random.default_rng(11)
    means, ranks = {False: 0, True: 0}, {False: 0, True: 0}
    n_trials = 120
    for _trial in range(n_trials):
        authors = prolific(generator)
        levels, guesses = generator.normal(0, 1, (2, 72))
        rows = levels[authors] + generator.normal(0, 0.5, authors.size)
        guess = guesses[authors] + generator.normal(0, 0.1, authors.size)
        for by_author in (False, True):
            clusters = clusters_of(authors) if by_author else None
            [(low, high)] = mean_intervals(rows[None], seed=0, clusters=clusters)
            means[by_author] += low <= 0 <= high
            _values, [ends], _none = rank_intervals(rows, [guess], seed=0, clusters=clusters)
            ranks[by_author] += ends.low <= 0 <= ends.high
    for held in (means, ranks):
        assert held[False] / n_trials < 0.5
        assert held[True] / n_trials > 0.88


def test_authors_of_one_post_each_make_the_interval_of_rows_alone():
    rows = np.random.default_rng(12).normal(0, 1, (2, 80))
    clusters = clusters_of(range(80))
    assert mean_intervals(rows, seed=3, clusters=clusters) == [
        pytest.approx(ends) for ends in mean_intervals(rows, seed=3)
    ]
    by_author = rank_intervals(rows[0], [rows[1]], seed=3, clusters=clusters)
    assert by_author == rank_intervals(rows[0], [rows[1]], seed=3)


def test_clusters_are_numbered_as_they_come_and_nobody_is_an_author_of_his_own():
    found = clusters_of([70, 3, None, 70, None, 3, NOBODY])
    assert found.tolist() == [0, 1, 2, 0, 3, 1, 4]
    assert clusters_of([5, 90, 6, 5]).tolist() == clusters_of([90, 5, 1, 90]).tolist()


def test_the_rows_of_a_single_author_are_drawn_alone():
    assert clusters_of([7] * 5).tolist() == [0, 1, 2, 3, 4]
    assert clusters_of([None]).tolist() == [0]
    assert clusters_of([]).tolist() == []


def test_two_authors_prove_little_whatever_they_posted():
    rows = np.repeat([1.0, 2.0], 50)[None]
    [(low, high)] = mean_intervals(rows, seed=0, clusters=clusters_of([1] * 50 + [2] * 50))
    assert (low, high) == (1.0, 2.0)  # as far as the rows go


def test_equal_numbers_have_an_interval_without_width():
    assert mean_intervals(np.full((1, 37), 0.1), seed=0) == [(0.1, 0.1)]


def test_rows_are_drawn_together():
    rows = np.random.default_rng(2).normal(0, 1, 50)
    stacked = np.stack([rows, rows + 1, (rows + 1) - rows])
    first, second, difference = mean_intervals(stacked, seed=0)
    assert second.low - first.low == pytest.approx(1.0)
    assert difference == pytest.approx((1.0, 1.0))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40).filter(
        lambda pairs: all(len(set(column)) > 1 for column in zip(*pairs, strict=True))
    )
)
def test_the_rank_correlation_is_the_textbook_one_with_ties(pairs):
    first, second = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    [value], _alone, _paired = rank_intervals(first, [second], seed=0)
    assert value == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_a_drawn_rank_correlation_is_that_of_the_drawn_rows(monkeypatch):
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 9, (2, 50)).astype(float)
    monkeypatch.setattr(metrics, "RESAMPLES", 3)
    [value], [ends], _paired = rank_intervals(first, [second], seed=7)

    drawn = np.random.default_rng(7)
    rows = [drawn.integers(0, 50, 50) for _ in range(3)]
    by_hand = [spearmanr(first[row], second[row]).statistic for row in rows]
    assert ends == pytest.approx(widened(np.quantile(by_hand, (0.025, 0.975)), value, 50))


def test_many_rows_have_the_interval_that_fewer_draws_and_a_normal_tell(monkeypatch):
    generator = np.random.default_rng(4)
    actual = generator.normal(0, 1, 2_000)
    predicted = [actual + generator.normal(0, 2, 2_000), generator.normal(0, 1, 2_000)]
    values, drawn, paired = rank_intervals(actual, predicted, seed=0)
    monkeypatch.setattr(metrics, "RANK_ROWS", 1_000)
    same, told, told_paired = rank_intervals(actual, predicted, seed=0)

    assert same == values
    for exact, quick in [*zip(drawn, told, strict=True), (paired[0, 1], told_paired[0, 1])]:
        width = exact.high - exact.low
        assert quick == pytest.approx(exact, abs=0.3 * width)


def test_what_is_flat_has_no_rank_and_no_difference():
    actual, flat = np.arange(10.0), np.ones(10)
    values, alone, paired = rank_intervals(actual, [flat, actual], seed=0)
    assert values == [None, pytest.approx(1.0)]
    assert alone[0] is None
    assert paired == {}


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
    assert found["log_mae"] == pytest.approx(
        (math.log(2001 / 1001) + math.log(100_001 / 70_001)) / 3
    )
    assert found["spearman"] == pytest.approx(1.0)
    assert found["quartile_accuracy"] == pytest.approx(1.0)


def test_the_constants_stand_beside_the_model():
    found = score([1.0, 10.0, 100.0], [2.0, 10.0, 70.0])
    assert found["mse_k2.train_mean"] == pytest.approx((39**2 + 30**2 + 60**2) / 3)
    assert found["mae_k.train_mean"] == pytest.approx((39 + 30 + 60) / 3)
    assert found["mse_k2.train_median"] == pytest.approx((9**2 + 0 + 90**2) / 3)
    assert found["mae_k.train_median"] == pytest.approx((9 + 0 + 90) / 3)
    assert found["mae_k.geometric_mean"] == pytest.approx((19 + 10 + 80) / 3)
    logs = math.log(20_001 / 1001) + math.log(20_001 / 10_001) + math.log(100_001 / 20_001)
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


def test_two_rows_have_all_of_it():
    found = score([1.0, 2.0], [2.0, 4.0])
    assert {"spearman", "r2_log", "mae_k.low", "mae_k_diff.train_median.high"} <= set(found)
    logs = [math.log(1001), math.log(2001), math.log(2001), math.log(4001)]
    mean = (logs[0] + logs[1]) / 2
    gaps = (logs[2] - logs[0]) ** 2 + (logs[3] - logs[1]) ** 2
    assert found["r2_log"] == pytest.approx(
        1 - gaps / ((logs[0] - mean) ** 2 + (logs[1] - mean) ** 2)
    )


def test_the_ends_of_an_interval_belong_to_it():
    ends = {"low_k": [1.0, 0.0, 3.0], "high_k": [5.0, 2.0, 3.0]}
    assert score([1.0, 2.0, 3.0], [1.0] * 3, **ends)["coverage_80"] == 1.0


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


def test_an_evaluation_by_author_says_the_same_with_wider_ends():
    generator = np.random.default_rng(13)
    authors = prolific(generator)
    actual = np.exp(generator.normal(2, 1, 72))[authors] * generator.lognormal(0, 0.2, authors.size)
    predicted = actual * generator.lognormal(0, 0.2, 72)[authors]
    alone, together = (
        score(actual, predicted, clusters=clusters) for clusters in (None, clusters_of(authors))
    )
    ends = {name for name in alone if name.endswith((".low", ".high"))}
    assert {name: together[name] for name in together.keys() - ends} == {
        name: alone[name] for name in alone.keys() - ends
    }
    for metric in ("log_mae", "spearman", "log_mae_diff.train_median"):
        narrow, wide = (
            found[f"{metric}.high"] - found[f"{metric}.low"] for found in (alone, together)
        )
        assert wide > 1.5 * narrow


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
    ends = [(1, 1001), (1001, 20_001), (1001, 99_001), (3001, 3901)]
    widths = [math.log(high / low) for low, high in ends]
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
