"""A catalog with features that nobody extracted: small tensors for many videos, at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from catalog.facts import FeatureSetFacts
from catalog.read.lookup import find_feature_set
from catalog.record.lineage import ensure_feature_set
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature
from catalog.schema.types import utc_now
from features.store import FeatureStore

Tensors = Mapping[str, NDArray[Any]]
ROWS_PER_SHARD = 8


def clip_row(i: int) -> Tensors:
    """Two frames of noise."""
    frames = np.random.default_rng(i).integers(0, 256, (3, 2, 8, 8), dtype=np.uint8)
    return {"frames": frames}


def visual_row(i: int) -> Tensors:
    """An embedding of 8 channels on 4x4 pixels that grows with i."""
    embedding = np.random.default_rng(i).normal(i / 24, 0.2, (8, 4, 4))
    return {"embedding": embedding.astype(np.float16)}


def audio_row(i: int) -> Tensors:
    """Three encoder states of width 8."""
    states = np.random.default_rng(i).normal(0, 1, (3, 8)).astype(np.float32)
    return {"pooled_audio": states, "pooled_speech": states / 2}


ROWS: dict[str, Callable[[int], Tensors]] = {
    "clip": clip_row,
    "visual": visual_row,
    "audio": audio_row,
}


def add_feature_set(
    catalog: Catalog,
    kind: str,
    *,
    config_hash: str = "",
    config: Mapping[str, Any] | None = None,
    weights_sha256: str | None = None,
) -> FeatureSetFacts:
    """A feature set; without a hash, one of its own for each kind."""
    config_hash = config_hash or f"{kind}0".ljust(64, "0")
    with catalog.write() as session:
        ensure_feature_set(
            session,
            kind=kind,
            config=config or {},
            config_hash=config_hash,
            extractor="synthetic",
            extractor_version="1",
            weights_sha256=weights_sha256,
        )
    with catalog.read() as session:
        found = find_feature_set(session, kind, config_hash)
    assert found is not None
    return found


def add_features(
    catalog: Catalog,
    store: FeatureStore,
    feature_set: FeatureSetFacts,
    video_ids: Sequence[int],
    *,
    absent: Sequence[int] = (),
    n_distinct: int | None = None,
) -> None:
    """Write shards and give each video its row; the absent ones are skipped, as of no sound.

    n_distinct: so many rows are written, and shared by all videos; None: each has its own.
    """
    wanted = [video_id for video_id in video_ids if video_id not in absent]
    n_rows = len(wanted) if n_distinct is None else n_distinct
    stored = []
    for start in range(0, n_rows, ROWS_PER_SHARD):
        numbers = range(start, min(start + ROWS_PER_SHARD, n_rows))
        rows = [ROWS[feature_set.kind](i) for i in numbers]
        stored += store.write(feature_set.kind, feature_set.config_hash, rows)
    now = utc_now()
    common = {"feature_set_id": feature_set.id, "attempts": 1, "finished_at": now}
    done = [
        {
            **common,
            "video_id": video_id,
            "status": "done",
            "uri": stored[i % n_rows].uri,
            "row": stored[i % n_rows].row,
            "sha256": stored[i % n_rows].sha256,
        }
        for i, video_id in enumerate(wanted)
    ]
    skipped = [
        {**common, "video_id": video_id, "status": "skipped", "error_code": "no_audio"}
        for video_id in absent
    ]
    with catalog.write() as session:
        session.execute(insert(Feature), done)
        if skipped:
            session.execute(insert(Feature), skipped)
