"""Media files, opened once for all that look at them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features import media as media_module
from features.errors import FeatureError, MissingInput, NoAudioTrack
from features.extractor import Extracted, Source
from features.media import Made, Media, SoundRequest, extract_kinds, media_of
from features.settings import ClipConfig
from features.video.clip import ClipExtractor
from tests.features.media import make_media

pytestmark = pytest.mark.ffmpeg

SMALL = ClipConfig(every_frames=10, max_frames=4, height_px=16, width_px=9)
LARGE = replace(SMALL, every_frames=7, height_px=32, width_px=18)


class Level:
    """Hears how loud a file is, all files at once."""

    pictures = None
    sound = SoundRequest(max_s=5.0)

    def __call__(self, sources):
        return [self._one(source) for source in sources]

    def _one(self, source):
        try:
            waveform = media_of(source, self).waveform(5.0)
        except FeatureError as error:
            return error
        return Extracted({"level": np.float32([waveform.level_dbfs])})


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    return {name: make_media(name, folder) for name in ("with_sound", "no_b_frames", "one_frame")}


@pytest.fixture
def extractors():
    return {"small": ClipExtractor(SMALL), "large": ClipExtractor(LARGE), "level": Level()}


def numbers(made: Made) -> dict[str, np.ndarray] | type[FeatureError]:
    return type(made.result) if isinstance(made.result, FeatureError) else dict(made.result.tensors)


def test_together_each_kind_gives_what_it_gives_alone(files, extractors):
    sources = [Source(n, name, path=str(path)) for n, (name, path) in enumerate(files.items())]
    sources.append(Source(9, "gone", path="gone.mp4"))

    together = extract_kinds(extractors, sources)

    for source, made in zip(sources, together, strict=True):
        assert made.keys() == extractors.keys()
        for kind, extractor in extractors.items():
            (alone,) = extractor([source])
            if isinstance(alone, FeatureError):
                assert numbers(made[kind]) is type(alone)
                continue
            assert dict(made[kind].result.detail) == dict(alone.detail)
            found = numbers(made[kind])
            assert found.keys() == alone.tensors.keys()
            for name, tensor in alone.tensors.items():
                np.testing.assert_array_equal(found[name], tensor)
    assert numbers(together[1]["level"]) is NoAudioTrack
    assert {numbers(one) for one in together[3].values()} == {MissingInput}


def test_a_file_is_read_once_for_pictures_and_once_for_sound(files, extractors, monkeypatch):
    read = []
    for name in ("read_pictures", "read_waveform"):
        real = getattr(media_module, name)
        monkeypatch.setattr(
            media_module,
            name,
            lambda path, *args, _real=real, _name=name, **more: (
                read.append(_name) or _real(path, *args, **more)
            ),
        )
    source = Source(1, "a", path=str(files["with_sound"]))

    extract_kinds({**extractors, "again": Level()}, [source])

    assert read == ["read_pictures", "read_waveform"]


def test_loudness_is_measured_where_one_of_those_that_hear_asks_for_it(files):
    plain, asking = Level(), Level()
    asking.sound = SoundRequest(max_s=5.0, loudness=True)
    for extractors, measured in (([plain], False), ([plain, asking], True)):
        waveform = Media(files["with_sound"], "a", extractors).waveform(5.0)
        assert (waveform.loudness is not None) == measured


def test_only_what_is_wanted_is_made(files, extractors):
    path = str(files["with_sound"])
    sources = [
        Source(1, "a", path=path, kinds=frozenset(kinds)) for kinds in ({"level"}, {"small"}, ())
    ]

    assert [set(made) for made in extract_kinds(extractors, sources)] == [
        {"level"},
        {"small"},
        set(),
    ]


def test_decoding_is_no_single_kinds_cost(files, extractors, monkeypatch):
    monkeypatch.setattr(Media, "pictures_s", 1000.0, raising=False)
    source = Source(1, "a", path=str(files["with_sound"]))
    seconds = {kind: made.seconds for kind, made in extract_kinds(extractors, [source])[0].items()}

    assert seconds["small"] == pytest.approx(seconds["large"], abs=seconds["small"])
    assert all(value >= 0 for value in seconds.values())


def test_an_error_of_reading_is_told_to_each_that_asks(files):
    extractor = Level()
    media = Media(files["no_b_frames"], "a", [extractor])

    for _twice in range(2):
        with pytest.raises(NoAudioTrack):
            media.waveform(5.0)
    with pytest.raises(MissingInput, match="video a has no media file"):
        media_of(Source(1, "a"), extractor)
