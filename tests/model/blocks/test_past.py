"""Histories against a plain count of the same posts, and what must not move them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from catalog.facts import PastPost
from model.blocks import past
from model.blocks.past import COLUMNS, Asked, Histories, place_of

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TAGS = ("cats", "Dogs", "fyp", "gym", "news")


def random_posts(n=120, *, seed=0, n_authors=6, n_sounds=4):
    """Posts in no order of time, known a day or much later; some share a second."""
    draw = np.random.default_rng(seed)
    posts = []
    for video_id in draw.permutation(np.arange(1, n + 1)).tolist():
        posted_at = START + timedelta(hours=int(draw.integers(0, 24 * 60)))
        wait = timedelta(days=1) if draw.random() < 0.7 else timedelta(hours=int(draw.integers(99)))
        tags = draw.choice(TAGS, size=int(draw.integers(0, 4)), replace=False).tolist()
        posts.append(
            PastPost(
                video_id,
                None if draw.random() < 0.1 else int(draw.integers(1, n_authors + 1)),
                None if draw.random() < 0.4 else int(draw.integers(1, n_sounds + 1)),
                tuple(tags),
                posted_at,
                posted_at + wait,
                float(np.exp(draw.normal(1, 2))),
            )
        )
    return posts


def asked(posts):
    return [Asked(one.author, one.sound, one.hashtags, one.posted_at) for one in posts]


def columns(posts, rows):
    return Histories(posts).columns(asked(rows))


def faded(values, length):
    """Sum and weight of values, oldest first, each step keeping all but 1 / length."""
    total = weight = 0.0
    for value in values:
        total = total * (1 - 1 / length) + value
        weight = weight * (1 - 1 / length) + 1
    return total, weight


class Yardstick:
    """The same columns by looking through all posts for every question."""

    def __init__(self, posts):
        self.posts = sorted(posts, key=lambda one: (one.known_at, one.posted_at, one.video_id))
        self.got = {one.video_id: np.log1p(1000 * one.views_k) for one in posts}
        first = min(one.known_at for one in posts)
        self.first = np.mean([self.got[one.video_id] for one in posts if one.known_at == first])
        self.apart = {one.video_id: self.got[one.video_id] - self.level_at(one) for one in posts}

    def before(self, moment):
        return [one for one in self.posts if one.known_at < moment]

    def level_at(self, post):
        earlier = [self.got[one.video_id] for one in self.before(post.posted_at)]
        total, weight = faded(earlier, past.LEVEL)
        return total / weight if earlier else self.first

    def columns(self, row):
        earlier = self.before(row.posted_at)
        got = [self.got[one.video_id] for one in earlier]
        found = dict.fromkeys(COLUMNS, np.nan)
        if got:
            (slow, weight), (quick, less) = faded(got, past.LEVEL), faded(got, past.TREND)
            found["level level"] = slow / weight
            found["level level_trend"] = quick / less - slow / weight
        self.add_author(found, row, [one for one in earlier if one.author == row.author])
        self.add_sound(found, row, [one for one in earlier if one.sound == row.sound])
        self.add_tags(found, row, earlier)
        return [found[name] for name in COLUMNS]

    def add_author(self, found, row, own):
        if row.author is None or not own:
            return
        apart = [self.apart[one.video_id] for one in own]
        n = len(own)
        month_ago = row.posted_at - 30 * DAY
        numbers = {
            "mean": sum(apart) / (n + 3),
            "recent_3": faded(apart, 3)[0] / (faded(apart, 3)[1] + 1),
            "recent_20": faded(apart, 20)[0] / (faded(apart, 20)[1] + 2),
            "last": apart[-1],
            "spread": np.std(apart) if n > 1 else np.nan,
            "log_posts": np.log1p(n),
            "log_days_since": np.log1p((row.posted_at - own[-1].posted_at) / DAY),
            "log_posts_30_days": np.log1p(sum(one.known_at >= month_ago for one in own)),
        }
        found |= {f"author {name}": value for name, value in numbers.items()}

    def add_sound(self, found, row, same):
        if row.sound is None or not same:
            return
        apart = [self.apart[one.video_id] for one in same]
        total, weight = faded(apart, 10)
        numbers = {
            "mean": sum(apart) / (len(same) + 5),
            "recent_10": total / (weight + 2),
            "log_posts": np.log1p(len(same)),
            "log_days_since": np.log1p((row.posted_at - same[-1].posted_at) / DAY),
        }
        found |= {f"sound_past {name}": value for name, value in numbers.items()}

    def add_tags(self, found, row, earlier):
        told = []
        for tag in row.hashtags:
            apart = [
                self.apart[one.video_id]
                for one in earlier
                if tag.lower() in {other.lower() for other in one.hashtags}
            ]
            total, weight = faded(apart, 50)
            if apart:
                told.append((total / (weight + 5), min(len(apart), 200)))
        if not told:
            return
        apart, n = np.array(told).T
        numbers = {
            "mean": apart.mean(),
            "highest": apart.max(),
            "weighted": np.average(apart, weights=n**-0.5),
            "share_known": len(told) / len(row.hashtags),
            "log_fewest_posts": np.log1p(n.min()),
        }
        found |= {f"tags_past {name}": value for name, value in numbers.items()}


@pytest.mark.parametrize("seed", range(4))
def test_every_column_is_what_a_plain_count_gives(seed):
    posts = random_posts(seed=seed)
    yardstick = Yardstick(posts)
    wanted = np.array([yardstick.columns(row) for row in posts])
    found = columns(posts, posts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)
    assert np.isfinite(found).any(axis=0).all()  # every column was put to the test


def test_what_is_known_in_the_second_of_a_post_is_not_known_before_it():
    known = PastPost(1, 7, 3, ("cats",), START, START + DAY, 5.0)
    for late, n_known in ((-1, 0), (0, 0), (1, 1)):
        row = Asked(7, 3, ("cats",), START + DAY + timedelta(seconds=late))
        found = Histories([known]).columns([row])
        assert np.isfinite(found).any() == bool(n_known), late
    part = replace(known, known_at=START + DAY + timedelta(milliseconds=1))
    row = Asked(7, 3, ("cats",), START + DAY + timedelta(milliseconds=900))
    assert np.isnan(Histories([part]).columns([row])).all()


@pytest.mark.parametrize("seed", range(6))
def test_what_came_later_moves_no_bit_of_an_earlier_row(seed):
    posts = random_posts(seed=seed)
    moment = START + timedelta(days=10 + 6 * seed)
    rows = [one for one in posts if one.posted_at <= moment]
    before = columns(posts, rows)
    known = [one for one in posts if one.known_at < moment]
    moved = [replace(one, views_k=1e6) for one in posts if one.known_at >= moment]
    added = [
        replace(one, video_id=number, author=99 + number, known_at=moment + DAY)
        for number, one in enumerate(moved, -50)  # lower ids than all others: first in every list
    ]
    assert len(known) > 5
    assert len(moved) > 5
    for others in (moved, [], [*added, *moved], added):
        assert np.array_equal(before, columns([*known, *others], rows), equal_nan=True)


def test_a_rows_own_count_is_never_among_them():
    posts = random_posts()
    before = columns(posts, posts)
    heard = []
    for place in (0, 40, 119):
        moved = [*posts]
        moved[place] = replace(posts[place], views_k=9e6)
        after = columns(moved, posts)
        assert np.array_equal(before[place], after[place], equal_nan=True)
        heard.append(not np.array_equal(before, after, equal_nan=True))
    assert any(heard)  # but others hear of it


def test_neither_the_order_of_the_posts_nor_the_numbers_of_authors_move_a_bit():
    posts = random_posts(200)
    draw = np.random.default_rng(5)
    numbers = dict(zip(range(1, 7), draw.permutation(10_000)[:6].tolist(), strict=True))
    renamed = [
        replace(one, author=None if one.author is None else numbers[one.author]) for one in posts
    ]
    before = columns(posts, posts)
    assert np.array_equal(before, columns(posts[::-1], posts), equal_nan=True)
    assert np.array_equal(before, columns(renamed, renamed), equal_nan=True)
    assert Histories(posts).sha256() == Histories(posts[::-1]).sha256()


def test_rows_are_asked_for_alone_or_among_others():
    posts = random_posts()
    history = Histories(posts)
    together = history.columns(asked(posts))
    alone = np.concatenate([history.columns([row]) for row in asked(posts)])
    assert np.array_equal(together, alone, equal_nan=True)


def test_what_a_post_got_counts_beside_the_level_of_its_time():
    """A catalog that rises tenfold: an author who is always like all others stays so."""
    posts = [
        PastPost(n, n % 2, None, (), START + n * DAY, START + (n + 1) * DAY, 10.0 * 10 ** (n > 400))
        for n in range(1, 1200)
    ]
    late = Asked(0, None, (), START + 1300 * DAY)
    found = dict(zip(COLUMNS, Histories(posts).columns([late])[0].tolist(), strict=True))
    assert abs(found["author recent_20"]) < 0.6
    assert found["level level"] == pytest.approx(np.log1p(100_000), abs=0.6)


def test_with_the_levels_of_all_posts_a_few_say_what_all_would():
    """Of one author's posts alone, what they got is told as among all posts."""
    posts = random_posts(400)
    everybody = Histories(posts)
    own = [one for one in posts if one.author == 3]
    late = [Asked(3, None, (), START + timedelta(days=day)) for day in (61, 62, 70)]
    author = place_of("author")
    wanted = everybody.columns(late)[:, author]
    told = Histories(own, everybody.level_grid()).columns(late)[:, author]
    alone = Histories(own).columns(late)[:, author]
    counts = slice(past.AUTHOR_NAMES.index("log_posts"), None)
    assert np.array_equal(told[:, counts], wanted[:, counts])
    apart, before = (np.abs(found - wanted)[:, :5].max() for found in (told, alone))
    assert apart < 0.1 < before


