from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from catalog.facts import PastPost
from model.blocks.encoder import Block, Encoded
from model.blocks.past import COLUMNS, Histories
from model.errors import NothingToTrain
from model.modern.config import ModernConfig
from model.modern.table import (
    add_neighbours,
    build_table,
    hidden_history,
    in_pages,
    keep_blocks,
    level_of,
    neighbour_store,
    owners_of,
    parted,
    past_of,
)
from model.targets import TargetTransform
from tests.model.planted import planted, with_history
from tests.model.solving import Solving

CONFIG = ModernConfig(text_buckets=512, gram_buckets=2**12, neighbours=4)
ROWS = with_history(planted(300))
TRAIN, VAL = ROWS[:240], ROWS[240:]


def as_past(row):
    facts = row.facts
    known_at = facts.posted_at + timedelta(days=1)
    who = (facts.author, facts.sound, facts.hashtags)
    return PastPost(row.video_id, *who, facts.posted_at, known_at, row.views_k)


def built(train=TRAIN, val=VAL, config=CONFIG, **more):
    solving = Solving(list(train), list(val), **more)
    return build_table(solving.request(), config), solving


@pytest.fixture(scope="module")
def table():
    return built()[0]


def test_rows_stand_oldest_first_whatever_their_order(table):
    mixed = np.random.default_rng(0).permutation(len(TRAIN))
    other, _ = built([TRAIN[at] for at in mixed], VAL[::-1])
    assert table.video_ids.tolist() == [row.video_id for row in ROWS]
    assert other.video_ids.tolist() == table.video_ids.tolist()
    for name in ("folds", "authors", "is_val", "posted", "known"):
        assert np.array_equal(getattr(other, name), getattr(table, name)), name
    np.testing.assert_allclose(other.labels, table.labels, atol=1e-9)
    rarity = table.grams.rarity()
    assert (other.grams.matrix(rarity) != table.grams.matrix(rarity)).nnz == 0


def test_validation_rows_are_flagged(table):
    assert table.is_val.tolist() == [False] * 240 + [True] * 60


def test_all_rows_of_an_author_are_in_one_fold(table):
    authors = np.array([row.facts.author for row in ROWS])
    for author in np.unique(authors):
        assert len(np.unique(table.folds[authors == author])) == 1
        assert len(np.unique(table.authors[authors == author])) == 1
    assert set(table.folds.tolist()) == set(range(CONFIG.folds))
    assert len(np.unique(table.authors)) == len(np.unique(authors))


def test_other_numbers_of_the_same_accounts_change_nothing(table):
    """Accounts are numbered in the order of a salted hash."""
    numbers = np.random.default_rng(4).permutation(10_000)[:40]
    renamed = [
        replace(row, facts=replace(row.facts, author=int(numbers[row.facts.author])))
        for row in ROWS
    ]
    other, _ = built(renamed[:240], renamed[240:])
    for name in ("x", "labels", "folds", "authors", "video_ids"):
        assert np.array_equal(getattr(other, name), getattr(table, name)), name


def test_rows_of_nobody_are_each_alone():
    rows = [replace(row, facts=replace(row.facts, author=None)) for row in TRAIN]
    table, _ = built(rows, [])
    assert len(np.unique(table.authors)) == len(rows)
    assert len(np.unique(table.folds)) == CONFIG.folds


def test_where_one_author_has_most_rows_they_are_parted_by_row():
    rows = [replace(row, facts=replace(row.facts, author=1)) for row in TRAIN]
    table, _ = built(rows, [])
    assert len(np.unique(table.authors)) == 1
    assert len(np.unique(table.folds)) == CONFIG.folds


@pytest.mark.parametrize("seed", range(8))
def test_two_authors_never_share_the_only_fold(seed):
    rows = [
        replace(row, facts=replace(row.facts, author=number % 2))
        for number, row in enumerate(TRAIN[:40])
    ]
    assert len(np.unique(built(rows, [], seed=seed)[0].folds)) > 1


