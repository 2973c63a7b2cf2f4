"""Every made file, good or bad, has its stated outcome: the very frames, a part, or a reason."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from features.errors import FeatureError, NoVideoStream, Undecodable
from features.settings import ClipConfig, SamplingConfig
from features.video import reading
from features.video.clip import fit_picture, read_clip
from features.video.demux import Damage, decode_all
from features.video.picture import Picture, shown_aspect
from features.video.reading import PictureRequest, read_frames
from tests.features.media import DERIVED, RECIPES, make_media

pytestmark = pytest.mark.ffmpeg

#: name -> error and a part of its message: the decoder's reason where it gives one.
BAD: dict[str, tuple[type[FeatureError], str]] = {
    "sound_only": (NoVideoStream, "no moving picture"),
    "cover_only": (NoVideoStream, "no moving picture"),
    "without_header": (Undecodable, "moov atom not found"),
    "encrypted": (Undecodable, r"encrypted\.mp4 is encrypted"),
    "empty": (Undecodable, r"empty\.mp4 cannot be decoded"),
    "page": (Undecodable, r"page\.mp4 cannot be decoded"),
    "first_box_only": (Undecodable, "error reading header"),
    "zeros": (Undecodable, r"zeros\.mp4 cannot be decoded"),
    "text": (Undecodable, "not on whitelist"),
    "picture": (Undecodable, "not on whitelist"),
    "unknown_codec": (Undecodable, "codec that is not known"),
}

#: name -> truncated, the share that is read (from, to), whether errors are counted.
PARTLY: dict[str, tuple[bool, tuple[float, float], bool]] = {
    "truncated": (True, (0.5, 0.7), False),
    "truncated_fragments": (True, (0.6, 0.9), False),
    "truncated_webm": (True, (0.1, 0.5), False),
    # A transport stream promises no length: only its last, cut packet tells.
    "truncated_stream": (False, (1.0, 1.0), True),
    "damaged": (False, (0.4, 0.95), True),
    "damaged_groups": (False, (0.4, 0.95), True),
    "damaged_hevc": (False, (0.4, 0.95), True),
    "damaged_av1": (False, (0.4, 0.95), True),
}

WHOLE = [name for name in (*RECIPES, *DERIVED) if name not in BAD and name not in PARTLY]

#: Where torchcodec itself gives no frames, or others than ffmpeg's own full decode.
NOT_IN_TORCHCODEC = {
    "intra_refresh": "seeks to recovery points that it does not find",
    "transport_stream": "loses the last frames after a seek",
    "avi_packed": "finds fewer frames than it counts",
    "cut_at_both_ends": "numbers the frames that the edit list hides",
    "changing_size": "wants all frames of one size",
}
#: Two versions of the scaler turn these into RGB in two ways; the frames are the same.
OTHER_COLOURS = {"ten_bit", "hevc_ten_bit", "av1_ten_bit", "interlaced"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


def small(picture: Picture) -> NDArray[np.uint8]:
    return fit_picture(picture, 64, 36, "area")


def whole(picture: Picture) -> NDArray[np.uint8]:
    upright = np.rot90(picture.frame.to_ndarray(format="rgb24"), picture.shown.rotation_deg // 90)
    return np.ascontiguousarray(upright.transpose(2, 0, 1))


def sequential(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode everything in order, the plain way."""
    with av.open(str(path)) as container:
        streams = (
            s for s in container.streams.video if not s.disposition & Disposition.attached_pic
        )
        stream = next(streams)
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            yield small(Picture(frame, shown_aspect(stream.sample_aspect_ratio)))


