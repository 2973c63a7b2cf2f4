from datetime import timedelta

import pytest

from catalog.errors import NotFound
from catalog.record import mark_gone, store_sightings
from catalog.session import Catalog
from catalog.splits import all_splits, find_split_row, split_members, video_histories
from tests.catalog.factories import T0, add_split, add_videos, seen, video_facts


def observe(catalog: Catalog, tiktok_id: str, *, views_k: float | None, days: float) -> None:
    """See a video of the factory once more, `days` after T0."""
    with catalog.write() as session:
        sighting = (video_facts(tiktok_id), seen(views_k, at=T0 + timedelta(days=days)))
        store_sightings(session, [sighting], run_id=None, found_by="dance")


def test_a_history_has_every_readable_count_the_oldest_first(catalog: Catalog):
    add_videos(catalog, 2)
    first, second = "7300000000000000001", "7300000000000000002"
    observe(catalog, first, views_k=50.0, days=9)
    observe(catalog, first, views_k=20.0, days=2)
    observe(catalog, first, views_k=None, days=1)

    with catalog.read() as session:
        histories = {history.tiktok_id: history for history in video_histories(session)}

    assert [o.views_k for o in histories[first].observations] == [10.0, 20.0, 50.0]
    assert [o.observed_at - T0 for o in histories[first].observations] == [
        timedelta(days=days) for days in (0, 2, 9)
    ]
    assert [o.views_k for o in histories[second].observations] == [20.0]


def test_a_video_that_is_gone_or_was_never_readable_has_no_history(catalog: Catalog):
    [gone] = add_videos(catalog, 1)
    with catalog.write() as session:
        unreadable = (video_facts("7300000000000000009"), seen(None))
        store_sightings(session, [unreadable], run_id=None, found_by="dance")
        mark_gone(session, gone, T0, "deleted")
    with catalog.read() as session:
        assert list(video_histories(session)) == []


def test_members_come_with_the_time_of_their_label(catalog: Catalog):
    videos = add_videos(catalog, 5)
    split_id = add_split(catalog, videos)
    # A later count is no part of the frozen split.
    observe(catalog, "7300000000000000001", views_k=99.0, days=5)

    with catalog.read() as session:
        members = list(split_members(session, split_id))

    assert [member.video_id for member in members] == videos
    assert {member.observed_at for member in members} == {T0}
    assert [member.part for member in members] == ["train"] * 3 + ["val", "holdout"]
    assert [member.views_k for member in members] == [10.0, 20.0, 30.0, 40.0, 50.0]


def test_splits_are_listed_the_newest_first_with_their_sizes(catalog: Catalog):
    videos = add_videos(catalog, 5)
    add_split(catalog, videos, "old")
    add_split(catalog, videos[:4], "new")
    with catalog.read() as session:
        listed = all_splits(session)
        assert [split.name for split in listed] == ["new", "old"]
        assert listed[1].n_by_part == {"train": 3, "val": 1, "holdout": 1}
        assert find_split_row(session, "old") == listed[1]
        assert find_split_row(session, None) == listed[0]
        with pytest.raises(NotFound, match="new, old"):
            find_split_row(session, "other")
