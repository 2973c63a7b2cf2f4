"""Plain numbers about the sound of a video: silence, onsets, tempo, timbre.

All work on mono samples at 16 kHz; loudness by EBU R128 is measured where they are decoded, of all
channels. What cannot be told is None: silence has no tempo.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter
from scipy.signal import fftconvolve

from features.sound.waveform import SAMPLE_RATE_HZ

HOP: Final = 160  # 10 ms: the steps of all curves
HOP_S: Final = HOP / SAMPLE_RATE_HZ
WINDOW: Final = 512  # 32 ms
#: A window tells of its middle.
MIDDLE_S: Final = WINDOW / 2 / SAMPLE_RATE_HZ
N_BANDS: Final = 24
LOWEST_HZ, HIGHEST_HZ = 40.0, 7_600.0
CHUNK: Final = 3_000  # steps at once: bounds the memory of long sounds

#: A step that is softer is silent: a quiet room is, where Whisper still looks for words (-80 dBFS).
HEARD_FROM_DBFS: Final = -60.0
#: What a band's power is told above: what is softer cannot be heard beside the rest.
FLOOR_DB: Final = -80.0
#: Power rises over so many steps when something begins.
RISE_STEPS: Final = 3
#: So much steeper than usual around it, on average over the bands, is an onset.
ONSET_DB: Final = 4.0
ONSET_APART_STEPS: Final = 6
USUAL_STEPS: Final = 41

SLOWEST_BPM, FASTEST_BPM = 40.0, 190.0
USUAL_BPM: Final = 120.0  # of two tempi that fit alike, the one nearer to this
#: How alike the onsets are one beat later, for the beat to be one.
BEAT_FROM: Final = 0.3
#: Beats between the beats that are nearly as regular: then they are the beat.
HALF_AS_GOOD: Final = 0.9
BEATS_FROM: Final = 4

SOUND_NUMBERS: Final = ("silence_share", "onsets_per_s", "centroid_hz", "flatness_share")


@dataclass(frozen=True)
class Curves:
    """Sound in steps of 10 ms, all (T,) float32.

    level_dbfs: power of each step, -inf for digital silence. rise_db: by how much the bands have
    become louder on average, those that became softer counted as 0. centroid_hz: the mean frequency
    by power. flatness: geometric by arithmetic mean of the power, 1 for white noise, near 0 for
    a tone. The last two mean nothing where a step is silent.
    """

    level_dbfs: NDArray[np.float32]
    rise_db: NDArray[np.float32]
    centroid_hz: NDArray[np.float32]
    flatness: NDArray[np.float32]

    @property
    def is_heard(self) -> NDArray[np.bool_]:
        """Which steps are not silent."""
        return self.level_dbfs >= HEARD_FROM_DBFS


def curves(samples: NDArray[np.float32]) -> Curves:
    """Measure samples (T,) float32 in [-1, 1] at 16 kHz."""
    n_steps = max(ceil(len(samples) / HOP), 1)
    # As much silence before as a window's half, so that each window's middle is its step's.
    padded = np.zeros(n_steps * HOP + WINDOW, np.float32)
    padded[(WINDOW - HOP) // 2 :][: len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: n_steps * HOP : HOP]
    taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    frequencies = np.arange(WINDOW // 2 + 1) * (SAMPLE_RATE_HZ / WINDOW)
    bands = _bands(frequencies)
    parts = []
    for start in range(0, n_steps, CHUNK):
        power = np.abs(np.fft.rfft(windows[start : start + CHUNK] * taper)) ** 2
        # A full-scale tone has 0 dB in its band.
        of_bands = power @ bands.T / (taper.sum() / 2) ** 2
        some = power[:, 1:] + 1e-12
        centroid = some @ frequencies[1:] / some.sum(axis=1)
        flatness = np.exp(np.log(some).mean(axis=1)) / some.mean(axis=1)
        parts.append((of_bands, centroid, flatness))
    of_bands, centroid, flatness = (np.concatenate(part) for part in zip(*parts, strict=True))
    steps = np.zeros(n_steps * HOP, np.float32)
    steps[: len(samples)] = samples
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(np.square(steps.reshape(n_steps, HOP)).mean(axis=1))
    loud = np.maximum(10 * np.log10(of_bands + 1e-12), FLOOR_DB)
    # What is on from the first moment does not begin there.
    before = np.concatenate([np.repeat(loud[:1], RISE_STEPS, axis=0), loud])[:n_steps]
    rise = np.maximum(loud - before, 0).mean(axis=1)
    return Curves(*(curve.astype(np.float32) for curve in (level, rise, centroid, flatness)))


def _bands(frequencies: NDArray[np.floating]) -> NDArray[np.float64]:
    """Triangles over the spectrum, evenly spaced as the ear hears (mel): (bands, bins)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    corners = 700 * (10 ** (np.linspace(low, high, N_BANDS + 2) / 2595) - 1)
    rising = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    return np.maximum(np.minimum(rising, falling), 0)


