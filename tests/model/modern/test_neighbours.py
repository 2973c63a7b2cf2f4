import numpy as np
import pytest

from model.blocks.encoder import Block, Encoded
from model.modern.neighbours import Neighbours, block_of, directions, width_of


def rows_of(vectors, present=None):
    values = np.asarray(vectors, dtype=np.float32)
    has = np.ones(len(values), np.bool_) if present is None else np.asarray(present)
    return Encoded({"text": values * has[:, None]}, {"text": has})


@pytest.fixture
def store():
    found = Neighbours(4, 2, k=2)
    vectors = directions(rows_of([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]]))
    found.keep(
        0, vectors, np.array([1.0, 2.0, 3.0, 4.0]), np.array([11, 12, 13, 14]), np.arange(4.0)
    )
    return found


def test_the_most_alike_come_first_with_their_cosine(store):
    found = store.nearest(rows_of([[2, 0]]), 99, posted=10.0, n=3)
    assert [one.video_id for one in found] == [11, 12, 13]
    assert [one.similarity for one in found] == pytest.approx([1.0, 0.8, 0.0], abs=1e-3)


def test_a_video_is_no_neighbour_of_itself_nor_one_that_came_later(store):
    found = store.nearest(rows_of([[2, 0]]), 11, posted=2.0)
    assert [one.video_id for one in found] == [12]


def test_without_a_time_any_other_video_may_be_alike_but_says_nothing_of_the_views(store):
    assert len(store.nearest(rows_of([[2, 0]]), 99, posted=-np.inf)) == 4
    _, present = store.block(rows_of([[2, 0]]), [99], np.array([-np.inf]))
    assert not present[0]


def test_the_block_is_the_median_of_the_nearest_and_absent_where_they_are_too_few(store):
    values, present = store.block(rows_of([[1, 0], [1, 0]]), [99, 99], np.array([10.0, 1.0]))
    assert present.tolist() == [True, False]
    assert values[0].tolist() == pytest.approx([1.5, 0.9], abs=1e-3)
    assert values[1].tolist() == [0.0, 0.0]


def test_a_block_that_one_lacks_leaves_likeness_to_the_rest():
    both = Encoded(
        {"text": np.array([[1, 0], [1, 0]], np.float32), "audio": np.array([[3], [0]], np.float32)},
        {"text": np.array([True, True]), "audio": np.array([True, False])},
    )
    vectors = directions(both)
    assert (vectors**2).sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.5**0.5, abs=1e-5)


def test_what_is_made_of_labels_is_no_likeness():
    blocks = (Block("author", 3), Block("tags_past", 2), Block("level", 2), Block("text", 4))
    assert width_of(blocks) == 4
    encoded = Encoded(
        {"author": np.ones((1, 3), np.float32), "text": np.array([[3, 4]], np.float32)},
        {"author": np.array([True]), "text": np.array([True])},
    )
    assert directions(encoded)[0].tolist() == pytest.approx([0.6, 0.8])


def test_only_those_whose_count_was_known_by_then_say_something():
    queries = np.array([[1, 0], [1, 0]], np.float32)
    candidates = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    allowed = np.array([[False, True, True], [True, False, False]])
    actual = np.array([9.0, 2.0, 4.0], np.float32)
    values, present = block_of(queries, candidates, allowed, actual, 2)
    assert present.tolist() == [True, False]
    assert values[0].tolist() == pytest.approx([3.0, 0.4])
    assert values[1].tolist() == [0.0, 0.0]


def test_it_is_the_same_alone_and_among_others(store):
    queries = rows_of(np.random.default_rng(0).normal(size=(20, 2)))
    ids, posted = list(range(50, 70)), np.full(20, 10.0)
    together, _ = store.block(queries, ids, posted)
    for at in range(20):
        one = rows_of(queries.values["text"][at : at + 1])
        alone, _ = store.block(one, ids[at : at + 1], posted[:1])
        np.testing.assert_allclose(alone[0], together[at], atol=1e-6)


def test_an_empty_store_has_no_neighbours():
    empty = Neighbours(0, 2, k=2)
    assert empty.nearest(rows_of([[1, 0]]), 1, posted=0.0) == []
    _, present = empty.block(rows_of([[1, 0]]), [1], np.array([0.0]))
    assert not present.any()
