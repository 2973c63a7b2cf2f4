import json
import re
import shlex
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from catalog.schema.session import upgrade
from features.errors import FeatureError, MissingInput, NoVideoStream, Undecodable
from features.extractor import Extracted, Source
from features.kinds import KINDS
from features.media import extract_kinds
from features.settings import ClipConfig, OpeningConfig
from features.sound.waveform import SAMPLE_RATE_HZ
from features.video.opening import NUMBERS, PICTURE_NUMBERS, SOUND_NUMBERS, build, spec
from tests.features.media import H264, ffmpeg, make_media
from tests.features.shots import HEIGHT, WIDTH, joined, shot
from tests.features.sound.test_sound_numbers import clicks, silence

RATE_HZ = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opening")


@pytest.fixture(scope="module")
def film(folder: Path) -> Path:
    """Ten seconds: cuts at 1 s, 2.5 s and 6 s; clicks from 1.3 s on, 120 a minute."""
    shots = [shot(0, 12), shot(2, 18, "pan"), shot(5, 42, thing=True), shot(3, 48, "tilt")]
    frames = joined(shots).repeat(4, axis=2).repeat(4, axis=3)
    raw, sound, path = folder / "film.rgb", folder / "film.wav", folder / "film.mp4"
    raw.write_bytes(frames.transpose(1, 2, 3, 0).tobytes())
    wavfile.write(sound, SAMPLE_RATE_HZ, np.r_[silence(1), clicks(120, 9)])
    size = f"{4 * WIDTH}x{4 * HEIGHT}"
    command = f"-f rawvideo -pix_fmt rgb24 -s {size} -r {RATE_HZ} -i {raw} -i {sound} -r 24"
    ffmpeg(*shlex.split(f"{command} {H264} -threads 1 -c:a aac -b:a 128k {path}"))
    return path


def extract(*paths: Path, config: OpeningConfig | None = None) -> list[Extracted | FeatureError]:
    sources = [Source(n, str(n), path=str(path)) for n, path in enumerate(paths)]
    return build(config or OpeningConfig())(sources)


def test_tells_what_the_film_was_made_of(film):
    (found,) = extract(film)
    told = found.detail
    assert (told["opening_cuts"], told["whole_cuts"]) == (2, 3)
    assert told["first_cut_s"] == pytest.approx(1.0, abs=1 / RATE_HZ)
    assert told["cuts_per_min"] == pytest.approx(18, rel=0.02)
    assert told["first_sound_s"] == pytest.approx(1.3, abs=0.06)  # AAC sounds a little before
    assert told["first_onset_s"] == pytest.approx(1.3, abs=0.04)
    assert told["tempo_bpm"] == pytest.approx(120, rel=0.02)
    assert told["opening_silence_share"] > told["whole_silence_share"]
    assert told["loudness_0ms_lufs"] == -70
    assert told["loudness_1000ms_lufs"] > -50
    assert told["integrated_lufs"] < told["peak_dbfs"] < 1
    assert (told["picture"], told["sound"]) == ("ok", "ok")


def test_the_tensor_is_the_detail_in_the_order_of_the_names(film):
    (found,) = extract(film)
    numbers = found.tensors["numbers"]
    assert (numbers.dtype, numbers.shape) == (np.float32, (len(NUMBERS),))
    told = [found.detail[name] for name in NUMBERS]
    np.testing.assert_array_equal(numbers, np.array(told, np.float64).astype(np.float32))
    json.dumps(found.detail, allow_nan=False)


def test_no_name_is_there_twice():
    assert len(set(NUMBERS)) == len(NUMBERS) == len(PICTURE_NUMBERS) + len(SOUND_NUMBERS)


def test_a_video_without_sound_keeps_its_pictures(film, folder):
    silent = folder / "no_track.mp4"
    ffmpeg("-i", str(film), "-c", "copy", "-an", str(silent))
    with_sound, found = extract(film, silent)
    assert found.detail["sound"] == "no_audio"
    assert {found.detail[name] for name in SOUND_NUMBERS} == {None}
    assert np.isnan(found.tensors["numbers"][len(PICTURE_NUMBERS) :]).all()
    for name in PICTURE_NUMBERS:
        assert found.detail[name] == pytest.approx(with_sound.detail[name], rel=1e-3)


def test_a_sound_without_pictures_keeps_its_sound(film, folder):
    heard = folder / "no_pictures.mp4"
    ffmpeg("-i", str(film), "-c", "copy", "-vn", str(heard))
    whole, found = extract(film, heard)
    assert found.detail["picture"] == "no_video"
    assert {found.detail[name] for name in PICTURE_NUMBERS} == {None}
    for name in SOUND_NUMBERS:
        assert found.detail[name] == whole.detail[name]


