from dataclasses import replace

import numpy as np
import pytest

from model.blocks.encoder import Block
from model.modern.config import MEMBERS, ModernConfig
from model.modern.members import (
    GRAMS,
    choose,
    gram_columns,
    hidden_blocks,
    learn_members,
    with_gaps,
    with_grams,
)
from model.modern.table import add_neighbours, build_table
from model.training.world import one_thread
from tests.model.planted import planted, with_history
from tests.model.solving import Solving

CONFIG = ModernConfig(
    trees=20, leaves=6, learning_rate=0.2, text_buckets=512, text_width=8, gram_buckets=2**11
)
ROWS = with_history(planted(300))
RIDGE, TREES, WORDS, PAST = range(len(MEMBERS))


@pytest.fixture(scope="module")
def table():
    return add_neighbours(build_table(Solving(ROWS[:240], ROWS[240:]).request(), CONFIG), CONFIG)


@pytest.fixture(scope="module")
def choices(table):
    return choose(table, ~table.is_val, CONFIG, 0)


@one_thread()
def learned(table, choices, config=CONFIG, seed=0):
    return learn_members(table, ~table.is_val, config, choices, seed, ask=table.is_val)


@pytest.fixture(scope="module")
def said(table, choices):
    return learned(table, choices)


def test_each_member_says_something_of_later_rows(table, said):
    _, whole, _ = said
    actual = table.labels[table.is_val]
    assert whole.shape == (60, len(MEMBERS))
    for at, name in enumerate(MEMBERS):
        assert np.corrcoef(whole[:, at], actual)[0, 1] > 0.2, name


def test_who_takes_no_part_is_not_made(table, choices):
    made, whole, _ = learned(table, choices, replace(CONFIG, members="grams"))
    assert made.line is None
    assert made.trees is None
    assert not whole[:, [RIDGE, TREES]].any()


def test_what_is_said_does_not_hang_on_the_labels_of_those_asked(table, choices, said):
    moved = replace(table, labels=np.where(table.is_val, 50.0, table.labels))
    known = replace(choices, n_trees=20)
    _, whole, bare = learned(moved, known)
    _, one, other = learned(table, known)
    assert np.array_equal(whole, one)
    assert np.array_equal(bare, other)


def test_the_number_of_trees_is_chosen_once(table, choices, said):
    made, _, _ = said
    assert choices.n_trees == 0
    assert 1 <= made.choices.n_trees <= CONFIG.trees
    again, _, _ = learned(table, replace(choices, n_trees=3))
    assert again.choices.n_trees == again.trees.n_iter_ == 3


def test_of_a_stranger_nothing_is_said_of_the_past(said):
    made, whole, bare = said
    assert np.array_equal(whole[:, WORDS], bare[:, WORDS])
    assert (bare[:, PAST] == made.centre).all()
    for at in (RIDGE, TREES, PAST):
        assert not np.array_equal(whole[:, at], bare[:, at])


def test_the_words_of_a_row_are_read_by_weights_that_have_not_seen_its_label(table):
    learn = ~table.is_val
    before, *_, penalty = gram_columns(table, learn)
    choices = replace(choose(table, learn, CONFIG, 0), penalty=penalty)
    fold = table.folds == 1
    moved = replace(table, labels=table.labels + 5 * (fold & learn) * np.arange(300) % 3)
    after, *_ = gram_columns(moved, learn, choices)
    assert np.array_equal(before[fold & learn], after[fold & learn])
    assert not np.array_equal(before[~fold & learn], after[~fold & learn])
    assert not np.array_equal(before[table.is_val], after[table.is_val])


def test_blocks_are_hidden_at_random_the_authors_past_most_often(table):
    config = replace(CONFIG, history_drop=0.3, block_drop=0.05)
    hidden = hidden_blocks(table, config, 0)
    assert np.array_equal(hidden, hidden_blocks(table, config, 0))
    assert not np.array_equal(hidden, hidden_blocks(table, config, 1))
    for block in table.blocks:
        columns = hidden[:, table.columns_of([block.name])]
        assert (columns == columns[:, :1]).all()  # the whole block with its flag or nothing
        share = 0.3 if block.name == "author" else 0.05
        assert abs(columns[:, 0].mean() - share) < 4 * np.sqrt(share * (1 - share) / 300)
    assert not hidden_blocks(table, replace(CONFIG, history_drop=0.0, block_drop=0.0), 0).any()


def test_words_stand_behind_the_columns_with_a_flag():
    rows = np.array([[1, 2, 3, 1, 0]], np.float32)  # three columns, two flags
    blocks = (Block("a", 2), Block("b", 1))
    wide = with_grams(rows, blocks, np.array([7.0]))
    assert wide.tolist() == [[1, 2, 3, 7, 1, 0, 1]]
    gaps = with_gaps(wide, (*blocks, GRAMS))
    np.testing.assert_array_equal(gaps, [[1, 2, np.nan, 7, 1, 0, 1]])


def test_two_seeds_hide_other_rows(table, choices, said):
    _, whole, _ = learned(table, choices, seed=1)
    assert not np.array_equal(whole[:, RIDGE], said[1][:, RIDGE])
