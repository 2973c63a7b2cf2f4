import math
import re
import subprocess
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import wavfile
from whisper.audio import load_audio

from features.errors import (
    Absent,
    FeatureError,
    MissingInput,
    NoAudioTrack,
    TooShort,
    Undecodable,
)
from features.sound import waveform as waveform_module
from features.sound.waveform import (
    SAMPLE_RATE_HZ,
    Mono,
    Taken,
    origin_of,
    read_header,
    read_kept,
    read_waveform,
    write_kept,
)
from tests.features.sounds import ffmpeg, write_wav

#: One step of the 16-bit samples that Whisper's own loader gives.
STEP = 2**-15
PICTURE = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=2"]


def promised_s(path: Path) -> float | None:
    header = read_header(path)
    return None if header is None else header.promised_s


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 900, 32_000).astype(np.int16)
    return write_wav(tmp_path / "two.wav", noise)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ogg", "a.flac", "a.mp3", "a.wav"])
def test_every_usual_header_tells_the_length(wav: Path, tmp_path: Path, name: str) -> None:
    options = ["-c:a", "libopus"] if name == "a.webm" else []
    ffmpeg("-i", str(wav), *options, str(tmp_path / name))
    assert promised_s(tmp_path / name) == pytest.approx(2.0, abs=0.1)


@pytest.mark.ffmpeg
def test_what_has_no_header_with_a_length_tells_none(wav: Path, tmp_path: Path) -> None:
    ffmpeg("-i", str(wav), str(tmp_path / "raw.aac"))
    assert promised_s(tmp_path / "raw.aac") is None
    (tmp_path / "page.mp4").write_bytes(b"<html></html>")
    assert promised_s(tmp_path / "page.mp4") is None
    assert promised_s(tmp_path / "gone.mp4") is None
    assert read_header(tmp_path / "gone.mp4") is None


@pytest.mark.ffmpeg
def test_a_wav_written_to_a_pipe_promises_what_is_there(wav: Path, tmp_path: Path) -> None:
    content = wav.read_bytes()
    for size in (bytes(4), b"\xff\xff\xff\xff"):
        streamed = tmp_path / "streamed.wav"
        head = content[:4] + size + content[8:40] + b"\xff\xff\xff\xff"
        streamed.write_bytes(head + content[44:])
        assert promised_s(streamed) == pytest.approx(2.0, abs=0.01)


