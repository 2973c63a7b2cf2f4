import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.verdict import MIN_EVIDENCE, Paired, verdict_of

NUMBERS = st.floats(-5, 5) | st.sampled_from([0.0, math.nan, math.inf, None])
PAIRS = st.lists(st.builds(Paired, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=4)


def lead(low: float | None, high: float | None, own: float = 1.0, rival: float = 2.0) -> Paired:
    """An error of `own` beside `rival`, with the ends of the difference."""
    return Paired(own, rival, low, high)


def loss(low: float, high: float) -> Paired:
    return Paired(2.0, 1.0, low, high)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([lead(-2, -1)], "better"),
        ([loss(1, 2)], "worse"),
        ([lead(-1, 0)], "no evidence"),
        ([loss(0, 1)], "no evidence"),
        ([lead(0, 0)], "no evidence"),
        ([lead(-1, 1)], "no evidence"),
        ([lead(-2, -1), lead(-3, -1)], "better"),
        ([lead(-2, -1), lead(-3, 1)], "no evidence"),
        ([lead(-2, -1), loss(1, 2)], "no evidence"),
        ([loss(1, 2), loss(1, 3)], "worse"),
        ([lead(-2, -1), lead(None, None)], "no evidence"),
        ([lead(None, -1)], "no evidence"),
        ([lead(math.nan, math.nan)], "no evidence"),
        ([lead(math.nan, -1)], "no evidence"),
        ([lead(-2, math.nan)], "no evidence"),
        ([], "no evidence"),
    ],
)
def test_the_word_follows_the_intervals(pairs, said):
    assert verdict_of(pairs, n=MIN_EVIDENCE, part="holdout", spearman_low=0.1) == said


@pytest.mark.parametrize(
    ("own", "rival", "said"),
    [
        (0.989, 1.0, "better"),
        (0.99, 1.0, "better"),
        (0.991, 1.0, "no evidence"),
        (1.0, 0.991, "no evidence"),
        (1.0, 0.989, "worse"),
        (None, 1.0, "no evidence"),
        (0.5, math.nan, "no evidence"),
    ],
)
def test_however_sure_a_difference_is_it_must_be_large_enough_to_count(own, rival, said):
    is_loss = said == "worse" or (own, rival) == (1.0, 0.991)
    ends = (0.001, 0.02) if is_loss else (-0.02, -0.001)
    pair = Paired(own, rival, *ends)
    assert verdict_of([pair], n=10_000, part="holdout", spearman_low=0.1) == said
    free = verdict_of([pair], n=10_000, part="holdout", spearman_low=0.1, least_gain=0.0)
    known = own is not None and not math.isnan(rival)
    assert free == ("no evidence" if not known else "worse" if is_loss else "better")


@pytest.mark.parametrize("spearman_low", [None, 0.0, -0.1, math.nan])
def test_what_does_not_rank_is_not_better_than_a_constant_but_may_be_than_a_model(spearman_low):
    said = [
        verdict_of(
            [pair], n=500, part="holdout", spearman_low=spearman_low, is_rival_a_model=is_model
        )
        for pair in (lead(-2, -1), loss(1, 2))
        for is_model in (False, True)
    ]
    assert said == ["no evidence", "better", "worse", "worse"]


@given(PAIRS)
def test_no_word_of_few_rows_nor_of_what_was_trained_on(pairs):
    few = verdict_of(pairs, n=MIN_EVIDENCE - 1, part="new", spearman_low=0.5)
    own = verdict_of(pairs, n=1_000, part="train", spearman_low=0.5)
    assert (few, own) == ("no evidence", "in sample")


@given(PAIRS, st.floats(0, 0.5))
def test_the_second_of_two_models_is_worse_where_the_first_is_better(pairs, least_gain):
    opposite = {"better": "worse", "worse": "better", "no evidence": "no evidence"}
    first, second = (
        verdict_of(seen, n=50, part="val", is_rival_a_model=True, least_gain=least_gain)
        for seen in (pairs, [pair.turned() for pair in pairs])
    )
    assert second == opposite[first]
