"""Chances of drafts: they sum to one, grow with the forecast, and are those that draws give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.forecast.ranking import Said, chance_to_beat, ranking_of, shared_error

counts = st.floats(0, 1e6)
correlations = st.floats(0, 0.95)
forecasts = st.tuples(counts, counts, counts).map(sorted).map(lambda k: Said(k[1], k[0], k[2]))


@given(forecasts, forecasts, correlations)
def test_one_of_two_wins(a, b, rho):
    there, back = chance_to_beat(a, b, rho), chance_to_beat(b, a, rho)
    assert 0 <= there <= 1
    assert there + back == pytest.approx(1, abs=1e-12)


@given(forecasts, correlations)
def test_equals_have_equal_chances(a, rho):
    assert chance_to_beat(a, a, rho) == pytest.approx(0.5, abs=1e-12)


@given(forecasts, forecasts, correlations, st.floats(1.01, 100))
def test_a_higher_forecast_of_the_same_width_wins_more_often(a, b, rho, factor):
    def moved(k):
        return ((1 + 1_000 * k) * factor - 1) / 1_000

    higher = Said(moved(a.views_k), moved(a.low_k), moved(a.high_k))
    assert chance_to_beat(higher, b, rho) >= chance_to_beat(a, b, rho) - 1e-9


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_chances_are_those_of_drawn_errors(rho):
    a, b = Said(20, 4, 60), Said(12, 6, 90)
    generator = np.random.default_rng(0)
    z = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 400_000)
    drawn = []
    for said, error in zip((a, b), z.T, strict=True):
        at, low, high = (np.log1p(1_000 * k) for k in (said.views_k, said.low_k, said.high_k))
        side = np.where(error < 0, at - low, high - at) / 1.2815515655446004
        drawn.append(at + side * error)
        assert np.mean(drawn[-1] < low) == pytest.approx(0.1, abs=0.003)
        assert np.mean(drawn[-1] > high) == pytest.approx(0.1, abs=0.003)
    expected = float(np.mean(drawn[0] > drawn[1]))
    assert chance_to_beat(a, b, rho) == pytest.approx(expected, abs=0.004)


def test_shared_errors_make_the_better_one_more_certain():
    a, b = Said(20, 5, 80), Said(10, 2.5, 40)
    assert chance_to_beat(a, b, 0.8) > chance_to_beat(a, b, 0.3) > chance_to_beat(a, b) > 0.5


def test_a_ranking_is_in_the_order_of_the_forecasts():
    ranking = ranking_of(["a", "b", "c"], [Said(1, 0.5, 2), Said(9, 3, 20), Said(4, 2, 9)])
    assert (ranking.files, ranking.order) == (("b", "c", "a"), (1, 2, 0))
    matrix = np.array(ranking.chances)
    assert matrix + matrix.T == pytest.approx(np.ones((3, 3)))
    assert 0.5 < matrix[0, 1] < matrix[0, 2]


def test_without_an_interval_there_is_an_order_and_no_chance():
    ranking = ranking_of(["a", "b"], [Said(1, 0.5, 2), 3.0])
    assert ranking.files == ("b", "a")
    assert ranking.chances is None


def held_out(n_authors, per_author, rho, seed=0):
    """Residuals with a part that all videos of an author share."""
    generator = np.random.default_rng(seed)
    author = np.repeat(np.arange(n_authors), per_author)
    own = generator.normal(size=len(author)) * np.sqrt(1 - rho)
    error = own + np.sqrt(rho) * generator.normal(size=n_authors)[author]
    point = np.full(len(author), 10.0)
    logs = np.log1p(1_000 * point)

    def k(values):
        return np.expm1(values) / 1_000

    width = 1.2815515655446004
    return author.tolist(), k(logs + error), point, k(logs - width), k(logs + width)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_what_errors_of_one_author_share_is_measured(rho):
    found = shared_error(*held_out(400, 5, rho))
    assert found.correlation == pytest.approx(rho, abs=0.06)
    assert (found.n_pairs, found.n_authors) == (4_000, 400)


def test_too_few_pairs_or_authors_measure_nothing():
    assert shared_error(*held_out(60, 2, 0.5)) is None
    assert shared_error(*held_out(3, 40, 0.5)) is None
    authors, *numbers = held_out(400, 5, 0.5)
    assert shared_error([None] * len(authors), *numbers) is None
    actual, point, low, _high = numbers
    assert shared_error(authors, actual, point, low, np.full(len(point), np.nan)) is None