@pytest.mark.ffmpeg
def test_the_sound_s_own_length_counts_not_the_picture_s(wav: Path, tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=5"]
    for name, codec in {"a.mp4": "mpeg4", "a.mkv": "mpeg4"}.items():
        ffmpeg(*picture, "-i", str(wav), "-c:v", codec, str(tmp_path / name))
        assert promised_s(tmp_path / name) == pytest.approx(2.0, abs=0.1)


@given(arrays(np.float32, st.integers(0, 40)), st.sampled_from(["mix", "left", "right"]))
def test_what_was_kept_is_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray, taken: Taken
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    write_kept(folder / "a" / "1.wav", Mono(samples, taken), 16_000, "of this")
    read = read_kept(folder / "a" / "1.wav", 16_000, "of this")
    assert read is not None
    assert (read.samples.tobytes(), read.taken) == (samples.tobytes(), taken)
    assert read_kept(folder / "a" / "1.wav", 16_000, "of that") is None
    assert read_kept(folder / "a" / "1.wav", 8_000, "of this") is None


def test_an_origin_is_the_file_as_it_is_and_how_much_of_it(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"some")
    first = origin_of(file, 600.0)
    assert origin_of(file, 600.0) == first
    assert origin_of(file, 60.0) != first
    file.write_bytes(b"other")
    assert origin_of(file, 600.0) != first


def test_a_wav_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_kept(tmp_path, 16_000, "of this") is None
    assert read_kept(tmp_path / "gone.wav", 16_000, "of this") is None


def ramp(n: int) -> np.ndarray:
    return (np.arange(n) % 2000 - 1000).astype(np.int16)


@pytest.mark.ffmpeg
def test_a_16_khz_file_is_passed_through_sample_by_sample(tmp_path: Path) -> None:
    samples = ramp(8000)
    waveform = read_waveform(write_wav(tmp_path / "ramp.wav", samples))
    np.testing.assert_array_equal(waveform.samples, samples.astype(np.float32) / 32768)
    assert waveform.samples.dtype == np.float32
    assert (waveform.duration_s, waveform.promised_s, waveform.n_nonfinite) == (0.5, 0.5, 0)
    assert (waveform.status, waveform.fraction_read) == ("ok", 1.0)


@pytest.mark.ffmpeg
def test_a_video_s_stereo_track_becomes_mono_at_16_khz(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    sound = ["-f", "lavfi", "-i", "sine=f=440:d=2:r=44100"]
    ffmpeg(*PICTURE, *sound, "-ac", "2", "-c:a", "aac", "-c:v", "mpeg4", str(video))
    waveform = read_waveform(video)
    assert waveform.duration_s == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(waveform.samples[:SAMPLE_RATE_HZ]))
    assert int(spectrum.argmax()) == 440


def noise(n_channels: int, rate_hz: int, duration_s: float = 1.0, seed: int = 0) -> np.ndarray:
    """Another noise in each channel, so that a wrong weight of any of them is seen."""
    n = round(rate_hz * duration_s)
    return np.random.default_rng(seed).normal(0, 0.1, (n, n_channels)).astype(np.float32)


def make_sound(path: Path, channels: np.ndarray, rate_hz: int, layout: str, *options: str) -> Path:
    raw = path.with_suffix(".raw")
    channels.astype("<f4").tofile(raw)
    source = ["-f", "f32le", "-ar", str(rate_hz), "-channel_layout", layout]
    ffmpeg(*source, "-ac", str(channels.shape[1]), "-i", str(raw), *options, str(path))
    raw.unlink()
    return path


def assert_heard_as_by_whisper(path: Path, steps: float) -> None:
    ours, theirs = read_waveform(path).samples, load_audio(str(path))
    np.testing.assert_allclose(np.minimum(ours, 1 - STEP), theirs, rtol=0, atol=steps * STEP)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("layout", "n_channels"),
    [
        ("mono", 1),
        ("stereo", 2),
        ("2.1", 3),
        ("3.0", 3),
        ("quad", 4),
        ("5.0", 5),
        ("5.1", 6),
        ("5.1(side)", 6),
        ("6.1", 7),
        ("7.1", 8),
    ],
)
def test_every_layout_is_mixed_as_whisper_s_own_loader_does(
    tmp_path: Path, layout: str, n_channels: int
) -> None:
    sound = noise(n_channels, 44_100)
    path = make_sound(tmp_path / "a.wav", sound, 44_100, layout, "-c:a", "pcm_f32le")
    # Half a step is the rounding to 16 bits, which is the loader's and not ours.
    assert_heard_as_by_whisper(path, 0.51)
    assert read_waveform(path).layout == layout


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "steps"),
    [
        # From 8 or 16 bits to 16 FFmpeg counts in whole steps on the way, too.
        ("a.wav", "pcm_s16le", 16_000, 0.51),
        ("a.wav", "pcm_s16le", 44_100, 3.0),
        ("a.wav", "pcm_u8", 8_000, 3.0),
        ("a.flac", "flac", 48_000, 3.0),
        ("a.wav", "pcm_s32le", 96_000, 0.51),
        ("a.wav", "pcm_f64le", 11_025, 0.51),
        ("a.mkv", "pcm_f32le", 48_000, 0.51),
        ("a.mp4", "aac", 22_050, 0.51),  # planar floats
        ("a.mp4", "aac", 48_000, 0.51),
        ("a.ogg", "libvorbis", 44_100, 0.51),
    ],
)
def test_every_rate_and_format_is_heard_as_by_whisper_s_own_loader(
    tmp_path: Path, name: str, codec: str, rate_hz: int, steps: float
) -> None:
    path = make_sound(tmp_path / name, noise(2, rate_hz), rate_hz, "stereo", "-c:a", codec)
    assert_heard_as_by_whisper(path, steps)


@pytest.mark.ffmpeg
def test_channels_that_nobody_named_are_heard_as_by_whisper_s_own_loader(tmp_path: Path) -> None:
    for n_channels in (1, 2, 3, 6):
        path = tmp_path / f"{n_channels}.wav"
        wavfile.write(path, 48_000, noise(n_channels, 48_000))  # without a mask of channels
        assert_heard_as_by_whisper(path, 0.51)


