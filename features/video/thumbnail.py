"""The `thumbnail` feature: one small picture of a video, as the bytes of a WebP file.

Of six frames, even in time, the sharpest one that is not nearly black or nearly white; the first
of equals. Black bars at its edges are cut off.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.errors import FeatureError
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import media_of
from features.settings import SamplingConfig, ThumbnailConfig
from features.video.clip import fit_picture
from features.video.picture import Picture
from features.video.picture_numbers import look, sharpness_levels
from features.video.reading import PictureRequest

EXTRACTOR: Final = "pillow"
#: Raised whenever the same file and settings would give another picture.
EXTRACTOR_VERSION: Final = "1"
N_FRAMES: Final = 6
#: A picture is nearly black or white where so much of it is.
NEARLY: Final = 0.9
#: Effort of the encoder, 0 to 6: more makes smaller files, slowly.
METHOD: Final = 4


def spec(config: ThumbnailConfig) -> FeatureSetSpec:
    """Name the feature set."""
    return FeatureSetSpec("thumbnail", asdict(config), EXTRACTOR, EXTRACTOR_VERSION, None)


def check(_config: ThumbnailConfig) -> None:
    """Nothing to check: there are no weights."""


def build(config: ThumbnailConfig) -> "ThumbnailExtractor":
    """An encoder."""
    return ThumbnailExtractor(config)


class ThumbnailExtractor:
    """Makes thumbnails one by one. Tensors of a row: webp (n_bytes,) uint8."""

    sound = None

    def __init__(self, config: ThumbnailConfig) -> None:
        self.config = config
        sampling = SamplingConfig("uniform", n_frames=N_FRAMES)
        fit = partial(_fit, side_px=config.side_px)
        self.pictures = PictureRequest(sampling, fit)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Make each file's; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            clip = media_of(source, self).clip(self.pictures)
        except FeatureError as error:
            return error
        chosen = choose(clip.frames)
        picture = without_bars(clip.frames[:, chosen])
        webp = encode(picture, self.config.quality)
        return Extracted(
            {"webp": np.frombuffer(webp, np.uint8)},
            {
                "height_px": picture.shape[1],
                "width_px": picture.shape[2],
                "at_s": clip.times_s[chosen],
                "n_bytes": len(webp),
                "duration_s": round(clip.duration_s, 3),
                "truncated": clip.truncated,
            },
        )


def _fit(picture: Picture, *, side_px: int) -> NDArray[np.uint8]:
    return fit_picture(picture, side_px, side_px, "area")


def choose(frames: NDArray[np.uint8]) -> int:
    """Choose the frame that shows most. frames: (3, D, H, W) on black."""
    pictures = [without_bars(frames[:, n])[:, None] for n in range(frames.shape[1])]
    sharp = [sharpness_levels(picture) if min(picture.shape[2:]) > 2 else 0 for picture in pictures]
    empty = [_is_empty(picture) for picture in pictures]
    order = sorted(range(len(pictures)), key=lambda n: (empty[n], -sharp[n], n))
    return order[0]


def _is_empty(picture: NDArray[np.uint8]) -> bool:
    found = look(picture)
    return max(found["dark_share"] or 0.0, found["bright_share"] or 0.0) > NEARLY


def without_bars(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut off what is wholly black at opposite edges alike: (3, H, W); all of it if all is."""
    brightest = picture.max(axis=0)
    if not brightest.any():
        return picture
    rows, columns = (_between_bars(brightest.max(axis=axis) > 0) for axis in (1, 0))
    return picture[:, rows, columns]


def _between_bars(is_seen: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(is_seen)
    # An odd number of rows to spare puts one more behind than before.
    bar = min(int(places[0]), len(is_seen) - 1 - int(places[-1]))
    behind = bar + (bar < len(is_seen) - 1 - int(places[-1]))
    return slice(bar, len(is_seen) - behind)


def encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Make a WebP of (3, H, W) RGB."""
    file = BytesIO()
    rgb = np.ascontiguousarray(picture.transpose(1, 2, 0))
    Image.fromarray(rgb).save(file, "WEBP", quality=quality, method=METHOD)
    return file.getvalue()