def test_at_least_forty_files_good_and_bad():
    assert len(WHOLE) + len(PARTLY) + len(BAD) >= 40
    assert {*BAD, *PARTLY, *NOT_IN_TORCHCODEC, *OTHER_COLOURS} <= {*RECIPES, *DERIVED}


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "ten_minutes"])
def test_a_good_file_gives_the_very_frames_of_a_full_decode(folder, name):
    path = make_media(name, folder)
    expected = list(sequential(path))
    for every_frames in (1, 7):
        config = SamplingConfig(every_frames=every_frames, max_frames=200)
        clip = read_frames(path, PictureRequest(config, small))
        assert clip.indices == tuple(range(0, len(expected), every_frames))
        np.testing.assert_array_equal(clip.frames, np.stack(expected[::every_frames], axis=1))
        assert clip.n_frames_total == len(expected)
        assert (clip.truncated, clip.fraction_read, clip.n_errors) == (False, 1.0, 0)


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in NOT_IN_TORCHCODEC])
def test_torchcodec_gives_the_same_frames_by_number(folder, name):
    decoders = pytest.importorskip("torchcodec.decoders")
    path = make_media(name, folder)
    ours = read_frames(path, PictureRequest(SamplingConfig(every_frames=7, max_frames=16), whole))
    decoder = decoders.VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1)
    assert len(decoder) == ours.n_frames_total
    theirs = decoder.get_frames_at(list(ours.indices)).data.numpy().transpose(1, 0, 2, 3)
    apart = np.abs(ours.frames.astype(int) - theirs)
    if name not in OTHER_COLOURS:
        assert apart.max() <= 2
    else:
        # The noise puts any other frame at least twice as far away.
        other = np.abs(ours.frames[:, 1:].astype(int) - theirs[:, :-1])
        assert apart.mean() < 0.5 * other.mean()


@pytest.mark.parametrize("name", PARTLY)
def test_a_cut_or_damaged_file_gives_what_is_there_and_says_how_much(folder, name):
    truncated, (least, most), has_errors = PARTLY[name]
    path = make_media(name, folder)
    clip = read_frames(path, PictureRequest(SamplingConfig(every_frames=7, max_frames=64), small))
    assert clip.truncated is truncated
    assert least <= clip.fraction_read <= most
    assert (clip.n_errors > 0) is has_errors
    frames = [small(Picture(frame)) for frame in decode_all(f"file:{path}", Damage())]
    np.testing.assert_array_equal(clip.frames, np.stack(frames[::7], axis=1))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_costs_its_row_with_the_decoders_reason(folder, name):
    error, message = BAD[name]
    with pytest.raises(error, match=message):
        read_clip(make_media(name, folder), ClipConfig())


def test_ten_minutes_cost_no_more_than_the_frames_that_are_wanted(folder, monkeypatch):
    n_decoded = 0
    decode_some = reading.decode_some

    def counting(url, runs, wanted, damage):
        nonlocal n_decoded
        n_decoded += sum(map(len, runs))
        return decode_some(url, runs, wanted, damage)

    every = SamplingConfig(every_frames=1, max_frames=64)
    once = read_frames(make_media("long_group", folder), PictureRequest(every, small))
    monkeypatch.setattr(reading, "decode_some", counting)
    config = SamplingConfig(every_frames=1000, max_frames=20)
    clip = read_frames(make_media("ten_minutes", folder), PictureRequest(config, small))
    assert clip.n_frames_total == 18_000
    assert clip.duration_s == pytest.approx(600)
    assert n_decoded < 1_500
    known = [row for row, i in enumerate(clip.indices) if i % 120 < once.frames.shape[1]]
    assert len(known) > len(clip.indices) / 2
    for row in known:
        wanted = once.frames[:, clip.indices[row] % 120]
        np.testing.assert_array_equal(clip.frames[:, row], wanted)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no peak memory")
def test_memory_does_not_grow_with_the_length(folder):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from features.settings import ClipConfig\n"
        "from features.video.clip import read_clip\n"
        "read_clip(sys.argv[1], ClipConfig(every_frames=60, max_frames=16))\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "sys.stdout.write(next(line.split()[1] for line in lines if line.startswith('VmHWM')))\n"
    )
    peaks_kb = []
    for name in ("long_group", "ten_minutes"):
        command = [sys.executable, "-c", program, str(make_media(name, folder))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks_kb.append(int(done.stdout))
    assert peaks_kb[1] - peaks_kb[0] < 8_000


def test_frames_reordered_without_times_of_their_own_keep_their_order(folder):
    path = make_media("avi_packed", folder)
    clip = read_frames(path, PictureRequest(SamplingConfig(every_frames=1, max_frames=64), whole))
    raw = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    command = ["ffmpeg", "-v", "error", "-i", path, *raw]
    played = subprocess.run(command, check=True, capture_output=True).stdout
    theirs = np.frombuffer(played, np.uint8).reshape(-1, 256, 144, 3).transpose(3, 0, 1, 2)
    assert theirs.shape == clip.frames.shape
    assert np.abs(clip.frames.astype(int) - theirs).max() <= 2