@pytest.mark.ffmpeg
def test_the_same_sound_in_both_channels_is_as_loud_as_in_one(tmp_path: Path) -> None:
    loud = 0.99 * np.sin(np.arange(16_000) / 10)[:, None]
    mono = read_waveform(make_sound(tmp_path / "1.wav", loud, 16_000, "mono", "-c:a", "pcm_f32le"))
    both = np.repeat(loud, 2, axis=1)
    path = make_sound(tmp_path / "2.wav", both, 16_000, "stereo", "-c:a", "pcm_f32le")
    np.testing.assert_array_equal(read_waveform(path).samples, mono.samples)
    assert mono.samples.max() < 1  # nothing is clipped that was not


@pytest.mark.ffmpeg
def test_channels_that_extinguish_each_other_are_not_mixed(tmp_path: Path) -> None:
    one = noise(1, 16_000)[:, 0]
    rest = noise(1, 16_000, seed=1)[:, 0]

    def heard(left: np.ndarray, right: np.ndarray) -> tuple[str, str, np.ndarray]:
        path = tmp_path / "two.wav"
        wavfile.write(path, 16_000, np.stack([left, right], 1).astype(np.float32))
        found = read_waveform(path)
        return found.status, found.taken, found.samples

    status, taken, samples = heard(one, -one)
    assert (status, taken) == ("antiphase", "left")
    np.testing.assert_array_equal(samples, one)
    status, taken, samples = heard(-0.9 * one, one)
    assert (status, taken) == ("antiphase", "right")
    np.testing.assert_array_equal(samples, one)
    # Much of what is out of phase is music as it should be.
    for left, right in ((one, rest), (one, -0.5 * one), (one, 0 * one), (one, rest / 2 - one)):
        status, taken, samples = heard(left, right)
        assert (status, taken) == ("ok", "mix")
        np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-7)
    assert heard(0 * one, 0 * one)[:2] == ("silent", "mix")


