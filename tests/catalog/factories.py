"""Rows for catalog tests, made the way the steps make them."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from catalog.facts import Member, ObservationFacts, VideoFacts
from catalog.read.pending import videos_to_split
from catalog.record.lineage import add_model_version, ensure_feature_set, freeze_split
from catalog.record.retention import Named
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog
from catalog.schema.tables import Video
from catalog.work.claims import (
    FeatureDone,
    MediaDone,
    claim_features,
    claim_media,
    enrol_features,
    enrol_media,
    finish_feature,
    finish_media,
)
from catalog.work.runs import record_run

T0 = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SHA = "ab" * 32


def video_facts(tiktok_id: str, **changes: object) -> VideoFacts:
    facts: dict[str, object] = {
        "tiktok_id": tiktok_id,
        "url": f"https://example.org/@/video/{tiktok_id}",
        "caption": "a caption",
        "author_key": f"author-{tiktok_id[-1]}",
        "posted_at": T0 - timedelta(days=3),
        "duration_s": 9.5,
        "width_px": 576,
        "height_px": 1024,
        "hashtags": ("dance",),
    }
    return VideoFacts(**{**facts, **changes})  # type: ignore[arg-type] # a test's free hand


def seen(views_k: float | None = 30.0, *, at: datetime = T0, source: str = "xhr"):
    step_k = None if views_k is None else 0.1
    text = "??" if views_k is None else f"{views_k}K"
    return ObservationFacts(at, text, views_k, step_k, source)


def named(ids: Collection[str] = (), authors: Collection[str] = (), platform: str = "tiktok"):
    """What a purge names, each as it was typed."""
    return Named(platform, {name: name for name in ids}, {key: key for key in authors})


def add_videos(catalog: Catalog, n: int, *, first: int = 1) -> list[int]:
    """Add videos with readable counts 10, 20, … thousand; return their ids in order."""
    sightings = [
        (video_facts(f"{7_300_000_000_000_000_000 + i}"), seen(10.0 * i))
        for i in range(first, first + n)
    ]
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by="dance")
        wanted = [video.tiktok_id for video, _ in sightings]
        rows = session.execute(
            select(Video.id).where(Video.tiktok_id.in_(wanted)).order_by(Video.id)
        )
        return list(rows.scalars())


def add_media(catalog: Catalog) -> None:
    """Give every video its media file."""
    with catalog.write() as session:
        enrol_media(session)
    while claims := claim_media(catalog, owner="factory", limit=50):
        with catalog.write() as session:
            for claim in claims:
                done = MediaDone(f"{claim.tiktok_id}.mp4", sha_of(claim.tiktok_id), 9, {"fps": 30})
                assert finish_media(session, claim, "factory", done)


def add_feature_set(catalog: Catalog, kind: str = "clip", name: str = "a") -> int:
    with catalog.write() as session:
        return ensure_feature_set(
            session,
            kind=kind,
            config={"every_frames": 200, "name": name},
            config_hash=(name * 64)[:64],
            extractor=kind,
            extractor_version="1",
            weights_sha256=None,
        )


def feature_done(claim_uri: str = "x", row: int = 0, sha256: str = SHA) -> FeatureDone:
    return FeatureDone(
        f"shards/{claim_uri}", row, sha256, (3, 2, 8, 4), "uint8", 192, 0.1, {"n_frames": 2}
    )


def add_features(catalog: Catalog, feature_set_id: int, *, needs: int | None = None) -> None:
    """Enrol and finish every feature of a set."""
    with catalog.write() as session:
        enrol_features(session, feature_set_id, needs_feature_set_id=needs)
    while claims := claim_features(catalog, feature_set_id, owner="factory", limit=50):
        with catalog.write() as session:
            for claim in claims:
                done = feature_done(claim.tiktok_id, sha256=sha_of(claim.tiktok_id))
                assert finish_feature(session, feature_set_id, claim, "factory", done)


def add_split(catalog: Catalog, video_ids: Sequence[int], name: str = "s1") -> int:
    """Freeze a split: the last fifth is holdout, the fifth before it val."""
    n = len(video_ids)
    with catalog.write() as session:
        known = {video.video_id: (video, label) for video, label in videos_to_split(session)}
        members = []
        for i, video_id in enumerate(video_ids):
            video, label = known[video_id]
            part = "holdout" if i >= 0.8 * n else "val" if i >= 0.6 * n else "train"
            members.append(Member(video, part, label))
        split = freeze_split(session, name=name, strategy="time", params={}, members=members)
        return split.id


def add_model(
    catalog: Catalog,
    *,
    name: str = "fused",
    split_id: int | None = None,
    feature_set_ids: Sequence[int] = (),
    inputs_hash: str = SHA,
) -> int:
    """Add a model version with the training run that made it."""
    with record_run(catalog, "train", params={"name": name}) as run, catalog.write() as session:
        return add_model_version(
            session,
            name=name,
            model_kind="fused",
            artifact_uri="models/x.safetensors",
            sha256=SHA,
            hyper={"epochs": 1},
            target={"kind": "log1p"},
            quartile_edges=[1.0, 2.0, 3.0],
            split_id=split_id,
            train_run_id=run.id,
            feature_set_ids=feature_set_ids,
            inputs_hash=inputs_hash,
        ).id


def sha_of(text: str) -> str:
    return (text * 64)[:64]
