import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sound.sound_numbers import (
    SOUND_NUMBERS,
    Curves,
    curves,
    first_sound_s,
    onsets_s,
    stretch,
    tempo,
)
from features.sound.waveform import SAMPLE_RATE_HZ

Sound = np.ndarray


def tone(duration_s: float, hz: float = 440.0, level: float = 0.3) -> Sound:
    times_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (level * np.sin(2 * np.pi * hz * times_s)).astype(np.float32)


def noise(duration_s: float, level: float = 0.1, seed: int = 1) -> Sound:
    n = round(duration_s * SAMPLE_RATE_HZ)
    return np.random.default_rng(seed).normal(0, level, n).astype(np.float32)


def silence(duration_s: float) -> Sound:
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def clicks(bpm: float, duration_s: float = 15.0, *, first_s: float = 0.3, seed: int = 0) -> Sound:
    """A short burst of noise on each beat."""
    sound, random = silence(duration_s), np.random.default_rng(seed)
    n = SAMPLE_RATE_HZ // 20
    fading = np.exp(-np.arange(n) / 160)
    for at_s in np.arange(first_s, duration_s - 0.1, 60 / bpm):
        start = round(at_s * SAMPLE_RATE_HZ)
        sound[start : start + n] += (0.3 * fading * random.normal(0, 1, n)).astype(np.float32)
    return np.clip(sound, -1, 1)


def tune(bpm: float, duration_s: float = 15.0, seed: int = 0) -> Sound:
    """Chords that change each bar under a drum, a snare, and a hat on each half beat."""
    random = np.random.default_rng(seed)
    sound = np.zeros(round(duration_s * SAMPLE_RATE_HZ))
    beat_s = 60 / bpm

    def add(at_s: float, part: Sound) -> None:
        start = round(at_s * SAMPLE_RATE_HZ)
        stop = min(start + len(part), len(sound))
        sound[start:stop] += part[: max(stop - start, 0)]

    def fading(length_s: float, fall_s: float) -> Sound:
        return np.exp(-np.arange(round(length_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ / fall_s)

    for beat in range(int(duration_s / beat_s)):
        drum, snare = tone(0.2, 70, 0.5), noise(0.2, 0.3, beat)
        add(beat * beat_s, (snare if beat % 2 else drum) * fading(0.2, 0.05))
        for half in (0, 0.5):
            add((beat + half) * beat_s, 0.1 * noise(0.04, 1, beat) * fading(0.04, 0.01))
        if beat % 4 == 0:
            for hz in random.choice([220, 262, 330, 392], 3, replace=False):
                add(beat * beat_s, tone(4 * beat_s, hz, 0.05))
    return np.clip(sound, -1, 1).astype(np.float32)


def beat_of(sound: Sound) -> tuple[float | None, float | None]:
    found = curves(sound)
    return tempo(found, onsets_s(found))


@pytest.mark.parametrize("bpm", [60, 75, 90, 100, 110, 120, 128, 140, 160, 174, 180])
def test_the_tempo_of_clicks_is_found(bpm):
    found_bpm, confidence = beat_of(clicks(bpm))
    assert found_bpm == pytest.approx(bpm, rel=0.02)
    assert confidence > 0.8


@pytest.mark.parametrize("bpm", [70, 85, 100, 120, 140, 160, 180])
def test_the_tempo_of_a_tune_is_found_but_for_the_octave(bpm):
    found_bpm, confidence = beat_of(tune(bpm))
    assert found_bpm is not None
    assert min(abs(found_bpm * octave / bpm - 1) for octave in (0.5, 1, 2)) < 0.02
    assert confidence > 0.6


def test_the_tempo_is_found_in_noise():
    found_bpm, _ = beat_of(clicks(110) + noise(15, 0.03))
    assert found_bpm == pytest.approx(110, rel=0.02)


@pytest.mark.parametrize(
    "sound", [silence(10), noise(10, 1e-5), tone(10), silence(0.1), clicks(120, 1)]
)
def test_without_things_that_begin_there_is_no_tempo(sound):
    assert beat_of(sound) == (None, None)


def test_what_begins_at_random_has_no_tempo():
    random = np.random.default_rng(4)
    sound = silence(15)
    for at_s in np.cumsum(random.exponential(0.4, 30) + 0.08):
        start = round(at_s * SAMPLE_RATE_HZ)
        burst = noise(0.05, 0.3, start)
        sound[start : start + len(burst)] += burst[: max(len(sound) - start, 0)]
    found_bpm, confidence = beat_of(sound)
    assert found_bpm is None
    assert 0 <= confidence < 0.3


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.2, 0.9), min_size=1, max_size=8))
def test_onsets_are_where_things_begin(gaps_s):
    at_s = np.cumsum(gaps_s)
    sound = silence(float(at_s[-1]) + 0.5)
    for start in np.round(at_s * SAMPLE_RATE_HZ).astype(int):
        sound[start : start + 1_600] = tone(0.1) * np.linspace(1, 0, 1_600)  # no click at its end
    found_s = onsets_s(curves(sound))
    assert len(found_s) == len(at_s)
    assert np.abs(found_s - at_s).max() <= 0.025


