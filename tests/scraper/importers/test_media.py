import hashlib

import pytest

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
