"""Fitting frames into pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from features.picture import bilinear, fit_size, letterbox, round_to_uint8

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
