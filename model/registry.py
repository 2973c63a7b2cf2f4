"""The presets by name, what they build, and the kinds of models they are made of."""

import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from features.device import resolve
from model.base import LATER, NOT_SET, TENSORS, Network, Solve, SolveRequest
from model.batches import IndexedRows, InputShapes, shapes_of
from model.errors import BadCheckpoint, BadSetting, UnknownKind
from model.modern.config import ModernConfig
from model.modern.model import ModernNetwork
from model.modern.solve import solve_modern
from model.networks.cnn3d import Cnn3d, Cnn3dConfig
from model.networks.fused import FusedConfig, FusedRegressor, describe_fused
from model.networks.swin3d import Swin3d, Swin3dConfig
from model.solved.constants import (
    CONSTANTS,
    ConstantConfig,
    ConstantRegressor,
    labelled,
    solve_constant,
)
from model.solved.judge import Judge, JudgeConfig, solve_judge
from model.solved.past_means import AuthorMean, AuthorRecent, HashtagMean, PastMean, PastMeanConfig
from model.solved.tabicl import Tabicl, TabiclConfig, solve_tabicl
from model.targets import OBJECTIVES, ONE_VIEW_K, TARGET_KINDS, Objective, QuartileEdges, TargetKind
from model.training.fit import CLASS_LOSS, FitConfig, fit
from model.training.loop import EpochReport
from model.training.world import one_thread, seeded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Modality = Literal["visual", "audio", "clip", "frames", "opening", "text", "ocr"]
#: What a model of many small parts reads, each where somebody extracted it.
PARTS_READ: Final[tuple[Modality, ...]] = (
    "visual",
    "audio",
    "frames",
    "opening",
    "text",
    "ocr",
)


@dataclass(frozen=True, kw_only=True)
class TrainingInputs(SolveRequest):
    """What a model is made from, in whichever way its kind is made.

    edges: of the quarters, fitted on train. state_file: what a training that was killed goes on
    from. on_epoch: hears of each epoch, where there are any.
    """

    train: IndexedRows
    val: IndexedRows
    edges: QuartileEdges
    state_file: Path
    on_epoch: Callable[[EpochReport], None]


@dataclass(frozen=True)
class Kind(ABC):
    """One kind of model: `Trained` by gradient, or `Solved` straight from the training rows.

    reads: feature kinds it uses. needs: those without which a row is not scored at all. A config
    with fewer (an ablation) says so itself: ask `reads_of` and `needs_of`.
    optional: it reads those of `reads` of which there is a feature set, and does without others.
    asks: each of its forecasts is asked of somebody else, so training makes no more than it must.
    learns_from_val: rows of val teach it too; it is judged there by what it said before.
    """

    name: str
    config: "type[DataclassInstance]"
    build: Callable[[Any], Network]
    reads: tuple[Modality, ...] = ()
    needs: tuple[Modality, ...] = ()
    optional: bool = False
    asks: bool = field(default=False, kw_only=True)
    learns_from_val: bool = False

    #: Whether it reads what a post says, and its rows one after the other; else features alone,
    #: and rows in any order.
    reads_facts: ClassVar[bool]

    @abstractmethod
    def train(self, preset: "Preset", inputs: TrainingInputs) -> Network:
        """The finished network, a function of the preset, the rows and the seed."""

    @abstractmethod
    def threads(self) -> AbstractContextManager[None]:
        """How many threads score best."""

    @abstractmethod
    def device(self, asked: str) -> str:
        """Where it scores, by the settings' word for a device. Raises DeviceMissing."""

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
        may_lack = {field.name for field in fields(self.config) if LATER in field.metadata}
        if not known - may_lack <= set(document) <= known:
            other = [f"has {name}" for name in sorted(set(document) - known)]
            other += [f"lacks {name}" for name in sorted(known - may_lack - set(document))]
            if len(other) > MOST_NAMED:
                other[MOST_NAMED:] = [f"{len(other) - MOST_NAMED} more that differ"]
            raise BadCheckpoint(
                f"its settings are those of another version of viewcast: the {self.name} model "
                f"{', '.join(other)}"
            )
        return self.config(**document)


@dataclass(frozen=True)
class Trained(Kind):
    """A network that is trained by gradient, epoch after epoch."""

    reads_facts = False

    def train(self, preset: "Preset", inputs: TrainingInputs) -> Network:
        assert preset.fit is not None  # whatever is not solved has settings to be trained with
        config = preset.sized(shapes_of(inputs.train))
        with seeded(inputs.seed):
            network = self.build(config)
        fit(
            network,
            inputs.train,
            inputs.val,
            preset.fit,
            inputs.target,
            edges=inputs.edges,
            on_epoch=inputs.on_epoch,
            state_file=inputs.state_file,
        )
        return network

    def threads(self) -> AbstractContextManager[None]:
        return nullcontext()

    def device(self, asked: str) -> str:
        return resolve(asked)


@dataclass(frozen=True)
class Solved(Kind):
    """A model that `solve` finds straight from the training rows."""

    solve: Solve = field(kw_only=True)
    reads_facts = True

    def train(self, preset: "Preset", inputs: TrainingInputs) -> Network:
        return self.solve(preset.network, inputs)

    def threads(self) -> AbstractContextManager[None]:
        # Row by row, modern's search among 20,000 neighbours took 6 ms with two, 1 ms with one.
        return one_thread()

    def device(self, asked: str) -> str:  # noqa: ARG002 - it computes in NumPy
        return "cpu"


def _constant(name: str) -> Solve:
    def solve(_config: ConstantConfig, request: SolveRequest) -> Network:
        known = (example.views_k for example, _ in labelled(request))
        views_k = array("d", (views for views in known if views is not None))
        return solve_constant(name, views_k)

    return solve


