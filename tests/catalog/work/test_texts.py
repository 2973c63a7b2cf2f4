"""Features made from texts: made when there is one, anew when one changes, and never otherwise."""

from dataclasses import replace

import pytest
from sqlalchemy import event, select, update

from catalog.record.retention import forget_shard, shards_left
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature, Video
from catalog.work import texts
from catalog.work.claims import Failed, claim_features, enrol_features, finish_feature, retry_failed
from catalog.work.texts import count_texts, enrol_texts, hash_of, texts_of
from tests.catalog.factories import (
    add_feature_set,
    add_media,
    add_videos,
    feature_done,
)


@pytest.fixture
def videos(catalog: Catalog) -> list[int]:
    """Five videos with media; the last has no caption."""
    ids = add_videos(catalog, 5)
    add_media(catalog)
    set_caption(catalog, ids[-1], "")
    return ids


@pytest.fixture
def text_set(catalog: Catalog) -> int:
    return add_feature_set(catalog, "text")


def set_caption(catalog: Catalog, video_id: int, caption: str) -> None:
    with catalog.write() as session:
        session.execute(update(Video).where(Video.id == video_id).values(caption=caption))


def tell(catalog: Catalog, kind: str, name: str, told: dict[int, str | None]) -> int:
    """Let a feature set of a kind say a text of some videos; None: nothing of words."""
    set_id = add_feature_set(catalog, kind, name)
    with catalog.write() as session:
        enrol_features(session, set_id, needs_feature_set_id=None)
    for claim in claim_features(catalog, set_id, owner="hear", limit=50):
        if claim.video_id in told:
            said = told[claim.video_id]
            done = replace(feature_done(), detail={} if said is None else {"text": said})
            with catalog.write() as session:
                assert finish_feature(session, set_id, claim, "hear", done)
    return set_id


def embed(catalog: Catalog, set_id: int) -> dict[int, dict[str, str]]:
    """Enrol, take and finish what is to be done; return the texts that it was made from."""
    n_opened = enrol_texts(catalog, set_id)
    with catalog.write() as session:
        for shard in shards_left(session, set_id):
            forget_shard(session, set_id, shard)
    taken = {}
    while claims := claim_features(catalog, set_id, owner="embed", limit=2):
        for claim in claims:
            taken[claim.video_id] = dict(claim.texts or {})
            with catalog.write() as session:
                assert finish_feature(session, set_id, claim, "embed", feature_done())
    assert len(taken) == n_opened
    return taken


def rows(catalog: Catalog, set_id: int) -> dict[int, tuple[str, str | None, str | None]]:
    wanted = select(Feature.video_id, Feature.status, Feature.error_code, Feature.input_sha256)
    with catalog.read() as session:
        found = session.execute(wanted.where(Feature.feature_set_id == set_id))
        return {video_id: tuple(rest) for video_id, *rest in found}


def test_every_video_with_a_text_is_taken_once(catalog, videos, text_set):
    *four, bare = videos
    assert embed(catalog, text_set) == {video_id: {"caption": "a caption"} for video_id in four}
    assert rows(catalog, text_set)[four[0]] == ("done", None, hash_of({"caption": "a caption"}))
    assert rows(catalog, text_set)[bare] == ("skipped", "no_text", None)
    assert embed(catalog, text_set) == {}


def test_a_new_caption_makes_one_anew(catalog, videos, text_set):
    embed(catalog, text_set)
    set_caption(catalog, videos[1], "another one")
    set_caption(catalog, videos[4], "a first one")
    assert embed(catalog, text_set) == {
        videos[1]: {"caption": "another one"},
        videos[4]: {"caption": "a first one"},
    }
    assert embed(catalog, text_set) == {}


def test_words_that_come_later_and_anew_make_it_anew(catalog, videos, text_set):
    embed(catalog, text_set)
    first, second, bare = videos[0], videos[1], videos[4]
    tell(catalog, "audio", "a", {first: "hello there", second: "", bare: None})
    assert embed(catalog, text_set) == {
        first: {"caption": "a caption", "transcript": "hello there"}
    }
    tell(catalog, "ocr", "a", {bare: "wait for it"})
    assert embed(catalog, text_set) == {bare: {"screen": "wait for it"}}
    # A newer set hears the same in one and other words in another.
    tell(catalog, "audio", "b", {first: "hello there", second: "good bye"})
    assert embed(catalog, text_set) == {second: {"caption": "a caption", "transcript": "good bye"}}