@pytest.mark.ffmpeg
def test_the_default_track_is_heard_else_the_first(tmp_path: Path) -> None:
    tones = ["-f", "lavfi", "-i", "sine=f=300:d=2", "-f", "lavfi", "-i", "sine=f=700:d=2"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a", "flac"]

    def heard_hz(name: str, *dispositions: str) -> int:
        path = tmp_path / name
        ffmpeg(*PICTURE, *tones, *maps, *dispositions, str(path))
        return int(np.abs(np.fft.rfft(read_waveform(path).samples[:SAMPLE_RATE_HZ])).argmax())

    assert heard_hz("a.mkv", "-disposition:a:0", "0", "-disposition:a:1", "default") == 700
    assert heard_hz("b.mkv", "-disposition:a:0", "default", "-disposition:a:1", "0") == 300
    neither = ("-disposition:a:0", "0", "-disposition:a:1", "0", "-default_mode", "passthrough")
    assert heard_hz("c.mkv", *neither) == 300


def r128(path: Path) -> dict[str, float]:
    """What ffmpeg itself tells of a file's loudness, in words."""
    command = ["ffmpeg", "-nostdin", "-nostats", "-i", str(path), "-map", "0:a:0"]
    command += ["-af", "ebur128=peak=sample", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    summary = said[said.rindex("Summary") :]
    return {name: float(value) for name, value in re.findall(r"(I|LRA|Peak):\s+(\S+)", summary)}


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("name", "layout", "options"),
    [
        ("a.wav", "stereo", ["-c:a", "pcm_s16le"]),
        ("a.wav", "mono", ["-c:a", "pcm_f32le"]),
        ("a.mp4", "5.1", ["-c:a", "aac"]),
    ],
)
def test_loudness_is_that_of_the_file_and_moves_no_sample(
    tmp_path: Path, name: str, layout: str, options: list[str]
) -> None:
    n_channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    sound = noise(n_channels, 44_100, 8.0)
    sound[: 3 * 44_100] /= 8  # 18 dB softer, then loud
    path = make_sound(tmp_path / name, sound, 44_100, layout, *options)
    plain, measured = read_waveform(path), read_waveform(path, loudness=True)
    assert measured.samples.tobytes() == plain.samples.tobytes()
    assert plain.loudness is None
    loudness = measured.loudness
    assert loudness is not None
    said = r128(path)
    assert loudness.integrated_lufs == pytest.approx(said["I"], abs=0.06)
    assert loudness.range_lu == pytest.approx(said["LRA"], abs=0.06)
    assert loudness.peak_dbfs == pytest.approx(said["Peak"], abs=0.06)
    curve = loudness.momentary_lufs
    assert curve.dtype == np.float32
    assert len(curve) == 10 * 8 - 3
    # Element i is of the 400 ms from i / 10 s on: the first that is all loud is the thirtieth.
    assert curve[30:].mean() - curve[:26].mean() == pytest.approx(18.06, abs=0.5)
    assert curve[26] < curve[28] < curve[30]


@pytest.mark.ffmpeg
def test_loudness_of_what_is_too_faint_or_too_short_is_none(tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "silence.wav", np.zeros(4 * SAMPLE_RATE_HZ, np.int16))
    loudness = read_waveform(silence, loudness=True).loudness
    assert loudness is not None
    assert (loudness.integrated_lufs, loudness.range_lu) == (None, None)
    assert loudness.peak_dbfs == -math.inf
    assert loudness.momentary_lufs.max() < -100
    blip = write_wav(tmp_path / "blip.wav", noise(1, SAMPLE_RATE_HZ, 0.3)[:, 0])
    loudness = read_waveform(blip, loudness=True).loudness
    assert loudness is not None
    assert (len(loudness.momentary_lufs), loudness.range_lu) == (0, None)
    assert -30 < loudness.peak_dbfs < 0


@pytest.mark.ffmpeg
def test_loudness_is_of_no_more_than_the_asked_seconds_and_goes_with_a_kept_wav(
    tmp_path: Path,
) -> None:
    sound = noise(1, SAMPLE_RATE_HZ, 4.0)[:, 0]
    sound[2 * SAMPLE_RATE_HZ :] *= 5
    path, keep = write_wav(tmp_path / "a.wav", sound), tmp_path / "kept.wav"
    read_waveform(path, max_s=2.0, keep=keep)
    kept = keep.read_bytes()
    found = read_waveform(path, max_s=2.0, keep=keep, loudness=True)
    assert keep.read_bytes() == kept
    assert found.loudness is not None
    assert len(found.loudness.momentary_lufs) == 17
    assert found.loudness.peak_dbfs == pytest.approx(
        20 * math.log10(np.abs(sound[: 2 * SAMPLE_RATE_HZ]).max()), abs=0.01
    )
    keep.unlink()
    read_waveform(path, max_s=2.0, keep=keep, loudness=True)
    assert keep.read_bytes() == kept


@pytest.mark.ffmpeg
def test_the_level_is_measured_against_full_scale(tmp_path: Path) -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sine = (0.5 * np.sin(2 * np.pi * 100 * time_s)).astype(np.float32)
    level_dbfs = read_waveform(write_wav(tmp_path / "sine.wav", sine)).level_dbfs
    assert level_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    silence = write_wav(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE_HZ, np.int16))
    assert read_waveform(silence).level_dbfs == -math.inf
    assert read_waveform(silence).status == "silent"


@pytest.mark.ffmpeg
def test_silent_is_what_is_not_loud_enough_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    sine = np.sqrt(2) * np.sin(2 * np.pi * 100 * np.arange(1600) / SAMPLE_RATE_HZ)
    for decibels, status in ((-79, "ok"), (-81, "silent")):
        word = 10 ** (decibels / 20) * sine
        for place in (0, 20 * 1600, 60 * 1600 + 700 - 1600):  # first, in the middle, last
            minute = np.zeros(60 * 1600 + 700, np.float32)
            minute[place : place + 1600] = word
            waveform = read_waveform(write_wav(tmp_path / "faint.wav", minute))
            assert waveform.status == status
            assert waveform.loudest_dbfs == pytest.approx(decibels, abs=0.1)
            assert waveform.level_dbfs < decibels - 17


@pytest.mark.ffmpeg
def test_only_the_first_seconds_of_a_long_file_are_read(tmp_path: Path) -> None:
    samples = ramp(3 * SAMPLE_RATE_HZ)
    path = write_wav(tmp_path / "long.wav", samples)
    waveform = read_waveform(path, max_s=1.25)
    assert (waveform.duration_s, waveform.capped, waveform.truncated) == (1.25, True, False)
    assert (waveform.status, waveform.promised_s) == ("capped", 1.25)
    np.testing.assert_array_equal(waveform.samples, samples[:20_000].astype(np.float32) / 32768)
    assert read_waveform(path, max_s=3.0).status == "ok"


