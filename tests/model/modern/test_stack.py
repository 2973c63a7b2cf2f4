from dataclasses import replace

import numpy as np
import pytest

from model.modern.config import MEMBERS, ModernConfig
from model.modern.stack import (
    SEGMENTS,
    Rehearsed,
    default_weights,
    drift_of,
    interval_ends,
    joined,
    segment_of,
    shift_of,
    stacked_weights,
)

CONFIG = ModernConfig()


def rehearsed(n, noise=(0.3, 0.6, 2.0, 5.0), *, seed=0, known=0):
    """Members that each see the truth through their own noise; the bare ones through twice that."""
    draw = np.random.default_rng(seed)
    actual = draw.normal(size=n)
    apart = draw.normal(size=(n, len(MEMBERS))) * noise
    return Rehearsed(
        actual[:, None] + apart,
        actual[:, None] + 2 * apart,
        actual,
        np.full(n, known),
        np.arange(n, dtype=np.float64),
    )


def told(errors, *, n_known=0, bare=None):
    """Rows of which the members say nothing, so that their errors are what they got."""
    n = len(errors)
    said = np.zeros((n, len(MEMBERS)))
    other = said if bare is None else np.asarray(errors - bare)[:, None] * np.eye(4)[0]
    return Rehearsed(said, other, errors, np.zeros(n, np.int64) + n_known, np.arange(float(n)))


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_never_negative_and_sum_to_at_most_about_one(seed):
    found = stacked_weights(rehearsed(400, seed=seed), CONFIG)
    assert (found >= 0).all()
    assert 0.7 < found.sum() < 1.05
    assert list(np.argsort(-found)[:2]) == [0, 1]


def test_a_member_that_tells_nothing_gets_next_to_no_weight():
    one = rehearsed(2000)
    noise = np.random.default_rng(7).normal(size=one.said.shape)
    found = stacked_weights(replace(one, said=np.c_[one.said[:, :1], noise[:, 1:]]), CONFIG)
    assert found[0] > 0.8
    assert found[1:].sum() < 0.15


def test_where_nobody_tells_anything_the_forecast_stays_near_the_middle():
    one = rehearsed(3000)
    noise = np.random.default_rng(7).normal(size=one.said.shape)
    assert stacked_weights(replace(one, said=noise), CONFIG).sum() < 0.2


def test_the_level_of_what_they_say_does_not_weigh():
    one = rehearsed(400)
    higher = replace(one, said=one.said + 100.0)
    np.testing.assert_allclose(
        stacked_weights(one, CONFIG), stacked_weights(higher, CONFIG), atol=1e-6
    )


def test_few_rows_leave_the_weights_of_the_preset():
    assert default_weights(CONFIG).tolist() == [0.5, 0.5, 0, 0]
    assert stacked_weights(rehearsed(29), CONFIG).tolist() == [0.5, 0.5, 0, 0]
    wanted = {"ridge": [1, 0, 0, 0], "grams,ridge": [1, 0, 0, 0], "past,grams": [0, 0, 0, 1]}
    for members, weights in wanted.items():
        assert default_weights(ModernConfig(members=members)).tolist() == weights
    only = stacked_weights(rehearsed(400), ModernConfig(members="trees,past"))
    assert only[[0, 2]].tolist() == [0, 0]
    assert only[1] > 0.5


def test_more_rows_move_further_from_the_preset():
    found = [stacked_weights(rehearsed(n, (0.1, 2, 2, 2)), CONFIG)[0] for n in (40, 200, 4000)]
    assert found == sorted(found)
    assert found[-1] > 0.9


def test_a_shift_is_the_median_less_where_rows_are_few():
    assert shift_of(np.zeros(0), in_time=True) == 0.0
    errors = np.r_[np.full(60, 2.0), np.full(40, 9.0)]
    assert shift_of(errors, in_time=False) == pytest.approx(2.0 * 100 / 200)
    assert shift_of(np.full(10_000, 2.0), in_time=False) == pytest.approx(2.0, rel=0.02)


