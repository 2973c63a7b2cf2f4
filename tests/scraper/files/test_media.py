import os
import struct
import subprocess

import pytest

from features import one_video
from scraper.errors import BadMedia, ToolMissing
from scraper.files.media import check_media, probe_media

pytestmark = pytest.mark.ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc=size=144x256:rate=25:duration=2")
SOUND = ("-f", "lavfi", "-i", "sine=duration=2")
ONE = 1 << 16
FAST = ("-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart")


def make(path, *arguments):
    command = ["ffmpeg", "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds with picture and sound, the index before the frames."""
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", *PICTURE, *SOUND, *FAST)


def test_a_good_file_is_probed(clip):
    probe = check_media(clip, duration_s=2.0)
    assert (probe.width_px, probe.height_px, probe.fps, probe.has_audio) == (144, 256, 25.0, True)
    assert probe.duration_s == pytest.approx(2.0, abs=0.1)
    assert probe.facts["n_frames"] == 50
    assert (probe.facts["video_codec"], probe.facts["audio_codec"]) == ("h264", "aac")


def test_a_file_without_sound_is_good(tmp_path):
    path = make(tmp_path / "mute.mp4", *PICTURE, *FAST)
    probe = check_media(path, duration_s=None)
    assert not probe.has_audio
    assert probe.facts["audio_codec"] is None


def test_a_turned_picture_is_measured_as_it_is_shown(clip, tmp_path):
    content = bytearray(clip.read_bytes())
    # The first track's matrix, by hand: not every ffmpeg can write it.
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    probe = probe_media(turned)
    assert (probe.width_px, probe.height_px) == (256, 144)


@pytest.mark.parametrize(("ratio", "size"), [("2/1", (288, 256)), ("1/2", (144, 512))])
def test_pixels_that_are_no_squares_are_measured_as_they_are_shown(tmp_path, ratio, size):
    probe = probe_media(make(tmp_path / "a.mp4", *PICTURE, "-vf", f"setsar={ratio}", *FAST))
    assert (probe.width_px, probe.height_px) == size
    mine = one_video.probe(tmp_path / "a.mp4")
    assert (mine.width_px, mine.height_px) == size


def test_a_file_that_was_cut_off_is_found_by_decoding(clip, tmp_path):
    whole = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    probe_media(cut)  # its header is perfect
    with pytest.raises(BadMedia):
        check_media(cut, duration_s=2.0)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts"])
def test_a_file_in_a_container_of_pieces_is_cut_off_where_its_header_promises_more(tmp_path, name):
    codec = (
        ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8") if "webm" in name else FAST
    )
    whole = make(tmp_path / name, *PICTURE, *codec)
    check_media(whole, duration_s=None)
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 5])
    if name == "a.ts":  # which has no header that promises anything
        assert check_media(cut, duration_s=None).duration_s < 1.5
        return
    with pytest.raises(BadMedia, match=r"is cut off: .* of the 2\.0 s"):
        check_media(cut, duration_s=None)


def test_a_name_is_any_bytes(clip, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9\n-i %d=:.mp4")
    os.link(clip, path)
    assert check_media(path, duration_s=None).facts == probe_media(clip).facts
    path.unlink()
    path.write_bytes(clip.read_bytes()[:-3000])
    with pytest.raises(BadMedia, match=r"caf\\xe9.*cut off or damaged") as refused:
        check_media(path, duration_s=None)
    str(refused.value).encode()


def test_another_length_than_announced_is_refused(clip):
    with pytest.raises(BadMedia, match=r"instead of 9\.0 s"):
        check_media(clip, duration_s=9.0)


def test_a_file_without_a_picture_is_refused(tmp_path):
    path = make(tmp_path / "sound.mp4", *SOUND)
    with pytest.raises(BadMedia, match="0 video streams"):
        check_media(path, duration_s=None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<HTML><HEAD><TITLE>Access Denied</TITLE>",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\0\0\0\x18ftypisom\0\0\0\0",
    ],
)
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "odd.mp4"
    path.write_bytes(content)
    with pytest.raises(BadMedia):
        check_media(path, duration_s=None)


def test_without_ffmpeg_nothing_is_called_bad(clip, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match="ffprobe"):
        check_media(clip, duration_s=None)
