from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.errors import NoVideoStream, Undecodable
from features.extractor import Extracted, Source
from features.settings import ThumbnailConfig
from features.video.thumbnail import build, choose, encode, spec, without_bars
from tests.features.media import ffmpeg, make_media
from tests.features.shots import shot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("thumbnails")


def extract(*paths: Path, config: ThumbnailConfig | None = None):
    sources = [Source(n, str(n), path=str(path)) for n, path in enumerate(paths)]
    return build(config or ThumbnailConfig())(sources)


def opened(found: Extracted) -> Image.Image:
    return Image.open(BytesIO(found.tensors["webp"].tobytes()))


@pytest.mark.parametrize(
    ("name", "size"),
    [("long_group", (180, 320)), ("landscape", (320, 180)), ("sideways", (180, 320))],
)
def test_is_a_webp_of_the_videos_ratio(name, size, folder):
    (found,) = extract(make_media(name, folder))
    picture = opened(found)
    assert (picture.format, picture.size) == ("WEBP", size)
    told = found.detail
    assert (told["width_px"], told["height_px"]) == size
    assert told["n_bytes"] == len(found.tensors["webp"]) < 40_000
    assert 0 <= told["at_s"] < told["duration_s"]


def test_shows_what_is_in_the_video_at_that_moment(folder):
    path = make_media("long_group", folder)
    (found,) = extract(path)
    still = folder / "still.png"
    at_s = str(found.detail["at_s"])
    ffmpeg("-ss", at_s, "-i", str(path), "-frames:v", "1", "-vf", "scale=180:320", str(still))
    with Image.open(still) as expected:
        apart = np.abs(
            np.asarray(expected.convert("RGB"), float) - np.asarray(opened(found), float)
        )
    assert apart.mean() < 8  # noise of two scalers and of the WebP; another frame: more than 20


def test_the_same_file_gives_the_same_bytes_in_any_batch(folder):
    files = [make_media(name, folder) for name in ("long_group", "landscape")]
    together = extract(*files)
    for path, one in zip(files, together, strict=True):
        (alone,) = extract(path)
        np.testing.assert_array_equal(alone.tensors["webp"], one.tensors["webp"])
        assert alone.detail == one.detail


def test_the_sharpest_that_is_not_empty_is_chosen():
    black, white = np.zeros((3, 1, 64, 36), np.uint8), np.full((3, 1, 64, 36), 255, np.uint8)
    black[:, :, ::20, ::20] = 255  # sharp, and nearly all black
    dull, sharp = shot(2, 1, grain=0), shot(2, 1, grain=15)
    assert choose(np.concatenate([black, dull, sharp, white], axis=1)) == 2
    assert choose(np.concatenate([dull, dull], axis=1)) == 0
    assert choose(np.concatenate([white, black], axis=1)) in (0, 1)


def test_bars_are_cut_off_and_pictures_are_not():
    picture = np.full((3, 40, 30), 90, np.uint8)
    boxed = np.zeros((3, 40, 40), np.uint8)
    boxed[:, :, 5:35] = picture
    assert without_bars(boxed).shape == (3, 40, 30)
    odd = np.zeros((3, 40, 41), np.uint8)
    odd[:, :, 5:35] = picture
    assert without_bars(odd).shape == (3, 40, 30)
    night = picture.copy()
    night[:, :20] = 0  # black at one edge only
    assert without_bars(night).shape == night.shape
    assert without_bars(np.zeros((3, 8, 8), np.uint8)).shape == (3, 8, 8)


def test_a_better_quality_is_nearer_to_the_picture():
    picture = shot(2, 1)[:, 0]

    def apart(quality: int) -> float:
        seen = np.asarray(Image.open(BytesIO(encode(picture, quality))), float)
        return float(np.abs(seen - picture.transpose(1, 2, 0)).mean())

    assert apart(95) < apart(10) < 20


def test_settings_are_heeded_and_name_the_feature_set(folder):
    config = ThumbnailConfig(side_px=64, quality=40)
    (found,) = extract(make_media("long_group", folder), config=config)
    assert opened(found).size == (36, 64)
    hashes = {
        spec(replace(ThumbnailConfig(), **change)).hash
        for change in ({}, {"side_px": 64}, {"quality": 40})
    }
    assert len(hashes) == 3
    assert ThumbnailConfig().as_trained(spec(config).config) == config


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("sound_only", NoVideoStream),
        ("empty", Undecodable),
        ("tiny", None),
        ("one_frame", None),
        ("changing_size", None),
    ],
)
def test_an_odd_file_costs_itself_at_most(name, error, folder):
    found, other = extract(make_media(name, folder), make_media("landscape", folder))
    assert isinstance(other, Extracted)
    assert isinstance(found, Extracted if error is None else error)
