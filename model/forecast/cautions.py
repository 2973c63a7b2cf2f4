"""What of a file a forecast does not rest on: a table from what its reading told to sentences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from features.errors import Absent, FeatureError
from features.one_video import MadeFeatures

Part = Literal["pictures", "sound", "post"]
Detail = Mapping[str, Any]
WHOLE: Final = 1.0
#: Of two channels that cancel each other one is listened to.
ONE_SIDE: Final = ("left", "right")


@dataclass(frozen=True)
class Caution:
    """One thing to know of a file that has its forecast all the same.

    is_partial: some of the file was not looked at or listened to, so the forecast is of the rest.
    """

    code: str
    part: Part
    message: str
    is_partial: bool


@dataclass(frozen=True)
class _Rule:
    """holds: whether it is so, by a feature's detail, which need not have any of its facts."""

    code: str
    holds: Callable[[Detail], object]
    words: Callable[[Detail], str]
    is_partial: bool = True


def _share(detail: Detail) -> float:
    return float(detail.get("fraction_read", WHOLE))


def _percent(share: float) -> str:
    # What lacks a little must not be said to be whole, nor what has a little to be empty.
    return f"{min(max(100 * share, 0.1), 99.9):.3g} %"


def _cut_off(detail: Detail) -> str:
    return f"cut off, {_percent(_share(detail))} of what the header promises is there"


def _is_damaged(detail: Detail) -> bool:
    return bool(detail.get("n_errors")) or (not detail.get("truncated") and _share(detail) < WHOLE)


def _damaged(detail: Detail) -> str:
    if detail.get("n_errors"):
        return f"damaged in {detail['n_errors']:,} places or more, what is seen there is a guess"
    return f"damaged, {_percent(_share(detail))} could be decoded"


def _hdr(detail: Detail) -> str:
    which = f" ({detail['hdr']})" if isinstance(detail["hdr"], str) else ""
    return f"HDR{which}, what a site makes of the colours may differ"


_OF_PICTURES: Final = (
    _Rule("truncated", lambda detail: detail.get("truncated"), _cut_off),
    _Rule("damaged", _is_damaged, _damaged),
    _Rule(
        "capped",
        lambda detail: detail.get("capped"),
        lambda detail: (
            f"only the beginning is looked at: {detail.get('n_frames', 'so many')} pictures are "
            "the limit of the settings"
        ),
    ),
    _Rule("hdr", lambda detail: detail.get("hdr"), _hdr, is_partial=False),
)
_OF_SOUND: Final = (
    _Rule("truncated", lambda detail: detail.get("truncated"), _cut_off),
    _Rule(
        "damaged",
        lambda detail: detail.get("n_nonfinite"),
        lambda detail: f"damaged, {detail['n_nonfinite']:,} samples are no numbers",
    ),
    _Rule(
        "capped",
        lambda detail: detail.get("capped"),
        lambda detail: (
            f"only the beginning is listened to: {detail.get('seconds', 0):,.0f} s are "
            "the limit of the settings"
        ),
    ),
    _Rule(
        "antiphase",
        lambda detail: detail.get("taken") in ONE_SIDE,
        lambda detail: (
            "left and right cancel each other where they are mixed, as in many phones: only the "
            f"{detail['taken']} one is listened to"
        ),
        is_partial=False,
    ),
    _Rule(
        "silent",
        lambda detail: detail.get("silent"),
        lambda _: "silent, or too quiet for anything to be heard",
        is_partial=False,
    ),
)


def cautions_of(made: MadeFeatures) -> tuple[Caution, ...]:
    """Say what there is to know of a file, each thing once, whichever features found it."""
    found: dict[tuple[str, Part], Caution] = {}

    def note(code: str, part: Part, message: str, *, is_partial: bool) -> None:
        caution = Caution(code, part, f"{part}: {message}", is_partial)
        found.setdefault((code, part), caution)

    details: list[tuple[Part, Detail]] = [
        (_part(kind), one.detail) for kind, one in made.made.items()
    ]
    share = made.probe.fraction_read
    # Last: a feature that has looked at the pictures knows it better.
    looked_at = {"truncated": share < WHOLE, "fraction_read": share, "hdr": made.probe.hdr}
    details.append(("pictures", looked_at))
    for part, detail in details:
        for rule in _OF_SOUND if part == "sound" else _OF_PICTURES:
            if rule.holds(detail):
                note(rule.code, part, rule.words(detail), is_partial=rule.is_partial)
    for kind, one in made.made.items():
        if one.error is not None and not isinstance(one.error, Absent):
            note("unread", _part(kind), _unread(kind, one.error), is_partial=True)
    return tuple(found.values())


#: Of a hundred training videos so many are less like the others than a clip that is called far.
FAR_BELOW: Final = 2.0
_LIKENESS: Final[Mapping[Part, tuple[tuple[str, ...], str]]] = {
    "pictures": (("visual", "frames"), "looks"),
    "sound": (("audio",), "sounds"),
}


def far_from_training(likeness: Mapping[str, float], rests_on: Sequence[str]) -> list[Caution]:
    """Say where a clip is unlike all that the model has learned from.

    likeness: percentiles by block. rests_on: what else the forecast goes by, as people call it.
    """
    found = []
    for part, (blocks, verb) in _LIKENESS.items():
        far = [name for name in blocks if likeness.get(name, 100.0) < FAR_BELOW]
        if far:
            rest = ", ".join(rests_on) or "what is usual"
            words = (
                f"unlike the training videos: nothing among them {verb} like it, "
                f"{100 - FAR_BELOW:.0f} % of them are more like the others; the forecast rests on "
                f"{rest}"
            )
            found.append(Caution("far_from_training", part, f"{part}: {words}", False))
    return found


def _part(kind: str) -> Part:
    return "sound" if kind == "audio" else "pictures"


def _unread(kind: str, error: FeatureError) -> str:
    return f"no {kind} can be made of it: {error}"
