"""The presets by name, what they build, and the kinds of models they are made of."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from sys import float_info
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import torch

from model.base import Network, Solve, SolveRequest
from model.batches import InputShapes
from model.errors import BadCheckpoint, BadSetting, UnknownKind
from model.modern.model import ModernNetwork
from model.modern.solve import solve_modern
from model.modern.tower import ModernConfig
from model.networks.cnn3d import Cnn3d, Cnn3dConfig
from model.networks.fused import FusedConfig, FusedRegressor, describe_fused
from model.networks.swin3d import Swin3d, Swin3dConfig
from model.solved.boosted import BoostedConfig, BoostedTrees, solve_boosted
from model.solved.constants import (
    CONSTANTS,
    AuthorMean,
    AuthorMeanConfig,
    ConstantConfig,
    ConstantRegressor,
    HashtagMean,
    HashtagMeanConfig,
    labelled,
    solve_author_mean,
    solve_constant,
    solve_hashtag_mean,
)
from model.solved.ridge import Ridge, RidgeConfig, solve_ridge
from model.targets import OBJECTIVES, TARGET_KINDS, Objective, TargetKind
from model.training.fit import CLASS_LOSS, FitConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Modality = Literal["visual", "audio", "clip", "frames"]


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    reads: feature kinds it uses. needs: those without which a row is not scored at all. A config
    with fewer (an ablation) says so itself: ask `reads_of` and `needs_of`.
    solve: gets the finished network straight from the training rows; None: it is trained by `fit`.
    optional: it reads those of `reads` of which there is a feature set, and does without others.
    """

    name: str
    config: "type[DataclassInstance]"
    build: Callable[[Any], Network]
    reads: tuple[Modality, ...] = ()
    needs: tuple[Modality, ...] = ()
    solve: Solve | None = None
    optional: bool = False

    def reads_of(self, config: "DataclassInstance") -> tuple[Modality, ...]:
        """Feature kinds that a network of this config uses."""
        found: tuple[Modality, ...] = getattr(config, "reads", self.reads)
        return found

    def needs_of(self, config: "DataclassInstance") -> tuple[Modality, ...]:
        """Those without which such a network does not score a row."""
        found: tuple[Modality, ...] = getattr(config, "needs", self.needs)
        return found

    def sized(self, config: "DataclassInstance", shapes: InputShapes) -> "DataclassInstance":
        """Config for features of these shapes.

        Raises BadSetting if it cannot have them, IncompatibleFeatures if it needs others.
        """
        fit_to: Callable[[InputShapes], DataclassInstance] | None = getattr(config, "sized", None)
        return config if fit_to is None else fit_to(shapes)

    def config_from_json(self, document: Mapping[str, Any]) -> "DataclassInstance":
        """Config of a stored model; BadCheckpoint where it has other settings than this kind."""
        known = {field.name for field in fields(self.config)}
        if set(document) != known:
            other = [f"has {name}" for name in sorted(set(document) - known)]
            other += [f"lacks {name}" for name in sorted(known - set(document))]
            raise BadCheckpoint(
                f"its settings are those of another version of viewcast: the {self.name} model "
                f"{', '.join(other)}"
            )
        return self.config(**document)


def _constant(name: str) -> Solve:
    def solve(_config: ConstantConfig, request: SolveRequest) -> Network:
        known = (example.views_k for example, _ in labelled(request))
        views_k = array("d", (views for views in known if views is not None))
        return solve_constant(name, views_k)

    return solve


#: Feature kinds that a model of many small parts reads, each only where somebody extracted it.
EXTRACTED: tuple[Modality, ...] = ("visual", "audio", "frames")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("fused", FusedConfig, FusedRegressor, ("visual", "audio"), ("visual",)),
        Kind("swin3d", Swin3dConfig, Swin3d, ("clip",), ("clip",)),
        Kind("cnn3d", Cnn3dConfig, Cnn3d, ("clip",), ("clip",)),
        Kind("modern", ModernConfig, ModernNetwork, EXTRACTED, solve=solve_modern, optional=True),
        Kind("ridge", RidgeConfig, Ridge, EXTRACTED, solve=solve_ridge, optional=True),
        Kind("boosted", BoostedConfig, BoostedTrees, EXTRACTED, solve=solve_boosted, optional=True),
        Kind("hashtag_mean", HashtagMeanConfig, HashtagMean, solve=solve_hashtag_mean),
        Kind("author_mean", AuthorMeanConfig, AuthorMean, solve=solve_author_mean),
        *(
            Kind(name, ConstantConfig, ConstantRegressor, solve=_constant(name))
            for name in CONSTANTS
        ),
    )
}


def find_kind(name: str) -> Kind:
    """The kind of that name; UnknownKind lists them all."""
    if name not in KINDS:
        raise UnknownKind(f"model kind {name!r} is none of {', '.join(KINDS)}")
    return KINDS[name]


Config = TypeVar("Config", bound="DataclassInstance")

#: What solving writes into a config; set by hand it would be overwritten, or be wrong.
LEARNED: Final = (
    *("n_tags", "n_history", "visual_size", "frames_size", "audio_size"),
    *("n_columns", "n_trees", "n_nodes", "n_members", "n_store", "has_interval"),
)


