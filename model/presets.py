"""A preset: a kind with its settings, how to train it, and what may be set otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from sys import float_info
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from model.batches import InputShapes
from model.errors import BadSetting
from model.kinds import Modality, find_kind
from model.targets import OBJECTIVES, TARGET_KINDS, Objective, TargetKind
from model.training.fit_config import FitConfig
from model.training.losses import CLASS_LOSS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
