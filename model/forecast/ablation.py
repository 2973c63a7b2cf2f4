"""Which parts of a post moved one forecast up or down: the forecast with and without each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model.batches import Example
from model.blocks.encoder import BlockEncoder, Encoded
from model.errors import BadSetting
from model.network import Network
from model.solved.boosted import BoostedTrees
from model.solved.ridge import Ridge
from model.targets import TargetTransform

Floats = NDArray[np.float64]
ONE_VIEW_K: Final = 0.001  # factors of less than one view say nothing


@runtime_checkable
class BlockForecaster(Protocol):
    """A model that reads a row as blocks and forecasts blocks that were changed."""

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks it reads."""

    def encode_rows(self, examples: Sequence[Example]) -> Encoded:
        """The rows' blocks."""

    def forecast_encoded(self, encoded: Encoded) -> Floats:
        """Point of encoded rows on the target's scale, (n,)."""


@dataclass(frozen=True)
class Moved:
    """What one block did to a forecast: views with all blocks over views without this one.

    factor: 2 where it doubled the forecast, 0.5 where it halved it.
    """

    block: str
    factor: float


@dataclass(frozen=True)
class _Blocks:
    """A network that reads the blocks of its encoder and no others."""

    encoder: BlockEncoder
    read: Callable[[Encoded], Floats]

    @property
    def block_names(self) -> tuple[str, ...]:
        return tuple(block.name for block in self.encoder.blocks)

    def encode_rows(self, examples: Sequence[Example]) -> Encoded:
        return self.encoder.encode(examples)

    def forecast_encoded(self, encoded: Encoded) -> Floats:
        return self.read(encoded)


def forecaster_of(network: Network) -> BlockForecaster:
    """The network as a forecaster of blocks; BadSetting for one that reads no blocks."""
    if isinstance(network, Ridge):
        return _Blocks(network.encoder, partial(_by_ridge, network))
    if isinstance(network, BoostedTrees):
        return _Blocks(network.encoder, partial(_by_trees, network))
    if isinstance(network, BlockForecaster):
        return network
    raise BadSetting(
        f"{type(network).__name__} cannot be taken apart; modern, ridge and boosted models can"
    )


def without(encoded: Encoded, block: str) -> Encoded:
    """The same rows as if none had this block."""
    return Encoded(
        {**encoded.values, block: np.zeros_like(encoded.values[block])},
        {**encoded.present, block: np.zeros_like(encoded.present[block])},
    )


def ablate(model: BlockForecaster, example: Example, target: TargetTransform) -> list[Moved]:
    """What each block that the row has did to its forecast, the strongest first.

    One block is left out at a time, so blocks that say the same thing share no credit for it.
    """
    encoded = model.encode_rows([example])
    whole_k = _views_k(model.forecast_encoded(encoded), target)[0]
    moved = [
        Moved(name, whole_k / _views_k(model.forecast_encoded(without(encoded, name)), target)[0])
        for name in model.block_names
        if encoded.present[name][0]
    ]
    return sorted(moved, key=lambda one: (-abs(np.log(one.factor)), one.block))


def _by_ridge(network: Ridge, encoded: Encoded) -> Floats:
    weights, mean = network.weights.cpu().numpy(), network.mean.cpu().numpy()
    found: Floats = ((encoded.matrix() - mean) * weights).sum(axis=1)
    return found + float(network.offsets[0])


def _by_trees(network: BoostedTrees, encoded: Encoded) -> Floats:
    return network.trees.read(encoded.matrix(missing=np.nan))


def _views_k(scaled: Floats, target: TargetTransform) -> Floats:
    return np.maximum(target.score(scaled), ONE_VIEW_K)
