"""Every kind of model by its name, and the presets that say how to build and train one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

from numpy.typing import ArrayLike

from model.baselines import SOLVERS, ConstantConfig, ConstantRegressor
from model.batches import InputShapes
from model.errors import BadCheckpoint, IncompatibleFeatures, UnknownKind
from model.fit import FitConfig
from model.fused import FusedConfig, FusedRegressor
from model.fused import describe as describe_fused
from model.network import Network
from model.targets import TargetKind

Modality = Literal["visual", "audio"]
NetworkConfig = FusedConfig | ConstantConfig


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    reads: feature kinds it uses. needs: those without which a row is not scored at all.
    solve: for constants, gets the finished network from the training rows' views; None: `fit`.
    """

    name: str
    config: type[NetworkConfig]
    build: Callable[[Any], Network]
    reads: tuple[Modality, ...] = ()
    needs: tuple[Modality, ...] = ()
    solve: Callable[[ArrayLike], Network] | None = None

    def config_from_json(self, document: Mapping[str, Any]) -> NetworkConfig:
        """Config of a stored model; BadCheckpoint where it has other settings than this kind."""
        known = {field.name for field in fields(self.config)}
        if set(document) != known:
            raise BadCheckpoint(
                f"config of a {self.name} model has {sorted(document)}; it must have "
                f"{sorted(known)}"
            )
        return self.config(**document)


KINDS: dict[str, Kind] = {
    # A video without a sound track is a video; one without a picture is not.
    "fused": Kind("fused", FusedConfig, FusedRegressor, ("visual", "audio"), ("visual",)),
    **{
        name: Kind(name, ConstantConfig, ConstantRegressor, solve=solve)
        for name, solve in SOLVERS.items()
    },
}


@dataclass(frozen=True)
class Preset:
    """A kind with its settings, how to train it, and the scale of its target."""

    name: str
    kind: str
    network: NetworkConfig
    fit: FitConfig | None
    target: TargetKind
    summary: str

    def sized(self, shapes: InputShapes) -> NetworkConfig:
        """The network's config for features of these shapes; BadSetting if it cannot have them."""
        if not isinstance(self.network, FusedConfig):
            return self.network
        if shapes.visual is None or shapes.audio is None:
            raise IncompatibleFeatures(
                f"preset {self.name} reads visual and audio features; it was given {shapes}"
            )
        channels, height_px, width_px = shapes.visual
        audio_states, audio_width = shapes.audio
        return replace(
            self.network,
            channels=channels,
            height_px=height_px,
            width_px=width_px,
            audio_states=audio_states,
            audio_width=audio_width,
        )


PRESETS: dict[str, Preset] = {
    "default": Preset(
        "default",
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
        FitConfig(
            epochs=7,
            batch=4,
            lr=1e-9,
            weight_decay=1e-3,
            optimiser="adam",
            loss="mae",
            patience=None,
            clip_norm=None,
            warmup_epochs=0.0,
            decay="none",
        ),
        "standard",
        "exactly the paper's settings (Table II); its learning rate of 1e-9 does not train",
    ),
    **{
        name: Preset(name, name, ConstantConfig(), None, "raw", f"the {name} of the training rows")
        for name in SOLVERS
    },
}


def find_kind(name: str) -> Kind:
    """The kind of that name; UnknownKind lists them all."""
    if name not in KINDS:
        raise UnknownKind(f"model kind {name!r} is none of {', '.join(KINDS)}")
    return KINDS[name]


def find_preset(name: str) -> Preset:
    """The preset of that name; UnknownKind lists them all."""
    if name not in PRESETS:
        raise UnknownKind(f"preset {name!r} is none of {', '.join(PRESETS)}")
    return PRESETS[name]


def describe(name: str, shapes: InputShapes | None = None) -> dict[str, object]:
    """What a preset builds, without building it: sizes, settings, trainable parameters by part.

    `shapes` None: the sizes of the paper.
    """
    preset = find_preset(name)
    config = preset.network if shapes is None else preset.sized(shapes)
    counts: dict[str, object] = {"total": 0, "parts": {}}
    if isinstance(config, FusedConfig):
        counts = describe_fused(config)
    kind = find_kind(preset.kind)
    return {
        "preset": name,
        "kind": preset.kind,
        "summary": preset.summary,
        "target": preset.target,
        "reads": list(kind.reads),
        "needs": list(kind.needs),
        "network": _settings(config),
        "fit": None if preset.fit is None else _settings(preset.fit),
        **counts,
    }


def _settings(config: NetworkConfig | FitConfig) -> dict[str, object]:
    return {field.name: cast(object, getattr(config, field.name)) for field in fields(config)}