def test_levels_that_nobody_kept_are_as_good_as_none():
    posts = random_posts()
    empty = Histories([]).level_grid()
    assert empty.shape == (2, past.GRID)
    rows = asked(posts)
    wanted = Histories(posts).columns(rows)
    assert np.array_equal(Histories(posts, empty).columns(rows), wanted, equal_nan=True)


def test_only_the_newest_posts_are_kept(monkeypatch):
    monkeypatch.setattr(past, "MOST_POSTS", 30)
    posts = random_posts()
    newest = sorted(posts, key=lambda one: (one.posted_at, one.video_id))[-30:]
    assert len(Histories(posts)) == 30
    assert np.array_equal(columns(posts, posts), columns(newest, posts), equal_nan=True)


def test_who_is_unknown_has_no_past_and_who_has_no_time_none_at_all():
    history = Histories(random_posts())
    late = START + 100 * DAY
    nobody, stranger, timeless = history.columns(
        [
            Asked(None, None, (), late),
            Asked(999, 999, ("never",), late),
            Asked(1, 1, ("cats",), None),
        ]
    )
    for row in (nobody, stranger):
        assert np.isfinite(row[place_of("level")]).all()
        assert np.isnan(np.delete(row, np.r_[place_of("level")])).all()
    assert np.isnan(timeless).all()


