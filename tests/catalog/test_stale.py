"""Which videos are to be looked at again."""

from datetime import timedelta

from catalog.record import mark_gone, store_sightings
from catalog.stale import count_to_refresh, hashtags_to_refresh, videos_to_refresh
from tests.catalog.factories import T0, add_videos, seen, video_facts

LATER = T0 + timedelta(days=1)


def stale(catalog, **options):
    with catalog.read() as session:
        return videos_to_refresh(session, observed_before=LATER, **options)


def test_a_video_is_stale_until_it_is_seen_again(catalog):
    first, second = add_videos(catalog, 2)
    assert [(todo.video_id, todo.observed_at) for todo in stale(catalog)] == [
        (first, T0),
        (second, T0),
    ]
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
