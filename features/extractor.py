"""What every extractor promises: sources in, one result or one error a source out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from catalog.files import sha256_text
from features.errors import FeatureError

if TYPE_CHECKING:
    from features.media import Media


@dataclass(frozen=True)
class Source:
    """One video's input: a media file (`path`), another feature of it, or its texts by part.

    A feature lies in a store (`uri` and `row`), or in memory (`tensors`). media: the file, opened
    for all the kinds that are made of it now. kinds: those that are wanted; None: all that are
    made.
    """

    video_id: int
    tiktok_id: str
    path: str | None = None
    uri: str | None = None
    row: int | None = None
    tensors: Mapping[str, NDArray[Any]] | None = None
    texts: Mapping[str, str] | None = None
    media: "Media | None" = None
    kinds: frozenset[str] | None = None

    def wants(self, kind: str) -> bool:
        """Whether a kind is to be made of it."""
        return self.kinds is None or kind in self.kinds


@dataclass(frozen=True)
class Extracted:
    """One video's feature: its tensors, and facts worth reading in SQL (JSON values only)."""

    tensors: Mapping[str, NDArray[Any]]
    detail: Mapping[str, Any] = field(default_factory=dict)


class Extractor(Protocol):
    """A loaded extractor; it may hold a network and lives in one process."""

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Extract each source; a known error takes the place of its row and of no other."""


@dataclass(frozen=True)
class FeatureSetSpec:
    """Everything that changes the numbers of a feature, so that its hash names the feature set."""

    kind: str
    config: Mapping[str, Any]
    extractor: str
    extractor_version: str
    weights_sha256: str | None

    @cached_property
    def hash(self) -> str:
        """sha256 of the canonical JSON of all fields."""
        document = {
            "kind": self.kind,
            "config": self.config,
            "extractor": self.extractor,
            "extractor_version": self.extractor_version,
            "weights_sha256": self.weights_sha256,
        }
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256_text(canonical)
