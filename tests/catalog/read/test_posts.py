from datetime import timedelta

from sqlalchemy import select, update

from catalog.read.posts import posts_of
from catalog.record.sightings import store_sightings
from catalog.schema.tables import Feature, Video
from tests.catalog.factories import (
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_videos,
    seen,
    video_facts,
)


def read(catalog, ids, audio_set_id=None):
    with catalog.read() as session:
        return posts_of(session, ids, audio_set_id=audio_set_id)


def test_a_post_is_what_its_page_said(catalog):
    ids = add_videos(catalog, 3)
    posts = read(catalog, ids[:2])
    assert list(posts) == ids[:2]
    first = posts[ids[0]]
    assert (first.caption, first.hashtags) == ("a caption", ("dance",))
    assert (first.duration_s, first.width_px, first.height_px) == (9.5, 576, 1024)
    assert (first.posted_at, first.transcript) == (T0 - timedelta(days=3), None)


def test_a_time_of_posting_that_nobody_told_is_unknown_and_no_first_sight(catalog):
    untold, by_id = "99", str(int((T0 - timedelta(days=9)).timestamp()) << 32)
    with catalog.write() as session:
        rows = [(video_facts(name, posted_at=None), seen(1.0)) for name in (untold, by_id)]
        store_sightings(session, rows, run_id=None, found_by=None)
        ids = dict(session.execute(select(Video.tiktok_id, Video.id)).all())
    posts = read(catalog, list(ids.values()))
    assert posts[ids[untold]].posted_at is None
    assert posts[ids[by_id]].posted_at == T0 - timedelta(days=9)


def test_what_was_heard_comes_from_the_set_that_was_asked_for(catalog):
    ids = add_videos(catalog, 2)
    add_media(catalog)
    heard, other = add_feature_set(catalog, "audio"), add_feature_set(catalog, "audio", "b")
    for set_id in (heard, other):
        add_features(catalog, set_id)
    with catalog.write() as session:
        of_set = update(Feature).where(Feature.feature_set_id == heard)
        words = {"text": "hello", "language": "en", "speech_s": 2.5}
        session.execute(of_set.where(Feature.video_id == ids[0]).values(detail=words))
        gone = {"status": "skipped", "uri": None, "sha256": None}
        session.execute(of_set.where(Feature.video_id == ids[1]).values(gone))
    posts = read(catalog, ids, heard)
    assert [heard_in(posts[video_id]) for video_id in ids] == [
        ("hello", "en", 2.5),
        (None, None, None),
    ]
    assert heard_in(read(catalog, ids, other)[ids[0]]) == (None, None, None)


def heard_in(post):
    return post.transcript, post.language, post.speech_s
