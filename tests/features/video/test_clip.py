"""Clips: the frames a full decode gives, at a fraction of its work."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import FeatureError, MissingInput, NoVideoStream, TooShort, Undecodable
from features.extractor import Extracted, Source
from features.settings import PAPER_CLIP, ClipConfig
from features.video import reading
from features.video.clip import (
    ClipExtractor,
    bilinear,
    fit_picture,
    fit_size,
    letterbox,
    read_clip,
    round_to_uint8,
)
from features.video.picture import Picture
from tests.features.media import ffmpeg, make_media

CONFIG = ClipConfig(every_frames=25, max_frames=3, height_px=32, width_px=18)


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.mark.ffmpeg
def test_a_row_holds_the_decoders_frames_and_facts_fit_for_sql(media):
    path = make_media("long_group", media)
    (result,) = ClipExtractor(CONFIG)([Source(1, "a", path=str(path))])
    assert isinstance(result, Extracted)
    clip = read_clip(path, CONFIG)
    assert list(result.tensors) == ["frames"]
    assert result.tensors["frames"].dtype == np.uint8
    assert result.tensors["frames"].shape == (3, 3, 32, 18)
    np.testing.assert_array_equal(result.tensors["frames"], clip.frames)
    assert json.loads(json.dumps(result.detail, allow_nan=False)) == {
        "n_frames": 3,
        "times_s": [0.0, 0.833, 1.667],
        "n_frames_total": 120,
        "fps": 30.0,
        "duration_s": 4.0,
        "truncated": False,
        "fraction_read": 1.0,
        "capped": True,
        "n_errors": 0,
        "height_px": 256,
        "width_px": 144,
        "rotation_deg": 0,
        "mirrored": False,
        "hdr": None,
    }


@pytest.mark.ffmpeg
def test_one_bad_file_costs_its_own_row(media, tmp_path):
    good = str(make_media("no_b_frames", media))
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.mp4").touch()
    results = ClipExtractor(CONFIG)(
        [
            Source(1, "first", path=good),
            Source(2, "noise", path=str(tmp_path / "noise.mp4")),
            Source(3, "empty", path=str(tmp_path / "empty.mp4")),
            Source(4, "gone", path=str(tmp_path / "gone.mp4")),
            Source(5, "stored feature", uri="x", row=0),
            Source(6, "sound", path=str(make_media("sound_only", media))),
            Source(7, "folder", path=str(tmp_path)),
            Source(8, "last", path=good),
        ]
    )
    assert [type(r) for r in results] == [
        Extracted,
        Undecodable,
        Undecodable,
        MissingInput,
        MissingInput,
        NoVideoStream,
        Undecodable,
        Extracted,
    ]
    assert isinstance(results[0], Extracted)
    assert isinstance(results[-1], Extracted)
    np.testing.assert_array_equal(results[0].tensors["frames"], results[-1].tensors["frames"])


@pytest.mark.ffmpeg
def test_no_sources_give_no_rows():
    assert ClipExtractor(CONFIG)([]) == []


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
    ours = fit_picture(Picture(frame), 128, 72, "paper")
    theirs = original(torch.from_numpy(levels).permute(2, 0, 1), rounded=rounded)
    assert np.abs(ours - theirs.numpy()).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(1024, 576), (512, 288), (1280, 720)])
def test_area_mode_is_the_mean_of_what_each_pixel_covers(height, width):
    levels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
    ours = fit_picture(Picture(frame), 128, 72, "area")
    pixels = torch.from_numpy(levels).permute(2, 0, 1)[None].float()
    means = torch.nn.functional.adaptive_avg_pool2d(pixels, (128, 72))[0]
    assert np.abs(ours - means.numpy()).mean() < 1
    assert np.abs(ours - means.numpy()).max() <= 4


def test_paper_mode_reads_four_of_every_64_pixels_and_area_all():
    levels = np.zeros((1024, 576, 3), np.uint8)
    levels[::8, ::8] = 255  # one bright pixel in the corner of every 8x8 block
    frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
    assert fit_picture(Picture(frame), 128, 72, "paper").max() == 0
    assert fit_picture(Picture(frame), 128, 72, "area").mean() == pytest.approx(255 / 64, abs=0.5)


@pytest.mark.parametrize("resize", ["area", "paper"])
@pytest.mark.parametrize(
    ("height", "width", "bars"),
    [(1080, 1920, "above and below"), (500, 500, "above and below"), (1024, 64, "beside")],
)
def test_what_is_not_9_to_16_lies_between_bars_of_zeros(height, width, bars, resize):
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8), format="rgb24")
    bright = fit_picture(Picture(frame), 128, 72, resize).max(axis=0) > 0
    filled, box = fit_size(height, width, 128, 72), (128, 72)
    side = 0 if bars == "above and below" else 1
    lines = bright.any(axis=1 - side)
    assert bright.any(axis=side).all()
    assert abs(int(lines.sum()) - filled[side]) <= 2
    first, last = np.flatnonzero(lines)[[0, -1]]
    assert abs(int(first) - (box[side] - 1 - int(last))) <= 1


PICTURES = [
    "long_group",
    "open_groups",
    "intra_refresh",
    "landscape",
    "variable_rate",
    "hevc",
    "av1",
]
SMALL = {"height_px": 64, "width_px": 36}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


def sequential(path: Path, config: ClipConfig) -> NDArray[np.uint8]:
    """Decode everything in order, the plain way, and keep frames 0, N, 2N, …"""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        frames = list(container.decode(video=0))[:: config.every_frames][: config.max_frames]
    return np.stack(
        [fit_picture(Picture(f), config.height_px, config.width_px, config.resize) for f in frames],
        axis=1,
    )


@pytest.mark.ffmpeg
@pytest.mark.parametrize("every_frames", [3, 17, 50])
@pytest.mark.parametrize("name", [*PICTURES, "old_codec", "sideways", "cut_at_both_ends"])
def test_a_clip_has_the_very_pixels_of_a_sequential_decode(folder, name, every_frames):
    path = make_media(name, folder)
    config = ClipConfig(every_frames=every_frames, **SMALL)
    np.testing.assert_array_equal(read_clip(path, config).frames, sequential(path, config))


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    "name",
    ["long_group", "open_groups", "no_b_frames", "cut_at_both_ends", "hevc", "av1", "webm"],
)
def test_ordinary_files_never_need_the_full_decode(folder, name, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("all frames were decoded")

    monkeypatch.setattr(reading, "decode_all", refuse)
    assert read_clip(make_media(name, folder), ClipConfig(every_frames=20)).frames.shape[1] > 1


@pytest.mark.ffmpeg
def test_a_clip_says_what_it_was_cut_from(folder):
    path = make_media("long_group", folder)
    clip = read_clip(path, replace(PAPER_CLIP, every_frames=10, max_frames=5))
    assert clip.frames.shape == (3, 5, 128, 72)
    assert clip.frames.dtype == np.uint8
    assert (clip.n_frames_total, clip.fps) == (120, 30.0)
    assert clip.indices == (0, 10, 20, 30, 40)
    assert clip.duration_s == pytest.approx(4.0)
    assert clip.capped
    assert not clip.truncated
    assert clip.fraction_read == 1.0
    assert clip.n_errors == 0


@pytest.mark.ffmpeg
def test_a_clip_spans_the_whole_video_however_long_it_is(folder):
    for name in ("long_group", "ten_minutes"):
        clip = read_clip(make_media(name, folder), ClipConfig())
        part = clip.n_frames_total / 16
        assert clip.frames.shape == (3, 16, 32, 18)
        assert clip.indices == tuple(int((i + 0.5) * part) for i in range(16))
        assert not clip.capped


@pytest.mark.ffmpeg
def test_one_frame_is_a_clip(folder):
    clip = read_clip(make_media("one_frame", folder), ClipConfig(every_frames=30))
    assert clip.frames.shape == (3, 1, 32, 18)
    assert clip.n_frames_total == 1


@pytest.mark.ffmpeg
def test_a_landscape_video_keeps_its_ratio_between_black_bars(folder):
    frames = read_clip(make_media("landscape", folder), PAPER_CLIP).frames
    rows = frames.max(axis=(0, 1, 3)) > 0
    assert rows.sum() == 41  # 72 * 144 / 256 = 40.5, halves go up
    assert not rows[:43].any()
    assert not rows[84:].any()


@pytest.mark.ffmpeg
def test_a_file_that_ends_early_gives_what_is_there_and_says_so(folder):
    clip = read_clip(make_media("truncated", folder), ClipConfig(every_frames=10))
    assert clip.truncated
    assert clip.fraction_read == pytest.approx(clip.n_frames_total / 120, abs=0.02)
    assert 4 <= clip.frames.shape[1] < 12
    whole = read_clip(make_media("long_group", folder), ClipConfig(every_frames=10))
    np.testing.assert_array_equal(clip.frames[:, :4], whole.frames[:, :4])


@pytest.mark.ffmpeg
def test_damaged_bytes_cost_frames_but_not_the_clip(folder, tmp_path):
    content = bytearray(make_media("long_group", folder).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = os.urandom(2000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    assert read_clip(path, ClipConfig(every_frames=10)).frames.shape[1] >= 6


SAMPLINGS = [
    {"every_frames": 9, "start_s": 1.0, "stop_s": 3.0},
    {"sampling": "seconds", "every_s": 0.4},
    {"sampling": "uniform", "n_frames": 5},
    {"sampling": "uniform", "n_frames": 3, "start_s": 0.5, "stop_s": 2.5},
]


@pytest.mark.ffmpeg
@pytest.mark.parametrize("settings", SAMPLINGS)
@pytest.mark.parametrize("name", ["long_group", "open_groups", "variable_rate", "hevc"])
def test_every_technique_gives_frames_of_the_full_decode(folder, name, settings):
    path = make_media(name, folder)
    clip = read_clip(path, ClipConfig(**settings, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    assert clip.frames.shape[1] == len(clip.indices) > 2
    np.testing.assert_array_equal(clip.frames, everything[:, list(clip.indices)])


@pytest.mark.ffmpeg
def test_a_window_is_averaged_over_its_consecutive_frames(folder):
    path = make_media("open_groups", folder)
    clip = read_clip(path, ClipConfig(every_frames=30, window_frames=4, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    windows = [range(3), range(29, 33), range(59, 63), range(89, 93)]
    means = np.stack([everything[:, window].mean(axis=1) for window in windows], axis=1)
    assert clip.indices == (0, 30, 60, 90)
    assert np.abs(clip.frames - means).max() <= 0.5


@pytest.mark.ffmpeg
def test_windows_may_share_frames(folder):
    path = make_media("no_b_frames", folder)
    clip = read_clip(path, ClipConfig(every_frames=2, window_frames=5, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    mean = everything[:, 8:13].mean(axis=1)
    assert np.abs(clip.frames[:, 5] - mean).max() <= 0.5


@pytest.mark.ffmpeg
def test_a_window_of_one_colour_keeps_it_to_the_level(folder, tmp_path):
    # 7 frames of 255 and a rounded mean of 255: sums must not wrap in 8 bits.
    path = tmp_path / "white.mp4"
    white = ("-f", "lavfi", "-i", "color=white:size=64x64:rate=30", "-t", "1")
    ffmpeg(*white, "-c:v", "libx264", "-pix_fmt", "yuv444p", str(path))
    config = ClipConfig(every_frames=10, window_frames=7, height_px=16, width_px=16)
    assert (read_clip(path, config).frames >= 254).all()


@pytest.mark.ffmpeg
def test_one_frame_fills_a_uniform_clip(folder):
    clip = read_clip(make_media("one_frame", folder), ClipConfig(sampling="uniform", n_frames=3))
    assert clip.indices == (0, 0, 0)
    np.testing.assert_array_equal(clip.frames[:, 0], clip.frames[:, 2])


@pytest.mark.ffmpeg
def test_a_video_that_ends_before_the_trim_starts_is_too_short(folder):
    with pytest.raises(TooShort):
        read_clip(make_media("one_frame", folder), ClipConfig(start_s=5.0))


@pytest.mark.ffmpeg
def test_damaged_files_are_sampled_in_their_own_time(folder):
    clip = read_clip(make_media("damaged", folder), ClipConfig(sampling="seconds", every_s=0.5))
    whole = read_clip(make_media("long_group", folder), ClipConfig(sampling="seconds", every_s=0.5))
    assert clip.frames.shape[1] == 8
    np.testing.assert_array_equal(clip.frames[:, :3], whole.frames[:, :3])


@pytest.mark.ffmpeg
def test_shrink_is_a_share_of_the_papers_size_and_no_setting_of_its_own():
    assert replace(PAPER_CLIP, height_px=9, shrink=8).spec() == PAPER_CLIP.spec()
    half = ClipConfig(shrink=16)
    assert (half.height_px, half.width_px) == (64, 36)
    assert "shrink" not in half.spec()
    assert replace(half, every_frames=100).height_px == 64
    with pytest.raises(ValueError, match="shrink"):
        ClipConfig(shrink=0)


@pytest.mark.ffmpeg
def test_the_papers_settings_name_the_set_as_before_there_were_others():
    assert PAPER_CLIP.spec() == {
        "every_frames": 200,
        "max_frames": 64,
        "height_px": 128,
        "width_px": 72,
        "resize": "area",
    }


@pytest.mark.ffmpeg
@pytest.mark.parametrize("content", [b"", b"<html>Access Denied</html>", b"\0\0\0\x18ftypisom"])
def test_what_is_not_media_is_undecodable(tmp_path, content):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(Undecodable, match=r"x\.mp4"):
        read_clip(path, ClipConfig())


@pytest.mark.ffmpeg
def test_pictures_in_an_unknown_codec_cost_the_row_and_not_the_run(folder, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(make_media("no_b_frames", folder).read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(Undecodable, match="codec"):
        read_clip(path, ClipConfig())


@pytest.mark.ffmpeg
def test_random_damage_never_raises_what_a_row_cannot_hold(folder, tmp_path):
    whole = make_media("no_b_frames", folder).read_bytes()
    header = whole.rfind(b"moov")
    random = np.random.default_rng(0)
    path = tmp_path / "x.mp4"
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(random.choice([0, header]), len(whole), 12)
        content[places] = random.integers(0, 256, 12)
        path.write_bytes(content.tobytes())
        with contextlib.suppress(FeatureError):
            read_clip(path, ClipConfig(every_frames=20, **SMALL))


@pytest.mark.ffmpeg
def test_a_playlist_in_disguise_opens_no_other_file(folder, tmp_path):
    path = tmp_path / "playlist.mp4"
    media = make_media("one_frame", folder)
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile:{media}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Undecodable):
        read_clip(path, ClipConfig())


@pytest.mark.ffmpeg
def test_sound_alone_has_no_video_stream(folder):
    with pytest.raises(NoVideoStream):
        read_clip(make_media("sound_only", folder), ClipConfig())


@pytest.mark.ffmpeg
def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingInput):
        read_clip(tmp_path / "nowhere.mp4", ClipConfig())


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["every_frames", "height_px", "width_px"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name}\n +Input should be greater than or equal to 1"):
        ClipConfig(**{name: 0})
