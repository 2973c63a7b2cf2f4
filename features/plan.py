"""Plans say how a feature is made: small and picklable, they build the extractor in a worker.

The imports in the methods are late on purpose: a worker that decodes clips must not load torch,
which costs it seconds and half a gigabyte.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from features.extractor import Extractor, FeatureSetSpec
from features.kinds import KINDS
from features.settings import KindConfig, TextConfig

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
class FilePlan:
    """One of KINDS, made of media files."""

    kind: str
    config: KindConfig
    store_root: str

    @classmethod
    def settled(cls, kind: str, config: KindConfig, store_root: str) -> Self:
        """Make the plan, with all decided that the settings leave to the machine.

        Raises ValueError for a setting that only a library could refuse, DeviceMissing.
        """
        settle = getattr(KINDS[kind].load(), "settled", None)
        return cls(kind, config if settle is None else settle(config), store_root)

    @property
    def device(self) -> str:
        """Where its network computes; the processor where it has none."""
        return getattr(self.config, "device", "cpu")

    def spec(self) -> FeatureSetSpec:
        """Name the feature set, weights at hand or not; raises WeightsMissing for a named file."""
        return KINDS[self.kind].load().spec(self.config)

    def check(self) -> None:
        """Raise DeviceMissing, WeightsMissing or WeightsMismatch now rather than in a worker."""
        KINDS[self.kind].load().check(self.config)

    def build(self) -> Extractor:
        """Load whatever is needed, once a process."""
        return KINDS[self.kind].load().build(self.config)


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
class TextPlan:
    """Sentence vectors of texts, which are rows of the catalog and no file."""

    config: TextConfig
    store_root: str
    device: str = "cpu"

    def spec(self) -> FeatureSetSpec:
        """Name the feature set; loads no network."""
        from features import text  # noqa: PLC0415 (see top)

        return text.spec(self.config)

    def check(self) -> None:
        """Raise WeightsMissing or WeightsMismatch where the encoder's package is not here."""
        from features import text  # noqa: PLC0415 (see top)

        text.check(self.config)

    def build(self) -> Extractor:
        """The encoder."""
        from features import text  # noqa: PLC0415 (see top)

        return text.build(self.config)