@pytest.mark.parametrize("sound", [silence(5), noise(5), tone(5), noise(5, 1e-5)])
def test_nothing_begins_in_what_does_not_change(sound):
    assert len(onsets_s(curves(sound))) == 0


@pytest.mark.parametrize("before_s", [0.0, 0.25, 1.5])
def test_the_first_sound_is_behind_the_silence(before_s):
    found = curves(np.r_[silence(before_s), tone(1)])
    assert first_sound_s(found) == pytest.approx(before_s, abs=0.01)


def test_a_quiet_room_is_no_sound_yet():
    found = curves(np.r_[noise(1.5, 2e-4), tone(1)])  # -74 dBFS: Whisper would look for words
    assert first_sound_s(found) == pytest.approx(1.5, abs=0.02)


def test_silence_has_no_first_sound_and_no_timbre():
    found = curves(silence(2))
    assert first_sound_s(found) is None
    assert stretch(found, onsets_s(found), None) == {
        "silence_share": 1.0,
        "onsets_per_s": 0.0,
        "centroid_hz": None,
        "flatness_share": None,
    }


def whole(sound: Sound) -> dict[str, float]:
    found = curves(sound)
    return dict(stretch(found, onsets_s(found), None))


def test_timbre_tells_tones_from_noise():
    assert whole(tone(2, 1_000))["centroid_hz"] == pytest.approx(1_000, rel=0.02)
    assert whole(noise(2))["centroid_hz"] == pytest.approx(4_000, rel=0.05)
    # The expected geometric by arithmetic mean of an exponential variable is exp(-Euler's gamma).
    assert whole(noise(2))["flatness_share"] == pytest.approx(np.exp(-np.euler_gamma), rel=0.03)
    assert whole(tone(2))["flatness_share"] < 0.01


def test_timbre_is_that_of_what_is_heard():
    alone, with_silence = whole(tone(2)), whole(np.r_[silence(2), tone(2)])
    assert with_silence["centroid_hz"] == pytest.approx(alone["centroid_hz"], rel=0.02)
    assert with_silence["silence_share"] == pytest.approx(0.5, abs=0.01)


def test_the_opening_is_that_of_a_sound_cut_there():
    sound = np.r_[clicks(100, 4), tone(3)]
    found = curves(sound)
    opening = stretch(found, onsets_s(found), 3.0)
    cut = whole(sound[: 3 * SAMPLE_RATE_HZ])
    assert opening == pytest.approx(cut, rel=0.02)
    assert set(opening) == set(SOUND_NUMBERS)


def test_long_sounds_are_measured_in_pieces_without_a_seam(monkeypatch: pytest.MonkeyPatch):
    sound = tune(120, 4)
    at_once = curves(sound)
    monkeypatch.setattr("features.sound.sound_numbers.CHUNK", 37)
    in_pieces = curves(sound)
    for name in Curves.__dataclass_fields__:
        np.testing.assert_allclose(getattr(in_pieces, name), getattr(at_once, name), rtol=1e-4)