def test_a_shift_in_time_follows_the_newest_rows():
    errors = np.r_[np.zeros(600), np.ones(400)]
    assert shift_of(errors, in_time=True) > 0.5
    assert shift_of(errors[::-1], in_time=True) < 0.01
    assert shift_of(errors, in_time=False) == shift_of(errors[::-1], in_time=False) == 0.0


def drifts(walk_sd, *, n=1600, seeds=20):
    found = []
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        walk = np.cumsum(draw.normal(0, walk_sd, 16)).repeat(n // 16)
        found.append(drift_of(walk + draw.normal(size=n)))
    return np.array(found)


def test_level_errors_do_not_drift_and_walking_ones_do():
    still, walking = drifts(0.0), drifts(0.4)
    assert (still == 0).mean() >= 0.5
    assert still.max() < 0.15
    assert walking.mean() > 0.3
    assert (walking > 0).mean() > 0.9


def test_too_few_rows_tell_of_no_drift():
    assert drift_of(np.arange(239.0)) == 0.0
    assert drift_of(np.arange(240.0)) > 0.0


def test_a_segment_is_what_is_known_of_the_author():
    assert segment_of(np.array([0, 1, 4, 5, 99])).tolist() == [0, 1, 1, 2, 2]


def test_fresh_rows_of_every_segment_lie_in_their_interval():
    """Errors are lopsided, and less of authors of whom more is known."""
    coverage = np.zeros((12, len(SEGMENTS)))
    for seed in range(len(coverage)):
        draw = np.random.default_rng(seed)
        n_known = draw.choice([0, 2, 9], 3000)
        width = np.array([2.0, 1.0, 0.3])[segment_of(n_known)]
        errors = width * (draw.exponential(size=3000) - np.log(2))
        ends = interval_ends(told(errors[:1500], n_known=n_known[:1500]), np.ones(4), 0.0)
        assert ends.n_rows == 1500
        low, high = ends.offsets[segment_of(n_known[1500:])].T
        inside = (low <= errors[1500:]) & (errors[1500:] <= high)
        assert (ends.offsets[:, 0] <= 0).all()
        assert (ends.offsets[:, 1] > -ends.offsets[:, 0]).all()  # as lopsided as the errors
        assert (np.diff(ends.offsets[:, 1]) < 0).all()
        for number in range(len(SEGMENTS)):
            coverage[seed, number] = inside[segment_of(n_known[1500:]) == number].mean()
    assert coverage.mean(axis=0) == pytest.approx(0.8, abs=0.03)


def test_a_level_that_walks_widens_the_interval():
    draw = np.random.default_rng(0)
    still = draw.normal(size=1600)
    walk = np.cumsum(draw.normal(0, 0.4, 16)).repeat(100)
    one, other = (interval_ends(told(errors), np.ones(4), 0.0) for errors in (still, still + walk))
    assert one.drift < 0.15 < other.drift
    assert np.diff(other.offsets[0]) > 1.1 * np.diff(one.offsets[0])


def test_of_unknown_authors_too_few_are_judged_by_the_others_as_if_unknown():
    draw = np.random.default_rng(1)
    errors = draw.normal(size=900)
    # Nobody unknown among the rows; without their past they are forecast three times as badly.
    one = told(errors, n_known=9, bare=3 * errors)
    ends = interval_ends(one, np.ones(4), 0.0)
    assert np.diff(ends.offsets[0]) == pytest.approx(3 * np.diff(ends.offsets[2]), rel=0.1)
    assert np.array_equal(ends.offsets[1], ends.offsets[2])  # too few of its own: that of all


@pytest.mark.parametrize(("n", "has_ends"), [(8, False), (9, True)])
def test_fewer_rows_than_can_promise_it_have_no_interval(n, has_ends):
    ends = interval_ends(told(np.random.default_rng(0).normal(size=n)), np.ones(4), 0.0)
    assert (ends is not None) == has_ends


def test_rehearsals_are_joined_oldest_first():
    one, other = rehearsed(5), rehearsed(5, seed=1)
    both = joined([replace(one, posted=one.posted + 0.5), other])
    assert both.posted.tolist() == sorted([*other.posted, *(one.posted + 0.5)])
    assert both.actual[0] == other.actual[0]
    assert np.array_equal(both.said[1], one.said[0])
