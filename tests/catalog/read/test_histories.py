import random
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.facts import Member, PastOf, SoundFacts
from catalog.read import histories as module
from catalog.read import posts as pages
from catalog.read.counts import video_histories
from catalog.read.histories import EARLY, RIPE, history_rule, past_posts
from catalog.record.lineage import freeze_split
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.tables import Video
from tests.catalog.factories import T0, seen, video_facts

POSTED = T0 - timedelta(days=30)
HOUR = timedelta(hours=1)


def add(catalog, tiktok_id, *counts, **facts):
    """Add a post with counts (hours after it was posted, thousands); return its id."""
    with catalog.write() as session:
        posted_at = facts.setdefault("posted_at", POSTED) or POSTED
        video = video_facts(tiktok_id, **facts)
        rows = [(video, seen(views_k, at=posted_at + hours * HOUR)) for hours, views_k in counts]
        store_sightings(session, rows, run_id=None, found_by=None)
        return session.scalars(select(Video.id).where(Video.tiktok_id == tiktok_id)).one()


def past(catalog, rule, **asked):
    with catalog.read() as session:
        return list(past_posts(session, rule, **asked))


def counts(catalog, rule, **asked):
    """What the past says: by video the hours from POSTED on and the count."""
    return {
        post.video_id: ((post.known_at - POSTED) / HOUR, post.views_k)
        for post in past(catalog, rule, **asked)
    }


def split(catalog, ids, place=0):
    """Freeze a split of these videos whose labels are their counts at that place."""
    with catalog.write() as session:
        members = [
            Member(video, "train", observed[place])
            for video, observed in video_histories(session)
            if video.video_id in ids
        ]
        frozen = freeze_split(session, name="s", strategy="time", params={}, members=members)
        return frozen.id


def test_a_past_post_says_who_made_it_with_what(catalog):
    sound = SoundFacts("s1")
    video_id = add(catalog, "1", (30, 4.0), sound=sound, hashtags=("b", "a"), author_key="x")
    [post] = past(catalog, "posted")
    with catalog.read() as session:
        row = session.get_one(Video, video_id)
        assert (post.author, post.sound) == (row.account_id, row.sound_id)
        assert None not in (post.author, post.sound)
    assert (post.video_id, post.hashtags, post.posted_at) == (video_id, ("a", "b"), POSTED)


def test_the_observed_past_has_no_count_before_it_was_seen(catalog):
    video_id = add(catalog, "1", (2, 1.0), (23.9, 2.0), (24, 3.0), (50, 4.0), (500, 99.0))
    assert counts(catalog, "observed") == {video_id: (24, 3.0)}
    assert counts(catalog, "posted") == {video_id: (24, 99.0)}
    late = add(catalog, "2", (2, 1.0), (400, 8.0))
    assert counts(catalog, "observed")[late] == (400, 8.0)
    assert counts(catalog, "posted")[late] == (24, 8.0)


def test_a_post_that_nobody_saw_at_an_age_of_a_day_is_in_the_posted_past_alone(catalog):
    video_id = add(catalog, "1", (2, 1.0), (30, None))
    assert counts(catalog, "observed") == {}
    assert counts(catalog, "posted") == {video_id: (24, 1.0)}
    add(catalog, "2", (30, None))
    assert counts(catalog, "posted") == {video_id: (24, 1.0)}


def test_a_member_of_the_split_is_known_by_its_label(catalog):
    inside, outside = (add(catalog, name, (2, 1.0), (50, 2.0)) for name in ("1", "2"))
    split_id = split(catalog, [inside])
    add(catalog, "1", (60, 77.0))
    assert counts(catalog, "posted", split_id=split_id) == {inside: (24, 1.0), outside: (24, 2.0)}
    assert counts(catalog, "posted")[inside] == (24, 77.0)
    assert counts(catalog, "observed", split_id=split_id)[inside] == (50, 2.0)


def test_who_is_gone_was_there_and_whose_time_nobody_knows_was_not(catalog):
    gone = add(catalog, "1", (30, 1.0))
    add(catalog, "2", (30, 1.0), posted_at=None)
    by_id = add(catalog, str(int(POSTED.timestamp()) << 32), (30, 1.0), posted_at=None)
    with catalog.write() as session:
        mark_gone(session, gone, T0, "deleted")
    for rule in ("observed", "posted"):
        assert [post.video_id for post in past(catalog, rule)] == [gone, by_id]


