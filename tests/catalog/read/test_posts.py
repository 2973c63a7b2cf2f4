import random
from dataclasses import fields
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, select, update

from catalog.facts import AccountFacts, KnownAccount, SoundFacts, Traits
from catalog.read import posts as module
from catalog.read.posts import posts_of
from catalog.record.accounts import ensure_accounts, store_account, store_sound
from catalog.record.hashtags import add_topics
from catalog.record.sightings import store_sightings
from catalog.schema.tables import AccountObservation, Feature, Video
from tests.catalog.factories import (
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_videos,
    seen,
    video_facts,
)

POSTED = T0 - timedelta(days=3)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
EMPTY = (None, None)


def read(catalog, ids, audio_set_id=None, **asked):
    with catalog.read() as session:
        return posts_of(session, ids, audio_set_id=audio_set_id, **asked)


def add_post(catalog, tiktok_id="7300000000000000001", **facts):
    """Add a post whose own page says nothing of account or sound that is not in `facts`."""
    with catalog.write() as session:
        row = video_facts(tiktok_id, **facts), seen(1.0)
        store_sightings(session, [row], run_id=None, found_by=None)
        return session.scalars(select(Video.id).where(Video.tiktok_id == tiktok_id)).one()


def see_account(catalog, key, at, **facts):
    with catalog.write() as session:
        seen_there = {"observed_at": at, "source": "import", "run_id": None}
        assert store_account(session, "tiktok", key, AccountFacts(**facts), **seen_there) == 1


def see_sound(catalog, name, at, n_videos):
    with catalog.write() as session:
        seen_there = {"observed_at": at, "source": "import", "run_id": None}
        facts = SoundFacts(name, n_videos=n_videos)
        assert store_sound(session, "tiktok", facts, **seen_there) == 1


def known_of(catalog, video_id, as_of):
    post = read(catalog, [video_id], as_of=as_of)[video_id]
    return post.account and post.account.n_followers, post.n_sound_videos


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


def test_what_was_seen_from_the_post_on_comes_only_with_the_crawl(catalog):
    sound = SoundFacts("s1", is_original=True)
    video_id = add_post(catalog, author_key="a", sound=sound)
    for at, planted in ((POSTED, 7), (POSTED + SECOND, 8), (T0, 9)):
        see_account(catalog, "a", at, n_followers=planted, n_likes=planted)
        see_sound(catalog, "s1", at, planted)
    assert known_of(catalog, video_id, "post") == EMPTY
    assert known_of(catalog, video_id, "crawl") == (7, 7)
    for at, n in ((POSTED - 2 * DAY, 1), (POSTED - SECOND, 2)):
        see_account(catalog, "a", at, n_followers=n)
        see_sound(catalog, "s1", at, n)
    for as_of in ("post", "crawl"):
        assert known_of(catalog, video_id, as_of) == (2, 2)
    post = read(catalog, [video_id])[video_id]
    assert post.sound is not None
    assert post.is_sound_original is True
    assert "n_likes" not in {field.name for field in fields(KnownAccount)}


def test_of_a_post_whose_time_nobody_knows_only_the_crawl_says_anything(catalog):
    video_id = add_post(catalog, "99", author_key="a", posted_at=None, sound=SoundFacts("s1"))
    for at, n in ((T0 - 400 * DAY, 1), (T0, 2)):
        see_account(catalog, "a", at, n_followers=n)
        see_sound(catalog, "s1", at, n)
    assert known_of(catalog, video_id, "post") == EMPTY
    assert known_of(catalog, video_id, "crawl") == (1, 1)


def test_an_observation_that_leaves_a_field_open_hides_no_older_one(catalog):
    video_id = add_post(catalog, author_key="a")
    see_account(catalog, "a", POSTED - 9 * DAY, n_posts=4, is_verified=True, region="DE")
    for i in range(module.N_LOOKED_AT - 1):
        see_account(catalog, "a", POSTED - 8 * DAY + i * 2 * SECOND * 3600, n_followers=i)
    see_account(catalog, "a", POSTED + DAY, bio_chars=3, n_posts=99)
    last = module.N_LOOKED_AT - 2
    assert read(catalog, [video_id])[video_id].account == KnownAccount(
        n_followers=last, n_posts=4, is_verified=True, region="DE"
    )
    # Each field by itself: what was said before stays, what was not is what was said first.
    assert read(catalog, [video_id], as_of="crawl")[video_id].account == KnownAccount(
        n_followers=last, n_posts=4, is_verified=True, region="DE", bio_chars=3
    )
    see_account(catalog, "a", POSTED - DAY, n_followers=5)
    assert read(catalog, [video_id])[video_id].account == KnownAccount(n_followers=5)