@pytest.mark.ffmpeg
def test_numbers_that_are_none_are_counted_and_become_silence(tmp_path: Path) -> None:
    samples = np.full(8000, 0.25, np.float32)
    samples[[10, 20, 30]] = [np.nan, np.inf, -np.inf]
    waveform = read_waveform(write_wav(tmp_path / "nan.wav", samples))
    assert waveform.n_nonfinite == 3
    assert waveform.samples[[9, 10, 20, 30, 31]].tolist() == [0.25, 0, 0, 0, 0.25]
    nothing = write_wav(tmp_path / "nothing.wav", np.full(8000, np.nan, np.float32))
    with pytest.raises(Undecodable, match="none of its 8000 samples"):
        read_waveform(nothing)


@pytest.mark.ffmpeg
def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    loud = np.linspace(-40, 40, 8000, dtype=np.float32)
    samples = read_waveform(write_wav(tmp_path / "loud.wav", loud)).samples
    assert (samples.min(), samples.max()) == (-1.0, 1.0)


@pytest.mark.ffmpeg
def test_a_video_without_sound_is_absent_not_failed(tmp_path: Path) -> None:
    video = tmp_path / "mute.mp4"
    ffmpeg(*PICTURE, "-c:v", "mpeg4", str(video))
    with pytest.raises(NoAudioTrack, match=r"no audio track among its streams \(video\)") as caught:
        read_waveform(video)
    assert isinstance(caught.value, Absent)
    assert caught.value.code == "no_audio"


@pytest.mark.ffmpeg
@pytest.mark.parametrize("n_samples", [0, 1, 200, 1599])
def test_less_than_a_tenth_of_a_second_is_too_short(tmp_path: Path, n_samples: int) -> None:
    with pytest.raises(TooShort, match=r"of sound, 0\.1 s is needed"):
        read_waveform(write_wav(tmp_path / "blip.wav", ramp(n_samples)))


@pytest.mark.ffmpeg
def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.mp4", tmp_path, Path("http://127.0.0.1:9/a.mp4")):
        with pytest.raises(MissingInput, match="no such file"):
            read_waveform(path)


@pytest.mark.ffmpeg
def test_what_is_not_media_is_undecodable(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    for content in (b"", b"<html>Access Denied</html>", bytes(range(256)) * 64):
        path.write_bytes(content)
        with pytest.raises(Undecodable, match=r"page\.mp4: .+"):
            read_waveform(path)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", []),
        ("a.flac", []),
        ("a.mp3", []),
        ("a.webm", ["-c:a", "libopus"]),
        ("a.mp4", ["-c:a", "aac", "-movflags", "+faststart"]),
    ],
)
def test_a_cut_off_file_gives_what_is_there_and_says_so(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    whole, cut = tmp_path / name, tmp_path / f"cut_{name}"
    noise = np.random.default_rng(0).normal(0, 3000, 8 * SAMPLE_RATE_HZ).astype(np.int16)
    ffmpeg("-i", str(write_wav(tmp_path / "noise.wav", noise)), *options, str(whole))
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    waveform = read_waveform(whole)
    assert waveform.status == "ok"
    assert waveform.promised_s == pytest.approx(8.0, abs=0.1)
    waveform = read_waveform(cut)
    assert (waveform.status, waveform.truncated, waveform.capped) == ("truncated", True, False)
    assert waveform.fraction_read == pytest.approx(0.5, abs=0.1)
    assert waveform.duration_s == pytest.approx(4.0, abs=0.8)
    # What is asked for is there: nothing is missing.
    assert read_waveform(cut, max_s=2.0).status == "capped"


@pytest.mark.ffmpeg
def test_a_file_whose_table_of_contents_is_cut_off_is_undecodable(tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "whole.wav", ramp(SAMPLE_RATE_HZ))
    # An mp4 keeps it at the end: without it nothing can be found.
    ffmpeg("-i", str(whole), "-c:a", "aac", str(tmp_path / "whole.m4a"))
    packed = (tmp_path / "whole.m4a").read_bytes()
    (tmp_path / "cut.m4a").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Undecodable):
        read_waveform(tmp_path / "cut.m4a")


@pytest.mark.ffmpeg
def test_a_file_of_which_only_the_header_came_is_undecodable_not_short(tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "whole.wav", ramp(SAMPLE_RATE_HZ))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: 44 + 100])
    with pytest.raises(Undecodable, match=r"0\.003 s is left of 1\.0 s"):
        read_waveform(cut)


