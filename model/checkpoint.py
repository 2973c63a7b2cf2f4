"""A trained model as one file that says what it is, reads and was trained on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from features.errors import FeatureError
from features.weights import load_weights, save_weights
from model.base import Network
from model.errors import BadCheckpoint, IncompatibleFeatures, UnknownKind
from model.registry import find_kind
from model.solved.constants import Constants
from model.targets import Objective, QuartileEdges, TargetTransform


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint knows about itself beside its weights and its network's config.

    medians_k: median views of the training rows in each quarter, what a classifier's choice means.
    feature_sets: hash of each feature set it was trained on, by kind. fit: settings of the
    training, empty for what is solved. metrics: those of the validation part at the end of
    training. label: what it forecasts, "latest", "from:7d" or "at:7d"; horizon_s: the age that its
    forecasts of new posts are of; None: none is stated. Older files have neither.
    """

    kind: str
    target: TargetTransform
    edges: QuartileEdges
    constants: Constants
    objective: Objective = "regression"
    medians_k: tuple[float, float, float, float] | None = None
    feature_sets: Mapping[str, str] = field(default_factory=dict)
    split_sha256: str | None = None
    seed: int = 0
    fit: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    label: str = "latest"
    horizon_s: int | None = None
    torch_version: str = str(torch.__version__)

    def require_features(self, feature_sets: Mapping[str, str]) -> None:
        """Raise IncompatibleFeatures unless these are the sets the weights were trained on."""
        for kind, trained_on in self.feature_sets.items():
            given = feature_sets.get(kind)
            if given != trained_on:
                raise IncompatibleFeatures(
                    f"the model was trained on {kind} features {trained_on[:12]}; "
                    f"given were {'none' if given is None else given[:12]}"
                )

    def to_json(self) -> dict[str, Any]:
        """As a JSON document without the kind, which the file states once."""
        return {
            "target": self.target.to_json(),
            "edges": self.edges.to_json(),
            "constants": asdict(self.constants),
            "objective": self.objective,
            "medians_k": None if self.medians_k is None else list(self.medians_k),
            "feature_sets": dict(self.feature_sets),
            "split_sha256": self.split_sha256,
            "seed": self.seed,
            "fit": dict(self.fit),
            "metrics": dict(self.metrics),
            "label": self.label,
            "horizon_s": self.horizon_s,
            "torch_version": self.torch_version,
        }

    @classmethod
    def from_json(cls, kind: str, document: Mapping[str, Any]) -> "ModelCard":
        """From `to_json`'s document; BadCheckpoint for anything else."""
        try:
            rest = dict(document)
            medians_k = rest.pop("medians_k", None)
            return cls(
                kind=kind,
                target=TargetTransform.from_json(rest.pop("target")),
                edges=QuartileEdges.from_json(rest.pop("edges")),
                constants=Constants(**rest.pop("constants")),
                medians_k=None if medians_k is None else tuple(medians_k),
                **rest,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BadCheckpoint(
                f"the model's card is not one of this version of viewcast: {error}"
            ) from error


@dataclass(frozen=True)
class Checkpoint:
    """A model read back: its network in eval mode, its card, and the sha256 of its file."""

    network: Network
    card: ModelCard
    sha256: str


def save_checkpoint(path: Path, network: Network, card: ModelCard) -> str:
    """Write one file, atomically; returns its sha256."""
    return save_weights(
        path, card.kind, asdict(network.config), network.state_dict(), card.to_json()
    )


def load_checkpoint(path: Path, device: str = "cpu") -> Checkpoint:
    """Read a model; BadCheckpoint where the file is none, or its tensors fit no such network.

    device: as the settings say it, of a network; what was solved computes in NumPy, so on the
    processor. Raises DeviceMissing.
    """
    try:
        held = load_weights(path)
        kind = find_kind(held.kind)
    except (FeatureError, UnknownKind) as error:
        raise BadCheckpoint(f"{path} holds no model: {error}") from error
    card = ModelCard.from_json(held.kind, held.extra)
    # On the meta device nothing is allocated or drawn at random; the file's tensors move in, and
    # stay in the file: on a CPU a network of any size takes no memory that others could not have.
    with torch.device("meta"):
        network = kind.build(kind.config_from_json(held.config))
    try:
        network.load_state_dict(held.tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise BadCheckpoint(
            f"tensors of {path} do not fit a {held.kind} network: {error}"
        ) from error
    return Checkpoint(network.to(kind.device(device)).eval(), card, held.sha256)
