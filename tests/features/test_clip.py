"""Clips: the frames a full decode gives, at a fraction of its work."""

import contextlib
import os
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from features import clip as clip_module
from features.clip import ClipConfig, read_clip
from features.errors import FeatureError, MissingInput, NoVideoStream, Undecodable
from features.picture import fit_picture
from tests.features.media import RECIPES, make_media

pytestmark = pytest.mark.ffmpeg

PICTURES = [name for name in RECIPES if name != "sound_only"]
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


@pytest.mark.parametrize("every_frames", [1, 3, 17, 50])
@pytest.mark.parametrize("name", [*PICTURES, "sideways", "cut_at_both_ends"])
def test_a_clip_has_the_very_pixels_of_a_sequential_decode(folder, name, every_frames):
    path = make_media(name, folder)
    config = ClipConfig(every_frames=every_frames, **SMALL)
    np.testing.assert_array_equal(read_clip(path, config).frames, sequential(path, config))


@pytest.mark.parametrize("name", ["long_group", "open_groups", "no_b_frames", "cut_at_both_ends"])
def test_ordinary_files_never_need_the_full_decode(folder, name, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("all frames were decoded")

    monkeypatch.setattr(clip_module, "_decode_all", refuse)
    assert read_clip(make_media(name, folder), ClipConfig(every_frames=20)).frames.shape[1] > 1


def test_a_clip_says_what_it_was_cut_from(folder):
    path = make_media("long_group", folder)
    clip = read_clip(path, ClipConfig(every_frames=10, max_frames=5))
    assert clip.frames.shape == (3, 5, 128, 72)
    assert clip.frames.dtype == np.uint8
    assert (clip.n_frames_total, clip.fps) == (120, 30.0)
    assert clip.duration_s == pytest.approx(4.0)
    assert clip.capped
    assert not clip.truncated
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


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="every_frames is 0"):
        ClipConfig(every_frames=0)
