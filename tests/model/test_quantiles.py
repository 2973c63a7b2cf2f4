import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.errors import BadSetting, NotFinite
from model.quantiles import LEVELS, MEDIAN, ascending, calibrate, pinball


def test_intervals_too_narrow_become_80_percent_on_new_rows_of_the_same_kind():
    generator = np.random.default_rng(0)
    held = []
    for _ in range(200):
        level, actual = generator.normal(size=400), generator.normal(size=400)
        actual += level
        low, high = level - 0.3, level + 0.3  # of a normal error, 24 % lie in there
        offsets = calibrate(low[:200], high[:200], actual[:200], coverage=0.8)
        inside = (low[200:] - offsets.low <= actual[200:]) & (
            actual[200:] <= high[200:] + offsets.high
        )
        held.append(inside.mean())
    assert np.mean(held) == pytest.approx(0.8, abs=0.01)


def test_intervals_too_wide_are_narrowed():
    actual = np.random.default_rng(0).normal(size=500)
    offsets = calibrate(np.full(500, -9.0), np.full(500, 9.0), actual, coverage=0.8)
    assert offsets.low == pytest.approx(-9 + 1.28, abs=0.2)
    assert offsets.high == pytest.approx(-9 + 1.28, abs=0.2)


def test_a_shift_since_training_moves_both_ends_the_same_way():
    actual = np.random.default_rng(0).normal(size=500) + 1.0
    offsets = calibrate(np.full(500, -1.28), np.full(500, 1.28), actual, coverage=0.8)
    assert offsets.low == pytest.approx(-1.0, abs=0.2)
    assert offsets.high == pytest.approx(1.0, abs=0.2)


def test_too_few_rows_promise_nothing():
    rows = np.arange(8.0)
    assert calibrate(rows, rows, rows, coverage=0.8) is None
    nine = np.arange(9.0)
    assert calibrate(nine, nine, nine, coverage=0.8) is not None


def test_what_is_no_number_or_no_share_is_refused():
    rows = np.arange(20.0)
    with pytest.raises(NotFinite):
        calibrate(rows, rows, np.append(rows[1:], np.nan), coverage=0.8)
    with pytest.raises(NotFinite):
        calibrate(rows, rows[1:], rows, coverage=0.8)
    with pytest.raises(BadSetting):
        calibrate(rows, rows, rows, coverage=1.0)


@given(st.lists(st.floats(-50, 50, width=32), min_size=7, max_size=7))
def test_quantiles_never_cross(raw):
    found = ascending(torch.tensor([raw]))
    assert found.shape == (1, 7)
    assert bool((found.diff(dim=1) >= 0).all())
    assert float(found[0, MEDIAN]) == raw[MEDIAN]


def test_the_true_quantiles_cost_least():
    actual = torch.from_numpy(np.random.default_rng(0).normal(size=20_000)).float()
    true = torch.quantile(actual, torch.tensor(LEVELS)).expand(len(actual), -1)
    least = pinball(true, actual)
    for moved in (0.2, -0.2):
        assert pinball(true + moved, actual) > least


def test_a_quantile_too_low_costs_its_level_times_the_gap():
    quantiles = torch.zeros(1, 7)
    assert pinball(quantiles, torch.tensor([2.0])) == sum(LEVELS) / 7 * 2.0


def test_pinball_is_half_the_absolute_error_in_the_middle():
    predicted, wanted = torch.tensor([1.0, 5.0, 2.0]), torch.tensor([2.0, 3.0, 2.0])
    middle = pinball(predicted, wanted, tau=0.5)
    assert middle == pytest.approx(0.5 * float((wanted - predicted).abs().mean()))


def test_pinball_punishes_the_rarer_side_more():
    low, high = torch.tensor([1.0]), torch.tensor([3.0])
    assert pinball(low, high, tau=0.9).item() == pytest.approx(1.8)
    assert pinball(high, low, tau=0.9).item() == pytest.approx(0.2)
