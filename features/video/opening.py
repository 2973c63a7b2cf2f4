"""The `opening` feature: plain numbers about a video's first seconds and about all of it.

Each number has a name with its unit and stands in the row's detail, where SQL reads it; the same
numbers, in the order of NUMBERS, are the row's only tensor. None (NaN in the tensor) is what cannot
be told: a video without a sound track has no loudness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError, MissingInput, NoVideoStream
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import Media, SoundRequest, media_of
from features.settings import OpeningConfig, SamplingConfig
from features.sound import sound_numbers
from features.sound.waveform import MOMENTARY_HZ, Waveform
from features.video import picture_numbers
from features.video.reading import Clip, Fit, PictureRequest

EXTRACTOR: Final = "viewcast"
#: Raised whenever the same file and settings would give other numbers.
EXTRACTOR_VERSION: Final = "1"

#: Sides of the pictures that are looked at. Squares: upright and lying videos lose alike.
SMALL_PX, LARGE_PX = 48, 320
N_LARGE, N_LARGE_OPENING = 6, 3
#: Loudness is told at these moments: of the 400 ms that begin there.
LOUDNESS_AT_MS: Final = (0, 500, 1000, 1500, 2000, 2500)
#: R128's absolute gate; softer is told as this.
SOFTEST_LUFS: Final = -70.0
#: Of what is stored: behind the point too, where a number is small because nothing is exact.
DIGITS, PLACES = 6, 4


def _twice(*names: str) -> tuple[str, ...]:
    return tuple(f"{part}_{name}" for part in ("opening", "whole") for name in names)


PICTURE_NUMBERS: Final = (
    *_twice(
        "cuts",
        *picture_numbers.MOTION_NUMBERS,
        *picture_numbers.LOOK_NUMBERS,
        "sharpness_levels",
    ),
    "cuts_per_min",
    "first_cut_s",
    "bars_share",
)
SOUND_NUMBERS: Final = (
    *_twice(*sound_numbers.SOUND_NUMBERS),
    *(f"loudness_{at}ms_lufs" for at in LOUDNESS_AT_MS),
    "integrated_lufs",
    "range_lu",
    "peak_dbfs",
    "first_sound_s",
    "first_onset_s",
    "tempo_bpm",
    "tempo_confidence",
)
#: The order of the tensor. New ones come last, with a new version.
NUMBERS: Final = (*PICTURE_NUMBERS, *SOUND_NUMBERS)

Numbers = Mapping[str, float | None]


def spec(config: OpeningConfig) -> FeatureSetSpec:
    """Name the feature set."""
    return FeatureSetSpec("opening", asdict(config), EXTRACTOR, EXTRACTOR_VERSION, None)


def check(_config: OpeningConfig) -> None:
    """Nothing to check: there are no weights."""


def build(config: OpeningConfig) -> "OpeningExtractor":
    """The measuring; nothing is loaded."""
    return OpeningExtractor(config)


class OpeningExtractor:
    """Measures media files one by one. Tensors of a row: numbers (len(NUMBERS),) float32."""

    def __init__(self, config: OpeningConfig) -> None:
        self.config = config
        n_frames = max(round(config.max_s * config.rate_hz), 1)
        every = SamplingConfig("seconds", every_s=1 / config.rate_hz, max_frames=n_frames)
        whole = SamplingConfig("uniform", n_frames=N_LARGE, stop_s=config.max_s)
        first = SamplingConfig("uniform", n_frames=N_LARGE_OPENING, stop_s=config.opening_s)
        self.small = PictureRequest(every, _squeezed(SMALL_PX))
        self.large = PictureRequest(whole, _squeezed(LARGE_PX))
        self.large_opening = PictureRequest(first, _squeezed(LARGE_PX))
        self.pictures = (self.small, self.large, self.large_opening)
        self.sound = SoundRequest(config.max_s, loudness=True)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Measure each file; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        numbers: dict[str, float | None] = dict.fromkeys(NUMBERS)
        detail: dict[str, Any] = {}
        no_picture: NoVideoStream | None = None
        try:
            media = media_of(source, self)
            try:
                seen, detail = self._picture(media)
                numbers |= seen
            except NoVideoStream as error:
                no_picture = error
                detail["picture"] = error.code
            waveform = media.waveform(self.config.max_s)
            numbers |= hear(waveform, self.config.opening_s)
            detail["sound"] = waveform.status
        except FeatureError as error:
            # Pictures without a sound that can be heard are a row; the file itself must be there.
            if "picture" not in detail or isinstance(error, MissingInput):
                return error
            if no_picture is not None:
                return no_picture
            detail["sound"] = error.code
        told = {name: _told(value) for name, value in numbers.items()}
        values = [np.nan if value is None else value for value in told.values()]
        return Extracted({"numbers": np.array(values, np.float32)}, {**told, **detail})

    def _picture(self, media: Media) -> tuple[Numbers, dict[str, Any]]:
        clip = media.clip(self.small)
        large = [media.clip(request).frames for request in (self.large, self.large_opening)]
        detail = {
            "picture": "capped" if clip.capped else "ok",
            "duration_s": round(clip.duration_s, 3),
            "truncated": clip.truncated,
            "fraction_read": round(clip.fraction_read, 4),
            "n_errors": clip.n_errors,
        }
        return see(clip, *large, config=self.config), detail


def _squeezed(side_px: int) -> Fit:
    """Fill a square with the whole picture, whatever its shape."""

    return lambda picture: picture.rgb(side_px, side_px)


def see(
    clip: Clip,
    large: NDArray[np.uint8],
    large_opening: NDArray[np.uint8],
    *,
    config: OpeningConfig,
) -> dict[str, float | None]:
    """Tell PICTURE_NUMBERS. clip: rate_hz frames a second; large: (3, D, H, W) over the same time.

    A cut is noted to the time between two of the frames.
    """
    frames, rate_hz = clip.frames, config.rate_hz
    n_opening = min(round(config.opening_s * rate_hz), frames.shape[1])
    # A frame that stands for longer than the time between two is there twice.
    shown = np.flatnonzero(np.diff(clip.indices, prepend=-1))
    cut_at = shown[picture_numbers.cuts(frames[:, shown])]
    looked_min = min(clip.duration_s, config.max_s) / 60
    found: dict[str, float | None] = {
        "cuts_per_min": len(cut_at) / looked_min if looked_min > 0 else None,
        "first_cut_s": float(cut_at[0]) / rate_hz if len(cut_at) else None,
        "bars_share": picture_numbers.bars_share(large),
    }
    for part, some, sharp in (
        ("opening", frames[:, :n_opening], large_opening),
        ("whole", frames, large),
    ):
        of_part: dict[str, float | None] = {
            "cuts": float((cut_at < some.shape[1]).sum()),
            **picture_numbers.motion(some, rate_hz, cut_at),
            **picture_numbers.look(some),
            "sharpness_levels": picture_numbers.sharpness_levels(sharp),
        }
        found |= {f"{part}_{name}": value for name, value in of_part.items()}
    return found


def hear(waveform: Waveform, opening_s: float) -> dict[str, float | None]:
    """Tell SOUND_NUMBERS."""
    curves = sound_numbers.curves(waveform.samples)
    onsets = sound_numbers.onsets_s(curves)
    tempo_bpm, confidence = sound_numbers.tempo(curves, onsets)
    found: dict[str, float | None] = {
        "first_sound_s": sound_numbers.first_sound_s(curves),
        "first_onset_s": float(onsets[0]) if len(onsets) else None,
        "tempo_bpm": tempo_bpm,
        "tempo_confidence": confidence,
    }
    for part, stop_s in (("opening", opening_s), ("whole", None)):
        of_part = sound_numbers.stretch(curves, onsets, stop_s)
        found |= {f"{part}_{name}": value for name, value in of_part.items()}
    if (loudness := waveform.loudness) is not None:
        momentary = loudness.momentary_lufs
        places = [round(at * MOMENTARY_HZ / 1000) for at in LOUDNESS_AT_MS]
        for at, place in zip(LOUDNESS_AT_MS, places, strict=True):
            there = float(momentary[place]) if place < len(momentary) else None
            found[f"loudness_{at}ms_lufs"] = None if there is None else max(there, SOFTEST_LUFS)
        found |= {
            "integrated_lufs": loudness.integrated_lufs,
            "range_lu": loudness.range_lu,
            "peak_dbfs": loudness.peak_dbfs,
        }
    return found


def _told(value: float | None) -> float | None:
    """What is stored of a number: six digits, none behind the fourth place; None: not in JSON."""
    if value is None or not isfinite(value):
        return None
    return round(float(f"{value:.{DIGITS}g}"), PLACES) + 0.0  # no minus zero
