import numpy as np
import pytest
from sklearn.linear_model import Ridge as PeerRidge

from catalog.facts import PostFacts
from model.blocks.grams import (
    PENALTIES,
    GramRidge,
    GramRows,
    best_penalty,
    out_of_fold,
    solve_grams,
    sources,
)

BUCKETS = 2**12
WORDS = [f"word{number}" for number in range(40)]
FOLDS = np.arange(200) % 5


def posts(n=200, *, seed=0):
    draw = np.random.default_rng(seed)
    return [
        PostFacts(
            caption=" ".join(draw.choice(WORDS, size=5)),
            hashtags=(f"tag{draw.integers(6)}",),
            transcript=" ".join(draw.choice(WORDS, size=8)) if number % 3 else None,
        )
        for number in range(n)
    ]


def counted_in(rows):
    found = GramRows(BUCKETS)
    for row in rows:
        found.add(row)
    return found


@pytest.fixture(scope="module")
def read():
    """Rows with their grams and labels that follow from one word and one hashtag."""
    rows = posts()
    found = counted_in(rows)
    rarity = found.rarity()
    noise = np.random.default_rng(1).normal(0, 0.3, len(rows))
    labels = np.array(["word7" in row.caption for row in rows]) * 2.0
    labels += np.array([row.hashtags == ("tag1",) for row in rows]) + noise + 5
    return rows, found.matrix(rarity), rarity, labels


@pytest.mark.parametrize("penalty", [0.3, 3.0, 30.0])
def test_solves_what_scikit_learn_does(read, penalty):
    _, grams, _, labels = read
    weights = solve_grams(grams, labels, penalty)
    peer = PeerRidge(alpha=penalty, fit_intercept=False, solver="sparse_cg", tol=1e-10)
    peer.fit(grams, labels - labels.mean())
    np.testing.assert_allclose(grams @ weights, peer.predict(grams), atol=2e-3)
    np.testing.assert_allclose(weights, peer.coef_, atol=2e-3)


def test_finds_what_the_labels_follow_from(read):
    _, grams, _, labels = read
    said = out_of_fold(grams, labels, FOLDS, best_penalty(grams, labels, FOLDS))
    assert np.corrcoef(said, labels)[0, 1] > 0.8


def test_no_label_of_a_fold_reaches_its_own_rows(read):
    _, grams, _, labels = read
    before = out_of_fold(grams, labels, FOLDS, 1.0)
    moved = labels.copy()
    moved[FOLDS == 2] += np.arange(40)
    after = out_of_fold(grams, moved, FOLDS, 1.0)
    assert np.array_equal(before[FOLDS == 2], after[FOLDS == 2])
    assert not np.array_equal(before[FOLDS == 1], after[FOLDS == 1])


def test_with_a_single_fold_nothing_is_said(read):
    _, grams, _, labels = read
    assert not out_of_fold(grams, labels, np.zeros(200, np.int64), 1.0).any()


def test_the_best_penalty_is_high_where_nothing_is_to_be_found(read):
    _, grams, _, labels = read
    draw = np.random.default_rng(3)
    by_chance = [best_penalty(grams, draw.permutation(labels), FOLDS) for _ in range(9)]
    assert np.median(by_chance) == max(PENALTIES)
    assert best_penalty(grams, labels, FOLDS) < max(PENALTIES)


def test_equal_labels_leave_nothing_to_weigh(read):
    _, grams, _, _ = read
    assert not solve_grams(grams, np.full(200, 4.0), 1.0).any()


def test_a_row_reads_what_the_matrix_says_of_it_and_nothing_else(read):
    rows, grams, rarity, labels = read
    weights = solve_grams(grams, labels, 1.0)
    ridge = GramRidge(BUCKETS)
    ridge.keep(rarity, weights)
    together = grams.astype(np.float64) @ weights.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose([ridge.read(row) for row in rows], together, atol=1e-12)
    new = posts(20, seed=9)
    told = counted_in(new).matrix(rarity) @ weights
    np.testing.assert_allclose([ridge.read(row) for row in new], told, atol=1e-6)


def test_its_tensors_are_all_there_is(read):
    rows, grams, rarity, labels = read
    ridge, other = GramRidge(BUCKETS), GramRidge(BUCKETS)
    ridge.keep(rarity, solve_grams(grams, labels, 1.0))
    other.load_state_dict(ridge.state_dict(), strict=True)
    assert [other.read(row) for row in rows] == [ridge.read(row) for row in rows]


def test_rows_can_be_taken_in_any_order(read):
    rows, grams, rarity, _ = read
    places = np.array([5, 0, 199])
    some = counted_in(rows).take(places)
    assert (some.matrix(rarity) != grams[places]).nnz == 0


def test_each_source_of_a_row_is_one_text_of_length_one(read):
    _, _, rarity, _ = read
    row = PostFacts(caption="word1 word2", hashtags=("tag1",))
    one = counted_in([row]).matrix(rarity)
    assert np.square(one.data).sum() == pytest.approx(2.0, abs=1e-6)


def test_words_of_a_single_row_weigh_nothing():
    rows = counted_in([PostFacts(caption="zebra cats"), PostFacts(caption="cats")])
    rarity = rows.rarity()
    alone = counted_in([PostFacts(caption="zebra")])
    assert not rarity[alone.rows[0][0][0]].any()
    assert rarity.any()


def test_a_word_said_is_not_a_word_written():
    written, tagged, said, _ = sources(
        PostFacts(caption="cats", hashtags=("Cats",), transcript="cats")
    )
    assert tagged == ["t cats"]
    assert not set(written) & set(said)
    assert sources(PostFacts(hashtags=("CATS",)))[1] == tagged


def test_rows_without_a_word_are_rows_all_the_same():
    empty = counted_in([PostFacts(), PostFacts()])
    rarity = empty.rarity()
    assert empty.matrix(rarity).shape == (2, BUCKETS)
    assert not rarity.any()
    assert counted_in([]).matrix(rarity).shape == (0, BUCKETS)
    assert GramRidge(BUCKETS).read(PostFacts()) == 0.0
