"""Every kind of model by its name: how it is built, what it reads, and whether it is solved."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from model.batches import InputShapes
from model.errors import BadCheckpoint, UnknownKind
from model.modern.network import ModernNetwork
from model.modern.solve import solve_modern
from model.modern.tower import ModernConfig
from model.network import Network, Solve, SolveRequest
from model.networks.cnn3d import Cnn3d, Cnn3dConfig
from model.networks.fused import FusedConfig, FusedRegressor
from model.networks.swin3d import Swin3d, Swin3dConfig
from model.solved.baselines import (
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
from model.solved.boosted import BoostedConfig, BoostedTrees, solve_boosted
from model.solved.ridge import Ridge, RidgeConfig, solve_ridge

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
