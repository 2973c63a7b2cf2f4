"""Fitting frames into pictures."""

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from features.picture import bilinear, fit_picture, fit_size, letterbox, round_to_uint8

SIDES = st.integers(1, 4000)


@given(height=SIDES, width=SIDES)
def test_a_fitted_picture_touches_the_box_and_stays_inside(height, width):
    rows, columns = fit_size(height, width, 128, 72)
    assert 1 <= rows <= 128
    assert 1 <= columns <= 72
    assert rows == 128 or columns == 72


def test_halves_round_up():
    assert fit_size(1080, 1920, 128, 72) == (41, 72)


@pytest.mark.parametrize("target", [(128, 72), (18, 32), (200, 300)])
def test_bilinear_is_the_ordinary_interpolation_without_antialiasing(target):
    image = np.random.default_rng(0).integers(0, 256, (3, 96, 54), dtype=np.uint8)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None].float(), size=target, mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(bilinear(image, *target), theirs.numpy(), atol=5e-3)


def test_a_letterboxed_picture_lies_in_the_middle_of_black():
    boxed = letterbox(np.full((3, 2, 4), 9, np.uint8), 6, 4)
    assert boxed[:, 2:4].min() == 9
    assert boxed.sum() == 3 * 2 * 4 * 9


def test_rounding_never_wraps():
    levels = round_to_uint8(np.array([-1.0, 254.5, 254.6, 300.0], np.float32))
    assert levels.tolist() == [0, 254, 255, 255]


def original(picture: torch.Tensor, *, rounded: bool) -> torch.Tensor:
    """Shrink (3, h, w) as the paper says: into 1024x576, zeros around, and to 128x72."""
    height, width = picture.shape[1:]
    size = fit_size(height, width, 1024, 576)

    def resized(image: torch.Tensor, to: tuple[int, int]) -> torch.Tensor:
        found = torch.nn.functional.interpolate(image[None].float(), size=to, mode="bilinear")[0]
        return found.round() if rounded else found

    top, left = (1024 - size[0]) // 2, (576 - size[1]) // 2
    boxed = torch.zeros(3, 1024, 576)
    boxed[:, top : top + size[0], left : left + size[1]] = resized(picture, size)
    return resized(boxed, (128, 72))


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize(
    ("height", "width"),
    [(1024, 576), (1920, 1080), (360, 640), (500, 500), (257, 143), (64, 1024), (2, 2)],
)
def test_paper_mode_is_the_originals_two_steps_within_one_level(height, width, rounded):
    levels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
    ours = fit_picture(frame, 128, 72, 0, "paper")
    theirs = original(torch.from_numpy(levels).permute(2, 0, 1), rounded=rounded)
    assert np.abs(ours - theirs.numpy()).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(1024, 576), (512, 288), (1280, 720)])
def test_area_mode_is_the_mean_of_what_each_pixel_covers(height, width):
    levels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
    ours = fit_picture(frame, 128, 72, 0, "area")
    pixels = torch.from_numpy(levels).permute(2, 0, 1)[None].float()
    means = torch.nn.functional.adaptive_avg_pool2d(pixels, (128, 72))[0]
    assert np.abs(ours - means.numpy()).mean() < 1
    assert np.abs(ours - means.numpy()).max() <= 4


def test_paper_mode_reads_four_of_every_64_pixels_and_area_all():
    levels = np.zeros((1024, 576, 3), np.uint8)
    levels[::8, ::8] = 255  # one bright pixel in the corner of every 8x8 block
    frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
    assert fit_picture(frame, 128, 72, 0, "paper").max() == 0
    assert fit_picture(frame, 128, 72, 0, "area").mean() == pytest.approx(255 / 64, abs=0.5)


@pytest.mark.parametrize("resize", ["area", "paper"])
@pytest.mark.parametrize(
    ("height", "width", "bars"),
    [(1080, 1920, "above and below"), (500, 500, "above and below"), (1024, 64, "beside")],
)
def test_what_is_not_9_to_16_lies_between_bars_of_zeros(height, width, bars, resize):
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8), format="rgb24")
    bright = fit_picture(frame, 128, 72, 0, resize).max(axis=0) > 0
    filled, box = fit_size(height, width, 128, 72), (128, 72)
    side = 0 if bars == "above and below" else 1
    lines = bright.any(axis=1 - side)
    assert bright.any(axis=side).all()
    assert abs(int(lines.sum()) - filled[side]) <= 2
    first, last = np.flatnonzero(lines)[[0, -1]]
    assert abs(int(first) - (box[side] - 1 - int(last))) <= 1


@pytest.mark.parametrize("resize", ["area", "paper"])
def test_a_turn_moves_the_pixels_and_changes_none(resize):
    levels = np.random.default_rng(2).integers(0, 256, (72, 128, 3), dtype=np.uint8)
    lying = av.VideoFrame.from_ndarray(levels, format="rgb24")
    standing = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(levels)), format="rgb24")
    turned = fit_picture(lying, 128, 72, 90, resize).astype(int)
    assert np.abs(turned - fit_picture(standing, 128, 72, 0, resize)).max() <= 1
