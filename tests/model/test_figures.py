"""Figures: what is drawn is what was given, and nothing else on the page is markup."""

import re

import numpy as np
import pytest
from PIL import Image

from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from model.figures import (
    GAP_PX,
    LABEL_PX,
    Curve,
    Strip,
    draw_curves,
    draw_strips,
    image_tag,
    reconstruct,
    some_frames,
    write_page,
)


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


def test_a_curve_falls_where_its_losses_fall():
    svg = draw_curves(
        [Curve("N = 200", [(1, 4000.0), (2, 2000.0), (3, 1000.0)]), Curve("<N>", [(1, 500.0)])],
        y_label="loss",
    )
    first, second = re.findall(r"points='([^']*)'", svg)
    (x1, y1), (x2, y2), (x3, y3) = (map(float, pair.split(",")) for pair in first.split())
    assert x1 < x2 < x3
    assert y1 < y2 < y3  # downwards
    assert y3 - y2 == pytest.approx(y2 - y1, abs=0.2)  # a half each time: a logarithmic axis
    assert float(second.split(",")[1]) > y3
    assert "&lt;N&gt;" in svg


@pytest.mark.parametrize("points", [[], [(1, 5.0)], [(1, 5.0), (2, 5.0)], [(1, 0.0)]])
def test_short_and_flat_curves_are_drawn(points):
    assert "nan" not in draw_curves([Curve("c", points)], y_label="loss")


def test_a_page_shows_its_figures_and_escapes_its_words(tmp_path):
    write_page(tmp_path / "p.html", "A & B", [("less < more", image_tag("x.png", "it's"))])
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<h1>A &amp; B</h1>" in page
    assert "less &lt; more" in page
    assert "<img src='x.png' alt='it&#x27;s'>" in page
