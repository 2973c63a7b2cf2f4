"""Settings of the block encoder, and the blocks that it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.blocks.form import FORM_NAMES, POST_NAMES
from model.blocks.history import AUTHOR_COLUMNS, TAG_COLUMNS
from model.errors import BadSetting

WORDS_COLUMNS: Final = 2  # share of speech, and whether that is known


@dataclass(frozen=True)
class Block:
    """One named group of columns."""

    name: str
    width: int


@dataclass(frozen=True)
class Encoded:
    """n rows by block, in the encoder's order of blocks.

    values: (n, width) float32, standardised on the training rows, within ±6; zeros where a row
    has no such block. present: (n,) bool, which rows have it.
    """

    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]

    def matrix(self, *, missing: float = 0.0) -> NDArray[np.float32]:
        """All columns beside each other, then one 0/1 column per block: who has it.

        missing: what stands where a row lacks a block (NaN for trees). returns: (n, columns)
        """
        columns = [
            np.where(self.present[name][:, None], value, np.float32(missing))
            for name, value in self.values.items()
        ]
        flags = [flag[:, None].astype(np.float32) for flag in self.present.values()]
        return np.concatenate([*columns, *flags], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class BlockConfig:
    """Settings of the encoder, and after fitting the sizes of what it learned.

    Before fitting the `…_width` are wishes: a block gets at most one column of text, tags or
    features per eight training rows that have it. 0: no such block. Learned sizes (below
    `seed`) are 0 until then. A model's config inherits these fields, so that it stays flat.
    tag_prior, author_prior: rows that the general mean counts for in a tag's or author's mean.
    """

    use_author: bool = False
    use_form: bool = True
    use_meta: bool = True
    use_tags: bool = True
    text_width: int = 32
    tag_width: int = 8
    words_width: int = 32
    visual_width: int = 32
    frames_width: int = 48
    audio_width: int = 32
    text_buckets: int = 2**15
    tag_prior: float = 5.0
    author_prior: float = 3.0
    n_folds: int = 5
    seed: int = 0
    n_tags: int = 0
    n_history: int = 0
    visual_size: int = 0
    frames_size: int = 0
    audio_size: int = 0

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise BadSetting(f"n_folds {self.n_folds} must be 2 or more")
        if self.text_buckets < 1 or min(self.tag_prior, self.author_prior) <= 0:
            raise BadSetting(
                f"text_buckets {self.text_buckets}, tag_prior {self.tag_prior} and author_prior "
                f"{self.author_prior} must be above 0"
            )

    def widths(self) -> dict[str, int]:
        """Columns of every possible block, in order; 0: no such block."""
        wide = {name: width if size > 0 else 0 for name, (size, width) in self.wide_sizes().items()}
        return {
            "form": len(FORM_NAMES) if self.use_form else 0,
            "meta": len(POST_NAMES) if self.use_meta else 0,
            "text": self.text_width,
            "words": self.words_width + WORDS_COLUMNS if self.words_width else 0,
            "tags": TAG_COLUMNS + self.tag_width if self.use_tags else 0,
            **wide,
            "author": AUTHOR_COLUMNS if self.n_history else 0,
        }

    def text_widths(self) -> dict[str, int]:
        """Axes of each block that reads text."""
        return {
            "text": self.text_width,
            "words": self.words_width,
            "tags": self.tag_width if self.use_tags else 0,
        }

    def wide_sizes(self) -> dict[str, tuple[int, int]]:
        """(numbers of the feature, axes) of each block that reads a feature."""
        return {
            "visual": (self.visual_size, self.visual_width),
            "frames": (self.frames_size, self.frames_width),
            "audio": (self.audio_size, self.audio_width),
        }
