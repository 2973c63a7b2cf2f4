"""Text as numbers in any language: hashed words and letters, weighed by rarity, then a few axes."""

import math
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from catalog.facts import PostFacts

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
FORM_CHARACTERS: Final = 2_500

_WORD: Final = re.compile(r"\w+")
_MENTION: Final = re.compile(r"(?<!\w)@\w")
_LINK: Final = re.compile(r"https?://|www\.")


def caption_form(facts: PostFacts) -> NDArray[np.float64] | None:
    """FORM_NAMES of a post, counts as log(1 + n), the last three as shares; None without any text.

    returns: (14,) float64
    """
    caption = facts.caption[:FORM_CHARACTERS]
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


def post_numbers(facts: PostFacts) -> NDArray[np.float64] | None:
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


# Bounds the time of one row; a transcript of half an hour says what it is about well before.
READ_CHARACTERS: Final = 1_500
# A word, or one sign that is neither space nor punctuation of a sentence: mostly emoji.
_TOKEN: Final = re.compile(r"\w+|[^\w\s.,;:!?'\"()\-]")
PIECES: Final = (2, 3, 4, 5)  # letters, the borders of a word among them
_LOG_COUNTS: Final = 1.0 + np.log(np.arange(1, 257))


def ngrams(text: str) -> list[str]:
    """Words, pairs of neighbours and pieces of two to five letters of each word, with repeats.

    The pieces find kinship between inflections, and read languages that put no spaces.
    """
    plain = unicodedata.normalize("NFKC", text[:READ_CHARACTERS]).lower()
    tokens: list[str] = _TOKEN.findall(plain)
    found = [f"w {token}" for token in tokens]
    found += [f"p {one} {two}" for one, two in pairwise(tokens)]
    for token in tokens:
        padded = f"<{token}>"
        for size in PIECES:
            found += [f"c {padded[i : i + size]}" for i in range(len(padded) - size + 1)]
    return found


def counted(grams: Sequence[str], buckets: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets that a text's grams fall into, ascending, and how many fall into each."""
    # CRC-32 because it is the same in every process and version; `hash` is not.
    found = [zlib.crc32(gram.encode()) % buckets for gram in grams]
    return np.unique(np.array(found, dtype=np.int64), return_counts=True)


class TextAxes(nn.Module):
    """Weights of a hashed vocabulary and the axes along which training texts differ most."""

    idf: Tensor
    axes: Tensor

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.width = width
        self.register_buffer("idf", torch.zeros(buckets))
        self.register_buffer("axes", torch.zeros(buckets, width))

    @classmethod
    def fit(
        cls, texts: Iterable[Sequence[str]], *, buckets: int, width: int, seed: int
    ) -> "TextAxes":
        """From the grams of n training texts; width must be at most n.

        A gram of a single text weighs nothing: no other row can share it.
        """
        fitted = cls(buckets, width)
        rows = [
            (row.astype(np.int32), counts.astype(np.int32))
            for row, counts in (counted(grams, buckets) for grams in texts)
        ]
        n_with = np.bincount(np.concatenate([row for row, _ in rows]), minlength=buckets)
        idf = np.where(n_with > 1, np.log((1 + len(rows)) / (1 + n_with)) + 1, 0.0)
        fitted.idf.copy_(torch.from_numpy(idf))
        rarity = fitted.idf.numpy()
        by_bucket = csr_array(
            (
                np.concatenate([weighed(counts, rarity[row]) for row, counts in rows]),
                np.concatenate([row for row, _ in rows]),
                np.cumsum([0, *(len(row) for row, _ in rows)]),
            ),
            shape=(len(rows), buckets),
        )
        _, _, axes = randomized_svd(by_bucket, width, n_iter=4, random_state=seed)
        fitted.axes.copy_(torch.from_numpy(np.ascontiguousarray(axes.T)))
        return fitted

    def read(self, grams: Sequence[str]) -> NDArray[np.float64]:
        """Place of a text on the axes, (width,); a text of unknown grams lies at zero."""
        row, counts = counted(grams, self.buckets)
        weights = weighed(counts, self.idf.numpy()[row])
        # A plain sum over one row: a matrix product of many would depend on the rows beside it.
        placed: NDArray[np.float64] = (weights[:, None] * self.axes.numpy()[row]).sum(axis=0)
        return placed


def weighed(counts: NDArray[np.integer], idf: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log counts times rarity, of length 1 unless nothing in it is known."""
    weights: NDArray[np.float64] = _LOG_COUNTS[np.minimum(counts, len(_LOG_COUNTS)) - 1] * idf
    length = float(np.sqrt(np.square(weights).sum()))
    return weights / length if length > 0 else weights
