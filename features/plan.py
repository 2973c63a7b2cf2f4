"""Plans say how a feature is made: small and picklable, they build the extractor in a worker.

The imports in the methods are late on purpose: a worker that decodes clips must not load torch,
which costs it seconds and half a gigabyte.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from features.extractor import Extractor, FeatureSetSpec
from features.settings import AudioConfig, ClipConfig, FramesConfig

AUTOENCODER = "autoencoder"  # the model name under which `pretrain` registers its weights


def clip_alias(clip_set: str) -> str:
    """Alias of the newest autoencoder for the clips of one feature set, given by its hash."""
    return f"clips-{clip_set[:12]}"


class Plan(Protocol):
    """One kind of feature with its settings."""

    @property
    def store_root(self) -> str:
        """Root of the store that the shards go to."""

    @property
    def device(self) -> str:
        """Where its network computes, as the settings say it: "auto" or "" is decided there."""

    def spec(self) -> FeatureSetSpec:
        """Name the feature set; loads no network."""

    def check(self) -> None:
        """Raise DeviceMissing, WeightsMissing or WeightsMismatch now rather than in a worker."""

    def build(self) -> Extractor:
        """Load whatever is needed, once a process."""


@dataclass(frozen=True)
class ClipPlan:
    """Sampled frames of media files."""

    config: ClipConfig
    store_root: str

    @property
    def device(self) -> str:
        """The processor: a decoder is no network."""
        return "cpu"

    def spec(self) -> FeatureSetSpec:
        """Name the feature set; loads no network."""
        from features.video.clip import EXTRACTOR, EXTRACTOR_VERSION  # noqa: PLC0415 (see top)

        return FeatureSetSpec("clip", self.config.spec(), EXTRACTOR, EXTRACTOR_VERSION, None)

    def check(self) -> None:
        """Nothing to check: clips need no weights."""

    def build(self) -> Extractor:
        """A decoder."""
        from features.video.clip import ClipExtractor  # noqa: PLC0415 (see top)

        return ClipExtractor(self.config)


@dataclass(frozen=True)
class VisualPlan:
    """The autoencoder's embedding of stored clips.

    clip_set: hash of the clips' feature set: other frames give other embeddings. weights_sha256:
    checksum of the weights file.
    """

    clip_set: str
    weights: Path
    weights_sha256: str
    store_root: str
    device: str = "cpu"

    def spec(self) -> FeatureSetSpec:
        """Name the feature set; loads no network."""
        from features.video.visual import EXTRACTOR, EXTRACTOR_VERSION  # noqa: PLC0415 (see top)

        config = {"clip_set": self.clip_set}
        return FeatureSetSpec("visual", config, EXTRACTOR, EXTRACTOR_VERSION, self.weights_sha256)

    def check(self) -> None:
        """Raise WeightsMissing or WeightsMismatch when the file is not the one that was named."""
        from features.device import resolve  # noqa: PLC0415 (see top)
        from features.errors import WeightsMismatch  # noqa: PLC0415 (see top)
        from features.weights import weights_sha256  # noqa: PLC0415 (see top)

        resolve(self.device)
        if (found := weights_sha256(self.weights)) != self.weights_sha256:
            raise WeightsMismatch(
                f"{self.weights} has sha256 {found}, the catalog says {self.weights_sha256}"
            )

    def build(self) -> Extractor:
        """The autoencoder, if the file is still the one that was named."""
        from features.store import FeatureStore  # noqa: PLC0415 (see top)
        from features.video.visual import VisualExtractor  # noqa: PLC0415 (see top)

        self.check()
        return VisualExtractor(self.weights, FeatureStore(self.store_root), device=self.device)


@dataclass(frozen=True)
class AudioPlan:
    """Whisper's states and words of media files."""

    config: AudioConfig
    store_root: str

    @property
    def device(self) -> str:
        """Where Whisper computes."""
        return self.config.device

    def spec(self) -> FeatureSetSpec:
        """Name the feature set; for plain base even where no weights are at hand."""
        from features.sound.audio import audio_spec  # noqa: PLC0415 (see top)

        return audio_spec(self.config)

    def check(self) -> None:
        """Raise WeightsMissing when Whisper's weights are nowhere to be found."""
        from features.sound.audio import check_weights  # noqa: PLC0415 (see top)

        check_weights(self.config)

    def build(self) -> Extractor:
        """Whisper."""
        from features.sound.audio import AudioExtractor  # noqa: PLC0415 (see top)

        return AudioExtractor(self.config, weights_sha256=self.spec().weights_sha256)


@dataclass(frozen=True)
class FramesPlan:
    """Pooled embeddings of media files' frames by a frozen network of torchvision."""

    config: FramesConfig
    store_root: str

    @property
    def device(self) -> str:
        """Where the network computes."""
        return self.config.device

    def spec(self) -> FeatureSetSpec:
        """Name the feature set, weights at hand or not; raises WeightsMissing for a named file."""
        from features.video.frames import frames_spec  # noqa: PLC0415 (see top)

        return frames_spec(self.config)

    def check(self) -> None:
        """Raise WeightsMissing or WeightsMismatch when the weights are not on this machine."""
        from features.video.frames import check_weights  # noqa: PLC0415 (see top)

        check_weights(self.config)

    def build(self) -> Extractor:
        """The network without its head."""
        from features.video.frames import FramesExtractor  # noqa: PLC0415 (see top)

        return FramesExtractor(self.config)