def test_of_several_sets_the_newest_that_says_something_of_words_counts(catalog, videos):
    first, second, third = videos[:3]
    tell(catalog, "audio", "a", {first: "old", second: "old", third: "old"})
    tell(catalog, "audio", "b", {first: "new", second: "", third: None})
    tell(catalog, "clip", "c", {first: "no words"})
    with catalog.read() as session:
        found = texts_of(session, videos)
    assert found[first]["transcript"] == "new"
    assert "transcript" not in found[second]  # the newest says that nothing is said
    assert found[third]["transcript"] == "old"  # the newest did not listen for words
    assert found[videos[4]] == {}


def test_a_text_that_is_gone_takes_the_feature_with_it(catalog, videos, text_set):
    embed(catalog, text_set)
    set_caption(catalog, videos[0], "")
    assert embed(catalog, text_set) == {}
    assert rows(catalog, text_set)[videos[0]] == ("skipped", "no_text", None)
    with catalog.read() as session:
        row = session.get(Feature, (text_set, videos[0]))
        assert (row.uri, row.sha256, row.detail) == (None, None, None)
    set_caption(catalog, videos[0], "back again")
    assert embed(catalog, text_set) == {videos[0]: {"caption": "back again"}}


def test_which_part_says_it_is_part_of_the_name():
    assert hash_of({"caption": "x"}) != hash_of({"screen": "x"})
    assert hash_of({"caption": "x", "screen": "y"}) == hash_of({"screen": "y", "caption": "x"})


def test_what_is_held_or_open_is_left_alone(catalog, videos, text_set):
    enrol_texts(catalog, text_set)
    (held,) = claim_features(catalog, text_set, owner="somebody", limit=1)
    for video_id in videos[:4]:
        set_caption(catalog, video_id, "changed meanwhile")
    set_caption(catalog, held.video_id, "")
    assert enrol_texts(catalog, text_set) == 0
    with catalog.write() as session:  # what it was made from is noted, not what is there now
        assert finish_feature(session, text_set, held, "somebody", feature_done())
    assert rows(catalog, text_set)[held.video_id] == ("done", None, hash_of(held.texts))
    assert set(embed_open(catalog, text_set).values()) == {"changed meanwhile"}


def embed_open(catalog: Catalog, set_id: int) -> dict[int, str]:
    return {
        claim.video_id: claim.texts["caption"]
        for claim in claim_features(catalog, set_id, owner="embed", limit=50)
    }


def test_one_that_died_is_opened_again_only_by_another_text(catalog, videos, text_set):
    enrol_texts(catalog, text_set)
    for claim in claim_features(catalog, text_set, owner="embed", limit=50):
        with catalog.write() as session:
            failed = Failed("not_finite", "no", permanent=True)
            assert finish_feature(session, text_set, claim, "embed", failed)
    assert embed(catalog, text_set) == {}
    set_caption(catalog, videos[2], "another one")
    assert embed(catalog, text_set) == {videos[2]: {"caption": "another one"}}
    with catalog.write() as session:
        assert retry_failed(session, text_set, None) == 3


def test_it_is_counted_before_it_is_done(catalog, videos, text_set):
    def count(set_id: int | None) -> int:
        with catalog.read() as session:
            return count_texts(session, set_id)

    assert count(None) == count(text_set) == 4
    enrol_texts(catalog, text_set)
    assert count(text_set) == 4
    embed_open(catalog, text_set)
    assert count(text_set) == 4  # held, not done
    other = add_feature_set(catalog, "text", "b")
    embed(catalog, other)
    assert count(other) == 0
    set_caption(catalog, videos[4], "a first one")
    assert count(other) == 1


def test_a_handful_of_videos_is_looked_up_by_their_key(catalog, videos):
    if catalog.engine.dialect.name != "sqlite":
        pytest.skip("the planner of SQLite chose by the status, and read the whole feature set")
    tell(catalog, "audio", "a", {videos[0]: "hello there"})
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    event.listen(catalog.engine, "before_cursor_execute", note)
    with catalog.read() as session:
        texts_of(session, videos[:2])
    event.remove(catalog.engine, "before_cursor_execute", note)
    (told,) = [one for one in asked if "detail" in one[0]]
    with catalog.engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + told[0], told[1]).all()
    assert "(feature_set_id=? AND video_id=?)" in str(plan)


@pytest.mark.parametrize("page", [1, 2, 5])
def test_pages_leave_nobody_out(catalog, videos, text_set, monkeypatch, page):
    monkeypatch.setattr(texts, "PAGE", page)
    assert len(embed(catalog, text_set)) == 4
    set_caption(catalog, videos[0], "another one")
    set_caption(catalog, videos[3], "")
    with catalog.read() as session:
        assert count_texts(session, text_set) == 1
    assert embed(catalog, text_set) == {videos[0]: {"caption": "another one"}}
    assert [row[0] for _, row in sorted(rows(catalog, text_set).items())] == [
        "done",
        "done",
        "done",
        "skipped",
        "skipped",
    ]