def first_sound_s(found: Curves) -> float | None:
    """Say when the first sound begins, to 10 ms; None where all is silent."""
    heard = np.flatnonzero(found.is_heard)
    return float(heard[0]) * HOP_S if len(heard) else None


def onsets_s(found: Curves) -> NDArray[np.float64]:
    """Say when something begins (a beat, a syllable, a knock), in seconds, rising."""
    rise = found.rise_db
    usual = median_filter(rise, min(USUAL_STEPS, len(rise)), mode="nearest")
    peaks = (rise - usual >= ONSET_DB) & (rise == maximum_filter1d(rise, 2 * ONSET_APART_STEPS + 1))
    # A rise within silence is no sound: something must be heard when it is over.
    heard = maximum_filter1d(found.is_heard.astype(np.uint8), 2 * RISE_STEPS + 1) > 0
    steps = np.flatnonzero(peaks & heard)
    # Equal neighbours, as in a sound that was made: the first one counts.
    steps = steps[np.r_[True, np.diff(steps) > ONSET_APART_STEPS]] if len(steps) else steps
    return np.asarray(steps * HOP_S, np.float64)


def tempo(found: Curves, onsets: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Find the beat: (beats a minute, confidence from 0 to 1).

    How steeply the sound rises is compared with itself some time later; confidence is how alike
    the two are one beat later. Without a regular beat there is no tempo, only the confidence; both
    are None where fewer than four things begin, as in silence and in one long tone. The beat may
    be heard at double or half speed, as people do.
    """
    rise = np.maximum(found.rise_db - median_filter(found.rise_db, USUAL_STEPS, mode="nearest"), 0)
    slowest, fastest = (60 / bpm / HOP_S for bpm in (SLOWEST_BPM, FASTEST_BPM))
    if len(onsets) < BEATS_FROM:
        return None, None
    # A beat may fall between two steps.
    rise = np.convolve(rise, (0.25, 0.5, 0.25), "same")
    centred = rise - rise.mean()
    alike = fftconvolve(centred, centred[::-1])[len(rise) - 1 :]
    n_lags = len(rise) // 2
    lags = np.arange(int(fastest), min(int(slowest) + 2, n_lags))
    if not len(lags) or alike[0] <= 0:
        return None, None
    # Unbiased: later products have fewer terms.
    alike = alike[:n_lags] / alike[0] * len(rise) / (len(rise) - np.arange(n_lags))
    usual = np.exp(-0.5 * np.square(np.log2(60 / (lags * HOP_S) / USUAL_BPM)))
    lag = int(lags[np.argmax(alike[lags] * usual)])
    half = lag / 2
    if half >= fastest:
        nearest = max((int(half), ceil(half)), key=lambda step: alike[step])
        lag = nearest if alike[nearest] >= HALF_AS_GOOD * alike[lag] else lag
    confidence = float(np.clip(alike[lag], 0, 1))
    return (_exact_bpm(alike, lag) if confidence >= BEAT_FROM else None), confidence


def _exact_bpm(alike: NDArray[np.float64], lag: int) -> float:
    """Read the tempo off the latest multiple of the lag, where a step is the smallest error."""
    exact = float(lag)
    for multiple in range(1, len(alike)):
        around = round(exact * multiple)
        if around + 2 >= len(alike):
            break
        near = np.arange(around - 1, around + 2)
        weights = np.maximum(alike[near], 0)
        if weights.sum() <= 0:
            break
        exact = float((near * weights).sum() / weights.sum()) / multiple
    return 60 / (exact * HOP_S)


def stretch(
    found: Curves, onsets: NDArray[np.float64], stop_s: float | None
) -> Mapping[str, float | None]:
    """Tell SOUND_NUMBERS of the sound up to a time; None: the whole. Timbre is of what is heard."""
    n_steps = len(found.level_dbfs)
    stop = n_steps if stop_s is None else min(n_steps, round(stop_s / HOP_S))
    heard = found.is_heard[:stop]
    is_any = bool(heard.any())
    return {
        "silence_share": 1 - float(heard.mean()),
        "onsets_per_s": float((onsets < stop * HOP_S).sum()) / (stop * HOP_S),
        "centroid_hz": float(found.centroid_hz[:stop][heard].mean()) if is_any else None,
        "flatness_share": float(found.flatness[:stop][heard].mean()) if is_any else None,
    }
