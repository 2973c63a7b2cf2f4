"""Accounts and sounds over time, and what is put on the list to collect."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.record.accounts import (
    mark_account_listed,
    mark_sound_listed,
    store_account,
    store_sound,
    want_accounts,
    want_sounds,
    want_videos,
)
from catalog.record.retention import purge
from catalog.record.sightings import store_sightings
from catalog.schema.tables import Account, Video
from tests.catalog.factories import T0, named, seen, video_facts
from tests.fresh_catalog import ask

ID, OTHER = "7301234567890123457", "7301234567890123458"
HOUR = timedelta(hours=1)
SONG = SoundFacts("7016451766297570306", "a song", "a band", False, 30.0, 12_000)


def store(catalog, *sightings):
    with catalog.write() as session:
        return store_sightings(session, sightings, run_id=None, found_by=None)


def by(facts, **changes):
    return video_facts(ID, author_key="a" * 32, account=facts, **changes)


def test_what_is_seen_of_an_account_is_kept_with_its_moment(catalog):
    store(catalog, (by(AccountFacts(n_followers=100, is_verified=False)), seen()))
    store(catalog, (by(AccountFacts(n_followers=120, n_posts=7)), seen(at=T0 + 2 * HOUR)))

    rows = ask(catalog, "select n_followers, n_posts, is_verified from account_observation")
    assert [tuple(row) for row in rows] == [(100, None, False), (120, 7, None)]


@pytest.mark.parametrize(("after", "n_rows"), [(HOUR / 2, 1), (2 * HOUR, 2)])
def test_the_same_numbers_within_the_hour_are_one_observation(catalog, after, n_rows):
    facts = AccountFacts(n_followers=100)
    store(catalog, (by(facts), seen()), (by(facts), seen(at=T0 + after)))
    assert len(ask(catalog, "select 1 from account_observation")) == n_rows


def test_the_age_of_a_copied_file_is_no_second_observation(catalog):
    facts = by(AccountFacts(n_followers=100), sound=SONG)
    copied = replace(seen(at=T0 + 48 * HOUR), is_time_stated=False)
    store(catalog, (facts, seen()))
    store(catalog, (facts, copied))
    assert len(ask(catalog, "select 1 from account_observation")) == 1
    assert len(ask(catalog, "select 1 from sound_observation")) == 1


def test_an_account_that_shows_nothing_has_no_observation(catalog):
    store(catalog, (by(AccountFacts()), seen()))
    assert ask(catalog, "select 1 from account_observation") == []


def test_a_sound_is_one_row_that_grows_and_loses_nothing(catalog):
    store(catalog, (video_facts(ID, sound=SONG), seen()))
    bare = SoundFacts(SONG.platform_id, n_videos=15_000)
    store(catalog, (video_facts(OTHER, sound=bare), seen(at=T0 + 2 * HOUR)))

    [row] = ask(catalog, "select title, author, is_original, duration_s from sound")
    assert tuple(row) == ("a song", "a band", False, 30.0)
    uses = ask(catalog, "select n_videos from sound_observation order by observed_at")
    assert [n for (n,) in uses] == [12_000, 15_000]
    assert len(ask(catalog, "select 1 from video where sound_id is not null")) == 2


def test_of_two_sightings_in_one_batch_neither_erases_the_other(catalog):
    bare, named = SoundFacts("55", n_videos=3), SoundFacts("55", "a song", "a band", False)
    first = video_facts(ID, sound=named, traits=Traits(region="DE"), duration_s=None)
    again = video_facts(ID, sound=bare, traits=Traits(language="de"), duration_s=8.0)
    store(catalog, (first, seen(at=T0 + HOUR)), (again, seen()))
    [sound] = ask(catalog, "select title, author, is_original from sound")
    [video] = ask(catalog, "select region, language, duration_s from video")
    assert (tuple(sound), tuple(video)) == (("a song", "a band", False), ("DE", "de", 8.0))
    with catalog.read() as session:
        assert session.scalars(select(Video.first_seen_at)).all() == [T0]


def test_traits_fill_and_are_never_erased(catalog):
    store(catalog, (video_facts(ID, traits=Traits(language="en", is_duet=False)), seen()))
    store(catalog, (video_facts(ID, traits=Traits(n_mentions=2)), seen(at=T0 + HOUR)))
    store(catalog, (video_facts(ID), seen(at=T0 + 2 * HOUR)))
    [row] = ask(catalog, "select language, is_duet, n_mentions, is_ad from video")
    assert tuple(row) == ("en", False, 2, None)


def test_reactions_stand_beside_the_views_of_their_moment(catalog):
    liked = replace(seen(5.0), reactions=Reactions(n_likes=3, n_saves=0))
    later = replace(seen(6.0, at=T0 + HOUR), reactions=Reactions(n_likes=4))
    store(catalog, (video_facts(ID), liked), (video_facts(OTHER), seen()))
    store(catalog, (video_facts(ID), later))
    rows = ask(catalog, "select n_likes, n_comments, n_saves from view_observation order by id")
    assert sorted(map(str, rows)) == sorted(
        map(str, [(3, None, 0), (None, None, None), (4, None, None)])
    )
    [newest] = ask(catalog, f"select n_likes from v_video where tiktok_id = '{ID}'")
    assert tuple(newest) == (4,)


def test_an_export_that_was_taken_before_may_bring_reactions_later(catalog):
    store(catalog, (video_facts(ID), seen()))
    counts = store(catalog, (video_facts(ID), replace(seen(), reactions=Reactions(n_likes=3))))
    again = store(catalog, (video_facts(ID), replace(seen(), reactions=Reactions(n_likes=9))))
    assert (counts.new_observations, again.new_observations) == (0, 0)
    assert [n for (n,) in ask(catalog, "select n_likes from view_observation")] == [3]


def test_a_derived_posting_time_never_replaces_a_stated_one(catalog):
    def posted(at, *, is_stated):
        return video_facts(ID, posted_at=at, is_posted_at_stated=is_stated)

    derived, stated = T0 - 96 * HOUR, T0 - HOUR
    store(catalog, (posted(derived, is_stated=False), seen()))
    store(catalog, (posted(stated, is_stated=True), seen(at=T0 + HOUR)))
    store(catalog, (posted(derived, is_stated=False), seen(at=T0 + 2 * HOUR)))
    store(
        catalog,
        (posted(stated, is_stated=True), seen(at=T0 + 3 * HOUR)),
        (posted(derived, is_stated=False), seen(at=T0 + 4 * HOUR)),
    )
    with catalog.read() as session:
        assert session.scalars(select(Video.posted_at)).all() == [stated]


def test_what_was_known_at_the_post_is_told_from_what_was_seen_after(catalog):
    account = AccountFacts(n_followers=100)
    grown = AccountFacts(n_followers=900)
    old = video_facts(OTHER, author_key="a" * 32, account=account, posted_at=T0 - 48 * HOUR)
    new = by(grown, posted_at=T0 + HOUR, sound=SONG)
    store(catalog, (old, seen()))
    store(catalog, (new, seen(at=T0 + 24 * HOUR)))
    rows = ask(
        catalog,
        "select tiktok_id, n_followers_before, n_followers_after, n_sound_videos_before,"
        " n_sound_videos_after from v_known_at_post order by tiktok_id",
    )
    assert [tuple(row) for row in rows] == [
        (ID, 100, 900, None, 12_000),
        (OTHER, None, 100, None, None),
    ]


def test_what_was_seen_at_the_moment_of_the_post_was_not_seen_before(catalog):
    store(catalog, (by(AccountFacts(n_followers=100), posted_at=T0, sound=SONG), seen(at=T0)))
    rows = ask(
        catalog,
        "select n_followers_before, n_sound_videos_before, n_followers_after, n_sound_videos_after"
        " from v_known_at_post",
    )
    assert [tuple(row) for row in rows] == [(None, None, 100, 12_000)]


def test_a_list_to_collect_is_kept_once(catalog):
    with catalog.write() as session:
        first = want_videos(session, "tiktok", {ID: "", OTHER: ""}, T0)
    with catalog.write() as session:
        again = want_videos(session, "tiktok", {ID: ""}, T0 + HOUR)
        account = want_accounts(session, "tiktok", {"a" * 32: "somebody"}, T0)
        sound = want_sounds(session, "tiktok", ["123"], T0)
    with catalog.write() as session:
        accounts = want_accounts(session, "tiktok", {"a" * 32: "somebody"}, T0 + HOUR)
        mark_account_listed(session, "tiktok", "a" * 32, T0)
        mark_sound_listed(session, "tiktok", "123", T0)
    assert [(w.new, w.known) for w in (first, again, account, sound, accounts)] == [
        (2, 0),
        (0, 1),
        (1, 0),
        (1, 0),
        (0, 1),
    ]
    assert ask(catalog, "select handle from account") == [("somebody",)]
    assert len(ask(catalog, "select 1 from account where listed_at = wanted_at")) == 1
    assert len(ask(catalog, "select 1 from sound where listed_at = wanted_at")) == 1
    assert len(ask(catalog, "select distinct wanted_at from video")) == 1


def test_a_wanted_video_that_is_seen_becomes_an_ordinary_one(catalog):
    with catalog.write() as session:
        want_videos(session, "tiktok", {ID: ""}, T0)
    counts = store(catalog, (video_facts(ID), seen(5.0, at=T0 + HOUR)))
    assert (counts.known_videos, counts.new_observations) == (1, 1)
    assert len(ask(catalog, "select 1 from v_video where views_k = 5 and caption <> ''")) == 1


def test_pages_of_accounts_and_sounds_add_what_they_show(catalog):
    with catalog.write() as session:
        told = [
            store_account(
                session,
                "tiktok",
                "a" * 32,
                AccountFacts(n_followers=n),
                observed_at=at,
                source="hydration",
                run_id=None,
            )
            for n, at in ((5, T0), (5, T0 + HOUR / 2), (6, T0 + HOUR / 2))
        ]
        heard = store_sound(
            session, "tiktok", SONG, observed_at=T0, source="hydration", run_id=None
        )
    assert (told, heard) == ([1, 0, 1], 1)


def test_purge_leaves_nothing_of_an_account_nor_of_its_own_sound(catalog):
    own = SoundFacts("55", None, None, True, 10.0, 3)
    store(catalog, (by(AccountFacts(n_followers=5), sound=own), seen()))
    store(catalog, (video_facts(OTHER, author_key="b" * 32, sound=SONG), seen()))
    with catalog.write() as session:
        purged = purge(session, named(authors=("a" * 32,)), reason="asked")
        wanted = want_accounts(session, "tiktok", {"a" * 32: "somebody"}, T0)
    assert (purged.n_videos, purged.n_accounts, wanted.tombstoned) == (1, 1, ("somebody",))
    assert ask(catalog, "select 1 from account_observation") == []
    assert ask(catalog, "select platform_id from sound") == [(SONG.platform_id,)]
    assert len(ask(catalog, "select 1 from sound_observation")) == 1
    with catalog.write() as session:
        assert (
            store_account(
                session,
                "tiktok",
                "a" * 32,
                AccountFacts(n_followers=1),
                observed_at=T0,
                source="dom",
                run_id=None,
            )
            == 0
        )


def test_ids_of_accounts_hang_on_no_salt(catalog):
    found = {}
    # The second platform's keys are in the opposite order.
    for platform, letters in (("one", "abcdef"), ("two", "fedcba")):
        videos = [
            (video_facts(str(i), platform=platform, author_key=letter), seen())
            for i, letter in enumerate(letters)
        ]
        # Some are known by the time that others come.
        store(catalog, *videos[1:3])
        with catalog.write() as session:
            want_accounts(session, platform, {letters[4]: "x", letters[1]: "y"}, T0)
        store(catalog, *videos)
        store(catalog, *videos)
        accounts = ask(catalog, f"select author_key, id from account where platform = '{platform}'")
        by_id = sorted(accounts, key=lambda row: row[1])
        found[platform] = [letters.index(key) for key, _ in by_id]
    assert found == {"one": [1, 2, 4, 0, 3, 5], "two": [1, 2, 4, 0, 3, 5]}
    with catalog.write() as session:  # the next one is given its id by the database
        session.add(Account(platform="one", author_key="z"))
    assert ask(catalog, "select count(*) from account") == [(13,)]
