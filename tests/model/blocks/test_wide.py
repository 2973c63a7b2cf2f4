import numpy as np
import pytest

from model.batches import Example
from model.blocks import wide
from model.blocks.wide import CLIP_AT, Gathered, Reservoir, Scale, WideAxes, pooled_visual


def test_a_sample_gives_every_row_the_same_chance():
    hits = np.zeros(40)
    for seed in range(2000):
        sample = Reservoir(10, seed)
        for item in range(40):
            sample.add(item)
        assert len(set(sample.items)) == 10
        hits[sample.items] += 1
    assert np.abs(hits - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_a_scale_leaves_out_what_is_not_known():
    scale = Scale(3)
    scale.fit(np.array([[1.0, np.nan, 7.0], [3.0, np.nan, 7.0], [np.nan, np.nan, 7.0]]))
    assert scale.mean.tolist() == [2.0, 0.0, 7.0]
    assert scale.sd.tolist() == [1.0, 1.0, 1.0]  # of what never moved there is no scale
    read = scale.read(np.array([[np.nan, 2.0, 1e9], [2.5, np.nan, 7.0]]))
    assert read.tolist() == [[0.0, 2.0, CLIP_AT], [0.5, 0.0, 0.0]]


def test_axes_are_those_along_which_rows_differ():
    draw = np.random.default_rng(0)
    direction = np.array([1, -1, 1, -1, 0, 0]) / 2
    amount = draw.normal(size=200)
    values = (amount[:, None] * direction * 5 + draw.normal(0, 0.5, (200, 6))).astype(np.float32)
    axes = WideAxes.fit(values, width=2, seed=0)
    placed = np.array([axes.read(value) for value in values])
    assert abs(np.corrcoef(placed[:, 0], amount)[0, 1]) > 0.97
    assert placed[:, 0].std() > 1.5 * placed[:, 1].std()


def test_a_picture_is_the_mean_sd_and_maximum_of_its_channels():
    visual = np.array([[[1, 3]], [[2, 2]]], np.float16)
    assert pooled_visual(Example(1, visual)).tolist() == [2, 2, 1, 0, 3, 2]
    assert pooled_visual(Example(1)) is None


def test_memory_is_that_of_a_sample(monkeypatch):
    monkeypatch.setattr(wide, "SAMPLE_BYTES", 400)
    gathered = Gathered(seed=0)
    for number in range(100):
        gathered.add(Example(number, frames=np.full(10, number, np.float32)))
    assert gathered.n_rows == 100
    assert len(gathered.wide["frames"].items) == 10
    assert len({float(row[0]) for row in gathered.wide["frames"].items}) == 10
    assert all(row.frames is None for row in gathered.sample.items)


@pytest.mark.parametrize("size", [None, 4])
def test_a_feature_is_read_whatever_its_shape(size):
    row = Example(1, audio=np.ones((2, 2), np.float16))
    found = wide.wide_feature("audio", row, size)
    assert found.tolist() == [1, 1, 1, 1]
    assert found.dtype == np.float32
    assert wide.wide_feature("frames", row, size) is None
