"""Clips: the frames a full decode gives, at a fraction of its work."""

import contextlib
import dataclasses
import os
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from features import clip as clip_module
from features.clip import ClipConfig, read_clip
from features.errors import FeatureError, MissingInput, NoVideoStream, TooShort, Undecodable
from features.picture import fit_picture
from tests.features.media import ffmpeg, make_media

pytestmark = pytest.mark.ffmpeg

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
RAW_FRAME = ("-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


def sequential(path: Path, config: ClipConfig) -> NDArray[np.uint8]:
    """Decode everything in order, the plain way, and keep frames 0, N, 2N, …"""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        frames = list(container.decode(video=0))[:: config.every_frames][: config.max_frames]
    return np.stack(
        [
            fit_picture(f, config.height_px, config.width_px, f.rotation % 360, config.resize)
            for f in frames
        ],
        axis=1,
    )


@pytest.mark.parametrize("every_frames", [3, 17, 50])
@pytest.mark.parametrize("name", [*PICTURES, "old_codec", "sideways", "cut_at_both_ends"])
def test_a_clip_has_the_very_pixels_of_a_sequential_decode(folder, name, every_frames):
    path = make_media(name, folder)
    config = ClipConfig(every_frames=every_frames, **SMALL)
    np.testing.assert_array_equal(read_clip(path, config).frames, sequential(path, config))


@pytest.mark.parametrize(
    "name",
    ["long_group", "open_groups", "no_b_frames", "cut_at_both_ends", "hevc", "av1", "webm"],
)
def test_ordinary_files_never_need_the_full_decode(folder, name, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("all frames were decoded")

    monkeypatch.setattr(clip_module, "decode_all", refuse)
    assert read_clip(make_media(name, folder), ClipConfig(every_frames=20)).frames.shape[1] > 1


def test_a_clip_says_what_it_was_cut_from(folder):
    path = make_media("long_group", folder)
    clip = read_clip(path, ClipConfig(every_frames=10, max_frames=5))
    assert clip.frames.shape == (3, 5, 128, 72)
    assert clip.frames.dtype == np.uint8
    assert (clip.n_frames_total, clip.fps) == (120, 30.0)
    assert clip.indices == (0, 10, 20, 30, 40)
    assert clip.duration_s == pytest.approx(4.0)
    assert clip.capped
    assert not clip.truncated
    assert clip.fraction_read == 1.0
    assert clip.n_errors == 0


def test_one_frame_is_a_clip(folder):
    clip = read_clip(make_media("one_frame", folder), ClipConfig())
    assert clip.frames.shape == (3, 1, 128, 72)
    assert clip.n_frames_total == 1


def test_a_landscape_video_keeps_its_ratio_between_black_bars(folder):
    frames = read_clip(make_media("landscape", folder), ClipConfig()).frames
    rows = frames.max(axis=(0, 1, 3)) > 0
    assert rows.sum() == 41  # 72 * 144 / 256 = 40.5, halves go up
    assert not rows[:43].any()
    assert not rows[84:].any()


def test_a_turned_video_is_shown_upright_as_players_do(folder):
    path = make_media("sideways", folder)
    clip = read_clip(path, ClipConfig(height_px=256, width_px=144))
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, *RAW_FRAME],
        check=True,
        capture_output=True,
    ).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(256, 144, 3).transpose(2, 0, 1)
    assert clip.rotation_deg in (90, 270)
    assert np.abs(clip.frames[:, 0].astype(int) - shown).mean() < 3


def test_a_file_that_ends_early_gives_what_is_there_and_says_so(folder):
    clip = read_clip(make_media("truncated", folder), ClipConfig(every_frames=10))
    assert clip.truncated
    assert clip.fraction_read == pytest.approx(clip.n_frames_total / 120, abs=0.02)
    assert 4 <= clip.frames.shape[1] < 12
    whole = read_clip(make_media("long_group", folder), ClipConfig(every_frames=10))
    np.testing.assert_array_equal(clip.frames[:, :4], whole.frames[:, :4])


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


