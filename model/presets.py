"""A preset: a kind with its settings, how to train it, and what may be set otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from model.batches import InputShapes
from model.errors import BadSetting
from model.kinds import Modality, find_kind
from model.targets import OBJECTIVES, TARGET_KINDS, Objective, TargetKind
from model.training.fit_config import FitConfig
from model.training.losses import CLASS_LOSS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


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
    loss: str | None = None,
    objective: str | None = None,
    target: str | None = None,
) -> Preset:
    """The preset with single settings otherwise; its name stays.

    network, fit: settings by name. loss: the same as in `fit`. objective "quartile" makes the
    network a classifier and its loss cross_entropy. Raises BadSetting for a setting that the
    preset does not have, a value that it cannot have, or two that contradict each other.
    """
    asked = {**(network or {})}
    training = {**(fit or {})} if loss is None else {**(fit or {}), "loss": loss}
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
    known = [field.name for field in fields(config)]
    for name, value in changes.items():
        if name not in known:
            raise BadSetting(f"{what} has no setting {name!r}; it has {', '.join(known)}")
        _require_like(what, name, value, getattr(config, name))
    try:
        return replace(config, **changes)
    except TypeError as error:
        raise BadSetting(f"{what} cannot have {dict(changes)}: {error}") from error


def _require_like(what: str, name: str, value: object, held: object) -> None:
    """Refuse a word for a number and the like; what is None now may become anything."""
    if held is None or value is None:
        return
    like: type | tuple[type, ...] = type(held)
    if isinstance(held, int | float) and not isinstance(held, bool):
        like = (int, float)
    elif isinstance(held, tuple):
        like = (tuple, list)
    if not isinstance(value, like) or isinstance(value, bool) != isinstance(held, bool):
        raise BadSetting(f"{name} of {what} is {value!r}; it must be like {held!r}")
