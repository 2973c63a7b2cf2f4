"""Choose which frames of a video are kept: every technique is a function of when frames show."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.errors import TooShort
from features.settings import Sampling, SamplingConfig, read_moments

#: Some containers note times in whole milliseconds: a frame due at 66.7 ms says 67.
ROUNDING_S: Final = 1e-3


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video appear, in seconds from the first one's appearance.

    shown_s: (D,) float64, never falling. end_s: when the last one goes.
    """

    shown_s: NDArray[np.float64]
    end_s: float


@dataclass(frozen=True)
class Choice:
    """The kept frames: each one's number in display order, and the frames averaged for it.

    capped: max_frames left out later ones.
    """

    indices: tuple[int, ...]
    windows: tuple[range, ...]
    capped: bool


def choose_frames(timeline: Timeline, config: SamplingConfig) -> Choice:
    """Choose the frames to keep. Raises TooShort where trimming leaves none."""
    shown = timeline.shown_s
    stop_s = inf if config.stop_s is None else config.stop_s
    bounds = np.searchsorted(shown + ROUNDING_S, [config.start_s, stop_s])
    stretch = range(int(bounds[0]), int(bounds[1]))
    if not stretch:
        raise TooShort(
            f"no frame appears from {config.start_s:g} s to {stop_s:g} s of {timeline.end_s:.2f} s"
        )
    ends = timeline.end_s if stretch.stop == len(shown) else float(shown[stretch.stop])
    indices, capped = SAMPLERS[config.technique](
        shown, stretch, max(ends, shown[stretch[-1]]), config
    )
    before, after = (config.window_frames - 1) // 2, config.window_frames // 2
    windows = tuple(
        range(max(index - before, stretch.start), min(index + after + 1, stretch.stop))
        for index in indices
    )
    return Choice(tuple(indices), windows, capped)


def every_frames(
    _shown: NDArray[np.float64], stretch: range, _end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep the first frame of the stretch and every Nth after it."""
    kept = stretch[:: config.step_frames]
    return list(kept[: config.max_frames]), len(kept) > config.max_frames


def every_seconds(
    shown: NDArray[np.float64], stretch: range, end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep what is on show at the start of the stretch and every s seconds after it."""
    start_s = float(shown[stretch.start])
    # Not counted one by one: damaged times may claim that a video lasts for years.
    steps = max((end_s - start_s - ROUNDING_S) / config.step_s, 1.0)
    n_kept = ceil(min(steps, config.max_frames + 1))
    times_s = start_s + np.arange(min(n_kept, config.max_frames)) * config.step_s
    return _on_show(shown, stretch, times_s), n_kept > config.max_frames


def uniform_frames(
    shown: NDArray[np.float64], stretch: range, end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep what is on show in the middle of n equal parts of the stretch's time."""
    start_s = float(shown[stretch.start])
    parts = (np.arange(config.n_frames) + 0.5) / config.n_frames
    return _on_show(shown, stretch, start_s + parts * (end_s - start_s)), False


def at_moments(
    shown: NDArray[np.float64], stretch: range, end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep what is on show at each moment of the stretch; a frame may come twice."""
    start_s = float(shown[stretch.start])
    times_s = [
        start_s + moment.seconds + moment.part * (end_s - start_s)
        for moment in read_moments(config.moments)
    ]
    return _on_show(shown, stretch, np.array(times_s)), False


def _on_show(
    shown: NDArray[np.float64], stretch: range, times_s: NDArray[np.floating[Any]]
) -> list[int]:
    found = np.searchsorted(shown, times_s + ROUNDING_S, side="right") - 1
    return [int(i) for i in np.clip(found, stretch.start, stretch.stop - 1)]


Sampler = Callable[[NDArray[np.float64], range, float, SamplingConfig], tuple[list[int], bool]]

SAMPLERS: Final[dict[Sampling, Sampler]] = {
    "frames": every_frames,
    "seconds": every_seconds,
    "uniform": uniform_frames,
    "moments": at_moments,
}
