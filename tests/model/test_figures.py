"""Figures: what is drawn is what was given."""

import numpy as np
import pytest
from PIL import Image

from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from model.figures import GAP_PX, LABEL_PX, Strip, draw_strips, reconstruct, some_frames


def clip(n_frames: int, height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, n_frames, height, width), np.uint8)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_reconstruction_has_the_clips_shape_and_scale(normalised):
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=3, normalised=normalised)).eval()
    found = reconstruct(network, clip(2))
    assert (found.shape, found.dtype) == ((3, 2, 8, 6), np.uint8)
    assert 60 < found.mean() < 200  # an untrained network paints about the middle


@pytest.mark.parametrize(("n_frames", "expected"), [(1, [0]), (3, [0, 1, 2]), (9, [0, 3, 5, 8])])
def test_frames_are_spread_from_the_first_to_the_last(n_frames, expected):
    numbered = np.arange(n_frames, dtype=np.uint8).reshape(1, -1, 1, 1)
    assert some_frames(numbered, 4)[0, :, 0, 0].tolist() == expected


def test_strips_stand_below_each_other_with_their_pixels(tmp_path):
    first, second = clip(3), clip(2, height=4, width=8)
    path = tmp_path / "new" / "strips.png"
    draw_strips(path, [Strip("a", first), Strip("b", second)], frame_height_px=16)
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[0] == 2 * (16 + GAP_PX) + GAP_PX
    assert pixels.shape[1] == LABEL_PX + 2 * (32 + GAP_PX) + GAP_PX
    left = LABEL_PX + 12 + GAP_PX  # the second frame: twice as large as it is, no pixel blended
    frame = pixels[GAP_PX : GAP_PX + 16, left : left + 12]
    assert np.array_equal(frame[::2, ::2], first[:, 1].transpose(1, 2, 0))
    assert np.array_equal(frame[1::2, 1::2], frame[::2, ::2])
    assert (pixels[:, :LABEL_PX] < 128).any()  # the labels