@pytest.mark.parametrize("settings", SAMPLINGS)
@pytest.mark.parametrize("name", ["long_group", "open_groups", "variable_rate", "hevc"])
def test_every_technique_gives_frames_of_the_full_decode(folder, name, settings):
    path = make_media(name, folder)
    clip = read_clip(path, ClipConfig(**settings, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    assert clip.frames.shape[1] == len(clip.indices) > 2
    np.testing.assert_array_equal(clip.frames, everything[:, list(clip.indices)])


def test_a_window_is_averaged_over_its_consecutive_frames(folder):
    path = make_media("open_groups", folder)
    clip = read_clip(path, ClipConfig(every_frames=30, window_frames=4, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    windows = [range(3), range(29, 33), range(59, 63), range(89, 93)]
    means = np.stack([everything[:, window].mean(axis=1) for window in windows], axis=1)
    assert clip.indices == (0, 30, 60, 90)
    assert np.abs(clip.frames - means).max() <= 0.5


def test_windows_may_share_frames(folder):
    path = make_media("no_b_frames", folder)
    clip = read_clip(path, ClipConfig(every_frames=2, window_frames=5, **SMALL))
    everything = sequential(path, ClipConfig(every_frames=1, max_frames=999, **SMALL))
    mean = everything[:, 8:13].mean(axis=1)
    assert np.abs(clip.frames[:, 5] - mean).max() <= 0.5


def test_a_window_of_one_colour_keeps_it_to_the_level(folder, tmp_path):
    # 7 frames of 255 and a rounded mean of 255: sums must not wrap in 8 bits.
    path = tmp_path / "white.mp4"
    white = ("-f", "lavfi", "-i", "color=white:size=64x64:rate=30", "-t", "1")
    ffmpeg(*white, "-c:v", "libx264", "-pix_fmt", "yuv444p", str(path))
    config = ClipConfig(every_frames=10, window_frames=7, height_px=16, width_px=16)
    assert (read_clip(path, config).frames >= 254).all()


def test_one_frame_fills_a_uniform_clip(folder):
    clip = read_clip(make_media("one_frame", folder), ClipConfig(sampling="uniform", n_frames=3))
    assert clip.indices == (0, 0, 0)
    np.testing.assert_array_equal(clip.frames[:, 0], clip.frames[:, 2])


def test_a_video_that_ends_before_the_trim_starts_is_too_short(folder):
    with pytest.raises(TooShort):
        read_clip(make_media("one_frame", folder), ClipConfig(start_s=5.0))


def test_damaged_files_are_sampled_in_their_own_time(folder):
    clip = read_clip(make_media("damaged", folder), ClipConfig(sampling="seconds", every_s=0.5))
    whole = read_clip(make_media("long_group", folder), ClipConfig(sampling="seconds", every_s=0.5))
    assert clip.frames.shape[1] == 8
    np.testing.assert_array_equal(clip.frames[:, :3], whole.frames[:, :3])


def test_shrink_is_a_share_of_the_papers_size_and_no_setting_of_its_own():
    assert ClipConfig(shrink=8) == ClipConfig()
    half = ClipConfig(shrink=16)
    assert (half.height_px, half.width_px) == (64, 36)
    assert "shrink" not in dataclasses.asdict(half)
    assert dataclasses.replace(half, every_frames=100).height_px == 64
    with pytest.raises(ValueError, match="shrink is 0"):
        ClipConfig(shrink=0)


def test_the_papers_settings_name_the_set_as_before_there_were_others():
    assert ClipConfig().spec() == {
        "every_frames": 200,
        "max_frames": 64,
        "height_px": 128,
        "width_px": 72,
        "resize": "area",
    }


@pytest.mark.parametrize("content", [b"", b"<html>Access Denied</html>", b"\0\0\0\x18ftypisom"])
def test_what_is_not_media_is_undecodable(tmp_path, content):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(Undecodable, match=r"x\.mp4"):
        read_clip(path, ClipConfig())


def test_pictures_in_an_unknown_codec_cost_the_row_and_not_the_run(folder, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(make_media("no_b_frames", folder).read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(Undecodable, match="codec"):
        read_clip(path, ClipConfig())


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


def test_a_playlist_in_disguise_opens_no_other_file(folder, tmp_path):
    path = tmp_path / "playlist.mp4"
    media = make_media("one_frame", folder)
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile:{media}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Undecodable):
        read_clip(path, ClipConfig())


def test_sound_alone_has_no_video_stream(folder):
    with pytest.raises(NoVideoStream):
        read_clip(make_media("sound_only", folder), ClipConfig())


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingInput):
        read_clip(tmp_path / "nowhere.mp4", ClipConfig())


@pytest.mark.parametrize("name", ["every_frames", "height_px", "width_px"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        ClipConfig(**{name: 0})