def test_another_seed_gives_other_folds():
    assert not np.array_equal(built(seed=1)[0].folds, built(seed=2)[0].folds)


def test_only_the_newest_rows_are_kept_and_the_run_says_so():
    table, solving = built(TRAIN, [], replace(CONFIG, newest_rows=100))
    assert table.video_ids.tolist() == [row.video_id for row in TRAIN[-100:]]
    assert solving.notes["newest_rows"] == {"rows": 100, "of": 240}
    assert "newest_rows" not in built()[1].notes


@pytest.mark.parametrize(
    ("n_train", "n_val", "kept_train", "kept_val"),
    [(240, 60, 40, 20), (240, 10, 50, 10), (20, 60, 20, 40), (240, 0, 60, 0)],
)
def test_validation_rows_do_not_crowd_out_train(n_train, n_val, kept_train, kept_val):
    table, _ = built(TRAIN[-n_train:], VAL[:n_val], replace(CONFIG, newest_rows=60))
    assert ((~table.is_val).sum(), table.is_val.sum()) == (kept_train, kept_val)
    wanted = [*TRAIN[-kept_train:], *VAL[n_val - kept_val : n_val]]
    assert table.video_ids.tolist() == [row.video_id for row in wanted]


def test_of_equal_times_the_lower_id_is_older_and_no_time_is_oldest():
    rows = [
        replace(row, facts=replace(row.facts, posted_at=TRAIN[0].facts.posted_at)) for row in TRAIN
    ]
    rows[7] = replace(rows[7], facts=replace(rows[7].facts, posted_at=None))
    table, _ = built(rows[::-1], [])
    assert table.video_ids[0] == 8
    assert (np.diff(table.video_ids[1:]) > 0).all()


def test_a_row_without_views_is_refused():
    with pytest.raises(NothingToTrain, match="video 2 "):
        built([TRAIN[0], TRAIN[1]], [replace(TRAIN[1], views_k=None)])
    with pytest.raises(NothingToTrain, match="no row"):
        build_table(replace(Solving(TRAIN).request(), train=[], val=VAL), CONFIG)


def test_labels_are_what_rows_got_beside_the_level_of_their_time(table):
    mean, sd = table.log_scale
    logs = np.array([np.log1p(1000 * row.views_k) for row in ROWS])
    np.testing.assert_allclose(table.labels + table.level, (logs - mean) / sd, atol=1e-9)
    level = np.array([row.history[COLUMNS.index("level level")] for row in ROWS])
    known = np.isfinite(level)
    np.testing.assert_allclose(table.level[known], (level[known] - mean) / sd, atol=1e-5)
    assert not table.level[~known].any()
    assert (~known).any()


def test_a_level_that_never_moved_before_may_move_far():
    level = COLUMNS.index("level level")
    rng = np.random.default_rng(0)
    steady = [
        replace(row, history=np.where(np.arange(len(COLUMNS)) == level, 7 + 0.01 * z, row.history))
        for row, z in zip(ROWS, rng.normal(size=len(ROWS)), strict=True)
    ]
    table, _ = built(steady[:240], steady[240:])
    moved = replace(ROWS[-1], history=np.where(np.arange(len(COLUMNS)) == level, 9.5, np.nan))
    told = level_of(
        table.encoder.encode([moved]).matrix(), table.blocks, table.encoder, table.log_scale
    )
    assert told * table.log_scale[1] + table.log_scale[0] == pytest.approx([9.5], abs=1e-4)


@pytest.mark.parametrize("kind", ["raw", "standard"])
def test_neighbours_tell_the_count_that_was_seen_and_not_a_later_label(kind):
    early = [replace(row, views_k=row.views_k / 8) for row in ROWS]
    target = TargetTransform.fit([row.views_k for row in TRAIN], kind)
    table, _ = built(target=target, histories=Histories(map(as_past, early)))
    wanted = target.apply([row.views_k for row in early]) - table.level
    np.testing.assert_allclose(table.seen, wanted, atol=1e-9)
    assert (table.seen < table.labels).all()


