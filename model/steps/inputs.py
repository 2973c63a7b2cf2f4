"""From the catalog's rows to the examples a model reads, and the hash that names them all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.facts import FeatureRef, PostFacts
from features.depth import pad_to_depth
from features.store import FeatureStore
from model.batches import Example
from model.facts import NO_FACTS, Facts
from model.split import Candidate, uploaded_at

WEIGHTS_FOLDER = "weights"
WAITING = ("pending", "leased", "failed")
SETTLED = ("done", "skipped", "dead")
# Which tensors of a feature are read, joined end to end where there are several.
TENSORS = {
    "visual": ("embedding",),
    "audio": ("pooled_audio",),
    "clip": ("frames",),
    "frames": ("mean", "std", "max"),
}
# The paper averages over speech only (section 3.2).
PAPER_TENSORS = {**TENSORS, "audio": ("pooled_speech",)}


@dataclass(frozen=True)
class Reader:
    """Makes an example of what the catalog knows of a video.

    tensors: which of each feature. clip_depth: frames of a clip that the network reads; shorter
    ones get black frames behind them. A feature that is absent stays None, never zeros.
    """

    store: FeatureStore
    tensors: Mapping[str, Sequence[str]]
    clip_depth: int | None = None

    def __call__(
        self,
        video_id: int,
        features: Mapping[str, FeatureRef],
        views_k: float | None = None,
        facts: Facts = NO_FACTS,
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
        if ref.status != "done":
            return None
        uri, row = location(ref)
        tensors = self.store.read(uri, row)
        wanted = [tensors[name] for name in self.tensors[feature]]
        return wanted[0] if len(wanted) == 1 else np.concatenate(wanted)


def facts_of(post: PostFacts) -> Facts:
    """Take from a post what a model may read of it."""
    heard = post.heard or {}
    seen = post.first_seen_at
    told = uploaded_at(Candidate(0, post.tiktok_id, post.account_id, post.posted_at, seen))
    # Where neither the page nor the id says it, the first sight is no time of posting.
    is_known = post.posted_at is not None or told != seen
    return Facts(
        caption=post.caption,
        hashtags=post.hashtags,
        author=post.account_id,
        posted_at=told if is_known else None,
        duration_s=post.duration_s,
        width_px=post.width_px,
        height_px=post.height_px,
        transcript=heard.get("text"),
        language=heard.get("language"),
        speech_s=heard.get("speech_s"),
    )


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


def hash_of(*parts: object) -> str:
    """Name everything that a result was made from by one hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
