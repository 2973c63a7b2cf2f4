"""Clips unlike all training rows are told from new ones of the same sorts."""

import numpy as np
import pytest

from model.batches import Example
from model.blocks.encoder import BlockEncoder
from model.blocks.wide import WideAxes

SIZE = 80


def centres(seed, n=6):
    return np.random.default_rng(seed).normal(size=(n, SIZE)) * 2


def clips(seed, n, about):
    """Rows of some sorts, as embeddings of clips are."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(n, SIZE))
    return (about[generator.integers(0, len(about), n)] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def axes():
    return WideAxes.fit(clips(1, 800, centres(0)), width=32, seed=0)


def told(axes, rows):
    return np.array([axes.likeness_of(row) for row in rows])


def test_new_clips_of_the_same_sorts_stand_anywhere(axes):
    percentiles = told(axes, clips(2, 400, centres(0)))
    assert percentiles.mean() == pytest.approx(50, abs=12)
    assert (percentiles < 2).mean() < 0.06


def test_planted_clips_of_other_sorts_are_far(axes):
    assert (told(axes, clips(3, 200, centres(9))) < 2).mean() > 0.95
    assert (told(axes, clips(4, 50, 10 * centres(0))) < 2).all()
    assert (told(axes, np.zeros((1, SIZE), np.float32) + 100) == 0).all()


def test_a_column_that_never_moved_in_training_tells_by_moving(axes):
    rows = clips(1, 800, centres(0))
    rows[:, 7] = 3.0
    still = WideAxes.fit(rows, width=32, seed=0)
    new = clips(5, 20, centres(0))
    new[:, 7] = 3.0
    assert (told(still, new) > 2).mean() > 0.8
    new[:, 7] = 300.0
    assert (told(still, new) < 2).all()


def test_of_too_few_rows_nothing_is_known():
    few = WideAxes.fit(clips(1, 390, centres(0)), width=16, seed=0)
    assert few.likeness_of(clips(2, 1, centres(0))[0]) is None


def test_it_is_kept_with_the_axes(axes):
    other = WideAxes(SIZE, 32)
    other.load_state_dict(axes.state_dict())
    row = clips(6, 1, centres(0))[0]
    assert other.likeness_of(row) == axes.likeness_of(row)


def test_an_encoder_tells_it_of_the_features_that_a_row_has():
    frames, audio = clips(1, 500, centres(0)), clips(2, 500, centres(1))
    train = [
        Example(i, frames=one, audio=None if i % 4 else other)
        for i, (one, other) in enumerate(zip(frames, audio, strict=True))
    ]
    encoder = BlockEncoder.fit(train, seed=0)
    near, far = clips(3, 1, centres(0))[0], clips(3, 1, centres(9))[0]
    assert encoder.likeness(Example(0, frames=near))["frames"] > 2
    told = encoder.likeness(Example(0, frames=far, audio=near))
    assert told["frames"] < 2
    assert told.keys() == {"frames"}  # 125 rows with sound are too few
    assert encoder.likeness(Example(0)) == {}
