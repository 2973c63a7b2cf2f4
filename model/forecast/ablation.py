"""Which parts of a post moved one forecast up or down: the forecast with and without each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from catalog.facts import PostFacts
from model.base import Network
from model.batches import Array, Example
from model.blocks.encoder import Encoded
from model.errors import BadSetting
from model.forecast.card import Move
from model.registry import Kind
from model.scoring import Forecast
from model.solved.constants import ConstantRegressor
from model.targets import ONE_VIEW_K, TargetTransform

Floats = NDArray[np.float64]


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


def forecaster_of(network: Network) -> BlockForecaster:
    """The network as a forecaster of blocks; BadSetting for one that reads no blocks."""
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


def ablate(model: BlockForecaster, example: Example, target: TargetTransform) -> list[Move]:
    """What each block that the row has, by its own name, did to its forecast; strongest first.

    One block is left out at a time, so blocks that say the same thing share no credit for it.
    """
    encoded = model.encode_rows([example])
    whole_k = _views_k(model.forecast_encoded(encoded), target)[0]
    moved = [
        Move(name, whole_k / _views_k(model.forecast_encoded(without(encoded, name)), target)[0])
        for name in model.block_names
        if encoded.present[name][0]
    ]
    return sorted(moved, key=lambda one: (-abs(np.log(one.factor)), one.modality))


def _views_k(scaled: Floats, target: TargetTransform) -> Floats:
    # Factors of less than one view say nothing.
    return np.maximum(target.score(scaled), ONE_VIEW_K)


SPOKEN, ON_SCREEN = "spoken words", "text on screen"
#: Facts of which "" says that there is nothing, which is nothing to leave out.
READ: Final = {SPOKEN: "transcript", ON_SCREEN: "screen"}
#: What people call the blocks of a model that is made of them.
BLOCKS: Final = {
    "visual": "picture",
    "frames": "frames",
    "audio": "sound",
    "words": SPOKEN,
    "text": "caption",
    "form": "form of the caption",
    "tags": "hashtags",
    "meta": "length, shape and time",
    "account": "account",
    "sound": "sound used",
    "traits": "kind of post",
    "author": "author's earlier posts",
    "sound_past": "earlier posts with the sound",
    "tags_past": "earlier posts with the hashtags",
    "level": "level of the catalog",
    "screen": ON_SCREEN,
    "opening": "opening",
    "sentence": "meaning of the texts",
    "grams": "words",
    "neighbours": "similar videos",
}
#: How a row looks of which a feature or a fact is not known.
FEATURES: Final = {"visual": "picture", "clip": "clip", "frames": "frames", "audio": "sound"}
FACTS: Final[dict[str, dict[str, Any]]] = {
    "caption": {"caption": ""},
    "hashtags": {"hashtags": ()},
    SPOKEN: {"transcript": None, "language": None, "speech_s": None},
    ON_SCREEN: {"screen": None},
    "author": {"author": None, "account": None},
    "sound used": {"sound": None, "is_sound_original": None, "n_sound_videos": None},
    "time of posting": {"posted_at": None},
    "length and shape": {"duration_s": None, "width_px": None, "height_px": None},
}
#: Whether a row has what a block is made of. A block may also say that something is not there, and
#: that it is absent is no move, whatever a model makes of it.
HAS: Final[dict[str, Callable[[Example], object]]] = {
    "words": lambda row: row.facts.transcript,
    "screen": lambda row: row.facts.screen,
    "text": lambda row: row.facts.caption,
    "form": lambda row: row.facts.caption or row.facts.hashtags,
    "tags": lambda row: row.facts.hashtags,
    "grams": lambda row: _says_something(row.facts) or row.facts.sound is not None,
    "account": lambda row: row.facts.account is not None,
    "sound": lambda row: row.facts.sound is not None or row.facts.n_sound_videos is not None,
    "traits": lambda row: row.facts.traits is not None,
    "author": lambda row: _has_number(row.history),
    "sound_past": lambda row: _has_number(row.history),
    "tags_past": lambda row: _has_number(row.history),
    "level": lambda row: _has_number(row.history),
    "visual": lambda row: row.visual is not None,
    "frames": lambda row: row.frames is not None,
    "audio": lambda row: row.audio is not None,
    "opening": lambda row: _has_number(row.opening),
    "sentence": lambda row: row.sentence is not None and _says_something(row.facts),
}


def _has_number(values: Array | None) -> bool:
    return values is not None and bool(np.isfinite(np.asarray(values)).any())


def _says_something(facts: PostFacts) -> bool:
    return bool(facts.caption or facts.hashtags or facts.transcript or facts.screen)


def moves_of(
    network: Network,
    example: Example,
    *,
    target: TargetTransform,
    score: Callable[[Example], Forecast],
    kind: Kind,
) -> tuple[Move, ...]:
    """Factor of each modality that the row has and the model reads; 1 where it moved nothing.

    What the model cannot do without is not left out, and what two modalities say alike is in the
    factor of neither. What the row does not have is none, whatever a model makes of its absence.
    """
    if isinstance(network, ConstantRegressor):
        return ()
    blocks = _forecaster(network)
    if blocks is not None:
        return tuple(
            replace(moved, modality=BLOCKS.get(moved.modality, moved.modality))
            for moved in ablate(blocks, example, target)
            if moved.modality not in HAS or HAS[moved.modality](example)
        )
    whole_k = max(score(example).views_k, ONE_VIEW_K)
    return tuple(
        Move(modality, whole_k / max(score(changed).views_k, ONE_VIEW_K))
        for modality, changed in _without(example, kind)
    )


def _forecaster(network: Network) -> BlockForecaster | None:
    try:
        return forecaster_of(network)
    except BadSetting:
        return None


def _without(example: Example, kind: Kind) -> list[tuple[str, Example]]:
    nothing: dict[str, dict[str, Any]] = {feature: {feature: None} for feature in kind.reads}
    features = [
        (name, replace(example, **nothing[feature]))
        for feature, name in FEATURES.items()
        if feature in nothing and getattr(example, feature) is not None
    ]
    if not kind.reads_facts:  # it is shown features alone, and without any it has nothing to go by
        return features if len(features) > 1 else []
    return features + [
        (name, replace(example, facts=replace(example.facts, **absent)))
        for name, absent in FACTS.items()
        if any(getattr(example.facts, fact) != value for fact, value in absent.items())
        and (name not in READ or getattr(example.facts, READ[name]))
    ]