@pytest.mark.parametrize("as_of", ["post", "crawl"])
def test_what_is_known_of_many_posts_is_what_a_look_at_each_would_say(catalog, as_of):
    draw = random.Random(3)
    when = [T0 - timedelta(hours=hours) for hours in range(60)]
    ids = {}
    for i in range(40):
        at, key = draw.choice([*when, None]), draw.choice(["a", "b", "c", None])
        ids[add_post(catalog, str(100 + i), posted_at=at, author_key=key)] = at, key
    told = {}
    for key in ("a", "b"):
        for at in draw.sample(when, 15):
            fact = {name: draw.choice([None, draw.randrange(9)]) for name in ("n_posts", "n_likes")}
            if any(n is not None for n in fact.values()):
                see_account(catalog, key, at, **fact)
                told.setdefault(key, []).append((at, fact["n_posts"]))
    posts = read(catalog, list(ids), as_of=as_of)
    for video_id, (posted_at, key) in ids.items():
        said = sorted(pair for pair in told.get(key, ()) if pair[1] is not None)
        before = [n for at, n in said if posted_at is not None and at < posted_at]
        after = [n for at, n in said if posted_at is None or at >= posted_at]
        right = before[-1:] or (after[:1] if as_of == "crawl" else [])
        account = posts[video_id].account
        assert [account.n_posts] == right if account else right == []


def test_as_many_queries_for_many_posts_as_for_one(catalog):
    ids = [add_post(catalog, str(100 + i), sound=SoundFacts(f"s{i}")) for i in range(30)]
    asked = []
    event.listen(catalog.engine, "before_cursor_execute", lambda *told: asked.append(told))
    read(catalog, ids[:1], audio_set_id=1, ocr_set_id=2, as_of="crawl")
    of_one = len(asked)
    read(catalog, ids, audio_set_id=1, ocr_set_id=2, as_of="crawl")
    assert len(asked) == 2 * of_one


def test_an_account_that_was_seen_very_often_is_asked_by_its_index(catalog):
    with catalog.write() as session:
        account_id = ensure_accounts(session, "tiktok", {"author-1": None})["author-1"]
        session.execute(
            insert(AccountObservation),
            [
                {
                    "account_id": account_id,
                    "observed_at": POSTED - timedelta(minutes=i),
                    "n_followers": i,
                    "source": "import",
                }
                for i in range(20_000)
            ],
        )
    ids = add_videos(catalog, 1) + [
        add_post(catalog, f"{i}1", author_key="author-1", posted_at=POSTED - timedelta(minutes=i))
        for i in range(10, 200)
    ]
    posts = read(catalog, ids)
    assert [posts[video_id].account for video_id in ids[:3]] == [
        KnownAccount(n_followers=n) for n in (1, 11, 12)
    ]


def test_a_post_has_its_traits_and_the_topics_of_its_hashtags(catalog):
    traits = Traits(language="en", is_ad=False, n_mentions=2)
    with catalog.write() as session:
        add_topics(session, {"sport": ["run", "ski"], "art": ["run"], "other": ["nobody"]})
    plain = add_post(catalog, "101", hashtags=())
    rich = add_post(catalog, "102", hashtags=("ski", "run"), traits=traits)
    posts = read(catalog, [plain, rich])
    assert (posts[plain].traits, posts[plain].topics) == (None, ())
    assert (posts[rich].traits, posts[rich].topics) == (traits, ("art", "sport"))


def test_a_screen_without_words_was_looked_at(catalog):
    ids = add_videos(catalog, 3)
    add_media(catalog)
    read_set = add_feature_set(catalog, "ocr")
    add_features(catalog, read_set)
    with catalog.write() as session:
        of_set = update(Feature).where(Feature.feature_set_id == read_set)
        for video_id, words in zip(ids, ("sale now", ""), strict=False):
            row = of_set.where(Feature.video_id == video_id)
            session.execute(row.values(detail={"text": words}))
        gone = {"status": "skipped", "uri": None, "sha256": None, "detail": {"text": "old"}}
        session.execute(of_set.where(Feature.video_id == ids[2]).values(gone))
    posts = read(catalog, ids, ocr_set_id=read_set)
    assert [posts[video_id].screen for video_id in ids] == ["sale now", "", None]
    assert read(catalog, ids)[ids[0]].screen is None
