"""The rows of a split as models read them: compact in memory, their contents read in pages."""

import hashlib
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.facts import (
    AsOf,
    FeatureRef,
    HistoryRule,
    PastOf,
    PastPost,
    PostFacts,
    TrainingRow,
)
from catalog.files import locked, sha256_text
from catalog.read.histories import past_posts
from catalog.read.pending import SETTLED, split_rows
from catalog.read.posts import features_of, posts_of
from catalog.schema.session import Catalog
from catalog.schema.types import chunks
from catalog.work.runs import RunInProgress
from features.store import FeatureStore
from features.video.convlstm import pad_to_depth
from model.batches import NO_FACTS, Example
from model.blocks.past import Asked, Histories
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
        age_s: float | None = None,
    ) -> Example:
        """Read one row's tensors; age_s: that its views are of. Raises FeatureError."""
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
            opening=found.get("opening"),
            sentence=found.get("text"),
            age_s=age_s,
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

    set_ids: feature set of each kind. with_facts: also what the post says, and of its account and
    sound what was known by the rule as_of. history: which counts of earlier posts; None: of none.
    """

    split_id: int
    set_ids: Mapping[str, int]
    needs: Sequence[str]
    optional: bool
    with_facts: bool
    as_of: AsOf = "post"
    history: HistoryRule | None = None


@dataclass
class Part:
    """The usable rows of one part: 24 bytes each, and their refs only where `refs` is asked for.

    ages: of each video in seconds when its label was seen, NaN where that is not known.
    is_permuted: their labels are those of other rows, their ages are their own.
    """

    ids: "array[int]" = field(default_factory=lambda: array("q"))
    views: "array[float]" = field(default_factory=lambda: array("d"))
    ages: "array[float]" = field(default_factory=lambda: array("d"))
    refs: list[TrainingRow] = field(default_factory=list)
    is_permuted: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: TrainingRow, *, keep_ref: bool = False) -> None:
        """Count in a row of the split."""
        self.ids.append(row.video_id)
        self.views.append(row.views_k)
        self.ages.append(math.nan if row.age_s is None else row.age_s)
        if keep_ref:
            self.refs.append(row)

    @property
    def views_k(self) -> NDArray[np.float64]:
        """Labels in thousands, (n,)."""
        return np.frombuffer(self.views) if len(self.views) else np.zeros(0)

    def thinned(self, at_most: int) -> "Part":
        """At most so many of the rows, evenly spread over all of them; without refs."""
        step = max(1, -(-len(self) // at_most))
        return Part(self.ids[::step], self.views[::step], self.ages[::step])

    def permuted(self, seed: int) -> "Part":
        """The same rows with each other's labels, a function of the seed."""
        order = np.random.default_rng(seed).permutation(len(self))
        views = array("d", self.views_k[order].tolist())
        refs = [
            replace(row, views_k=views_k) for row, views_k in zip(self.refs, views, strict=False)
        ]
        return Part(self.ids, views, self.ages, refs, is_permuted=True)


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
            facts = facts_of(catalog, wanted, [row.video_id for row in page])
            for row in page:
                reason = lacks(row.features, wanted.needs, optional=wanted.optional)
                if reason is not None:
                    run.skipped(row.tiktok_id, reason)
                    continue
                parts[row.part].add(row, keep_ref=keep_refs)
                contents.update(_content(row, facts.get(row.video_id)))
    return parts, contents.hexdigest()


def attached(examples: Sequence[Example], histories: Histories | None) -> list[Example]:
    """The examples with what earlier posts got, as it was known when each was posted."""
    if histories is None or not examples:
        return list(examples)
    asked = [
        Asked(facts.author, facts.sound, facts.hashtags, facts.posted_at)
        for facts in (example.facts for example in examples)
    ]
    columns = histories.columns(asked)
    return [replace(one, history=row) for one, row in zip(examples, columns, strict=True)]


def read_histories(
    catalog: Catalog,
    rule: HistoryRule | None,
    split_id: int | None,
    *,
    parts: Mapping[str, Part] | None = None,
    of: PastOf | None = None,
) -> Histories | None:
    """Posts of the past that rows may be judged by; None where a model reads none.

    parts: only the videos of these parts, with the labels that they have there; None: all videos
    of the catalog, members of the split with their labels. of: those that may tell of one post.
    """
    if rule is None:
        return None
    with catalog.read() as session:
        posts = past_posts(session, rule, split_id=split_id, of=of)
        return Histories(posts if parts is None else _relabelled(posts, rule, parts))


def _relabelled(
    posts: Iterator[PastPost], rule: HistoryRule, parts: Mapping[str, Part]
) -> Iterator[PastPost]:
    ids = np.concatenate([np.array(part.ids, dtype=np.int64) for part in parts.values()])
    views_k = np.concatenate([part.views_k for part in parts.values()])
    # By the rule "observed" a count is an early one, not the label; shuffled it has to be one too.
    is_label = rule == "posted" or any(part.is_permuted for part in parts.values())
    order = np.argsort(ids, kind="stable")
    ids, views_k = ids[order], views_k[order]
    for page in chunks(posts):
        at = np.searchsorted(ids, [post.video_id for post in page])
        for post, place in zip(page, at.tolist(), strict=True):
            if place < len(ids) and ids[place] == post.video_id:
                yield replace(post, views_k=float(views_k[place])) if is_label else post


class PartRows:
    """Examples of one part, read in pages each time they are gone through; one alone by its ref."""

    def __init__(
        self,
        catalog: Catalog,
        part: Part,
        wanted: Wanted,
        reader: Reader,
        histories: Histories | None = None,
    ) -> None:
        self._catalog = catalog
        self._part = part
        self._wanted = wanted
        self._reader = reader
        self._histories = histories

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> Example:
        row = self._part.refs[index]
        return self._reader(row.video_id, row.features, row.views_k, age_s=row.age_s)

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), PAGE):
            ids = self._part.ids[start : start + PAGE].tolist()
            views = self._part.views[start : start + PAGE]
            ages = self._part.ages[start : start + PAGE]
            with self._catalog.read() as session:
                features = features_of(session, self._wanted.set_ids, ids)
            facts = facts_of(self._catalog, self._wanted, ids)
            page = [
                self._reader(
                    video_id,
                    features[video_id],
                    views_k,
                    facts.get(video_id, NO_FACTS),
                    None if math.isnan(age_s) else age_s,
                )
                for video_id, views_k, age_s in zip(ids, views, ages, strict=True)
            ]
            yield from attached(page, self._histories)


def facts_of(catalog: Catalog, wanted: Wanted, ids: Sequence[int]) -> dict[int, PostFacts]:
    """What the posts say, for a model that reads it."""
    if not wanted.with_facts:
        return {}
    with catalog.read() as session:
        return posts_of(
            session,
            ids,
            audio_set_id=wanted.set_ids.get("audio"),
            ocr_set_id=wanted.set_ids.get("ocr"),
            as_of=wanted.as_of,
        )


def _content(row: TrainingRow, facts: PostFacts | None) -> bytes:
    hashes = [ref.sha256 for _, ref in sorted(row.features.items())]
    said = None if facts is None else vars(facts)  # `asdict` copies, at ten times the cost
    document = [row.part, row.video_id, row.views_k, hashes, said]
    return json.dumps(document, sort_keys=True, default=str).encode()
