import numpy as np
import pytest
import torch

from model.batches import Example, InputShapes, batches, collate, shapes_of, shuffled
from model.errors import BadSetting, IncompatibleFeatures, NotFinite, NothingToTrain
from tests.model.factories import SHAPES, examples


def test_absent_is_zeros_with_a_flag_that_says_so():
    batch = collate([Example(1, audio=torch.ones(3, 8)), Example(2)], SHAPES)
    assert batch.video_ids == (1, 2)
    assert batch.has_visual.tolist() == [False, False]
    assert batch.has_audio.tolist() == [True, False]
    assert batch.visual.shape == (2, 8, 4, 4)
    assert not batch.audio[1].any()


def test_takes_arrays_of_any_float_type():
    batch = collate([Example(1, np.ones((8, 4, 4), np.float16), np.ones((3, 8)))], SHAPES)
    assert batch.visual.dtype == batch.audio.dtype == torch.float32


def test_views_are_there_only_when_every_row_has_them():
    assert collate([Example(1, views_k=1.5), Example(2)], SHAPES).views_k is None
    together = collate([Example(1, views_k=1.5), Example(2, views_k=2.5)], SHAPES)
    assert together.views_k is not None
    assert together.views_k.tolist() == [1.5, 2.5]


def test_a_feature_of_another_size_names_its_video():
    with pytest.raises(IncompatibleFeatures, match=r"video 17 has shape \(8, 5, 4\).*\(8, 4, 4\)"):
        collate([Example(17, visual=torch.zeros(8, 5, 4))], SHAPES)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_names_its_video(bad):
    with pytest.raises(NotFinite, match="video 17"):
        collate([Example(17, audio=torch.full((3, 8), bad))], SHAPES)


def test_a_network_that_reads_nothing_gets_empty_tensors():
    batch = collate(examples(2), InputShapes())
    assert batch.visual.shape == (2, 0)
    assert not batch.has_visual.any()


def test_no_rows_are_no_batch():
    with pytest.raises(NothingToTrain):
        collate([], SHAPES)


def test_rows_are_read_when_asked_for_and_in_order():
    read: list[int] = []

    class Watched(list):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    rows = Watched(Example(100 + index) for index in range(5))
    stream = batches(rows, SHAPES, 2, order=[4, 0, 2, 1, 3])
    assert next(stream).video_ids == (104, 100)
    assert read == [4, 0]
    assert [batch.video_ids for batch in stream] == [(102, 101), (103,)]


def test_a_batch_of_none_is_refused():
    with pytest.raises(BadSetting):
        next(batches([Example(1)], SHAPES, 0))


def test_shapes_are_those_of_the_first_rows_that_have_them():
    visual, audio = np.zeros((8, 4, 4)), np.zeros((3, 8))
    rows = [Example(1), Example(2, visual), Example(3, audio=audio), Example(4, audio)]
    assert shapes_of(rows) == InputShapes((8, 4, 4), (3, 8))
    assert shapes_of(rows[:2]) == InputShapes(visual=(8, 4, 4))
    clip = np.zeros((3, 6, 20, 12), np.uint8)
    assert shapes_of([Example(5, clip=clip), *rows]) == InputShapes(clip=(3, 6, 20, 12))
    assert shapes_of([]) == InputShapes()


def test_an_epoch_has_its_own_order_and_always_the_same():
    assert shuffled(50, seed=1, epoch=2) == shuffled(50, seed=1, epoch=2)
    assert shuffled(50, seed=1, epoch=2) != shuffled(50, seed=1, epoch=3)
    assert sorted(shuffled(50, seed=1, epoch=2)) == list(range(50))
