"""What stands beside a forecast, read from the catalog: as it was known at a moment."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.facts import AccountFacts, KnownAccount, SoundFacts
from catalog.read.beside import (
    KnownSound,
    account_before,
    all_views,
    details_of,
    find_account,
    label_age_s,
    labels_of,
    last_posts,
    newest_counted,
    newest_set_of,
    sound_before,
    views_with_hashtags,
)
from catalog.record.sightings import store_sightings
from catalog.schema.tables import Account, Video
from tests.catalog.factories import (
    T0,
    add_feature_set,
    add_features,
    add_media,
    add_split,
    add_videos,
    seen,
    video_facts,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def store(catalog, *sightings):
    with catalog.write() as session:
        store_sightings(session, list(sightings), run_id=None, found_by=None)


def account_id(catalog, key, platform="tiktok"):
    with catalog.read() as session:
        wanted = select(Account.id).where(Account.author_key == key, Account.platform == platform)
        return session.scalar(wanted)


@pytest.fixture
def videos(catalog):
    """Seven videos: six of 10, 20, … thousand with #dance, and one without a readable count."""
    add_videos(catalog, 5)
    store(
        catalog,
        (video_facts("74", hashtags=("dance", "cat"), caption="a cat"), seen(60.0)),
        (video_facts("75", hashtags=("cat",)), seen(None)),
    )


def test_only_readable_counts_are_compared_with(catalog, videos):
    with catalog.read() as session:
        assert sorted(all_views(session).views_k) == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def test_a_video_with_two_of_the_hashtags_counts_once(catalog, videos):
    with catalog.read() as session:
        assert sorted(views_with_hashtags(session, ["cat"]).views_k) == [60.0]
        both = views_with_hashtags(session, ["cat", "dance", "none'); DROP TABLE video; --"])
        assert sorted(both.views_k) == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
        assert len(views_with_hashtags(session, ["never"])) == 0
        assert len(views_with_hashtags(session, [])) == 0


def test_counts_have_their_age_where_the_time_of_posting_is_known(catalog):
    store(
        catalog,
        (video_facts("71", posted_at=T0 - 3 * DAY), seen(1.0)),
        (video_facts("72", posted_at=None), seen(2.0)),
    )
    with catalog.read() as session:
        found = views_with_hashtags(session, ["dance"])
    assert list(found.views_k) == [1.0, 2.0]
    assert found.ages_d[0] == 3.0
    assert found.ages_d[1] != found.ages_d[1]


def test_an_account_is_found_by_key_or_name_and_the_key_goes_first(catalog):
    store(
        catalog,
        (video_facts("71", author_key="a" * 32, handle="Some.One"), seen()),
        (video_facts("72", author_key="b" * 32, handle="other", platform="shorts"), seen()),
        (video_facts("73", author_key="c" * 32, handle="other"), seen()),
    )
    some, other = account_id(catalog, "a" * 32), account_id(catalog, "c" * 32)
    with catalog.read() as session:
        assert find_account(session, handle="some.one", keys=[]) == some
        assert find_account(session, handle="x", keys=["a" * 32]) == some
        assert find_account(session, handle="other", keys=[]) == other
        assert find_account(session, handle="other", keys=["a" * 32]) == some
        assert find_account(session, handle="nobody", keys=["d" * 32]) is None


def test_an_account_is_as_it_had_been_seen_before_the_moment(catalog):
    def at(views_k, moment, **said):
        facts = video_facts("71", author_key="a" * 32, account=AccountFacts(**said))
        return facts, seen(views_k, at=moment)

    store(catalog, at(1.0, T0, n_followers=100, n_posts=7, n_likes=5, is_verified=True))
    store(catalog, at(2.0, T0 + DAY, n_followers=200))
    who = account_id(catalog, "a" * 32)

    with catalog.read() as session:
        assert account_before(session, who, T0) is None
        first = account_before(session, who, T0, "crawl")
        assert account_before(session, who, T0 + HOUR) == KnownAccount(
            n_followers=100, n_posts=7, is_verified=True
        )
        later = account_before(session, who, T0 + 2 * DAY)
        same = account_before(session, who, T0 + 2 * DAY, "crawl")
    assert later == same == KnownAccount(n_followers=200, n_posts=7, is_verified=True)
    assert first == KnownAccount(n_followers=100, n_posts=7, is_verified=True)