@pytest.mark.ffmpeg
def test_sound_that_is_shorter_than_the_picture_is_whole(tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=4"]
    sound = ["-f", "lavfi", "-i", "sine=f=440:d=1:r=44100"]
    for name, codecs in {
        "short.mp4": ["-c:a", "aac", "-c:v", "mpeg4"],
        "short.webm": ["-c:a", "libopus", "-c:v", "libvpx"],
    }.items():
        ffmpeg(*picture, *sound, *codecs, str(tmp_path / name))
        waveform = read_waveform(tmp_path / name)
        assert (waveform.status, waveform.duration_s) == ("ok", pytest.approx(1.0, abs=0.1))


@pytest.mark.ffmpeg
def test_a_kept_wav_is_plain_sound_and_is_read_in_place_of_the_file(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.5, 20_000).astype(np.float32)
    samples[7] = np.nan
    path = write_wav(tmp_path / "video.wav", samples)
    keep = tmp_path / "audio" / "42.wav"
    first = read_waveform(path, keep=keep)
    # Anybody else reads it too: the samples as they are.
    ffmpeg("-i", str(keep), "-f", "f32le", str(tmp_path / "raw"))
    heard = np.fromfile(tmp_path / "raw", "<f4")
    np.testing.assert_array_equal(heard, samples)
    assert [file.name for file in keep.parent.iterdir()] == ["42.wav"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveform_module, "_decode", lambda *_: pytest.fail("decoded again"))
        again = read_waveform(path, keep=keep)
    assert again.samples.tobytes() == first.samples.tobytes()
    assert (again.n_nonfinite, again.duration_s, again.status) == (1, 1.25, "ok")


@pytest.mark.ffmpeg
def test_a_kept_wav_that_is_not_right_is_written_anew(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "video.wav", ramp(8000))
    keep = tmp_path / "42.wav"
    expected = read_waveform(path, keep=keep).samples
    whole = keep.read_bytes()
    changes = [
        whole[:-4],  # cut off
        whole + bytes(4),
        b"",
        path.read_bytes(),  # somebody else's
        whole[:44] + b"?" + whole[45:],
    ]
    for content in changes:
        keep.write_bytes(content)
        np.testing.assert_array_equal(read_waveform(path, keep=keep).samples, expected)
        assert keep.read_bytes() == whole
    # Another limit, or another file under the same name, is another sound.
    assert read_waveform(path, max_s=0.25, keep=keep).duration_s == 0.25
    assert read_waveform(path, keep=keep).duration_s == 0.5
    write_wav(path, ramp(8001)[1:])
    np.testing.assert_array_equal(read_waveform(path, keep=keep).samples[:-1], expected[1:])


@pytest.mark.ffmpeg
def test_nothing_is_kept_of_a_file_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    path.write_bytes(b"<html></html>")
    with pytest.raises(Undecodable):
        read_waveform(path, keep=tmp_path / "audio" / "1.wav")
    with pytest.raises(TooShort):
        read_waveform(write_wav(tmp_path / "x.wav", ramp(0)), keep=tmp_path / "audio" / "2.wav")
    assert not (tmp_path / "audio").exists()


ODD_NAMES = ("-y.wav", "concat:a|b.wav", "50%d.wav", "a b'\".wav", "a\nb.wav", "caf\udce9.wav")


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_a_name_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    path, keep = write_wav(tmp_path / name, ramp(8000)), tmp_path / "kept" / name
    for _ in range(2):
        assert read_waveform(path, keep=keep, loudness=True).duration_s == 0.5
        assert read_waveform(path, keep=keep).duration_s == 0.5


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_message_about_any_name_can_be_shown_and_stored(tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / name, ramp(10))
    mute, nothing = tmp_path / f"mute{name}.mp4", tmp_path / f"nothing{name}"
    ffmpeg(*PICTURE, "-c:v", "mpeg4", f"file:{mute}")
    nothing.write_bytes(b"<html></html>")
    for path in (tmp_path / name, mute, nothing, tmp_path / f"gone{name}"):
        with pytest.raises(FeatureError) as caught:
            read_waveform(path)
        message = str(caught.value)
        assert message.encode().isascii()
        assert message.isprintable()
        assert str(copy(caught.value)) == message  # and so after any pickling
