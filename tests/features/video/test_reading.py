"""Several requests of one file: one pass, and each gets what it would get alone."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.errors import FeatureError, MissingInput, TooShort
from features.settings import ClipConfig, SamplingConfig
from features.video import reading
from features.video.clip import clip_request, fit_picture
from features.video.picture import Picture
from features.video.reading import Clip, PictureRequest, read_frames, read_pictures
from tests.features.media import DERIVED, RECIPES, make_media

pytestmark = pytest.mark.ffmpeg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    return fit_picture(picture, 48, 48, "area")


REQUESTS = [
    clip_request(ClipConfig(sampling="uniform", n_frames=8)),
    clip_request(ClipConfig(sampling="frames", every_frames=7, max_frames=5, resize="paper")),
    PictureRequest(SamplingConfig(sampling="seconds", every_s=0.31, window_frames=3), thumbnail),
    PictureRequest(SamplingConfig(sampling="uniform", n_frames=1, stop_s=0.7), thumbnail),
    # Too short for nearly every file: its own business.
    PictureRequest(SamplingConfig(sampling="uniform", n_frames=1, start_s=3.5), thumbnail),
]


def alone(path: Path, request: PictureRequest) -> Clip | FeatureError:
    try:
        return read_frames(path, request)
    except FeatureError as error:
        return error


#: What the decoder fills lost parts with is not always the same, not even for one request alone.
UNSTEADY = {"damaged_hevc"}


def same(one: Clip | FeatureError, other: Clip | FeatureError, *, pixels: bool = True) -> bool:
    if isinstance(one, Clip) and isinstance(other, Clip):
        facts = astuple(one)[1:] == astuple(other)[1:]
        return facts and (not pixels or np.array_equal(one.frames, other.frames))
    return (type(one), str(one)) == (type(other), str(other))


@pytest.mark.parametrize("name", [*RECIPES, *DERIVED])
def test_requests_read_together_get_what_each_gets_alone(folder, name):
    path = make_media(name, folder)
    together = read_pictures(path, REQUESTS)
    for found, request in zip(together, REQUESTS, strict=True):
        assert same(found, alone(path, request), pixels=name not in UNSTEADY)


def test_all_requests_of_a_sound_file_are_one_pass(folder, monkeypatch):
    passes = []
    decode_some = reading.decode_some

    def counting(url, runs, wanted, damage):
        passes.append(sum(map(len, runs)))
        return decode_some(url, runs, wanted, damage)

    monkeypatch.setattr(reading, "decode_some", counting)
    path = make_media("open_groups", folder)
    for request in REQUESTS:
        alone(path, request)
    one_by_one = sum(passes)
    passes.clear()
    read_pictures(path, REQUESTS)
    assert len(passes) == 1
    assert passes[0] < 0.6 * one_by_one


def test_what_was_wanted_too_late_costs_only_its_own_request(folder):
    clip, late = read_pictures(make_media("no_b_frames", folder), [REQUESTS[0], REQUESTS[-1]])
    assert isinstance(clip, Clip)
    assert isinstance(late, TooShort)


def test_damage_behind_what_one_wants_is_not_counted_for_it(folder):
    start = PictureRequest(SamplingConfig(sampling="uniform", n_frames=2, stop_s=0.3), thumbnail)
    early, whole = read_pictures(make_media("damaged_groups", folder), [start, REQUESTS[0]])
    assert isinstance(early, Clip)
    assert isinstance(whole, Clip)
    assert early.n_errors == 0 < whole.n_errors


def test_a_missing_file_is_everyones_error_and_no_request_is_no_work(tmp_path):
    path = tmp_path / "nowhere.mp4"
    assert all(isinstance(found, MissingInput) for found in read_pictures(path, REQUESTS))
    path.write_bytes(b"")
    assert read_pictures(path, []) == []