def test_what_was_not_said_before_is_taken_from_afterwards_as_in_training(catalog):
    def at(views_k, moment, **said):
        facts = video_facts("71", author_key="a" * 32, account=AccountFacts(**said))
        return facts, seen(views_k, at=moment)

    store(catalog, at(1.0, T0, n_followers=100), at(2.0, T0 + DAY, n_followers=200, n_posts=9))
    who = account_id(catalog, "a" * 32)
    with catalog.read() as session:
        strict = account_before(session, who, T0 + HOUR)
        crawled = account_before(session, who, T0 + HOUR, "crawl")
    assert strict == KnownAccount(n_followers=100)
    assert crawled == KnownAccount(n_followers=100, n_posts=9)


def test_a_sound_is_as_it_had_been_seen_before_the_moment(catalog):
    for days, n in ((0, 50), (2, 900)):
        sound = SoundFacts("6800", is_original=False, n_videos=n)
        store(catalog, (video_facts("71", sound=sound), seen(1.0 + n, at=T0 + days * DAY)))
    with catalog.read() as session:
        before, between, after = (
            sound_before(session, "6800", T0 + days * DAY) for days in (0, 1, 3)
        )
        assert sound_before(session, "6801", T0) is None
        assert sound_before(session, "6800", T0, "crawl").n_videos == 50
    assert between == KnownSound(before.id, False, 50)
    assert (before.n_videos, after.n_videos) == (None, 900)


def test_the_last_posts_are_those_before_the_moment_at_the_age_asked_for(catalog):
    for number in range(5):
        posted_at = T0 + number * 10 * DAY
        facts = video_facts(f"7{number}", author_key="a" * 32, posted_at=posted_at)
        for days, views_k in ((1, 1.0), (7, 7.0), (30, 30.0)):
            store(catalog, (facts, seen(views_k + number, at=posted_at + days * DAY)))
    store(catalog, (video_facts("8", author_key="b" * 32), seen(500.0)))
    who = account_id(catalog, "a" * 32)

    with catalog.read() as session:
        week = last_posts(session, who, before=T0 + 40 * DAY, n=3, age_s=8 * 86_400)
        newest = last_posts(session, who, before=T0 + 400 * DAY, n=20, age_s=None)
        none = last_posts(session, who, before=T0, n=20, age_s=None)
    assert (list(week.views_k), list(week.ages_d)) == ([10.0, 9.0, 8.0], [7.0] * 3)
    assert list(newest.views_k) == [34.0, 33.0, 32.0, 31.0, 30.0]
    assert len(none) == 0


def test_labels_are_those_of_the_split(catalog):
    ids = add_videos(catalog, 5)
    split = add_split(catalog, ids[:4])
    with catalog.read() as session:
        assert sorted(labels_of(session, split, [ids[4], ids[1], ids[0]])) == [10.0, 20.0]
        assert label_age_s(session, None) is None
        assert label_age_s(session, split) is None


def test_details_are_told_by_kind_of_videos_that_have_them(catalog):
    ids = add_videos(catalog, 3)
    add_media(catalog)
    empty, used = add_feature_set(catalog, "clip", "a"), add_feature_set(catalog, "clip", "b")
    with catalog.read() as session:
        assert newest_set_of(session, "clip") is None
    add_features(catalog, used)
    with catalog.read() as session:
        assert newest_set_of(session, "clip").id == used != empty
        details = details_of(session, {"clip": used, "opening": 10**6}, ids[:2])
        counted = newest_counted(session, used, 2)
        authors = dict(map(tuple, session.execute(select(Video.id, Video.account_id))))
    assert details == {video_id: {"clip": {"n_frames": 2}} for video_id in ids[:2]}
    assert [(one.video_id, one.views_k) for one in counted] == [(ids[2], 30.0), (ids[1], 20.0)]
    assert counted[0].author == authors[ids[2]]
