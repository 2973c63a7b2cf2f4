import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.backoff import (
    FIRST_PAUSE_S,
    MAX_PAUSE_S,
    MAX_RETRY_AFTER_S,
    MIN_PAUSE_S,
    parse_retry_after,
    pause_s,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wish_s"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 10:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 10:01:00 -0000", 60.0),
        ("Mon, 23 Nov 2026 12:01:00 +0200", 60.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("9999999999", MAX_RETRY_AFTER_S),
        ("Fri, 23 Nov 2096 10:01:00 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_seconds_and_dates_are_read(text, wish_s):
    assert parse_retry_after(text, NOW) == wish_s


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "٣", "99999999999999999999", "Mon, 99"])
def test_what_is_neither_is_no_wish(text):
    assert parse_retry_after(text, NOW) is None


@given(st.text(max_size=60))
def test_whatever_a_header_holds_it_is_a_time_or_nothing(text):
    wish_s = parse_retry_after(text, NOW)
    assert wish_s is None or 0.0 <= wish_s <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize("n_before", [0, 1, 3, 10, 10_000])
def test_pauses_grow_and_have_an_end(n_before):
    rng = random.Random(1)
    drawn = [pause_s(n_before, None, rng) for _ in range(500)]
    most_s = min(FIRST_PAUSE_S * 2.0 ** min(n_before, 50), MAX_PAUSE_S)
    assert min(drawn) >= MIN_PAUSE_S
    assert 0.9 * most_s < max(drawn) <= most_s


def test_what_the_site_asks_for_is_the_least():
    assert pause_s(0, 7_200.0, random.Random(1)) == 7_200.0
    assert timedelta(seconds=MAX_RETRY_AFTER_S) == timedelta(days=7)
