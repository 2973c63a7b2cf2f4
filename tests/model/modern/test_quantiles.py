import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.modern.quantiles import LEVELS, MEDIAN, ascending, pinball


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
