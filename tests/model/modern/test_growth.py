"""Counts of unequal age: what growth is told from, and what forecasts of another age are worth."""

from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import pytest

from model.blocks.past import DAY_S
from model.modern.config import ModernConfig
from model.modern.growth import unequal_ages
from model.modern.solve import solve_modern
from model.modern.table import build_table
from model.registry import find_kind
from tests.model.planted import at_age, planted, seen_at_ages, share_by, with_history
from tests.model.solving import Solving, rebuilt, scored

RIDGE = ModernConfig(members="ridge", text_buckets=512, text_width=12, gram_buckets=2**12)
WEEK_S = 7 * DAY_S
ROWS = with_history(seen_at_ages(planted(700)))
TRAIN, VAL, LATER = ROWS[:450], ROWS[450:500], ROWS[500:]


def solved(rows=TRAIN, val=VAL, config=RIDGE):
    solving = Solving(list(rows), list(val))
    return solve_modern(config, solving.request()), solving


def errors(network, solving, rows):
    """ln(1 + views) forecast minus that of the truth."""
    said = solving.request().target.score(scored(network, rows)["point"])
    return np.log1p(1000 * said) - np.log1p([1000 * row.views_k for row in rows])


def told(rows, config=RIDGE):
    """Whether the rows' ages are told apart, and why not."""
    said = unequal_ages(build_table(Solving(list(rows)).request(), config), config)
    return said["used"], said.get("why")


def seen_on(rows, moment):
    """The rows as if all counts had been seen at one moment."""
    ages = [(moment - row.facts.posted_at).total_seconds() for row in rows]
    return [replace(row, age_s=age_s) for row, age_s in zip(rows, ages, strict=True)]


@pytest.fixture(scope="module")
def with_age():
    return solved()


@pytest.fixture(scope="module")
def without_age():
    return solved(config=replace(RIDGE, age="ignore"))


def test_forecasts_of_a_stated_age_are_right_on_average_where_ages_differ(with_age, without_age):
    week = at_age(LATER, WEEK_S)
    aged, plain = (errors(*one, week) for one in (with_age, without_age))
    level = errors(*with_age, LATER).mean()  # that of later posts, whatever their age
    assert abs(aged.mean() - level) < 0.05
    assert abs(aged).mean() < abs(plain).mean() - 0.05
    assert plain.mean() < aged.mean() - 0.15  # of half of the ages: too few views for a week


def test_a_count_is_asked_for_at_its_own_age(with_age, without_age):
    aged, plain = (errors(*one, LATER) for one in (with_age, without_age))
    assert abs(aged).mean() < abs(plain).mean() - 0.15
    ages = np.log([row.age_s for row in LATER])
    assert abs(np.corrcoef(aged, ages)[0, 1]) < 0.25 < abs(np.corrcoef(plain, ages)[0, 1])


def test_growth_is_the_planted_one_and_never_falls_and_ends_with_the_ages(with_age):
    network, solving = with_age
    sd = solving.request().target.sd
    days = np.array([0.8, 1, 2, 4, 7, 14, 30, 40])
    grown = network.growth.read(days * DAY_S) * sd
    planted_growth = np.log([share_by(day * DAY_S) / share_by(WEEK_S) for day in days])
    np.testing.assert_allclose(grown, planted_growth, atol=0.3)
    assert (np.diff(grown) >= 0).all()
    assert network.growth.read([WEEK_S])[0] == pytest.approx(0, abs=1e-9)
    assert network.growth.read([None])[0] == 0
    beyond = network.growth.read([1.0, 60.0, 400 * DAY_S, 4_000 * DAY_S])
    assert beyond[0] == beyond[1] < 0 < beyond[2] == beyond[3]


def test_a_forecast_without_an_age_is_that_of_the_stated_one(with_age):
    network, _ = with_age
    assert network.config.horizon_s == WEEK_S
    week = [replace(row, age_s=float(WEEK_S)) for row in LATER[:5]]
    nobody_says = [replace(row, age_s=None) for row in LATER[:5]]
    np.testing.assert_array_equal(
        scored(network, week)["point"], scored(network, nobody_says)["point"]
    )
    encoded = network.encode_rows(week)
    said = scored(network, week)["point"]
    np.testing.assert_allclose(network.forecast_encoded(encoded), said, rtol=1e-5)


def test_a_stated_age_beyond_the_labels_is_moved_to_theirs():
    network, _ = solved(config=replace(RIDGE, forecast_age_s=3_000.0 * DAY_S))
    ages = [row.age_s for row in TRAIN]
    assert network.config.horizon_s == pytest.approx(np.quantile(ages, 0.95), rel=0.01)


def test_what_was_learned_of_age_is_in_the_file(with_age):
    network, _ = with_age
    said, again = (scored(one, LATER[:5]) for one in (network, rebuilt(network)))
    np.testing.assert_array_equal(said["point"], again["point"])


def test_one_date_of_looking_tells_no_growth():
    last = ROWS[-1].facts.posted_at
    assert told(TRAIN) == (True, None)
    once = (False, "age and time of posting say the same")
    assert told(seen_on(TRAIN, last + timedelta(days=2))) == once
    twice = [*seen_on(TRAIN[::2], last), *seen_on(TRAIN[1::2], last + timedelta(days=20))]
    assert told(twice) == (True, None)


@pytest.mark.parametrize(
    ("rows", "config", "why"),
    [
        (TRAIN, replace(RIDGE, age="ignore"), "ignored"),
        (TRAIN[:60], RIDGE, "too few ages known"),
        ([replace(row, age_s=None) for row in TRAIN], RIDGE, "too few ages known"),
        ([replace(row, age_s=DAY_S + i) for i, row in enumerate(TRAIN)], RIDGE, "ages are alike"),
    ],
)
def test_ages_that_say_nothing_are_left_alone(rows, config, why):
    assert told(rows, config) == (False, why)
    if why != "ignored":
        network, solving = solved(rows, (), config)
        assert network.growth is None
        assert network.config.horizon_s == 0
        assert solving.notes["age"]["why"] == why


def test_counts_of_others_do_not_grow():
    views = np.random.default_rng(3).permutation([row.views_k for row in TRAIN]).tolist()
    rows = [replace(row, views_k=k) for row, k in zip(TRAIN, views, strict=True)]
    network, solving = solved(rows)
    heights = network.growth.heights.numpy() * solving.request().target.sd
    assert heights[-1] - heights[0] < 0.5  # 1.7 of the rows' own


def test_a_model_from_before_ages_is_read_as_one_without():
    document = asdict(RIDGE)
    for name in ("age", "forecast_age_s", "n_growth", "horizon_s"):
        del document[name]
    read = find_kind("modern").config_from_json(document)
    assert (read.n_growth, read.horizon_s) == (0, 0)
