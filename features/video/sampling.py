"""Choose which frames of a video are kept: every technique is a function of when frames show."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import TooShort

Sampling = Literal["frames", "seconds", "uniform"]

#: Some containers note times in whole milliseconds: a frame due at 66.7 ms says 67.
ROUNDING_S: Final = 1e-3


@dataclass(frozen=True)
class SamplingConfig:
    """Which frames are kept. Every 200th from the first on is the paper's choice (section 2.2).

    sampling "frames" keeps every every_frames-th; "seconds" what is on show every every_s
    seconds; both stop at max_frames. "uniform" keeps exactly n_frames: what is on show in the
    middle of so many equal parts of the time, a frame twice where it is on show for two of them.
    start_s and stop_s trim first: only frames that appear between them exist; stop_s None is the
    end. window_frames: each kept frame is the mean of so many consecutive ones around it.
    """

    sampling: Sampling = "frames"
    every_frames: int = 200
    every_s: float = 1.0
    n_frames: int = 8
    max_frames: int = 64  # 7 minutes at 30 frames a second; the paper has no limit
    start_s: float = 0.0
    stop_s: float | None = None
    window_frames: int = 1

    def __post_init__(self) -> None:
        """Refuse what leaves no frame to keep."""
        if self.sampling not in SAMPLERS:
            raise ValueError(f"sampling is {self.sampling!r}, it must be one of {[*SAMPLERS]}")
        for name in ("every_frames", "n_frames", "max_frames", "window_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if not 0 < self.every_s < inf:
            raise ValueError(f"every_s is {self.every_s}, it must be above 0")
        if not 0 <= self.start_s < inf:
            raise ValueError(f"start_s is {self.start_s}, it must be at least 0")
        if self.stop_s is not None and not self.start_s < self.stop_s < inf:
            raise ValueError(f"stop_s is {self.stop_s}, it must be above start_s {self.start_s}")

    def spec(self) -> dict[str, int | float | str]:
        """Give only the settings that change the numbers, for the name of the feature set."""
        settings = asdict(self)
        used = {name: settings.pop(name) for name in _USES[self.sampling]}
        for name in ("every_frames", "every_s", "n_frames", "max_frames"):
            settings.pop(name, None)
        # What stands at "off" is left out: a setting that is new here renames no older feature.
        neutral = {"sampling": "frames", "start_s": 0.0, "stop_s": None, "window_frames": 1}
        return {
            **used,
            **{name: value for name, value in settings.items() if value != neutral.get(name)},
        }


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
    indices, capped = SAMPLERS[config.sampling](
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
    kept = stretch[:: config.every_frames]
    return list(kept[: config.max_frames]), len(kept) > config.max_frames


def every_seconds(
    shown: NDArray[np.float64], stretch: range, end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep what is on show at the start of the stretch and every s seconds after it."""
    start_s = float(shown[stretch.start])
    # Not counted one by one: damaged times may claim that a video lasts for years.
    steps = max((end_s - start_s - ROUNDING_S) / config.every_s, 1.0)
    n_kept = ceil(min(steps, config.max_frames + 1))
    times_s = start_s + np.arange(min(n_kept, config.max_frames)) * config.every_s
    return _on_show(shown, stretch, times_s), n_kept > config.max_frames


def uniform_frames(
    shown: NDArray[np.float64], stretch: range, end_s: float, config: SamplingConfig
) -> tuple[list[int], bool]:
    """Keep what is on show in the middle of n equal parts of the stretch's time."""
    start_s = float(shown[stretch.start])
    parts = (np.arange(config.n_frames) + 0.5) / config.n_frames
    return _on_show(shown, stretch, start_s + parts * (end_s - start_s)), False


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
}

_USES: Final[dict[Sampling, tuple[str, ...]]] = {
    "frames": ("every_frames", "max_frames"),
    "seconds": ("every_s", "max_frames"),
    "uniform": ("n_frames",),
}
