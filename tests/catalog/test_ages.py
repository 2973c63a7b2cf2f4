"""The views at an age: what is known of them, within which bounds, and when there is no number."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.ages import (
    AgeRule,
    CountAtAge,
    Label,
    age_text,
    count_at_age,
    duration_s,
    label_of,
    read_label,
)
from catalog.facts import Observed

POSTED = datetime(2026, 3, 1, tzinfo=UTC)
DAY_S = 86_400
RULE = AgeRule(reach=0.5, tolerance=0.1)
LATER = POSTED + timedelta(days=3650)


def seen(*counts: tuple[float, float], step_k: float = 0.0) -> list[Observed]:
    """Counts by the age in days at which they were seen."""
    return [
        Observed(i, POSTED + timedelta(days=age_d), views_k, step_k)
        for i, (age_d, views_k) in enumerate(counts, 1)
    ]


def at_day(counts: list[Observed], age_d: float, *, now: datetime = LATER, **more):
    return count_at_age(counts, POSTED, round(age_d * DAY_S), now=now, rule=RULE, **more)


def found(counts: list[Observed], age_d: float, **more) -> CountAtAge:
    count = at_day(counts, age_d, **more)
    assert isinstance(count, CountAtAge)
    return count


# --- what is known


def test_a_count_of_exactly_that_age_is_itself_whatever_else_was_seen():
    counts = seen((6, 80.0), (7, 90.0), (8, 200.0))
    count = found(counts, 7)
    assert (count.views_k, count.low_k, count.high_k) == (90.0, 90.0, 90.0)
    assert (count.before, count.after) == (counts[1], None)


def test_between_two_counts_views_grow_evenly_in_logs_of_views_and_age():
    count = found(seen((4, 0.999), (9, 15.999)), 6)
    assert count.method == "interpolated"
    assert count.views_k == pytest.approx(3.999)  # half of the way from ln 4 d to ln 9 d
    assert (count.low_k, count.high_k) == (0.999, 15.999)


def test_nothing_is_between_nothing_and_nothing():
    count = found(seen((0.6, 0.0), (1.2, 0.0)), 1)
    assert (count.views_k, count.low_k, count.high_k) == (0.0, 0.0, 0.0)


def test_a_count_that_fell_in_between_bounds_from_above():
    count = found(seen((6, 110.0), (8, 100.0)), 7)
    assert (count.low_k, count.high_k) == (100.0, 110.0)
    assert 100.0 < count.views_k < 110.0


@pytest.mark.parametrize(("age_d", "low_k", "high_k"), [(6.4, 96.0, 105.0), (7.6, 88.421, 96.0)])
def test_one_count_near_the_age_stands_for_it_between_two_assumptions(age_d, low_k, high_k):
    count = found(seen((age_d, 96.0)), 7)
    assert count.method == "nearest"
    assert (count.low_k, count.high_k) == pytest.approx((low_k, high_k), abs=0.001)
    assert low_k < count.views_k < high_k
    assert (count.before is None) == (age_d > 7)


def test_what_was_seen_before_a_moment_is_left_aside():
    counts = seen((6, 80.0), (6.9, 88.0), (7.2, 92.0))
    count = found(counts, 7, after=counts[1].observed_at)
    assert (count.method, count.before, count.after) == ("nearest", None, counts[2])
    assert at_day(counts, 7, after=counts[2].observed_at) == "not_observed"


# --- and when there is no number


@pytest.mark.parametrize("counts", [[], seen((1, 5.0)), seen((6.8, 50.0)), seen((3.6, 40.0))])
def test_a_number_is_not_there_yet_until_no_count_can_come_any_more(counts):
    closes = POSTED + timedelta(days=7 * 1.5)
    moment = timedelta(microseconds=1)
    assert at_day(counts, 7, now=closes - moment) == "not_yet"
    after = at_day(counts, 7, now=closes)
    if counts and counts[-1].views_k == 50.0:
        assert isinstance(after, CountAtAge)  # near enough to stand alone
    else:
        assert after == "not_observed"


def test_counts_beyond_reach_on_either_side_are_no_count_at_all():
    inside = found(seen((3.5, 40.0), (10.5, 100.0)), 7)
    assert inside.method == "interpolated"
    moment_d = 1e-6 / DAY_S
    assert at_day(seen((3.5 - moment_d, 40.0), (10.5, 100.0)), 7) == "not_observed"
    assert at_day(seen((3.5, 40.0), (10.5 + moment_d, 100.0)), 7) == "not_observed"


@pytest.mark.parametrize("age_d", [6.3, 7.7])
def test_the_tolerance_is_a_share_of_the_age(age_d):
    assert found(seen((age_d, 5.0)), 7).method == "nearest"
    beyond = age_d + math.copysign(0.0001, age_d - 7)
    assert at_day(seen((beyond, 5.0)), 7) == "not_observed"


def test_a_count_after_the_age_stands_at_once_and_one_before_it_only_in_the_end():
    now = POSTED + timedelta(days=7.3)
    assert found(seen((7.2, 9.0)), 7, now=now).method == "nearest"
    assert at_day(seen((6.9, 9.0)), 7, now=now) == "not_yet"


@given(
    st.lists(st.tuples(st.floats(-40, 60), st.floats(0, 1e6)), max_size=12),
    st.sampled_from([1, 60, DAY_S, 7 * DAY_S, 30 * DAY_S]),
    st.floats(-5, 100),
    st.floats(0, 0.999999),
    st.floats(0, 0.999999),
)
def test_whatever_was_seen_whenever_gives_a_number_within_its_bounds_or_a_reason(
    counts, age_s, now_d, reach, tolerance
):
    now = POSTED + timedelta(days=now_d)
    history = seen(*sorted(counts))
    count = count_at_age(history, POSTED, age_s, now=now, rule=AgeRule(reach, tolerance))
    if isinstance(count, str):
        assert count in ("not_yet", "not_observed")
    else:
        assert 0 <= count.low_k <= count.views_k <= count.high_k < math.inf
        for one in (count.before, count.after):
            # Nothing that was seen before the post tells of it.
            assert one is None or one.observed_at > POSTED


# --- what a count stands for


def rounded(views: int, step: int) -> int:
    return (views + step // 2) // step * step


def cut(views: int, step: int) -> int:
    return views // step * step


def shown(views: int, show) -> tuple[float, float]:
    """What a site shows of a count, and in which steps, both in thousands."""
    step = next((s for limit, s in ((10_000, 1), (10**6, 100), (10**9, 10**5)) if views < limit))
    return show(views, step) / 1_000, 0.0 if step == 1 else step / 1_000


@given(
    st.sampled_from([rounded, cut]),
    st.lists(st.tuples(st.floats(0.01, 20), st.integers(0, 10**7)), min_size=2, max_size=8),
    st.floats(0.02, 19),
    st.integers(0, 10**7),
)
def test_the_bounds_hold_for_every_course_that_only_grows_however_a_site_rounds(
    show, points, age_d, at_age
):
    age_s = max(1, round(age_d * DAY_S))
    ages_s = sorted({round(age * DAY_S) for age, _ in points} - {age_s})
    views = sorted([at_age, *(count for _, count in points)])[: len(ages_s) + 1]
    n_before = sum(one < age_s for one in ages_s)
    truth = views.pop(n_before)
    history = []
    for i, (one_s, count) in enumerate(zip(ages_s, views, strict=True), 1):
        views_k, step_k = shown(count, show)
        history.append(Observed(i, POSTED + timedelta(seconds=one_s), views_k, step_k))
    rule = AgeRule(reach=0.999, tolerance=0.0)
    count = count_at_age(history, POSTED, age_s, now=LATER, rule=rule)
    if isinstance(count, CountAtAge):
        assert count.method == "interpolated"
        slack = 1e-9 * count.high_k
        assert count.low_k - slack <= truth / 1_000 <= count.high_k + slack


@given(
    st.sampled_from([rounded, cut]),
    st.integers(0, 10**7),
    st.floats(0.05, 200),
    st.floats(-0.099, 0.099),
)
def test_the_bounds_of_one_count_hold_where_views_come_ever_slower(show, most, slow_d, off):
    age_d = 7.0
    seen_d = age_d * (1 + off)

    def views(day: float) -> int:
        return math.floor(most * -math.expm1(-day / slow_d))

    views_k, step_k = shown(views(seen_d), show)
    count = found(seen((seen_d, views_k), step_k=step_k), age_d)
    slack = 1e-9 * count.high_k + 0.001 * (1 + abs(off))  # of whole views
    assert count.low_k - slack <= views(age_d) / 1_000 <= count.high_k + slack


# --- how they are written


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("latest", Label()),
        ("at:7d", Label("at", 7 * DAY_S)),
        (" at:1w ", Label("at", 7 * DAY_S)),
        ("from:36h", Label("from", 36 * 3600)),
        ("from:0s", Label("from", 0)),
    ],
)
def test_labels_are_read_and_written_one_way(text, label):
    assert read_label(text) == label
    assert read_label(str(label)) == label


@given(st.integers(0, 10**7))
def test_an_age_is_written_as_a_length_of_time_that_reads_the_same(age_s):
    assert duration_s(age_text(age_s)) == age_s


def test_the_label_of_a_split_is_read_from_what_is_stored_also_of_old_ones():
    assert label_of({"strategy": "time"}) == Label()
    assert label_of({"label_age_s": 3600.0}) == Label("from", 3600)
    assert label_of({"label": "at:7d", "reach": 0.5}) == Label("at", 7 * DAY_S)