def test_one_colour_has_no_contrast_nor_the_noise_of_computing(folder):
    path = folder / "red.mp4"
    ffmpeg(*shlex.split(f"-f lavfi -i color=red:s=64x96:r=12:d=1 {H264} {path}"))
    (found,) = extract(path)
    for name in ("contrast_levels", "motion_levels", "sharpness_levels", "tilt_heights_s"):
        assert found.detail[f"whole_{name}"] == 0, name


def test_nothing_is_invented_in_silence(folder):
    path = folder / "silence.mp4"
    sound = "anullsrc=channel_layout=stereo:sample_rate=44100"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=black:s=64x64:r=12",
        "-f",
        "lavfi",
        "-i",
        sound,
        "-t",
        "5",
        str(path),
    )
    (found,) = extract(path)
    told = found.detail
    assert told["sound"] == "silent"
    assert told["whole_silence_share"] == told["whole_still_share"] == told["whole_dark_share"] == 1
    absent = ("first_sound_s", "first_onset_s", "tempo_bpm", "tempo_confidence", "integrated_lufs")
    absent += ("peak_dbfs", "whole_centroid_hz", "bars_share", "whole_hue_deg", "first_cut_s")
    assert {told[name] for name in absent} == {None}


@pytest.mark.parametrize(
    ("name", "error"), [("empty", Undecodable), ("text", Undecodable), ("cover_only", None)]
)
def test_a_file_without_pictures_or_damaged_costs_itself(name, error, film, folder):
    bad, good = extract(make_media(name, folder), film)
    assert isinstance(good, Extracted)
    if error is None:
        assert bad.detail["picture"] == NoVideoStream.code
    else:
        assert isinstance(bad, error)


def test_a_missing_file_is_missing(film, folder):
    bad, good = extract(folder / "nothing.mp4", film)
    assert isinstance(bad, MissingInput)
    assert isinstance(good, Extracted)


def test_a_row_does_not_depend_on_its_batch(film, folder):
    files = [film, make_media("with_sound", folder), make_media("slides", folder)]
    together = extract(*files)
    for path, one in zip(reversed(files), reversed(together), strict=True):
        (alone,) = extract(path)
        assert alone.detail == one.detail
        np.testing.assert_array_equal(alone.tensors["numbers"], one.tensors["numbers"])


def test_beside_other_kinds_the_numbers_are_the_same(film):
    kinds = {"opening": build(OpeningConfig()), "clip": KINDS["clip"].load().build(ClipConfig())}
    (made,) = extract_kinds(kinds, [Source(1, "1", path=str(film))])
    (alone,) = extract(film)
    assert made["opening"].result.detail == alone.detail


def test_a_picture_that_stays_is_no_cut_and_one_that_changes_is(folder):
    # Two pictures in quick succession every two seconds; between them nothing is sampled anew.
    (found,) = extract(make_media("slides", folder))
    assert found.detail["whole_cuts"] <= 3
    assert found.detail["whole_still_share"] > 0.8


def test_what_is_longer_than_the_limit_is_capped(film):
    (found,) = extract(film, config=OpeningConfig(max_s=5.0))
    (whole,) = extract(film)
    assert (found.detail["picture"], found.detail["sound"]) == ("capped", "capped")
    assert found.detail["whole_cuts"] == 2
    for name in NUMBERS:
        if name.startswith("opening_"):
            assert found.detail[name] == whole.detail[name]


def test_settings_name_the_feature_set_and_time_does_not():
    hashes = {
        spec(replace(OpeningConfig(), **change)).hash
        for change in ({}, {"opening_s": 2.0}, {"rate_hz": 8.0}, {"max_s": 60.0})
    }
    assert len(hashes) == 4
    assert spec(OpeningConfig()).hash == spec(OpeningConfig()).hash
    config = OpeningConfig(opening_s=2.0)
    assert OpeningConfig().as_trained(spec(config).config) == config


def test_each_number_is_documented_in_its_place():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text("utf-8")
    section = page.partition("### The numbers of `opening`")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    of_parts = [name for name in named if name.startswith("part_")]
    pictures = named[: named.index("part_silence_share")]
    expected: list[str] = []
    for group in (pictures, named[len(pictures) :]):
        for part in ("opening", "whole"):
            expected += [name.replace("part", part, 1) for name in group if name in of_parts]
        expected += [name for name in group if name not in of_parts]
    assert expected == list(NUMBERS)
    assert f"({len(NUMBERS)},) float32, in the order of" in page


def test_each_number_is_a_column_of_the_view(tmp_path):
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        columns = [row[0] for row in connection.execute("select * from v_opening").description]
    assert set(columns) == {
        *("video_id", "tiktok_id", "feature_set_id", "picture", "sound", "duration_s"),
        *NUMBERS,
        "first_word_s",
    }
