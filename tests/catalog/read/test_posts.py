from sqlalchemy import update

from catalog.read.posts import posts_of
from catalog.schema.tables import Feature
from tests.catalog.factories import T0, add_feature_set, add_features, add_media, add_videos


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
    assert (first.first_seen_at, first.heard) == (T0, None)


def test_what_was_heard_comes_from_the_set_that_was_asked_for(catalog):
    ids = add_videos(catalog, 2)
    add_media(catalog)
    heard, other = add_feature_set(catalog, "audio"), add_feature_set(catalog, "audio", "b")
    for set_id in (heard, other):
        add_features(catalog, set_id)
    with catalog.write() as session:
        of_set = update(Feature).where(Feature.feature_set_id == heard)
        words = {"text": "hello", "language": "en"}
        session.execute(of_set.where(Feature.video_id == ids[0]).values(detail=words))
        gone = {"status": "skipped", "uri": None, "sha256": None}
        session.execute(of_set.where(Feature.video_id == ids[1]).values(gone))
    posts = read(catalog, ids, heard)
    assert posts[ids[0]].heard == {"text": "hello", "language": "en"}
    assert posts[ids[1]].heard is None
    assert read(catalog, ids, other)[ids[0]].heard == {"n_frames": 2}
