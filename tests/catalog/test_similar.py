"""What a new video is put beside."""

import pytest
from sqlalchemy import select, text

from catalog.record import store_sightings
from catalog.similar import (
    all_views,
    known_videos,
    part_in_split,
    videos_of_files,
    views_with_hashtags,
)
from catalog.tables import Video
from tests.catalog.factories import add_media, add_split, add_videos, seen, sha_of, video_facts


@pytest.fixture
def videos(catalog):
    """Seven videos: six of 10, 20, … thousand with #dance, and one without a readable count."""
    ids = add_videos(catalog, 5)
    more = [
        (video_facts("74", hashtags=("dance", "cat"), caption="a cat"), seen(60.0)),
        (video_facts("75", hashtags=("cat",)), seen(None)),
    ]
    with catalog.write() as session:
        store_sightings(session, more, run_id=None, found_by=None)
        names = select(Video.id).where(Video.tiktok_id.in_(["74", "75"])).order_by(Video.id)
        return [*ids, *session.execute(names).scalars()]


def test_videos_are_found_by_id_with_their_latest_count(catalog, videos):
    with catalog.read() as session:
        found = known_videos(session, [videos[6], videos[5], 10**6])

    assert found.keys() == {videos[5], videos[6]}
    cat = found[videos[5]]
    assert (cat.tiktok_id, cat.caption, cat.views_k) == ("74", "a cat", 60.0)
    assert cat.url.endswith("/74")
    assert found[videos[6]].views_k is None


def test_the_newest_readable_count_is_the_one_that_counts(catalog, videos):
    later = seen(999.0, at=seen().observed_at.replace(year=2027))
    with catalog.write() as session:
        store_sightings(
            session, [(video_facts("74", hashtags=()), later)], run_id=None, found_by=None
        )

    with catalog.read() as session:
        assert known_videos(session, [videos[5]])[videos[5]].views_k == 999.0
        assert sorted(all_views(session)) == [10.0, 20.0, 30.0, 40.0, 50.0, 999.0]


def test_only_readable_counts_are_compared_with(catalog, videos):
    with catalog.read() as session:
        assert sorted(all_views(session)) == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def test_a_video_with_two_of_the_hashtags_counts_once(catalog, videos):
    with catalog.read() as session:
        assert sorted(views_with_hashtags(session, ["cat"])) == [60.0]
        both = views_with_hashtags(session, ["cat", "dance", "none'); DROP TABLE video; --"])
        assert sorted(both) == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
        assert len(views_with_hashtags(session, ["never"])) == 0
        assert len(views_with_hashtags(session, [])) == 0


def test_a_file_is_known_by_its_checksum(catalog, videos):
    add_media(catalog)
    with catalog.read() as session:
        found = videos_of_files(session, [sha_of("74"), "f" * 64])
        first = session.scalar(
            text("SELECT tiktok_id FROM video WHERE id = :id"), {"id": videos[5]}
        )

    assert first == "74"
    assert {sha256: video.tiktok_id for sha256, video in found.items()} == {sha_of("74"): "74"}


def test_the_part_of_a_video_in_a_split(catalog, videos):
    split_id = add_split(catalog, videos[:5])
    with catalog.read() as session:
        assert part_in_split(session, split_id, videos[0]) == "train"
        assert part_in_split(session, split_id, videos[4]) == "holdout"
        assert part_in_split(session, split_id, videos[6]) is None
