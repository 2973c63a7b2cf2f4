import math
from pathlib import Path

import numpy as np
import pytest

from features.errors import Absent, MissingInput, NoAudioTrack, TooShort, Undecodable
from features.waveform import SAMPLE_RATE_HZ, read_waveform
from tests.features.sounds import ffmpeg, write_wav

pytestmark = pytest.mark.ffmpeg


def ramp(n: int) -> np.ndarray:
    return (np.arange(n) % 2000 - 1000).astype(np.int16)


def test_a_16_khz_file_is_passed_through_sample_by_sample(tmp_path: Path) -> None:
    samples = ramp(8000)
    waveform = read_waveform(write_wav(tmp_path / "ramp.wav", samples))
    np.testing.assert_array_equal(waveform.samples, samples.astype(np.float32) / 32768)
    assert waveform.samples.dtype == np.float32
    assert (waveform.duration_s, waveform.truncated, waveform.n_nonfinite) == (0.5, False, 0)


def test_a_video_s_stereo_track_becomes_mono_at_16_khz(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=2"]
    sound = ["-f", "lavfi", "-i", "sine=f=440:d=2:r=44100"]
    ffmpeg(*picture, *sound, "-ac", "2", "-c:a", "aac", "-c:v", "mpeg4", str(video))
    waveform = read_waveform(video)
    assert waveform.duration_s == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(waveform.samples[:SAMPLE_RATE_HZ]))
    assert int(spectrum.argmax()) == 440


def test_the_level_is_measured_against_full_scale(tmp_path: Path) -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sine = (0.5 * np.sin(2 * np.pi * 100 * time_s)).astype(np.float32)
    level_dbfs = read_waveform(write_wav(tmp_path / "sine.wav", sine)).level_dbfs
    assert level_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    silence = write_wav(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE_HZ, np.int16))
    assert read_waveform(silence).level_dbfs == -math.inf


def test_only_the_first_seconds_of_a_long_file_are_read(tmp_path: Path) -> None:
    samples = ramp(3 * SAMPLE_RATE_HZ)
    path = write_wav(tmp_path / "long.wav", samples)
    waveform = read_waveform(path, max_s=1.25)
    assert (waveform.duration_s, waveform.truncated) == (1.25, True)
    np.testing.assert_array_equal(waveform.samples, samples[:20_000].astype(np.float32) / 32768)
    assert not read_waveform(path, max_s=3.0).truncated


def test_numbers_that_are_none_are_counted_and_become_silence(tmp_path: Path) -> None:
    samples = np.full(8000, 0.25, np.float32)
    samples[[10, 20, 30]] = [np.nan, np.inf, -np.inf]
    waveform = read_waveform(write_wav(tmp_path / "nan.wav", samples))
    assert waveform.n_nonfinite == 3
    assert waveform.samples[[9, 10, 20, 30, 31]].tolist() == [0.25, 0, 0, 0, 0.25]
    nothing = write_wav(tmp_path / "nothing.wav", np.full(8000, np.nan, np.float32))
    with pytest.raises(Undecodable, match="none of its 8000 samples"):
        read_waveform(nothing)


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    loud = np.linspace(-40, 40, 8000, dtype=np.float32)
    samples = read_waveform(write_wav(tmp_path / "loud.wav", loud)).samples
    assert (samples.min(), samples.max()) == (-1.0, 1.0)


def test_a_video_without_sound_is_absent_not_failed(tmp_path: Path) -> None:
    video = tmp_path / "mute.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=1", "-c:v", "mpeg4", str(video))
    with pytest.raises(NoAudioTrack, match=r"no audio track among its streams \(video\)") as caught:
        read_waveform(video)
    assert isinstance(caught.value, Absent)
    assert caught.value.code == "no_audio"


@pytest.mark.parametrize("n_samples", [0, 1, 200, 1599])
def test_less_than_a_tenth_of_a_second_is_too_short(tmp_path: Path, n_samples: int) -> None:
    with pytest.raises(TooShort, match=r"at least 0\.1 s is needed"):
        read_waveform(write_wav(tmp_path / "blip.wav", ramp(n_samples)))


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.mp4", tmp_path, Path("http://127.0.0.1:9/a.mp4")):
        with pytest.raises(MissingInput, match="no such file"):
            read_waveform(path)


def test_what_is_not_media_is_undecodable(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    for content in (b"", b"<html>Access Denied</html>", bytes(range(256)) * 64):
        path.write_bytes(content)
        with pytest.raises(Undecodable, match=r"page\.mp4: .+"):
            read_waveform(path)


def test_a_cut_off_file_gives_what_is_there_or_is_undecodable(tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "whole.wav", ramp(SAMPLE_RATE_HZ))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: 44 + 16_000])
    assert read_waveform(cut).duration_s == 0.5
    # An mp4 keeps its table of contents at the end: without it nothing can be found.
    ffmpeg("-i", str(whole), "-c:a", "aac", str(tmp_path / "whole.m4a"))
    packed = (tmp_path / "whole.m4a").read_bytes()
    (tmp_path / "cut.m4a").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Undecodable):
        read_waveform(tmp_path / "cut.m4a")


def test_a_name_that_looks_like_an_option_or_an_address_is_a_name(tmp_path: Path) -> None:
    for name in ("-y.wav", "concat:a|b.wav", "50%d.wav", "a b'\".wav"):
        path = write_wav(tmp_path / name, ramp(8000))
        assert read_waveform(path).duration_s == 0.5
