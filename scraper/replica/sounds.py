"""Sound tracks of the clips: read speech, and music and noise that are computed."""

import math
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 44_100
SPEECH_FOLDER = Path(__file__).parent / "speech"
# Semitones of four-chord loops, as roots over the key note with major (4) or minor (3) third.
PROGRESSIONS = (
    ((0, 4), (7, 4), (9, 3), (5, 4)),
    ((0, 3), (8, 4), (3, 4), (10, 4)),
    ((9, 3), (5, 4), (0, 4), (7, 4)),
    ((0, 4), (9, 3), (2, 3), (7, 4)),
)


def speech_files(rng: random.Random, duration_s: float) -> list[Path]:
    """Sentences, in a random order, that together are at least as long as asked."""
    files = sorted(SPEECH_FOLDER.glob("*.flac"))
    chosen: list[Path] = []
    # The shortest sentence has 3 s, so that this many of them are always enough.
    while len(chosen) * 3 < duration_s + 3:
        chosen += rng.sample(files, len(files))
    return chosen[: math.ceil(duration_s / 3) + 1]


def compose_music(rng: random.Random, duration_s: float) -> NDArray[np.float32]:
    """A bass, an arpeggio and a soft beat over four chords. returns: (T,) float32 in [-1, 1]"""
    out = np.zeros(int(duration_s * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, dtype=np.float32)
    beat_s = 60 / rng.uniform(84, 132)
    key_hz = 110 * 2 ** (rng.randrange(-4, 8) / 12)
    loop = rng.choice(PROGRESSIONS)
    order = rng.choice(((0, 1, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (0, 2, 3, 2)))
    harmonics = rng.choice(((1.0, 0.4, 0.2), (1.0, 0.1, 0.4), (1.0, 0.6, 0.1)))
    # Hiss of a few milliseconds is the beat; its seed is part of the tune.
    hiss = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, SAMPLE_RATE_HZ // 20)
    tick = np.asarray(hiss * np.exp(-np.linspace(0, 9, hiss.size)), dtype=np.float32)
    for i in range(int(duration_s / (beat_s / 2)) + 1):
        root, third = loop[i // 8 % 4]
        notes = (root, root + third, root + 7, root + 12)
        at = int(i * beat_s / 2 * SAMPLE_RATE_HZ)
        pitch_hz = 2 * key_hz * 2 ** (notes[order[i % 4]] / 12)
        _add(out, at, _pluck(pitch_hz, 0.5, harmonics), 0.16)
        if i % 4 == 0:
            _add(out, at, _pluck(key_hz / 2 * 2 ** (root / 12), 0.9, (1.0, 0.5, 0.1)), 0.32)
        if i % 2:
            _add(out, at, tick, 0.05)
    return np.clip(out[: int(duration_s * SAMPLE_RATE_HZ)], -1, 1)


def make_noise(rng: random.Random, duration_s: float) -> NDArray[np.float32]:
    """Wind or traffic: noise of a random colour that swells slowly. returns: (T,) float32"""
    n_samples = int(duration_s * SAMPLE_RATE_HZ)
    # Below 40 Hz nothing is heard, and an unbounded 1/f would be all rumble.
    bands_hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), 40.0)
    noise = np.random.default_rng(rng.getrandbits(32))
    spectrum = noise.normal(size=bands_hz.size) + 1j * noise.normal(size=bands_hz.size)
    wave = np.fft.irfft(spectrum * bands_hz ** -rng.uniform(0.0, 0.8), n_samples)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    swell = 0.7 + 0.3 * np.sin(math.tau * rng.uniform(0.1, 0.4) * time_s)
    return np.asarray(0.12 * swell * wave / wave.std(), dtype=np.float32)


def _pluck(pitch_hz: float, length_s: float, harmonics: tuple[float, ...]) -> NDArray[np.float32]:
    time_s = np.arange(int(length_s * SAMPLE_RATE_HZ), dtype=np.float32) / SAMPLE_RATE_HZ
    phase = np.float32(math.tau * pitch_hz) * time_s
    wave = np.zeros_like(time_s)
    for k, weight in enumerate(harmonics, start=1):
        wave += np.float32(weight) * np.sin(k * phase)
    # 5 ms of attack and a fade to nothing keep it free of clicks.
    envelope = np.minimum(time_s / 0.005, 1) * np.exp(-4 * time_s / length_s)
    return np.asarray(wave * envelope * (1 - time_s / length_s), dtype=np.float32)


def _add(out: NDArray[np.float32], at: int, sound: NDArray[np.float32], volume: float) -> None:
    end = min(at + sound.size, out.size)
    out[at:end] += np.float32(volume) * sound[: end - at]
