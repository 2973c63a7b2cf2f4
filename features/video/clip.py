"""The `clip` feature: frames of a video, fitted into a small picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import media_of
from features.settings import PAPER_HEIGHT_PX, PAPER_WIDTH_PX, ClipConfig, Resize
from features.video.picture import Picture
from features.video.reading import Clip, PictureRequest, read_frames


def fit_picture(
    picture: Picture, height_px: int, width_px: int, resize: Resize
) -> NDArray[np.uint8]:
    """Fit a picture, ratio kept, into the middle of a black one: (3, H, W) uint8 RGB."""
    box = (height_px, width_px) if resize == "area" else (PAPER_HEIGHT_PX, PAPER_WIDTH_PX)
    fitted = fit_size(picture.height_px, picture.width_px, *box)
    if resize == "area":
        return letterbox(picture.rgb(*fitted), *box)
    # Colours as the original's own reader gave them, so that its pixels can be had again.
    full = picture.rgb(picture.height_px, picture.width_px, exact=False)
    boxed = letterbox(round_to_uint8(bilinear(full, *fitted)), *box)
    return round_to_uint8(bilinear(boxed, height_px, width_px))


def fit_size(height: int, width: int, box_height: int, box_width: int) -> tuple[int, int]:
    """Give the largest size of that ratio inside the box; halves round up, nothing vanishes."""
    scale = min(box_height / height, box_width / width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    return min(max(rows, 1), box_height), min(max(columns, 1), box_width)


def letterbox(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Put a (3, h, w) picture in the middle of a black (3, H, W) one."""
    _, rows, columns = image.shape
    if (rows, columns) == (height_px, width_px):
        return image
    boxed = np.zeros((3, height_px, width_px), np.uint8)
    top, left = (height_px - rows) // 2, (width_px - columns) // 2
    boxed[:, top : top + rows, left : left + columns] = image
    return boxed


def bilinear(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Resize (3, h, w) by plain bilinear interpolation at pixel centres, without antialiasing.

    Written in NumPy so that decoding workers need not load torch.
    """
    rows_low, rows_high, rows_part = _taps(image.shape[1], height_px)
    columns_low, columns_high, columns_part = _taps(image.shape[2], width_px)
    part = rows_part[:, None]
    tall = image[:, rows_low] * (1 - part) + image[:, rows_high] * part
    sized = tall[..., columns_low] * (1 - columns_part) + tall[..., columns_high] * columns_part
    return cast("NDArray[np.float32]", sized)


def round_to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to the nearest level."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _taps(size: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Give the two source pixels beside each target pixel's centre and the second one's weight."""
    centre = np.maximum((np.arange(target) + 0.5) * (size / target) - 0.5, 0)
    low = centre.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (centre - low).astype(np.float32)


def clip_request(config: ClipConfig) -> PictureRequest:
    """Ask for the frames that the settings name, upright, fitted into H x W on black."""

    def fit(picture: Picture) -> NDArray[np.uint8]:
        return fit_picture(picture, config.height_px, config.width_px, config.resize)

    return PictureRequest(config, fit)


def read_clip(path: str | Path, config: ClipConfig) -> Clip:
    """Decode the frames that the settings name; raises what read_frames does."""
    return read_frames(path, clip_request(config))


EXTRACTOR: Final = "pyav"
#: Raised whenever the same file and settings would give other pixels.
EXTRACTOR_VERSION: Final = "3"


def spec(config: ClipConfig) -> FeatureSetSpec:
    """Name the feature set."""
    return FeatureSetSpec("clip", config.spec(), EXTRACTOR, EXTRACTOR_VERSION, None)


def check(_config: ClipConfig) -> None:
    """Nothing to check: clips need no weights."""


def build(config: ClipConfig) -> "ClipExtractor":
    """A decoder."""
    return ClipExtractor(config)


class ClipExtractor:
    """Decodes clips one by one. Tensors of a row: frames (3, D, H, W) uint8 RGB."""

    sound = None

    def __init__(self, config: ClipConfig) -> None:
        self.pictures = clip_request(config)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Decode each file; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            clip = media_of(source, self).clip(self.pictures)
        except FeatureError as error:
            return error
        return Extracted(
            {"frames": clip.frames},
            {
                "n_frames": clip.frames.shape[1],
                "n_frames_total": clip.n_frames_total,
                "times_s": clip.times_s,
                "fps": round(clip.fps, 3),
                "duration_s": round(clip.duration_s, 3),
                "truncated": clip.truncated,
                "fraction_read": round(clip.fraction_read, 4),
                "capped": clip.capped,
                "n_errors": clip.n_errors,
                **asdict(clip.shown),
            },
        )
