"""The presets by name, what they build, and the kinds of models they are made of."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, cast

import torch

from model.errors import UnknownKind
from model.kinds import KINDS, Kind, Modality, find_kind
from model.modern.tower import ModernConfig
from model.networks.cnn3d import Cnn3dConfig
from model.networks.fused import FusedConfig
from model.networks.fused import describe as describe_fused
from model.networks.swin3d import Swin3dConfig
from model.presets import Preset, with_overrides
from model.solved.baselines import CONSTANTS, AuthorMeanConfig, ConstantConfig, HashtagMeanConfig
from model.solved.boosted import BoostedConfig
from model.solved.ridge import RidgeConfig
from model.training.fit_config import FitConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "KINDS",
    "PRESETS",
    "Kind",
    "Modality",
    "Preset",
    "describe",
    "describe_preset",
    "find_kind",
    "find_preset",
    "with_overrides",
]

#: How the paper trained its networks: Adam, the absolute error, every epoch, no cutting.
PAPER_FIT = FitConfig(
    optimiser="adam",
    loss="mae",
    patience=None,
    clip_norm=None,
    warmup_epochs=0.0,
    decay="none",
)

PRESETS: dict[str, Preset] = {
    "fused": Preset(
        "fused",
        "fused",
        FusedConfig(missing="token", modality_drop=0.1, standardise=True, norm_first=True),
        FitConfig(),
        "log1p",
        "the paper's network with scaled inputs, normalisation first, tokens for what is missing,"
        " and settings that train it",
    ),
    "paper": Preset(
        "paper",
        "fused",
        FusedConfig(),
        replace(PAPER_FIT, epochs=7, batch=4, lr=1e-9, weight_decay=1e-3),
        "standard",
        "exactly the paper's settings (Table II); its learning rate of 1e-9 does not train",
    ),
    "paper-swin": Preset(
        "paper-swin",
        "swin3d",
        Swin3dConfig(final_relu=True),
        replace(
            PAPER_FIT,
            epochs=20,
            batch=20,
            lr=1e-4,
            weight_decay=1e-4,
            warmup_epochs=10.0,
            warmup_from=1 / 3,
            lr_every="epoch",
        ),
        "raw",
        "the paper's Swin network on thousands of views as they are",
    ),
    "paper-swin-scaled": Preset(
        "paper-swin-scaled",
        "swin3d",
        Swin3dConfig(),
        replace(PAPER_FIT, epochs=20, batch=15, lr=1e-5, weight_decay=1e-4),
        "standard",
        "the paper's Swin network on standardised views",
    ),
    "paper-cnn3d": Preset(
        "paper-cnn3d",
        "cnn3d",
        Cnn3dConfig(),
        replace(PAPER_FIT, epochs=20, batch=10, lr=1e-5, weight_decay=0.9),
        "raw",
        "the paper's small network of one convolution; it showed it clips of 1024x576",
    ),
    "modern": Preset(
        "modern",
        "modern",
        ModernConfig(),
        None,
        "log1p",
        "networks, trees and neighbours on all that is known of a post, with an interval",
    ),
    "ridge": Preset(
        "ridge",
        "ridge",
        RidgeConfig(use_author=True),
        None,
        "log1p",
        "a weighted sum of all that is known of a post: for few rows",
    ),
    "boosted": Preset(
        "boosted",
        "boosted",
        BoostedConfig(use_author=True),
        None,
        "log1p",
        "many small trees on all that is known of a post",
    ),
    "hashtag_mean": Preset(
        "hashtag_mean",
        "hashtag_mean",
        HashtagMeanConfig(),
        None,
        "log1p",
        "what posts with the same hashtags got",
    ),
    "author_mean": Preset(
        "author_mean",
        "author_mean",
        AuthorMeanConfig(),
        None,
        "log1p",
        "what the author's earlier posts got",
    ),
    **{
        name: Preset(name, name, ConstantConfig(), None, "raw", f"the {name} of the training rows")
        for name in CONSTANTS
    },
}


def find_preset(name: str) -> Preset:
    """The preset of that name; UnknownKind lists them all."""
    if name not in PRESETS:
        raise UnknownKind(f"preset {name!r} is none of {', '.join(PRESETS)}")
    return PRESETS[name]


def describe(name: str) -> dict[str, object]:
    """What the preset of that name builds, as `describe_preset` tells it."""
    return describe_preset(find_preset(name))


def describe_preset(preset: Preset) -> dict[str, object]:
    """What a preset builds, without building it: sizes, settings, trainable parameters by part.

    What is solved has no parameter that training changes.
    """
    config = preset.network
    counts: dict[str, object]
    if isinstance(config, FusedConfig):
        counts = describe_fused(config)
    else:
        parts = {} if preset.fit is None else _parts(preset, config)
        counts = {"total": sum(parts.values()), "parts": parts}
    return {
        "preset": preset.name,
        "kind": preset.kind,
        "summary": preset.summary,
        "target": preset.target,
        "objective": preset.objective,
        "reads": list(preset.reads),
        "needs": list(preset.needs),
        "network": _settings(config),
        "fit": None if preset.fit is None else _settings(preset.fit),
        **counts,
    }


def _parts(preset: Preset, config: "DataclassInstance") -> dict[str, int]:
    # On the meta device: no memory, no random number.
    with torch.device("meta"):
        network = find_kind(preset.kind).build(config)
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in network.named_children()
    }
    return {name: count for name, count in counts.items() if count}


def _settings(config: "DataclassInstance") -> dict[str, object]:
    return {field.name: cast(object, getattr(config, field.name)) for field in fields(config)}
