from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.facts import PostFacts
from model.batches import Example
from model.blocks.history import AuthorRows, LabelSums, TagSums, fold_of, posted_us, tag_bucket

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)


def tag_means(rows, prior=5.0):
    sums = TagSums(3)
    for tags, scaled, fold in rows:
        sums.add(tags, scaled, fold)
    return sums.finish(prior)


def history(rows, prior=1.0):
    added = AuthorRows()
    for author, day, scaled in rows:
        added.add(author, START + day * DAY, scaled)
    return added.finish(prior)


def test_all_videos_of_an_author_share_a_fold():
    rows = [Example(i, facts=PostFacts(author=7)) for i in range(1, 50)]
    assert len({fold_of(row, seed=0, n_folds=5) for row in rows}) == 1
    unnamed = [replace(row, facts=PostFacts()) for row in rows]
    assert {fold_of(row, seed=0, n_folds=5) for row in unnamed} == {0, 1, 2, 3, 4}


def test_the_general_mean_is_of_all_rows_whatever_their_fold():
    sums = LabelSums(2)
    for scaled, fold in [(1.0, 0), (3.0, 0), (10.0, 1)]:
        sums.add(scaled, fold)
    assert sums.finish().mean() == 14 / 3
    assert LabelSums(2).finish().mean() == 0


def test_a_tag_says_how_its_posts_did_against_all():
    means = tag_means([(("cats",), 2.0, 0), (("cats", "dogs"), 4.0, 1), (("dogs",), 0.0, 2)])
    cats, dogs = (6 - 2 * 1) / 7, (4 - 2 * 1) / 7
    assert means.read(("Cats", "dogs", "never"), 1.0) == pytest.approx((cats + dogs) / 2)
    assert means.read(("never",), 1.0) == means.read((), 1.0) == 0


def test_a_tag_of_one_fold_is_not_known():
    means = tag_means([(("once",), 9.0, 0), (("mine",), 9.0, 1), (("mine",), 9.0, 1)])
    assert len(means.bucket) == 0
    assert means.read(("once", "mine"), 0.0) == 0


def test_a_tag_named_twice_counts_once():
    once = tag_means([(("cats",), 2.0, 0), (("cats",), 4.0, 1)])
    twice = tag_means([(("cats", "CATS"), 2.0, 0), (("cats",), 4.0, 1)])
    assert once.rows.equal(twice.rows)
    assert tag_bucket("Cats") == tag_bucket("cats")


def test_only_videos_posted_strictly_before_count():
    past = history([(7, 0, 1.0), (7, 1, 3.0), (7, 2, 100.0), (8, 0, -50.0)])
    assert past.before(7, START + 2 * DAY) == (2, 4.0)
    assert past.before(7, START) == (0, 0.0)
    assert past.before(7, START + 2 * DAY + timedelta(microseconds=1))[0] == 3
    assert past.before(9, START + 9 * DAY) == (0, 0.0)


def test_videos_of_one_moment_do_not_count_for_each_other():
    past = history([(7, 1, 5.0), (7, 1, 9.0), (7, 0, 1.0)])
    assert past.before(7, START + DAY) == (1, 1.0)


def test_the_order_in_which_rows_come_does_not_matter():
    rows = [(author, day, float(author * 10 + day)) for author in (3, 1, 2) for day in (2, 0, 1)]
    one, other = history(rows), history(sorted(rows))
    assert one.posted.equal(other.posted)
    assert one.running.equal(other.running)


def test_another_author_does_not_move_the_last_digit():
    rows = [(7, day, 0.1 * day) for day in range(20)]
    alone, beside = history(rows), history([*rows, (3, 0, 1e15)])
    when = START + 30 * DAY
    assert alone.before(7, when) == beside.before(7, when)


def test_a_history_shrinks_to_the_general_mean():
    past = history([(7, 0, 4.0)], prior=1.0)
    assert past.read(7, START + 3 * DAY, 2.0) == pytest.approx(1.0)


def test_an_empty_history_knows_nobody():
    assert history([]).read(7, START, 2.0) == 0


def test_more_rows_than_one_pack_keep_their_labels():
    added = AuthorRows()
    for day in range(5000):
        added.add(1, START + day * DAY, 1.0)
    assert added.finish(1.0).before(1, START + 5000 * DAY) == (5000, 5000.0)


def test_times_are_exact_to_the_microsecond():
    assert posted_us(START + timedelta(microseconds=1)) - posted_us(START) == 1
