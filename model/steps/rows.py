"""The rows of a split as models read them: compact in memory, their contents read in pages."""

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.facts import FeatureRef, PostFacts, TrainingRow
from catalog.files import locked, sha256_text
from catalog.read.pending import SETTLED, split_rows
from catalog.read.posts import features_of, posts_of
from catalog.schema.session import Catalog
from catalog.schema.types import chunks
from catalog.work.runs import RunInProgress
from features.store import FeatureStore
from features.video.convlstm import pad_to_depth
from model.batches import NO_FACTS, Example
from model.split import PARTS

WEIGHTS_FOLDER = "weights"
SCRATCH_FOLDER = "scratch"
WAITING = ("pending", "leased", "failed")


@dataclass(frozen=True)
class Reader:
    """Makes an example of what the catalog knows of a video.

    tensors: which of each feature, none of one that is only asked for its facts. clip_depth:
    frames of a clip that the network reads; shorter ones get black frames behind them. A feature
    that is absent stays None, never zeros.
    """

    store: FeatureStore
    tensors: Mapping[str, Sequence[str]]
    clip_depth: int | None = None

    def __call__(
        self,
        video_id: int,
        features: Mapping[str, FeatureRef],
        views_k: float | None = None,
        facts: PostFacts = NO_FACTS,
    ) -> Example:
        """Read one row's tensors. Raises FeatureError."""
        found = {feature: self._read(feature, ref) for feature, ref in features.items()}
        clip = found.get("clip")
        if clip is not None and self.clip_depth is not None:
            clip = pad_to_depth([clip], self.clip_depth)[0][0].numpy()
        return Example(
            video_id,
            found.get("visual"),
            found.get("audio"),
            views_k,
            clip,
            found.get("frames"),
            facts,
        )

    def _read(self, feature: str, ref: FeatureRef) -> NDArray[Any] | None:
        if ref.status != "done" or not self.tensors[feature]:
            return None
        uri, row = location(ref)
        tensors = self.store.read(uri, row)
        wanted = [tensors[name] for name in self.tensors[feature]]
        return wanted[0] if len(wanted) == 1 else np.concatenate(wanted)


def lacks(
    features: Mapping[str, FeatureRef], needs: Sequence[str], *, optional: bool = False
) -> str | None:
    """Say why a row cannot be trained on, None when it can.

    optional: a feature that nobody has begun to make is absent and not still to come.
    """
    for feature, ref in features.items():
        waits = ref.status in WAITING if optional else ref.status not in SETTLED
        if waits:
            return f"{feature}_not_yet"
        if feature in needs and ref.status != "done":
            return f"no_{feature}"
    return None


def location(ref: FeatureRef) -> tuple[str, int]:
    assert ref.uri is not None  # a constraint of the catalog: what is done has a place
    assert ref.row is not None
    return ref.uri, ref.row


def artifact_uris(name: str, inputs_hash: str, again_run_id: int | None) -> tuple[str, str]:
    """Give the places of a training's result and of its unfinished state, by its inputs.

    again_run_id: the run that repeats a finished training. Its file stands beside the first one,
    whose checksum is on record and which may have come out of another version of torch.
    """
    stem = f"{WEIGHTS_FOLDER}/{name}-{inputs_hash[:16]}"
    again = "" if again_run_id is None else f"-{again_run_id}"
    return f"{stem}{again}.safetensors", f"{stem}.safetensors.state"


def only_one(data: Path, name: str, inputs_hash: str) -> AbstractContextManager[None]:
    """Be the only process that trains this from these inputs, for as long as the block runs.

    Two would share an unfinished state and a scratch folder. Raises Busy.
    """
    lock_file = data / SCRATCH_FOLDER / f"{name}-{inputs_hash[:16]}.lock"
    return locked(lock_file, f"{name} is being trained on the same rows")


def hash_of(*parts: object) -> str:
    """Name everything that a result was made from by one hash."""
    return sha256_text(json.dumps(parts, sort_keys=True, default=str))


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
    catalog: Catalog, run: RunInProgress, wanted: Wanted, *, keep_refs: bool
) -> tuple[dict[str, Part], str]:
    """Return the usable rows by part and the hash of all that they hold; count the others.

    A feature made anew, another caption or label makes another hash.
    """
    parts: dict[str, Part] = {part: Part() for part in PARTS}
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
    """Examples of one part, read in pages each time they are gone through; one alone by its ref."""

    def __init__(self, catalog: Catalog, part: Part, wanted: Wanted, reader: Reader) -> None:
        self._catalog = catalog
        self._part = part
        self._wanted = wanted
        self._reader = reader

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> Example:
        row = self._part.refs[index]
        return self._reader(row.video_id, row.features, row.views_k)

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


def _facts(catalog: Catalog, wanted: Wanted, ids: Sequence[int]) -> dict[int, PostFacts]:
    if not wanted.with_facts:
        return {}
    with catalog.read() as session:
        return posts_of(session, ids, audio_set_id=wanted.set_ids.get("audio"))


def _content(row: TrainingRow, facts: PostFacts | None) -> bytes:
    hashes = [ref.sha256 for _, ref in sorted(row.features.items())]
    said = None if facts is None else vars(facts)  # `asdict` copies, at ten times the cost
    document = [row.part, row.video_id, row.views_k, hashes, said]
    return json.dumps(document, sort_keys=True, default=str).encode()
