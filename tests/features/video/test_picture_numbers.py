import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.video.picture_numbers import (
    LOOK_NUMBERS,
    MOTION_NUMBERS,
    bars_share,
    cuts,
    look,
    motion,
    sharpness_levels,
)
from tests.features.shots import MOVES, cross_fade, flash, joined, shot, through_black

NO_CUT = np.zeros(0, np.intp)
RATE_HZ = 12.0


def plain(colour: tuple[int, int, int], n_frames: int = 2) -> np.ndarray:
    """Frames of one colour."""
    frame = np.array(colour, np.uint8)[:, None, None, None]
    return np.broadcast_to(frame, (3, n_frames, 32, 24)).copy()


#: Scenes of which no two that follow each other are alike.
SCENES = (0, 2, 5, 3, 1, 4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(6, 30), st.sampled_from(["still", "pan", "tilt", "shake"]), st.booleans()
        ),
        min_size=1,
        max_size=6,
    )
)
def test_finds_each_hard_cut_and_no_other(shots):
    film = joined(
        [
            shot(scene, length, move, thing=thing)
            for scene, (length, move, thing) in zip(SCENES, shots, strict=False)
        ]
    )
    true = np.cumsum([length for length, _, _ in shots])[:-1]
    assert cuts(film).tolist() == true.tolist()


@pytest.mark.parametrize("move", sorted(MOVES))
@pytest.mark.parametrize("n_frames", [1, 2])
def test_a_flash_is_no_cut(move, n_frames):
    assert cuts(flash(shot(3, 40, move), 20, n_frames)).tolist() == []


@pytest.mark.parametrize("n_frames", [6, 12])
@pytest.mark.parametrize("fade", [cross_fade, through_black])
def test_a_fade_is_no_cut(fade, n_frames):
    assert cuts(fade(shot(1, 30), shot(2, 30, "pan"), n_frames)).tolist() == []


@pytest.mark.parametrize("scene", SCENES)
def test_a_fast_pan_is_no_cut(scene):
    pan = shot(scene, 20, "fast pan")
    before, after = (np.repeat(pan[:, [n]], 10, axis=1) for n in (0, -1))
    assert cuts(joined([before, pan, after])).tolist() == []


def test_noise_is_no_cut():
    noise = np.random.default_rng(1).integers(0, 256, (3, 40, 64, 36), np.uint8)
    assert cuts(noise).tolist() == []


def test_a_cut_between_dark_shots_is_lost_and_says_so_by_the_levels():
    dark = joined([plain((10, 10, 10), 8), plain((16, 16, 16), 8)])
    assert cuts(dark).tolist() == []
    assert cuts(joined([plain((10, 10, 10), 8), plain((60, 60, 60), 8)])).tolist() == [8]


def test_one_frame_has_no_cut_and_no_motion():
    assert cuts(shot(1, 1)).tolist() == []
    assert motion(shot(1, 1), RATE_HZ, NO_CUT) == dict.fromkeys(MOTION_NUMBERS)


def test_a_still_picture_does_not_move():
    found = motion(shot(1, 12, grain=0), RATE_HZ, NO_CUT)
    assert found == dict.fromkeys(MOTION_NUMBERS, 0.0) | {"still_share": 1.0}


def test_a_pan_is_told_from_what_moves_in_front():
    # 0.7 pixels a frame of 36, twelve frames a second.
    pan = motion(shot(5, 60, "pan", grain=1), RATE_HZ, NO_CUT)
    assert pan["pan_widths_s"] == pytest.approx(0.7 * 12 / 36, rel=0.2)
    assert pan["tilt_heights_s"] == pytest.approx(0, abs=0.05)
    assert pan["local_motion_levels"] < pan["motion_levels"]
    thing = motion(shot(5, 60, thing=True, grain=1), RATE_HZ, NO_CUT)
    assert thing["pan_widths_s"] == pytest.approx(0, abs=0.05)
    assert thing["local_motion_levels"] == pytest.approx(thing["motion_levels"], rel=0.05)


