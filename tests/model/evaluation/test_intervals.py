import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from model.evaluation import intervals
from model.evaluation.intervals import mean_intervals, rank_intervals


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
    monkeypatch.setattr(intervals, "RESAMPLES", 3)
    [_value], [ends], _paired = rank_intervals(first, [second], seed=7)

    drawn = np.random.default_rng(7)
    rows = [drawn.integers(0, 50, 50) for _ in range(3)]
    by_hand = [spearmanr(first[row], second[row]).statistic for row in rows]
    assert ends == pytest.approx(np.quantile(by_hand, (0.025, 0.975)))


def test_many_rows_have_the_interval_that_fewer_draws_and_a_normal_tell(monkeypatch):
    generator = np.random.default_rng(4)
    actual = generator.normal(0, 1, 2_000)
    predicted = [actual + generator.normal(0, 2, 2_000), generator.normal(0, 1, 2_000)]
    values, drawn, paired = rank_intervals(actual, predicted, seed=0)
    monkeypatch.setattr(intervals, "RANK_ROWS", 1_000)
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
