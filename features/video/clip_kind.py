"""The `clip` feature: a video's sampled frames, small and upright."""

from collections.abc import Sequence
from typing import Final

from features.errors import FeatureError
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import media_of
from features.settings import ClipConfig
from features.video.clip import PictureRequest, clip_fit

EXTRACTOR: Final = "pyav"
#: Raised whenever the same file and settings would give other pixels.
EXTRACTOR_VERSION: Final = "2"


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
        self.pictures = PictureRequest(config, clip_fit(config))

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
                "fps": round(clip.fps, 3),
                "duration_s": round(clip.duration_s, 3),
                "truncated": clip.truncated,
                "fraction_read": round(clip.fraction_read, 4),
                "capped": clip.capped,
                "rotation_deg": clip.rotation_deg,
                "n_errors": clip.n_errors,
            },
        )