def test_pages_make_no_difference(catalog, monkeypatch):
    draw = random.Random(1)
    for i in range(23):
        hours = sorted(draw.sample(range(100), 3))
        seen_at = [(hour, draw.choice([None, float(hour)])) for hour in hours]
        add(catalog, str(i), *seen_at, hashtags=(f"tag{i % 3}",))
    right = {rule: past(catalog, rule) for rule in ("observed", "posted")}
    assert all(len(found) > 10 for found in right.values())
    monkeypatch.setattr(pages, "PAGE", 4)
    for rule, found in right.items():
        assert past(catalog, rule) == found
        assert past(catalog, rule, of=PastOf()) == found


def test_the_newest_of_all_are_those_posted_last_whenever_they_came(catalog, monkeypatch):
    """An export that begins with the newest gives those the lowest ids."""
    monkeypatch.setattr(module, "N_NEWEST", 2)
    ids = [add(catalog, str(i), (30, 1.0), posted_at=POSTED - i * 24 * HOUR) for i in range(5)]
    for rule in ("observed", "posted"):
        assert [post.video_id for post in past(catalog, rule, of=PastOf())] == sorted(ids[:2])
        earlier = PastOf(before=POSTED - 24 * HOUR)
        assert [post.video_id for post in past(catalog, rule, of=earlier)] == sorted(ids[2:4])


@pytest.mark.parametrize(
    ("of", "right"),
    [
        (PastOf(), {8, 9}),
        (PastOf(author=1), {4, 7, 8, 9}),
        (PastOf(sound=1), {5, 6, 8, 9}),
        (PastOf(hashtags=("t", "unheard of")), {2, 8, 9}),
        (PastOf(author=1, sound=1, hashtags=("t",)), {2, 4, 5, 6, 7, 8, 9}),
    ],
)
def test_of_one_post_only_what_may_tell_of_it_is_read(catalog, monkeypatch, of, right):
    monkeypatch.setattr(module, "N_NEWEST", 2)
    monkeypatch.setattr(module, "N_NEWEST_OF_TAG", 1)
    ids = {}
    for i in range(10):
        has = {"author_key": "x" if i in (3, 4, 7) else f"y{i}"}
        has |= {"hashtags": ("t",)} if i in (1, 2) else {"hashtags": ("u",)}
        has |= {"sound": SoundFacts("s1" if i in (0, 5, 6) else f"z{i}")}
        ids[i] = add(catalog, str(i), (30, float(i)), **has)
    found = {post.video_id: post for post in past(catalog, "posted")}
    of = replace(
        of,
        author=of.author and found[ids[3]].author,
        sound=of.sound and found[ids[0]].sound,
    )
    for rule in ("observed", "posted"):
        told = past(catalog, rule, of=of)
        assert [post.video_id for post in told] == sorted(ids[i] for i in right)
        assert {*told} <= {*past(catalog, rule)}


def test_the_rule_is_observed_where_half_of_the_split_was_seen_in_its_first_week(catalog):
    week = EARLY / HOUR
    in_time = [add(catalog, f"1{i}", (25 + i, 1.0), (900, 2.0)) for i in range(2)]
    edge = add(catalog, "30", (week, 1.0))
    late = [add(catalog, f"4{i}", (2, 1.0), (week + 1, 1.0)) for i in range(3)]
    with catalog.read() as session:
        assert history_rule(session, 99) == "posted"
    every = split(catalog, [*in_time, edge, *late], place=-1)
    with catalog.read() as session:
        assert history_rule(session, every) == "observed"
    with catalog.write() as session:
        members = [
            Member(video, "train", observed[-1])
            for video, observed in video_histories(session)
            if video.video_id != edge
        ]
        less = freeze_split(session, name="l", strategy="time", params={}, members=members)
    with catalog.read() as session:
        assert history_rule(session, less.id) == "posted"


def test_no_count_of_the_future_is_in_the_observed_past_of_any_moment(catalog):
    draw = random.Random(5)
    seen_at = {}
    for i in range(30):
        posted_at = POSTED + draw.randrange(200) * HOUR
        hours = sorted(draw.sample(range(200), 4))
        # A count tells by itself when it was seen, in hours from POSTED on.
        offset = (posted_at - POSTED) / HOUR
        told = [(hour, offset + hour) for hour in hours]
        seen_at[add(catalog, str(i), *told, posted_at=posted_at)] = posted_at, hours
    for post in past(catalog, "observed"):
        assert POSTED + post.views_k * HOUR == post.known_at
        assert post.known_at - post.posted_at >= RIPE
    planted = [
        post for post in past(catalog, "posted") if POSTED + post.views_k * HOUR > post.known_at
    ]
    assert planted
    assert {post.video_id for post in past(catalog, "observed")} == {
        video_id for video_id, (_at, hours) in seen_at.items() if hours[-1] >= RIPE / HOUR
    }
