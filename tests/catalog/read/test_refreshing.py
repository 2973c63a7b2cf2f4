from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.read.refreshing import (
    ComingOfAge,
    coming_of_age,
    count_of_age,
    count_to_refresh,
    hashtags_to_refresh,
    videos_of_age,
    videos_to_refresh,
)
from catalog.record.accounts import want_videos
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.forecasts import Judgement, Prediction
from catalog.schema.tables import Video
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, T0, add_model, add_videos, seen, video_facts

LATER = T0 + timedelta(days=1)


def stale(catalog, **options):
    with catalog.read() as session:
        return videos_to_refresh(session, observed_before=LATER, **({"unseen": False} | options))


def test_a_video_is_stale_until_it_is_seen_again(catalog):
    first, second = add_videos(catalog, 2)
    assert [todo.video_id for todo in stale(catalog)] == [first, second]
    tiktok_id = stale(catalog)[0].tiktok_id
    with catalog.write() as session:
        # Not readable, but looked at.
        sighting = (video_facts(tiktok_id), seen(None, at=LATER))
        store_sightings(session, [sighting], run_id=None, found_by=None)
    assert [todo.video_id for todo in stale(catalog)] == [second]


def test_what_is_gone_or_of_another_platform_is_not_looked_at_again(catalog):
    [gone] = add_videos(catalog, 1)
    with catalog.write() as session:
        mark_gone(session, gone, T0, "deleted")
        elsewhere = (video_facts("dQw4w9WgXcQ", platform="youtube"), seen())
        store_sightings(session, [elsewhere], run_id=None, found_by=None)
    assert stale(catalog) == []


def test_pages_follow_each_other_by_id(catalog):
    ids = add_videos(catalog, 5)
    found, after = [], 0
    while page := stale(catalog, after=after, limit=2):
        found += [todo.video_id for todo in page]
        after = found[-1]
    assert found == ids
    with catalog.read() as session:
        assert count_to_refresh(session, observed_before=LATER) == 5


def test_hashtags_come_with_how_many_stale_videos_they_list(catalog):
    add_videos(catalog, 3)
    with catalog.write() as session:
        one = (video_facts("7300000000000009999", hashtags=("cats",)), seen())
        store_sightings(session, [one], run_id=None, found_by="cats")
    with catalog.read() as session:
        found = hashtags_to_refresh(session, observed_before=LATER, at_least=1)
        assert found == [("dance", 3), ("cats", 1)]
        assert hashtags_to_refresh(session, observed_before=LATER, at_least=2) == [("dance", 3)]


def test_a_hashtag_that_was_only_read_in_captions_is_not_listed_for_them(catalog):
    with catalog.write() as session:
        one = (video_facts("7300000000000009999", hashtags=("dance", "inacaption")), seen())
        store_sightings(session, [one], run_id=None, found_by="dance")
    with catalog.read() as session:
        found = hashtags_to_refresh(session, observed_before=LATER, at_least=1)
    assert found == [("dance", 1)]


def test_a_video_without_a_count_is_of_its_own_kind(catalog):
    (known,) = add_videos(catalog, 1)
    with catalog.write() as session:
        want_videos(session, "tiktok", {"7571863205253778710": "u"}, T0)
    assert [todo.video_id for todo in stale(catalog)] == [known]
    (wanted,) = stale(catalog, unseen=True)
    assert wanted.tiktok_id == "7571863205253778710"
    with catalog.read() as session:
        counts = [count_to_refresh(session, observed_before=LATER, unseen=u) for u in (None, True)]
    assert counts == [2, 1]


HOUR = timedelta(hours=1)
AGE = timedelta(days=7)
REACH = 0.5


def due(catalog, age, *seen_at_ages, now=T0):
    """Say whether a video of that age, looked at at those ages, is to be looked at now."""
    posted_at = now - age
    sightings = [
        (video_facts("7300000000000000001", posted_at=posted_at), seen(1.0, at=posted_at + at))
        for at in seen_at_ages
    ]
    ahead_s = timedelta(days=1).total_seconds()
    coming = ComingOfAge((AGE.total_seconds(),), now, ahead_s, REACH, is_forecast=False)
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by=None)
    with catalog.read() as session:
        found = videos_of_age(session, coming)
        assert len(found) == count_of_age(session, coming)
    return bool(found)


@pytest.mark.parametrize(
    ("age", "seen_at_ages", "is_due"),
    [
        (AGE, [HOUR], True),  # comes of age at this very moment
        (AGE, [HOUR, AGE], False),  # and was looked at at this very moment
        (AGE + HOUR, [AGE - HOUR], True),
        (AGE * (1 + REACH) - HOUR, [HOUR], True),
        (AGE * (1 + REACH), [HOUR], False),  # no count would be near enough any more
        (AGE - HOUR, [HOUR], True),
        (AGE - HOUR, [AGE * (1 - REACH)], False),
        (AGE - HOUR, [AGE * (1 - REACH) - HOUR], True),
        (AGE - timedelta(days=1), [HOUR], True),
        (AGE - timedelta(days=1) - HOUR, [HOUR], False),  # not soon
    ],
)
def test_a_video_is_due_when_it_comes_of_age(catalog, age, seen_at_ages, is_due):
    assert due(catalog, age, *seen_at_ages) is is_due


@pytest.mark.parametrize(
    ("horizon", "age", "seen_at_ages", "is_due"),
    [
        (AGE, AGE - HOUR, [AGE - 4 * HOUR], True),  # seen, but not since the forecast
        (AGE, AGE - HOUR, [AGE - 4 * HOUR, AGE - 2 * HOUR], False),
        (AGE, AGE - timedelta(days=2), [AGE - timedelta(days=3)], False),  # not soon
        (AGE / 7, AGE - HOUR, [AGE - 4 * HOUR], False),  # a forecast of another age
    ],
)
def test_before_a_forecasts_age_a_look_after_it_was_made_is_due(
    catalog, horizon, age, seen_at_ages, is_due
):
    now, posted_at = T0, T0 - age
    facts = video_facts("7300000000000000001", posted_at=posted_at)
    with catalog.write() as session:
        sightings = [(facts, seen(1.0, at=posted_at + at)) for at in seen_at_ages]
        store_sightings(session, sightings, run_id=None, found_by=None)
    model_id = add_model(catalog)
    made_at = posted_at + seen_at_ages[0] + HOUR / 60
    with (
        record_run(catalog, "score", params={}, model_version_id=model_id) as run,
        catalog.write() as session,
    ):
        [video_id] = session.scalars(select(Video.id))
        ids = {"run_id": run.id, "video_id": video_id}
        session.add(Prediction(**ids, part="new", predicted_k=1.0, inputs_sha256=SHA))
        session.flush()
        waits = {"made_at": made_at, "due_at": max(posted_at + horizon, made_at + HOUR)}
        horizon_s = round(horizon.total_seconds())
        waits |= {"model_version_id": model_id, "horizon_s": horizon_s, "status": "open"}
        session.add(Judgement(**ids, **waits))
    with catalog.read() as session:
        ages_s = {AGE.total_seconds()}
        [waited_for, others] = coming_of_age(session, ages_s, REACH, timedelta(days=1), now)
        assert bool(videos_of_age(session, waited_for)) is is_due
        assert videos_of_age(session, others) == []
