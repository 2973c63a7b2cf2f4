"""The rules about stored facts that more than one room applies."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.facts import MIN_EVIDENCE, Candidate, uploaded_at, verdict_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = st.floats(-5, 5) | st.sampled_from([0.0, math.nan, math.inf, None])
INTERVALS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4)


@pytest.mark.parametrize(
    ("ends", "of_errors", "of_ranks"),
    [
        ([(-2, -1)], "better", "worse"),
        ([(1, 2)], "worse", "better"),
        ([(-1, 0)], "no evidence", "no evidence"),
        ([(0, 1)], "no evidence", "no evidence"),
        ([(0, 0)], "no evidence", "no evidence"),
        ([(-1, 1)], "no evidence", "no evidence"),
        ([(-2, -1), (-3, -1)], "better", "worse"),
        ([(-2, -1), (-3, 1)], "no evidence", "no evidence"),
        ([(-2, -1), (1, 2)], "no evidence", "no evidence"),
        ([(-2, -1), (None, None)], "no evidence", "no evidence"),
        ([(None, -1)], "no evidence", "no evidence"),
        ([(math.nan, math.nan)], "no evidence", "no evidence"),
        ([(math.nan, -1)], "no evidence", "no evidence"),
        ([], "no evidence", "no evidence"),
    ],
)
def test_the_word_follows_the_intervals(ends, of_errors, of_ranks):
    said = [
        verdict_of(ends, n=MIN_EVIDENCE, part="holdout", higher_is_better=higher)
        for higher in (False, True)
    ]
    assert said == [of_errors, of_ranks]


@given(INTERVALS, st.booleans())
def test_no_word_of_few_rows_nor_of_what_was_trained_on(ends, higher):
    few = verdict_of(ends, n=MIN_EVIDENCE - 1, part="new", higher_is_better=higher)
    own = verdict_of(ends, n=1_000, part="train", higher_is_better=higher)
    assert (few, own) == ("no evidence", "in sample")


@given(INTERVALS)
def test_the_second_is_worse_where_the_first_is_better(ends):
    opposite = {"better": "worse", "worse": "better", "no evidence": "no evidence"}
    turned = [
        (None if high is None else -high, None if low is None else -low) for low, high in ends
    ]
    first, second = (verdict_of(one, n=50, part="val") for one in (ends, turned))
    assert second == opposite[first]


def test_the_id_tells_the_upload_time_where_the_page_did_not():
    second = int(START.timestamp())
    row = Candidate(1, str(second << 32), None, None, START + timedelta(days=3))
    assert uploaded_at(row) == START


@pytest.mark.parametrize("tiktok_id", ["7", "abc", "٣", str(2**70), str(int(4e9) << 32)])
def test_an_id_without_a_time_falls_back_to_first_sight(tiktok_id):
    assert uploaded_at(Candidate(1, tiktok_id, None, None, START)) == START


@pytest.mark.parametrize(
    ("hours", "is_told"), [(-1, True), (23, True), (25, False), (9_000, False)]
)
def test_an_id_of_a_later_day_than_the_first_sight_tells_no_time(hours, is_told):
    """Clocks differ by hours, not by days: such a number is no id with a time in it."""
    told = START + timedelta(hours=hours)
    row = Candidate(1, str(int(told.timestamp()) << 32), None, None, START)
    assert uploaded_at(row) == (told if is_told else START)
