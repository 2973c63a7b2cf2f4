import hashlib
import subprocess

import pytest

from features.settings import ClipConfig
from features.sound.waveform import read_waveform
from features.video.clip import read_clip
from scraper.errors import BadMedia, MediaTooLarge, NoSpace
from scraper.importers.media import bring_media, imported_media_path
from scraper.settings import FetchConfig
from tests.scraper.importers.rows import make_clip, tiktok_id

pytestmark = pytest.mark.ffmpeg

LIMITS = FetchConfig(min_free_gb=0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "11" / "a.mp4"


def left(target):
    return [path.name for path in target.parent.iterdir()] if target.parent.is_dir() else []


def test_a_file_is_copied_and_checked(clip, target):
    brought = bring_media(clip, target, duration_s=1.0, limits=LIMITS)

    assert brought.path.read_bytes() == clip.read_bytes()
    assert brought.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert (brought.n_bytes, brought.is_new) == (clip.stat().st_size, True)
    assert brought.probe["width_px"] == 72
    assert left(target) == ["a.mp4"]


def test_a_file_that_is_there_stays(clip, target):
    bring_media(clip, target, duration_s=1.0, limits=LIMITS)
    written_at = target.stat().st_mtime_ns

    again = bring_media(clip, target, duration_s=1.0, limits=LIMITS)

    assert (again.is_new, target.stat().st_mtime_ns) == (False, written_at)


def test_a_bad_file_leaves_nothing(clip, target, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:-200])

    for source, length_s in ((cut, None), (clip, 60.0)):
        with pytest.raises(BadMedia):
            bring_media(source, target, duration_s=length_s, limits=LIMITS)
        assert left(target) == []


# A container, what it may hold, and what ffmpeg calls it when it reads it.
CONTAINERS = {
    ".mp4": ((), "mov,mp4,m4a,3gp,3g2,mj2"),
    ".m4v": ((), "mov,mp4,m4a,3gp,3g2,mj2"),
    ".mov": ((), "mov,mp4,m4a,3gp,3g2,mj2"),
    ".mkv": ((), "matroska,webm"),
    ".webm": (("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"), "matroska,webm"),
    ".avi": (("-c:v", "mpeg4"), "avi"),
    ".flv": ((), "flv"),
    ".ts": ((), "mpegts"),
    ".mpg": (("-c:v", "mpeg2video"), "mpeg"),
    ".ogv": (("-c:v", "libtheora", "-c:a", "libvorbis"), "ogg"),
    ".wmv": (("-c:v", "wmv2", "-c:a", "wmav2"), "asf"),
}


@pytest.mark.numeric
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_any_container_comes_from_a_folder_to_a_decoded_clip(suffix, target, tmp_path):
    codecs, container = CONTAINERS[suffix]
    source = tmp_path / f"a title [{tiktok_id()}]{suffix.upper()}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi"]
    command += ["-i", "testsrc=size=72x128:rate=25:duration=2", "-f", "lavfi", "-i", "sine=d=2"]
    command += ["-pix_fmt", "yuv420p", *codecs, "-preset", "ultrafast", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    brought = bring_media(source, target, duration_s=2.0, limits=LIMITS)

    assert brought.path == target.with_suffix(suffix)
    assert brought.probe["container"] == container
    assert brought.path.read_bytes() == source.read_bytes()
    assert read_clip(brought.path, ClipConfig()).frames.shape[0] == 3
    assert read_waveform(brought.path).samples.shape[0] > 30_000


def test_a_recording_whose_header_has_no_length_is_measured(target, tmp_path):
    # As browsers record: nobody goes back to the header.
    source = tmp_path / "a.webm"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=72x128:rate=25:d=2"]
    command += ["-c:v", "libvpx", "-deadline", "realtime", "-f", "webm", "pipe:1"]
    with source.open("wb") as file:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=file)

    brought = bring_media(source, target, duration_s=2.0, limits=LIMITS)

    assert brought.probe["duration_s"] == pytest.approx(2.0, abs=0.1)


def test_another_container_of_a_video_that_has_a_file_adds_none(clip, target, tmp_path):
    bring_media(clip, target, duration_s=1.0, limits=LIMITS)
    other = tmp_path / "a.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", str(other)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    again = bring_media(other, target, duration_s=1.0, limits=LIMITS)

    assert (again.is_new, again.path, left(target)) == (False, target, ["a.mp4"])


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".ts"])
def test_a_list_in_a_videos_clothes_is_refused(content, suffix, target, tmp_path):
    source = tmp_path / f"a{suffix}"
    source.write_text(content)
    with pytest.raises(BadMedia):
        bring_media(source, target, duration_s=None, limits=LIMITS)

    assert left(target) == []


def test_limits_are_kept(clip, target):
    with pytest.raises(MediaTooLarge):
        bring_media(clip, target, duration_s=None, limits=FetchConfig(max_mb=1e-5))
    with pytest.raises(NoSpace):
        bring_media(clip, target, duration_s=None, limits=FetchConfig(min_free_gb=1e9))
    assert left(target) == []


def test_each_platform_has_a_folder_of_its_own(tmp_path):
    assert imported_media_path(tmp_path, "tiktok", tiktok_id()) == (
        tmp_path / "11" / f"{tiktok_id()}.mp4"
    )
    assert imported_media_path(tmp_path, "youtube", "dQw4w9WgXcQ") == (
        tmp_path / "youtube" / "cQ" / "dQw4w9WgXcQ.mp4"
    )
