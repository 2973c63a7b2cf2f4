import numpy as np
import pytest
import torch

from model.blocks.encoder import Block
from model.modern.table import RowFile
from model.modern.tower import Bins, ModernConfig, Tower
from model.modern.tower_training import Lesson, epochs_for, quantiles_of, train_tower

BLOCKS = (Block("meta", 3), Block("text", 4))
CONFIG = ModernConfig(width=16, heads=2, bins=4, epochs=80, patience=80, lr=5e-3)


@pytest.fixture
def tower():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tower(BLOCKS, CONFIG).eval()


def rows_of(n, *, seed=0):
    columns = np.random.default_rng(seed).normal(size=(n, 7)).astype(np.float32)
    return np.concatenate((columns, np.ones((n, 2), np.float32)), axis=1)


def test_a_number_fills_its_bins_from_the_left():
    bins = Bins(1, 4)
    bins.learn(np.arange(101, dtype=np.float32)[:, None])
    assert bins(torch.tensor([[-9.0], [25.0], [60.0], [500.0]])).tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        pytest.approx([1, 1, 0.4, 0]),
        [1, 1, 1, 1],
    ]


def test_a_number_with_two_values_becomes_a_step():
    bins = Bins(1, 4)
    bins.learn(np.array([0.0] * 9 + [1.0] * 9, dtype=np.float32)[:, None])
    low, high = bins(torch.tensor([[0.0], [1.0]]))
    assert bool((high >= low).all())
    assert float(high.sum()) > float(low.sum())


def test_the_quantiles_of_any_row_ascend(tower):
    found = quantiles_of(tower, rows_of(50) * 9)
    assert found.shape == (50, 7)
    assert (np.diff(found, axis=1) >= 0).all()


def test_what_a_row_has_not_cannot_be_heard(tower):
    rows = rows_of(4)
    rows[:, -1] = 0.0  # no text
    other = rows.copy()
    other[:, 3:7] = 5.0
    assert np.array_equal(quantiles_of(tower, rows), quantiles_of(tower, other))
    present = rows.copy()
    present[:, -1] = 1.0
    assert not np.array_equal(quantiles_of(tower, rows), quantiles_of(tower, present))


def test_it_can_learn_a_row_by_heart_and_is_the_same_for_its_seed(tmp_path):
    n = 8
    config = ModernConfig(
        width=16, heads=2, epochs=150, patience=150, lr=1e-2, dropout=0.0, modality_drop=0.0
    )
    actual = np.linspace(-2, 2, n)
    everyone = np.ones(n, np.bool_)
    with RowFile(tmp_path / "rows", n, 9) as rows:
        rows.write_run(0, rows_of(n))
        lesson = Lesson(rows, actual, everyone, everyone)
        first, again = (
            quantiles_of(
                train_tower(lesson, BLOCKS, config, seed=1, progress=lambda _text: None),
                rows.read(0, n),
            )
            for _ in range(2)
        )
    assert np.array_equal(first, again)
    assert np.abs(first[:, 3] - actual).max() < 0.4


def test_many_rows_are_shown_fewer_times():
    config = ModernConfig(epochs=60, visits=120_000, min_epochs=8)
    assert [epochs_for(n, config) for n in (100, 10_000, 1_000_000)] == [60, 12, 8]