def test_a_tilt_is_told_in_heights():
    tilt = motion(shot(5, 60, "tilt", grain=1), RATE_HZ, NO_CUT)
    assert tilt["tilt_heights_s"] == pytest.approx(2 * 12 / 64, rel=0.1)


def test_a_cut_is_no_motion():
    film = joined([shot(1, 10, grain=0), shot(2, 10, grain=0)])
    assert motion(film, RATE_HZ, cuts(film))["motion_levels"] == 0
    assert motion(film, RATE_HZ, NO_CUT)["motion_levels"] > 1


@pytest.mark.parametrize(
    ("colour", "hue_deg"), [((255, 0, 0), 15), ((0, 255, 0), 135), ((0, 0, 255), 255)]
)
def test_a_plain_colour_is_named(colour, hue_deg):
    found = look(plain(colour))
    assert found["hue_deg"] == hue_deg  # the middle of its twelfth
    assert found["hue_share"] == found["saturation_share"] == 1
    assert found["contrast_levels"] == pytest.approx(0, abs=1e-3)


def test_grey_has_light_and_no_colour():
    found = look(plain((128, 128, 128)))
    assert found["brightness_levels"] == pytest.approx(128)
    assert found["saturation_share"] == 0
    assert found["colourfulness_levels"] == pytest.approx(0, abs=1e-3)
    assert (found["hue_deg"], found["hue_share"]) == (None, None)


def test_nearly_black_and_nearly_white_are_counted():
    film = plain((0, 0, 0))
    film[:, :, :8] = 255  # of 32 rows
    found = look(film)
    assert (found["dark_share"], found["bright_share"]) == (0.75, 0.25)


def test_colourfulness_is_that_of_its_authors():
    # M3 of Hasler and Süsstrunk, written out for two colours, half of the picture each.
    film = plain((200, 100, 50))
    film[:, :, :16] = np.array((20, 120, 220), np.uint8)[:, None, None, None]
    rg, yb = np.array([100, -100]), np.array([100, -150])
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert look(film)["colourfulness_levels"] == pytest.approx(expected, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_looks_are_means_over_the_frames_in_any_order(n_frames, seed):
    random = np.random.default_rng(seed)
    film = random.integers(0, 256, (3, n_frames, 6, 5), np.uint8)
    mixed = look(film[:, random.permutation(n_frames)])
    each = [look(film[:, n : n + 1]) for n in range(n_frames)]
    found = look(film)
    for name in LOOK_NUMBERS[:6]:
        assert found[name] == pytest.approx(mixed[name], rel=1e-5)
        assert found[name] == pytest.approx(np.mean([one[name] for one in each]), rel=1e-5)


def test_blur_is_less_sharp():
    sharp = shot(3, 4, grain=20)
    blurred = sum(
        np.roll(sharp.astype(np.float32), n, axis=axis) for n in (-1, 0, 1) for axis in (2, 3)
    )
    assert sharpness_levels((blurred / 6).astype(np.uint8)) < 0.5 * sharpness_levels(sharp)


def test_black_bars_are_measured_at_opposite_edges_only():
    film = np.full((3, 3, 40, 20), 120, np.uint8)
    assert bars_share(film) == 0
    night = film.copy()
    night[:, :, :10] = 5
    assert bars_share(night) == 0
    letterboxed = night.copy()
    letterboxed[:, :, -10:] = 5
    assert bars_share(letterboxed) == pytest.approx(0.5)
    assert bars_share(letterboxed.transpose(0, 1, 3, 2)) == pytest.approx(0.5)
    letterboxed[:, 1, 4] = 120  # something is shown there once
    assert bars_share(letterboxed) == pytest.approx(0.2)
    assert bars_share(np.zeros_like(film)) is None
