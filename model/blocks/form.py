"""A caption's form and a post's own numbers: how it is written, when, how long, what shape."""

import math
import re
import unicodedata
from datetime import UTC
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.facts import Facts

FORM_NAMES: Final = (
    "characters",
    "words",
    "word_length",
    "lines",
    "emoji",
    "questions",
    "exclamations",
    "dots",
    "mentions",
    "hashtags",
    "links",
    "capitals",
    "digits",
    "not_latin",
)
POST_NAMES: Final = (
    "duration",
    "duration_known",
    "aspect",
    "height",
    "size_known",
    "hour_sin",
    "hour_cos",
    "hour_sin_2",
    "hour_cos_2",
    "weekday_sin",
    "weekday_cos",
    "weekend",
    "time_known",
)
# Bounds the time of one row: what an import brings may be of any length.
READ_CHARACTERS: Final = 2_500

_WORD: Final = re.compile(r"\w+")
_MENTION: Final = re.compile(r"(?<!\w)@\w")
_LINK: Final = re.compile(r"https?://|www\.")


def caption_form(facts: Facts) -> NDArray[np.float64] | None:
    """FORM_NAMES of a post, counts as log(1 + n), the last three as shares; None without any text.

    returns: (14,) float64
    """
    caption = facts.caption[:READ_CHARACTERS]
    if not caption and not facts.hashtags:
        return None
    words = _WORD.findall(caption)
    letters = sum(map(str.isalpha, caption))
    # Letters and signs of plain ASCII, which are most of a caption, need no closer look.
    other = [character for character in caption if not character.isascii()]
    counts = (
        len(caption),
        len(words),
        sum(map(len, words)) / max(1, len(words)),
        caption.count("\n"),
        sum(unicodedata.category(character) == "So" for character in other),
        caption.count("?") + caption.count("\uff1f") + caption.count("\u061f"),
        caption.count("!") + caption.count("\uff01"),
        caption.count(".") + caption.count("…"),
        len(_MENTION.findall(caption)),
        len(facts.hashtags) or caption.count("#"),
        len(_LINK.findall(caption.lower())),
    )
    shares = (
        sum(map(str.isupper, caption)) / max(1, letters),
        sum(map(str.isdigit, caption)) / max(1, len(caption)),
        sum(c.isalpha() and ord(c) > 0x24F for c in other) / max(1, letters),
    )
    return np.array([*(math.log1p(n) for n in counts), *shares])


def post_numbers(facts: Facts) -> NDArray[np.float64] | None:
    """POST_NAMES of a post, unknown ones NaN and their `…_known` 0; None where nothing is known.

    duration log seconds, aspect log(width / height), height log px; times in UTC, on circles so
    that 23:59 is beside 0:00 and Sunday beside Monday.    returns: (13,) float64
    """
    duration_s = _positive(facts.duration_s)
    width_px, height_px = _positive(facts.width_px), _positive(facts.height_px)
    has_size = width_px is not None and height_px is not None
    if duration_s is None and not has_size and facts.posted_at is None:
        return None
    numbers = np.full(len(POST_NAMES), np.nan)
    numbers[[1, 4, 12]] = duration_s is not None, has_size, facts.posted_at is not None
    if duration_s is not None:
        numbers[0] = math.log(duration_s)
    if width_px is not None and height_px is not None:
        numbers[2:4] = math.log(width_px / height_px), math.log(height_px)
    if facts.posted_at is not None:
        posted_at = facts.posted_at.astimezone(UTC)
        day = 2 * math.pi * (posted_at.hour + posted_at.minute / 60) / 24
        week = 2 * math.pi * (posted_at.weekday() + posted_at.hour / 24) / 7
        numbers[5:12] = (
            math.sin(day),
            math.cos(day),
            math.sin(2 * day),
            math.cos(2 * day),
            math.sin(week),
            math.cos(week),
            posted_at.weekday() >= 5,
        )
    return numbers


def _positive(number: float | None) -> float | None:
    # Zero seconds or pixels, or NaN, is how an exporter writes "unknown"; it is no measurement.
    return number if number is not None and math.isfinite(number) and number > 0 else None
