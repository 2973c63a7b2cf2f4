"""One video is found by any of its names, with the newest of what was made of it."""

import pytest

from catalog.errors import NotFound
from catalog.read.one_video import features_of_video, find_video, media_uri
from catalog.record.sightings import store_sightings
from catalog.work.claims import (
    Failed,
    FeatureDone,
    claim_features,
    enrol_features,
    finish_feature,
)
from tests.catalog.factories import SHA, add_feature_set, add_media, add_videos, seen, video_facts


def finish(catalog, feature_set_id, video_id, result):
    with catalog.write() as session:
        enrol_features(session, feature_set_id, needs_feature_set_id=None)
    claims = claim_features(catalog, feature_set_id, owner="me", limit=9)
    with catalog.write() as session:
        for claim in claims:
            if claim.video_id == video_id:
                assert finish_feature(session, feature_set_id, claim, "me", result)


def done(uri):
    return FeatureDone(uri, 3, SHA, (1,), "float32", 1, 0.1, {"of": uri})


def test_a_video_is_found_by_each_of_its_names(catalog):
    first, second = add_videos(catalog, 2)
    with catalog.read() as session:
        found = find_video(session, str(second))
        assert found.video_id == second != first
        address = f"https://www.example.org/@somebody/video/{found.tiktok_id}/?lang=en"
        for name in (found.tiktok_id, found.url, address, f" {found.tiktok_id} "):
            assert find_video(session, name) == found


@pytest.mark.parametrize("name", ["nothing", "7", "99999999999999999999999", "", "https://x.y/"])
def test_what_is_not_there_is_not_found(catalog, name):
    add_videos(catalog, 2)
    with catalog.read() as session, pytest.raises(NotFound, match="an address"):
        find_video(session, name)


def test_an_id_of_two_platforms_is_asked_for(catalog):
    sightings = [(video_facts("42", platform=name, url=name), seen()) for name in ("a", "b")]
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by=None)
    with catalog.read() as session:
        with pytest.raises(NotFound, match=r"several videos.*\(a\).*\(b\)"):
            find_video(session, "42")
        assert find_video(session, "2").url == "b"


def test_the_newest_set_that_is_done_counts_else_the_newest(catalog):
    video_id, other = add_videos(catalog, 2)
    add_media(catalog)
    old, new, newest = (add_feature_set(catalog, "clip", name) for name in "abc")
    finish(catalog, old, video_id, done("old"))
    finish(catalog, new, video_id, done("new"))
    finish(catalog, newest, video_id, Failed("undecodable", "why", permanent=True))
    finish(catalog, new, other, Failed("undecodable", "why", permanent=True))
    with catalog.read() as session:
        clip = features_of_video(session, video_id)["clip"]
        assert (clip.status, clip.uri, clip.row, clip.sha256) == ("done", "new", 3, SHA)
        assert clip.detail == {"of": "new"}
        failed = features_of_video(session, other)["clip"]
        assert failed.status != "done"
        assert media_uri(session, video_id) is not None
        assert features_of_video(session, 99) == {}


def test_a_video_that_was_not_fetched_has_no_file(catalog):
    (video_id,) = add_videos(catalog, 1)
    with catalog.read() as session:
        assert media_uri(session, video_id) is None