@dataclass(frozen=True)
class Preset:
    """A kind with its settings, how to train it (None: it is solved), and its target's scale."""

    name: str
    kind: str
    network: "DataclassInstance"
    fit: FitConfig | None
    target: TargetKind
    summary: str
    objective: Objective = "regression"

    @property
    def reads(self) -> tuple[Modality, ...]:
        """Feature kinds that its network uses."""
        return find_kind(self.kind).reads_of(self.network)

    @property
    def needs(self) -> tuple[Modality, ...]:
        """Those without which a row is neither trained on nor scored."""
        return find_kind(self.kind).needs_of(self.network)

    def sized(self, shapes: InputShapes) -> "DataclassInstance":
        """The network's config for features of these shapes.

        Raises BadSetting if it cannot have them, IncompatibleFeatures if it needs others.
        """
        return find_kind(self.kind).sized(self.network, shapes)


def with_overrides(
    preset: Preset,
    *,
    network: Mapping[str, Any] | None = None,
    fit: Mapping[str, Any] | None = None,
    objective: str | None = None,
    target: str | None = None,
) -> Preset:
    """The preset with single settings otherwise; its name stays.

    network, fit: settings by name. objective "quartile" makes the network a classifier and its
    loss cross_entropy. Raises BadSetting for a setting that the
    preset does not have, a value that it cannot have, or two that contradict each other.
    """
    asked = {**(network or {})}
    training = {**(fit or {})}
    wanted = _one_of("objective", objective or preset.objective, OBJECTIVES)
    scale = _one_of("target", target or preset.target, TARGET_KINDS)
    if wanted != preset.objective or "outputs" in asked:
        outputs = 4 if wanted == "quartile" else 1
        if "outputs" not in {field.name for field in fields(preset.network)}:
            raise BadSetting(f"a {preset.kind} model has no classes: its objective is regression")
        if asked.setdefault("outputs", outputs) != outputs:
            raise BadSetting(
                f"outputs {asked['outputs']} contradict the objective {wanted}: it has {outputs}"
            )
        if preset.fit is not None:
            default_loss = CLASS_LOSS if wanted == "quartile" else FitConfig.loss
            training.setdefault(
                "loss", preset.fit.loss if wanted == preset.objective else default_loss
            )
    if find_kind(preset.kind).solve is not None:
        _require_free(preset.kind, asked)
    _require_no_less(preset.kind, asked)
    settings = preset.fit
    if settings is not None:
        settings = _changed("training", settings, training)
        if (settings.loss == CLASS_LOSS) != (wanted == "quartile"):
            raise BadSetting(
                f"loss {settings.loss} contradicts the objective {wanted}: {CLASS_LOSS} is the "
                "loss of quartile and of nothing else"
            )
    elif unused := sorted(training.keys() - {"seed"}):
        raise BadSetting(f"a {preset.kind} model is solved and not trained: it has no {unused[0]}")
    return replace(
        preset,
        network=_changed(preset.kind, preset.network, asked),
        fit=settings,
        target=scale,
        objective=wanted,
    )


Choice = TypeVar("Choice", bound=str)


def _one_of(what: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    for choice in choices:
        if value == choice:
            return choice
    raise BadSetting(f"{what} {value!r} must be one of {', '.join(choices)}")


def _changed(what: str, config: Config, changes: Mapping[str, Any]) -> Config:
    kinds = get_type_hints(type(config))
    known = [field.name for field in fields(config)]
    for name, value in changes.items():
        if name not in known:
            raise BadSetting(f"{what} has no setting {name!r}; it has {', '.join(known) or 'none'}")
        if not _is_of(value, kinds[name]):
            held = getattr(config, name)
            raise BadSetting(
                f"{name} of {what} is {value!r}; it must be {_named(kinds[name])}, like {held!r}"
            )
    return replace(config, **changes)


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value that came as JSON is one of that type; a whole number is a number too."""
    if isinstance(kind, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return isinstance(value, str)  # which of them, the config says better
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list)
    if isinstance(value, bool):
        return kind is bool
    if kind is int:
        return isinstance(value, int) and abs(value) < 2**63
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= float_info.max
    return isinstance(value, kind)


def _named(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_named(one) for one in get_args(kind))
    names = {float: "a number", int: "a whole number", bool: "true or false", NoneType: "null"}
    return "a list" if get_origin(kind) is tuple else names.get(kind, "a word")


def _require_free(what: str, changes: Mapping[str, Any]) -> None:
    for name in changes:
        if name == "seed":
            raise BadSetting(f"seed of a {what} model is that of the training: give --seed")
        if name in LEARNED:
            raise BadSetting(f"{name} of a {what} model is found in training and cannot be set")


def _require_no_less(what: str, changes: Mapping[str, Any]) -> None:
    """Refuse what is below nothing: every number of every network is a size, a share or a rate."""
    for name, value in changes.items():
        if isinstance(value, int | float) and value < 0:
            raise BadSetting(f"{name} of {what} is {value}; it must be 0 or more")


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
