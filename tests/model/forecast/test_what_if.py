"""The same clip posted otherwise: what is tried, and by how much it changes the forecast."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from catalog.facts import PostFacts
from model.forecast.what_if import changes_of, what_if

FACTS = PostFacts(
    caption="my #cat and a #Dog here",
    hashtags=("cat", "dog"),
    posted_at=datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=2))),
)


def test_every_hour_of_the_day_in_utc_is_tried():
    hours = [one for one in changes_of(FACTS) if one.sort == "hour"]
    assert [one.what for one in hours] == [f"{hour:02d}" for hour in range(24)]
    assert hours[5].facts.posted_at == datetime(2026, 11, 22, 5, 30, tzinfo=UTC)


def test_without_a_time_there_is_no_hour_to_move():
    found = changes_of(PostFacts(caption="a", hashtags=("cat",)))
    assert [(one.sort, one.what) for one in found] == [("without hashtag", "cat")]


def test_a_hashtag_that_is_left_out_is_not_in_the_caption_either():
    [cat, dog] = [one.facts for one in changes_of(FACTS) if one.sort == "without hashtag"]
    assert (cat.hashtags, cat.caption) == (("dog",), "my and a #Dog here")
    assert (dog.hashtags, dog.caption) == (("cat",), "my #cat and a here")


def test_each_hashtag_to_try_is_added_alone_and_one_that_is_there_is_not():
    found = changes_of(FACTS, try_hashtags=("ant", "dog", "fox"))
    added = {one.what: one.facts.hashtags for one in found if one.sort == "with hashtag"}
    assert added == {"ant": ("ant", "cat", "dog"), "fox": ("cat", "dog", "fox")}


def test_factors_are_over_the_forecast_as_it_is():
    captioned = PostFacts(caption="another one", hashtags=())

    def forecast(facts: PostFacts) -> float:
        by_hour = 1 + (0 if facts.posted_at is None else facts.posted_at.hour / 23)
        return 10 * by_hour * 1.5 ** len(facts.hashtags)

    base = forecast(FACTS)
    found = what_if(
        changes_of(FACTS, try_hashtags=("fox",), captioned=captioned), base, forecast, 0.5
    )

    hours = found.of("hour")
    assert (hours[0].what, hours[-1].what) == ("23", "00")
    assert found.hours_factor == pytest.approx(2)
    assert [one.factor for one in found.of("without hashtag")] == pytest.approx([1 / 1.5] * 2)
    assert [one.factor for one in found.of("with hashtag")] == pytest.approx([1.5])
    [caption] = found.of("caption")
    assert (caption.what, caption.views_k) == ("another one", 10.0)
    assert found.error_factor == pytest.approx(1.6487, abs=1e-4)


def test_a_change_of_a_few_per_cent_is_small_up_or_down():
    found = what_if(changes_of(FACTS), 1.0, lambda facts: 1.04 ** len(facts.hashtags) / 1.04, None)
    assert all(one.is_small for one in found.alternatives)
    found = what_if(changes_of(FACTS), 1.0, lambda _facts: 0.9, None)
    assert not any(one.is_small for one in found.alternatives)


def test_no_views_at_all_count_as_one_view():
    found = what_if(changes_of(FACTS), 0.0, lambda _facts: 0.0, None)
    assert {one.factor for one in found.alternatives} == {1.0}
