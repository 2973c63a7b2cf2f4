"""Clips of different depth in one batch: no row knows of the others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from features.depth import DEPTHS, normalise, pad_to_depth, pad_to_longest, pool_to_depth


def clips_of(*depths: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (3, depth, 4, 2), dtype=np.uint8) for depth in depths]


def test_min_max_scaling_maps_the_levels_to_zero_and_one():
    scaled = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(scaled, torch.tensor([0.0, 0.2, 1.0]))


def test_a_dark_clip_stays_dark():
    assert normalise(torch.full((3, 1, 2, 2), 10, dtype=torch.uint8)).max() < 0.04


def test_the_longest_sets_the_depth_and_lengths_tell_padding_from_black():
    clips = clips_of(2, 5, 1)
    padded, lengths = pad_to_longest(clips)
    assert padded.shape == (3, 3, 5, 4, 2)
    assert padded.dtype == torch.uint8
    assert lengths.tolist() == [2, 5, 1]
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(padded[row, :, : clip.shape[1]].numpy(), clip)
        assert not padded[row, :, clip.shape[1] :].any()


def test_a_fixed_depth_pads_the_short_and_cuts_the_long():
    clips = clips_of(2, 7)
    padded, lengths = pad_to_depth(clips, 4)
    assert padded.shape == (2, 3, 4, 4, 2)
    assert lengths.tolist() == [2, 4]
    np.testing.assert_array_equal(padded[1].numpy(), clips[1][:, :4])


def test_pooling_averages_equal_stretches_of_a_clips_own_depth():
    (clip,) = clips_of(6)
    pooled, lengths = pool_to_depth([clip], 3)
    assert lengths.tolist() == [3]
    expected = clip.reshape(3, 3, 2, 4, 2).astype(np.float32).mean(axis=2)
    np.testing.assert_allclose(pooled[0].numpy(), expected, rtol=1e-6)


def test_pooled_to_one_a_clip_is_its_mean_picture():
    clips = clips_of(1, 9)
    pooled, _ = pool_to_depth(clips, 1)
    for row, clip in enumerate(clips):
        np.testing.assert_allclose(pooled[row, :, 0].numpy(), clip.mean(axis=1), rtol=1e-6)


def test_pooling_a_short_clip_repeats_its_frames_and_invents_none():
    (clip,) = clips_of(2)
    pooled, _ = pool_to_depth([clip], 4)
    np.testing.assert_array_equal(pooled[0].numpy(), clip[:, [0, 0, 1, 1]].astype(np.float32))


@pytest.mark.parametrize("way", DEPTHS)
@given(depths=st.lists(st.integers(1, 9), min_size=1, max_size=5), depth=st.integers(1, 6))
def test_a_row_is_the_same_alone_and_in_any_batch_in_any_order(way, depths, depth):
    clips = clips_of(*depths)
    together, lengths = DEPTHS[way](clips, depth)
    backwards, lengths_backwards = DEPTHS[way](clips[::-1], depth)
    assert torch.equal(together, backwards.flip(0))
    assert torch.equal(lengths, lengths_backwards.flip(0))
    for row, clip in enumerate(clips):
        alone, length = DEPTHS[way]([clip], depth)
        assert length[0] == lengths[row]
        assert torch.equal(alone[0, :, : length[0]], together[row, :, : length[0]])
        assert not together[row, :, length[0] :].any()


@pytest.mark.parametrize("way", DEPTHS)
def test_what_cannot_be_one_batch_is_refused(way):
    with pytest.raises(ValueError, match="at least one clip"):
        DEPTHS[way]([], 3)
    with pytest.raises(ValueError, match="cannot be one batch"):
        DEPTHS[way]([*clips_of(1), np.zeros((3, 1, 5, 2), np.uint8)], 3)
    with pytest.raises(ValueError, match="without frames"):
        DEPTHS[way]([np.zeros((3, 0, 4, 2), np.uint8)], 3)


@pytest.mark.parametrize("way", ["fixed", "pooled"])
def test_a_depth_below_one_is_refused(way):
    with pytest.raises(ValueError, match="depth is 0"):
        DEPTHS[way](clips_of(2), 0)
