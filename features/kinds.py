"""The kinds of features that are made of media files: what each one is called, set and made by.

A kind is one module with three functions, `spec`, `check` and `build`, one class of settings, and
one entry here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

from features.extractor import Extractor, FeatureSetSpec
from features.settings import (
    AudioConfig,
    ClipConfig,
    FramesConfig,
    KindConfig,
    OcrConfig,
    OpeningConfig,
    ThumbnailConfig,
)


class KindModule(Protocol):
    """What the module of a kind offers; imported only where it is needed."""

    def spec(self, config: Any) -> FeatureSetSpec:
        """Name the feature set; loads no network. ValueError: what only a library can refuse."""

    def check(self, config: Any) -> None:
        """Raise DeviceMissing, WeightsMissing or WeightsMismatch now rather than in a worker."""

    def build(self, config: Any) -> Extractor:
        """Load whatever is needed, once a process."""


@dataclass(frozen=True)
class FileKind:
    """One kind. module: where it is made. config: its section of the settings, named as it is.

    may_lack_weights: several kinds at once, as in a night, are made without it where its weights or
    its package are not on the machine.
    """

    module: str
    config: type[KindConfig]
    may_lack_weights: bool = False

    def load(self) -> KindModule:
        """Import the module."""
        return cast("KindModule", import_module(self.module))


KINDS: Final[Mapping[str, FileKind]] = {
    "clip": FileKind("features.video.clip", ClipConfig),
    "frames": FileKind("features.video.frames", FramesConfig, may_lack_weights=True),
    "ocr": FileKind("features.video.ocr", OcrConfig, may_lack_weights=True),
    "opening": FileKind("features.video.opening", OpeningConfig),
    "thumbnail": FileKind("features.video.thumbnail", ThumbnailConfig),
    "audio": FileKind("features.sound.audio", AudioConfig),
}
