"""The rows of a split as models read them: compact in memory, their contents read in pages."""

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from catalog.facts import TrainingRow
from catalog.paging import features_of
from catalog.pending import split_rows
from catalog.posts import posts_of
from catalog.rows import chunks
from catalog.runs import Run
from catalog.session import Catalog
from model.batches import Example
from model.facts import NO_FACTS, Facts
from model.steps.inputs import Reader, facts_of, lacks

PARTS = ("train", "val", "holdout")
PAGE = 250  # examples in memory at once; one with an embedding of the paper's size takes 2 MB


@dataclass(frozen=True)
class Wanted:
    """Which rows, and what of them.

    set_ids: feature set of each kind. with_facts: also what the post says.
    """

    split_id: int
    set_ids: Mapping[str, int]
    needs: Sequence[str]
    optional: bool
    with_facts: bool


@dataclass
class Part:
    """The usable rows of one part: 16 bytes each, and their refs only where `refs` is asked for."""

    ids: "array[int]" = field(default_factory=lambda: array("q"))
    views: "array[float]" = field(default_factory=lambda: array("d"))
    refs: list[TrainingRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def views_k(self) -> NDArray[np.float64]:
        """Labels in thousands, (n,)."""
        return np.frombuffer(self.views) if len(self.views) else np.zeros(0)

    def thinned(self, at_most: int) -> "Part":
        """At most so many of the rows, evenly spread over all of them; without refs."""
        step = max(1, -(-len(self) // at_most))
        return Part(self.ids[::step], self.views[::step])

    def permuted(self, seed: int) -> "Part":
        """The same rows with each other's labels, a function of the seed."""
        order = np.random.default_rng(seed).permutation(len(self))
        views = array("d", self.views_k[order].tolist())
        refs = [
            TrainingRow(row.video_id, row.tiktok_id, row.part, views_k, row.features)
            for row, views_k in zip(self.refs, views, strict=False)
        ]
        return Part(self.ids, views, refs)


def read_parts(
    catalog: Catalog, run: Run, wanted: Wanted, *, keep_refs: bool
) -> tuple[dict[str, Part], str]:
    """Return the usable rows by part and the hash of all that they hold; count the others.

    A feature made anew, another caption or label makes another hash.
    """
    parts = {part: Part() for part in PARTS}
    contents = hashlib.sha256()
    with catalog.read() as session:
        rows = split_rows(session, wanted.split_id, wanted.set_ids, parts=PARTS)
        for page in chunks(rows):
            facts = _facts(catalog, wanted, [row.video_id for row in page])
            for row in page:
                reason = lacks(row.features, wanted.needs, optional=wanted.optional)
                if reason is not None:
                    run.skipped(row.tiktok_id, reason)
                    continue
                part = parts[row.part]
                part.ids.append(row.video_id)
                part.views.append(row.views_k)
                if keep_refs:
                    part.refs.append(row)
                contents.update(_content(row, facts.get(row.video_id)))
    return parts, contents.hexdigest()


class PartRows:
    """Examples of one part, read in pages each time they are gone through."""

    def __init__(self, catalog: Catalog, part: Part, wanted: Wanted, reader: Reader) -> None:
        self._catalog = catalog
        self._part = part
        self._wanted = wanted
        self._reader = reader

    def __len__(self) -> int:
        return len(self._part)

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), PAGE):
            ids = self._part.ids[start : start + PAGE].tolist()
            views = self._part.views[start : start + PAGE]
            with self._catalog.read() as session:
                features = features_of(session, self._wanted.set_ids, ids)
            facts = _facts(self._catalog, self._wanted, ids)
            for video_id, views_k in zip(ids, views, strict=True):
                yield self._reader(
                    video_id, features[video_id], views_k, facts.get(video_id, NO_FACTS)
                )


def _facts(catalog: Catalog, wanted: Wanted, ids: Sequence[int]) -> dict[int, Facts]:
    if not wanted.with_facts:
        return {}
    with catalog.read() as session:
        posts = posts_of(session, ids, audio_set_id=wanted.set_ids.get("audio"))
    return {video_id: facts_of(post) for video_id, post in posts.items()}


def _content(row: TrainingRow, facts: Facts | None) -> bytes:
    hashes = [ref.sha256 for _, ref in sorted(row.features.items())]
    said = None if facts is None else vars(facts)  # `asdict` copies, at ten times the cost
    document = [row.part, row.video_id, row.views_k, hashes, said]
    return json.dumps(document, sort_keys=True, default=str).encode()
