"""The replica's planted catalog without files: its posts, and features that show what is planted.

What a picture or a sound would tell is written into small tensors with noise: brightness, colour
and speed into channels of the embedding, the kind of sound into encoder states.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select

from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ObservationFacts, VideoFacts
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature, Video
from catalog.schema.types import utc_now
from features.store import FeatureStore
from scraper.replica.content import LAST_POST, ReplicaConfig, ReplicaVideo, build_content
from tests.fresh_catalog import fresh_catalog
from tests.synthetic import add_feature_set

KINDS = ("visual", "audio", "frames")
SOUNDS = ("speech", "music", "noise", "silence")


@dataclass(frozen=True)
class Planted:
    """A catalog of the replica's videos with features, and where they lie."""

    catalog: Catalog
    data: Path
    store: FeatureStore
    sets: dict[str, FeatureSetFacts]

    def feature_set(self, kind: str) -> FeatureSetFacts:
        """That of a kind, as the catalog gives it; NotFound where nobody extracted it."""
        if kind not in self.sets:
            raise NotFound(f"no feature set {kind}")
        return self.sets[kind]


@contextmanager
def planted(
    folder: Path, *, per_topic: int = 36, kinds: tuple[str, ...] = KINDS
) -> Iterator[Planted]:
    """12 topics times `per_topic` videos, with the features of these kinds."""
    content = build_content(ReplicaConfig(videos_per_tag=per_topic))
    with fresh_catalog(folder) as catalog:
        at = LAST_POST + timedelta(days=2)
        with catalog.write() as session:
            store_sightings(
                session,
                [(_facts(video), _count(video, at)) for video in content.videos],
                run_id=None,
                found_by=None,
            )
        store = FeatureStore(str(folder / "features"))
        sets = {kind: add_feature_set(catalog, kind) for kind in kinds}
        for kind in kinds:
            _add(catalog, store, sets[kind], content.by_id)
        yield Planted(catalog, folder, store, sets)


def _facts(video: ReplicaVideo) -> VideoFacts:
    return VideoFacts(
        tiktok_id=video.tiktok_id,
        url=f"https://example.org/@/video/{video.tiktok_id}",
        caption=video.caption,
        author_key=video.account.account_id,
        posted_at=video.created_at,
        duration_s=video.duration_s,
        width_px=video.width_px,
        height_px=video.height_px,
        hashtags=video.hashtags,
    )


def _count(video: ReplicaVideo, at: Any) -> ObservationFacts:
    return ObservationFacts(at, str(video.views), video.views / 1000, 0.0, "import")


def _add(catalog: Catalog, store: FeatureStore, feature_set: FeatureSetFacts, by_id: Any) -> None:
    with catalog.read() as session:
        ids = session.execute(select(Video.id, Video.tiktok_id).order_by(Video.id)).all()
    kind, now = feature_set.kind, utc_now()
    found = []
    rows = [(video_id, _row(kind, by_id[tiktok_id])) for video_id, tiktok_id in ids]
    present = [(video_id, row) for video_id, row in rows if row is not None]
    for start in range(0, len(present), 32):
        page = present[start : start + 32]
        stored = store.write(kind, feature_set.config_hash, [row for _, row in page])
        found += [
            {
                "video_id": video_id,
                "status": "done",
                "uri": place.uri,
                "row": place.row,
                "sha256": place.sha256,
                "detail": {"text": ""} if kind == "audio" else None,
            }
            for (video_id, _), place in zip(page, stored, strict=True)
        ]
    common = {"feature_set_id": feature_set.id, "attempts": 1, "finished_at": now}
    absent = [
        {**common, "video_id": video_id, "status": "skipped", "error_code": "no_audio"}
        for video_id, row in rows
        if row is None
    ]
    with catalog.write() as session:
        session.execute(insert(Feature), [{**common, **values} for values in found])
        if absent:
            session.execute(insert(Feature), absent)


def _row(kind: str, video: ReplicaVideo) -> dict[str, NDArray[Any]] | None:
    rng = np.random.default_rng(int(video.tiktok_id) % 2**32 + len(kind))
    look = video.look
    hue = math.radians(look.hue_deg)
    seen = np.array([look.luma, math.cos(hue), math.sin(hue), look.motion])
    if kind == "visual":
        embedding = rng.normal(0, 0.2, (8, 4, 4))
        embedding[:4] += seen[:, None, None]
        return {"embedding": embedding.astype(np.float16)}
    if kind == "frames":
        mean = np.concatenate([seen, rng.normal(0, 1, 12)]).astype(np.float32)
        return {"mean": mean, "std": mean * 0, "max": mean}
    if video.sound == "none":
        return None
    states = rng.normal(0, 0.3, (3, 8))
    states[:, SOUNDS.index(video.sound)] += 1
    return {"pooled_audio": states.astype(np.float32), "pooled_speech": states.astype(np.float32)}