def test_a_tag_counts_once_whatever_its_case():
    posts = [PastPost(1, 1, None, ("Cats", "cats"), START, START + DAY, 3.0)]
    once = [replace(posts[0], hashtags=("CATS",))]
    rows = [replace(posts[0], posted_at=START + 2 * DAY)]
    assert np.array_equal(columns(posts, rows), columns(once, rows), equal_nan=True)


def test_without_posts_nothing_is_known():
    nothing = Histories([])
    assert len(nothing) == 0
    assert np.isnan(nothing.columns([Asked(1, 2, ("cats",), START)])).all()
    assert nothing.columns([]).shape == (0, len(COLUMNS))
    known_s, got = nothing.known([4])
    assert (known_s.tolist(), np.isnan(got).tolist()) == ([-1], [True])
    assert np.isnan(nothing.counted([4])).all()


def test_it_tells_when_the_count_of_a_video_may_be_known():
    posts = random_posts()
    yardstick = Yardstick(posts)
    known_s, got = Histories(posts).known([7, 5000, 1])
    by_id = {one.video_id: one for one in posts}
    for place, video_id in ((0, 7), (2, 1)):
        assert known_s[place] == by_id[video_id].known_at.timestamp()
        assert got[place] == pytest.approx(yardstick.apart[video_id])
    assert known_s[1] == -1
    assert np.isnan(got[1])
    counted = Histories(posts).counted([7, 5000, 1])
    assert counted[[0, 2]] == pytest.approx([np.log1p(1000 * by_id[one].views_k) for one in (7, 1)])
    assert np.isnan(counted[1])


def test_the_hash_is_of_counts_and_moments():
    posts = random_posts()
    one = Histories(posts).sha256()
    assert one == Histories(list(posts)).sha256()
    for change in ({"views_k": 9.5}, {"known_at": START + 99 * DAY}):
        assert Histories([replace(posts[0], **change), *posts[1:]]).sha256() != one


def test_a_block_that_is_none_has_no_place():
    assert place_of("author").stop - place_of("author").start == len(past.AUTHOR_NAMES)
    with pytest.raises(KeyError):
        place_of("visual")
