from dataclasses import replace

import numpy as np
import pytest

from model.blocks.encoder import Block, Encoded
from model.errors import NothingToTrain
from model.modern.table import Older, RowFile, parted, read_ledger
from model.targets import TargetTransform
from tests.model.planted import planted

RAW = TargetTransform("raw")


@pytest.fixture
def numbered(tmp_path):
    with RowFile(tmp_path / "rows", 1000, 3) as rows:
        rows.write_run(0, np.arange(3000, dtype=np.float32).reshape(1000, 3))
        yield rows


def test_rows_come_back_where_they_were_put(tmp_path):
    with RowFile(tmp_path / "rows", 5, 2) as rows:
        rows.write([3, 0], np.array([[1, 2], [3, 4]], dtype=np.float32))
        assert rows.read(0, 99).tolist() == [[3, 4], [0, 0], [0, 0], [1, 2], [0, 0]]
    assert not (tmp_path / "rows").exists()


def test_chosen_rows_come_in_their_order(numbered):
    places = np.array([2, 255, 256, 999])
    assert numbered.chosen(places)[:, 0].tolist() == (places * 3).tolist()


def test_an_epoch_shows_every_marked_row_once_in_an_order_of_its_seed(numbered):
    among = np.arange(1000) % 3 == 0
    epochs = {}
    for seed in (1, 1, 2):
        batches = list(numbered.shuffled(among, 64, seed))
        places = np.concatenate([places for places, _ in batches])
        rows = np.concatenate([rows for _, rows in batches])
        assert sorted(places.tolist()) == np.flatnonzero(among).tolist()
        assert np.array_equal(rows[:, 0], places * 3)
        assert all(len(batch) == 64 for batch, _ in batches[:-1])
        assert epochs.setdefault(seed, places.tolist()) == places.tolist()
    assert epochs[1] != epochs[2]


def test_the_ledger_is_oldest_first_whatever_order_the_rows_come_in():
    rows = planted(30)
    unknown = replace(rows[7], facts=replace(rows[7].facts, posted_at=None))
    mixed = [*rows[10:], *rows[:7], unknown, *rows[8:10]]
    ledger = read_ledger(mixed, RAW)
    assert ledger.video_ids.tolist() == [8, *range(1, 8), *range(9, 31)]
    assert ledger.video_ids[ledger.ranks].tolist() == [row.video_id for row in mixed]
    assert [row.video_id for row in Older(mixed, ledger, 3)] == [1, 2, 8]


def test_a_row_without_views_is_refused():
    rows = planted(3)
    with pytest.raises(NothingToTrain):
        read_ledger([rows[0], replace(rows[1], views_k=None)], RAW)
    with pytest.raises(NothingToTrain):
        read_ledger([], RAW)


def test_blocks_survive_the_way_through_a_row():
    encoded = Encoded(
        {"a": np.ones((2, 3), np.float32), "b": np.array([[5], [0]], np.float32)},
        {"a": np.array([True, True]), "b": np.array([True, False])},
    )
    back = parted(encoded.matrix(), (Block("a", 3), Block("b", 1)))
    for name in ("a", "b"):
        assert np.array_equal(back.values[name], encoded.values[name])
        assert np.array_equal(back.present[name], encoded.present[name])
