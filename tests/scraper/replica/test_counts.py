import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.replica.counts import round_count, show_count


@pytest.mark.parametrize(
    ("count", "rounded", "shown"),
    [
        (0, 0, "0"),
        (1_635, 1_635, "1635"),
        (9_999, 9_999, "9999"),
        (15_955, 16_000, "16K"),
        (22_609, 22_600, "22.6K"),
        (1_776_621, 1_800_000, "1.8M"),
        (999_960, 1_000_000, "1M"),
        (4_291_312, 4_300_000, "4.3M"),
        (37_099_000_000, 37_100_000_000, "37.1B"),
    ],
)
def test_rounds_and_shortens_as_the_real_site_does(count, rounded, shown):
    assert round_count(count) == rounded
    assert show_count(count) == shown


@given(st.integers(0, 10**11))
def test_rounding_twice_changes_nothing(count):
    assert round_count(round_count(count)) == round_count(count)
    assert show_count(round_count(count)) == show_count(count)
