"""The clip feature: the decoder's frames and facts, one bad file at a time."""

import json
from pathlib import Path

import numpy as np
import pytest

from features.clip import ClipConfig, read_clip
from features.clip_extractor import ClipExtractor
from features.errors import MissingInput, NoVideoStream, Undecodable
from features.extractor import Extracted, Source
from tests.features.media import make_media

pytestmark = pytest.mark.ffmpeg
CONFIG = ClipConfig(every_frames=25, max_frames=3, height_px=32, width_px=18)


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


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
        "n_frames_total": 120,
        "fps": 30.0,
        "duration_s": 4.0,
        "truncated": False,
        "fraction_read": 1.0,
        "capped": True,
        "rotation_deg": 0,
        "n_errors": 0,
    }


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


def test_no_sources_give_no_rows():
    assert ClipExtractor(CONFIG)([]) == []
