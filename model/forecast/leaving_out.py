"""What each modality did to a forecast, told by making it again without that modality."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from model.batches import Example
from model.errors import BadSetting
from model.forecast.ablation import ONE_VIEW_K, BlockForecaster, ablate, forecaster_of
from model.forecast.card import Move
from model.network import Network
from model.registry import Kind
from model.scoring import Forecast
from model.solved.baselines import ConstantRegressor
from model.targets import TargetTransform

#: What people call the blocks of a model that is made of them.
BLOCKS: Final = {
    "visual": "picture",
    "frames": "frames",
    "audio": "sound",
    "words": "spoken words",
    "text": "caption",
    "form": "form of the caption",
    "tags": "hashtags",
    "meta": "length, shape and time",
    "author": "author",
    "neighbours": "similar videos",
}
#: How a row looks of which a feature or a fact is not known.
FEATURES: Final = {"visual": "picture", "clip": "clip", "frames": "frames", "audio": "sound"}
FACTS: Final[dict[str, dict[str, Any]]] = {
    "caption": {"caption": ""},
    "hashtags": {"hashtags": ()},
    "spoken words": {"transcript": None, "language": None, "speech_s": None},
    "time of posting": {"posted_at": None},
    "length and shape": {"duration_s": None, "width_px": None, "height_px": None},
}


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
    factor of neither.
    """
    if isinstance(network, ConstantRegressor):
        return ()
    blocks = _forecaster(network)
    if blocks is not None:
        return tuple(
            Move(BLOCKS.get(moved.block, moved.block), moved.factor)
            for moved in ablate(blocks, example, target)
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
    if kind.solve is None:  # it is shown features alone, and without any it has nothing to go by
        return features if len(features) > 1 else []
    return features + [
        (name, replace(example, facts=replace(example.facts, **absent)))
        for name, absent in FACTS.items()
        if any(getattr(example.facts, fact) != value for fact, value in absent.items())
    ]
