"""What an opening's facts go with: planted effects are found, chance and single authors are not."""

import numpy as np
import pytest

from model.forecast.opening_facts import (
    FACTS,
    OpeningTable,
    associations,
    numbers_of,
    opening_of,
)

N_FACTS = len(FACTS)


def table(seed=0, *, n=400, n_authors=80, effect=0.0, of_author=0.0):
    """Facts that say nothing but the first; both facts and outcomes may be an author's own."""
    generator = np.random.default_rng(seed)
    author = generator.integers(0, n_authors, n)
    shared = generator.normal(size=(n_authors, N_FACTS + 1))[author] * of_author
    numbers = generator.normal(size=(n, N_FACTS)) + shared[:, 1:]
    outcome = effect * numbers[:, 0] + generator.normal(size=n) + shared[:, 0]
    return OpeningTable(numbers, outcome, tuple(author.tolist()), "forecast")


def test_a_planted_effect_is_found_with_its_sign_and_the_others_are_not():
    up, down = associations(table(effect=0.5)), associations(table(effect=-0.5))
    assert (up[0].finding, down[0].finding) == ("more", "fewer")
    assert up[0].low > 0 > down[0].high
    assert up[0].low < up[0].correlation < up[0].high
    assert {one.finding for one in up[1:]} == {"no effect found"}


@pytest.mark.parametrize("of_author", [0.0, 2.0])
def test_what_means_nothing_is_hardly_ever_called_an_effect(of_author):
    """Also where authors differ in both: their videos are not so many independent ones."""
    wrong = [
        any(one.finding in ("more", "fewer") for one in associations(found))
        for found in (table(seed, of_author=of_author) for seed in range(60))
    ]
    assert sum(wrong) <= 8  # 5 % promised: beyond 8 of 60 in 2 of 1,000 such tests


def test_fewer_than_a_hundred_videos_or_a_few_authors_are_too_few():
    few = associations(table(n=99, effect=3.0))
    assert {one.finding for one in few} == {"too few"}
    one_author = associations(table(n_authors=5, effect=3.0))
    assert {one.finding for one in one_author} == {"too few"}
    assert one_author[0].correlation is None


def test_a_fact_that_few_videos_have_is_judged_by_those():
    found = table(effect=1.0)
    found.numbers[60:, 0] = np.nan
    assert associations(found)[0].finding == "too few"
    assert associations(found)[1].n == 400


def test_numbers_that_are_all_alike_go_with_nothing():
    found = table()
    found.numbers[:, 3] = 1.0
    assert associations(found)[3].finding == "no effect found"


def test_a_clip_stands_among_the_others_and_what_it_lacks_is_not_told():
    found = table()
    numbers = np.full(N_FACTS, np.nan)
    numbers[0] = np.quantile(found.numbers[:, 0], 0.8)
    numbers[2] = 1e9
    low, high = opening_of(numbers, found)
    assert (low.fact, high.fact) == (FACTS[0], FACTS[2])
    assert low.percentile == pytest.approx(80, abs=1)
    assert high.percentile == 100
    [alone] = opening_of(numbers_of({"opening": {"opening_cuts": 5}}), table(n=50))
    assert (alone.value, alone.percentile, alone.association.finding) == (5.0, None, "too few")


def test_of_several_clips_it_is_drawn_once(monkeypatch):
    drawn = []

    def counted(found, **more):
        drawn.append(found)
        return associations(found, **more)

    monkeypatch.setattr("model.forecast.opening_facts.associations", counted)
    found = table()
    first, second = (opening_of(np.full(N_FACTS, value), found) for value in (0.0, 1.0))
    assert len(drawn) == 1
    assert [one.association for one in first] == [one.association for one in second]


def test_numbers_are_read_by_kind_and_what_is_no_number_is_not_told():
    numbers = numbers_of(
        {"opening": {"opening_cuts": 2, "first_cut_s": None}, "audio": {"first_word_s": 0.4}}
    )
    told = {FACTS[at].name: numbers[at] for at in np.flatnonzero(np.isfinite(numbers))}
    assert told == {"opening_cuts": 2.0, "first_word_s": 0.4}