def test_what_the_author_got_is_read_back_from_the_columns(table):
    apart, n_known = past_of(table.x, table.blocks, table.encoder)
    posts = np.array([row.history[COLUMNS.index("author log_posts")] for row in ROWS])
    recent = np.array([row.history[COLUMNS.index("author recent_20")] for row in ROWS])
    assert n_known.tolist() == np.rint(np.expm1(np.nan_to_num(posts))).astype(int).tolist()
    np.testing.assert_allclose(apart, np.nan_to_num(recent), atol=1e-4)
    hidden = past_of(hidden_history(table, table.x), table.blocks, table.encoder)
    assert not np.any(hidden)


def test_without_histories_there_is_no_past_and_no_level():
    table, _ = built(planted(60), [])
    assert not {"author", "level"} & {block.name for block in table.blocks}
    assert not table.level.any()
    assert not np.any(past_of(table.x, table.blocks, table.encoder))


def test_a_neighbour_is_a_row_whose_count_was_known(table):
    """What rows get that became known later moves nothing of a row's block."""
    moment = 150
    later = table.known >= table.posted[moment]
    assert later[moment]
    moved = replace(table, seen=np.where(later, 99.0, table.seen))
    one, other = (add_neighbours(each, CONFIG) for each in (table, moved))
    assert [block.name for block in one.blocks][-1] == "neighbours"
    upto = table.posted <= table.posted[moment]
    assert np.array_equal(one.x[upto], other.x[upto])
    assert not np.array_equal(one.x, other.x)
    assert one.x[upto, -1].any()
    assert not one.x[0, -1]  # nobody came before it


def test_a_row_never_meets_its_own_count(table):
    moved = replace(table, seen=np.where(np.arange(300) == 200, 99.0, table.seen))
    one, other = (add_neighbours(each, CONFIG) for each in (table, moved))
    assert np.array_equal(one.x[200], other.x[200])


def test_the_store_has_the_newest_rows_that_are_ever_known(table):
    never = replace(table, known=np.where(np.arange(300) % 3 == 0, np.inf, table.known))
    beside = add_neighbours(never, CONFIG)
    store = neighbour_store(beside, replace(CONFIG, store_rows=50))
    wanted = np.flatnonzero(np.arange(300) % 3)[-50:]
    assert store.video_ids.tolist() == table.video_ids[wanted].tolist()
    assert np.array_equal(store.known.numpy(), table.known[wanted])


def test_what_is_asked_of_the_store_is_what_training_saw(table):
    beside = add_neighbours(table, CONFIG)
    store = neighbour_store(beside, CONFIG)
    encoded = parted(table.x[-20:], table.blocks)
    values, present = store.block(encoded, table.video_ids[-20:].tolist(), table.posted[-20:])
    trained = parted(beside.x[-20:], beside.blocks)
    np.testing.assert_allclose(values, trained.values["neighbours"], atol=1e-5)
    assert np.array_equal(present, trained.present["neighbours"])


def test_blocks_survive_the_way_through_a_row():
    encoded = Encoded(
        {"a": np.ones((2, 3), np.float32), "b": np.array([[5], [0]], np.float32)},
        {"a": np.array([True, True]), "b": np.array([True, False])},
    )
    blocks = (Block("a", 3), Block("b", 1))
    back = parted(encoded.matrix(), blocks)
    for name in ("a", "b"):
        assert np.array_equal(back.values[name], encoded.values[name])
        assert np.array_equal(back.present[name], encoded.present[name])
    assert owners_of(blocks).tolist() == [0, 0, 0, 1, 0, 1]


def test_kept_blocks_keep_their_columns_and_flags(table):
    names = ["meta", "author"]
    kept = keep_blocks(table, names, table.encoder)
    whole, part = parted(table.x, table.blocks), parted(kept.x, kept.blocks)
    assert list(part.values) == names
    for name in names:
        assert np.array_equal(part.values[name], whole.values[name])
        assert np.array_equal(part.present[name], whole.present[name])


def test_pages_hold_every_row_once():
    assert list(in_pages(iter("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
