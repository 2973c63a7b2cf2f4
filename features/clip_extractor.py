"""The `clip` feature: the sampled frames of a media file, stored as they were decoded."""

from collections.abc import Sequence
from typing import Final

from features.clip import ClipConfig, read_clip
from features.errors import FeatureError, MissingInput
from features.extractor import Extracted, Source

EXTRACTOR: Final = "pyav"
#: Raised whenever the same file and settings would give other pixels.
EXTRACTOR_VERSION: Final = "2"


class ClipExtractor:
    """Decodes clips one by one. Tensors of a row: frames (3, D, H, W) uint8 RGB."""

    def __init__(self, config: ClipConfig) -> None:
        self.config = config

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Decode each file; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            if source.path is None:
                raise MissingInput(f"video {source.tiktok_id} has no media file")
            clip = read_clip(source.path, self.config)
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