#: Kinds that read one mean of earlier posts.
PAST_MEANS: Final[Mapping[str, type[PastMean]]] = {
    "hashtag_mean": HashtagMean,
    "author_mean": AuthorMean,
    "author_recent": AuthorRecent,
}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Trained("fused", FusedConfig, FusedRegressor, ("visual", "audio"), ("visual",)),
        Trained("swin3d", Swin3dConfig, Swin3d, ("clip",), ("clip",)),
        Trained("cnn3d", Cnn3dConfig, Cnn3d, ("clip",), ("clip",)),
        *(
            Solved(
                name,
                ModernConfig,
                ModernNetwork,
                PARTS_READ,
                optional=True,
                learns_from_val=True,
                solve=solve_modern,
            )
            for name in ("modern", "ridge", "boosted")
        ),
        *(
            Solved(name, PastMeanConfig, network, solve=network.solved)
            for name, network in PAST_MEANS.items()
        ),
        Solved(
            "tabicl",
            TabiclConfig,
            Tabicl,
            PARTS_READ,
            optional=True,
            learns_from_val=True,
            solve=solve_tabicl,
        ),
        Solved("judge", JudgeConfig, Judge, solve=solve_judge, asks=True),
        *(
            Solved(name, ConstantConfig, ConstantRegressor, solve=_constant(name))
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
AS_JSON: Final = ConfigDict(strict=True, allow_inf_nan=False)
MOST_NAMED: Final = 4  # settings that a message names
MOST: Final = 2**63 - 1  # torch's largest whole number


@dataclass(frozen=True)
class Preset:
    """A kind with its settings, how to train it (None: it is solved), and its target's scale.

    tensors: which of each feature it reads.
    """

    name: str
    kind: str
    network: "DataclassInstance"
    fit: FitConfig | None
    target: TargetKind
    summary: str
    objective: Objective = "regression"
    tensors: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: TENSORS)

    def document(self) -> dict[str, Any]:
        """What names a training, as JSON. Without the tensors, which follow from the name."""
        document = asdict(self)
        del document["tensors"]
        if self.target == "log1p":  # of views; it was once of thousands
            document["unit_k"] = ONE_VIEW_K
        return document

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
    _require_free(preset, asked)
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
    known = [one.name for one in fields(config)]
    for name, value in changes.items():
        if name not in known:
            raise BadSetting(f"{what} has no setting {name!r}; it has {', '.join(known) or 'none'}")
        if isinstance(value, int) and value > MOST:
            raise BadSetting(f"{name} of {what} is {value}; it must be {MOST} or less")
        try:
            # As JSON, where a list is a tuple's and a whole number is a number too.
            TypeAdapter(kinds[name], config=AS_JSON).validate_json(json.dumps(value, default=repr))
        except ValidationError as error:
            said = " or ".join(one["msg"].removeprefix("Input ") for one in error.errors())
            held = getattr(config, name)
            raise BadSetting(f"{name} of {what} is {value!r}; it {said}, like {held!r}") from error
    return replace(config, **changes)


def _require_free(preset: Preset, changes: Mapping[str, Any]) -> None:
    for one in fields(preset.network):
        if one.name in changes and NOT_SET in one.metadata:
            raise BadSetting(f"{one.name} of a {preset.kind} model {one.metadata[NOT_SET]}")


def _require_no_less(what: str, changes: Mapping[str, Any]) -> None:
    """Refuse what is below nothing: every number of every network is a size, a share or a rate."""
    for name, value in changes.items():
        if isinstance(value, int | float) and value < 0:
            raise BadSetting(f"{name} of {what} is {value}; it must be 0 or more")


# The paper averages over speech only (section 3.2).
PAPER_TENSORS: Final = {**TENSORS, "audio": ("pooled_speech",)}
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
        tensors=PAPER_TENSORS,
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
        "a ridge, trees, words and histories on all that is known of a post, with an interval",
    ),
    "ridge": Preset(
        "ridge",
        "ridge",
        ModernConfig(members="ridge"),
        None,
        "log1p",
        "a weighted sum of all that is known of a post: for few rows",
    ),
    "boosted": Preset(
        "boosted",
        "boosted",
        ModernConfig(members="trees"),
        None,
        "log1p",
        "many small trees on all that is known of a post",
    ),
    "text": Preset(
        "text",
        "modern",
        ModernConfig(
            members="ridge,grams",
            history="none",
            use_form=False,
            use_meta=False,
            use_account=False,
            use_sound=False,
            use_traits=False,
            use_opening=False,
            visual_width=0,
            frames_width=0,
            audio_width=0,
        ),
        None,
        "log1p",
        "the words of a post alone: caption, hashtags, what is said and shown",
    ),
    **{
        name: Preset(name, name, PastMeanConfig(), None, "log1p", summary)
        for name, summary in (
            ("hashtag_mean", "what earlier posts with the same hashtags got"),
            ("author_mean", "what the author's earlier posts got"),
            ("author_recent", "what the author's last 20 posts got"),
        )
    },
    "tabicl": Preset(
        "tabicl",
        "tabicl",
        TabiclConfig(),
        None,
        "log1p",
        "a pretrained table network over the columns of `modern`; needs --weights and an extra",
    ),
    "judge": Preset(
        "judge",
        "judge",
        JudgeConfig(),
        None,
        "log1p",
        "what a language model says that you name in [judge]; off until then",
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
        "network": dict(vars(config)),
        "fit": None if preset.fit is None else dict(vars(preset.fit)),
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
