"""Take, renew and finish units of work, so that each is done once whoever dies on the way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from catalog.enrol import block_features, enrol_features, enrol_media, retry_failed
from catalog.errors import NotFound
from catalog.leases import (
    CLAIMABLE,
    LEASE_S,
    MAX_ATTEMPTS,
    Absent,
    Failed,
    FeatureDone,
    MediaDone,
    renew,
    take,
    unfinished,
)
from catalog.session import Catalog
from catalog.tables import Feature, FeatureSet, MediaFile, Run, Video
from catalog.types import plain_json, utc_now

__all__ = [
    "LEASE_S",
    "MAX_ATTEMPTS",
    "Absent",
    "Failed",
    "FeatureClaim",
    "FeatureDone",
    "MediaClaim",
    "MediaDone",
    "block_features",
    "claim_features",
    "claim_media",
    "count_open",
    "enrol_features",
    "enrol_media",
    "finish_feature",
    "finish_media",
    "renew",
    "retry_failed",
]

# A unit whose input is being made anew is left alone until the input is there.
MEDIA_THERE = (
    "EXISTS (SELECT 1 FROM media_file i WHERE i.video_id = u.video_id"
    " AND i.kind = 'video' AND i.status = 'ok')"
)
INPUT_THERE = (
    "EXISTS (SELECT 1 FROM feature i WHERE i.feature_set_id = :input_set"
    " AND i.video_id = u.video_id AND i.status = 'done')"
)


@dataclass(frozen=True)
class MediaClaim:
    """A media file to fetch; ours until the lease ends."""

    media_id: int
    video_id: int
    tiktok_id: str
    url: str
    attempt: int
    duration_s: float | None


@dataclass(frozen=True)
class FeatureClaim:
    """A feature to extract from `input_uri`; ours until the lease ends."""

    video_id: int
    tiktok_id: str
    attempt: int
    input_uri: str
    input_row: int | None
    input_sha256: str


def claim_media(
    catalog: Catalog,
    *,
    owner: str,
    limit: int,
    lease_s: float = LEASE_S,
) -> list[MediaClaim]:
    """Take up to `limit` files to fetch, in one short transaction; [] when none is to be had."""
    with catalog.write() as session:
        inner = f"SELECT u.id FROM media_file u WHERE {CLAIMABLE} ORDER BY u.status, u.id LIMIT :n"
        taken = take(session, "media_file", "id", "1 = 1", inner, owner, limit, lease_s, None, {})
        rows = session.execute(
            select(MediaFile.id, Video.id, Video.tiktok_id, Video.url, Video.duration_s)
            .join(Video, Video.id == MediaFile.video_id)
            .where(MediaFile.id.in_(taken))
            .order_by(MediaFile.id)
        )
        return [
            MediaClaim(media_id, video_id, tiktok_id, url, taken[media_id], duration_s)
            for media_id, video_id, tiktok_id, url, duration_s in rows
        ]


def finish_media(
    session: Session, claim: MediaClaim, owner: str, result: MediaDone | Absent | Failed
) -> bool:
    """Write what became of a claim; False when it is no longer ours, and nothing was written."""
    now = utc_now()
    if isinstance(result, MediaDone):
        values: dict[str, Any] = {
            "status": "ok",
            "uri": result.uri,
            "sha256": result.sha256,
            "n_bytes": result.n_bytes,
            "probe": plain_json(result.probe),
            "error_code": None,
            "error": None,
            "not_before": None,
            "finished_at": now,
        }
    else:
        values = unfinished(result, claim.attempt, now)
    written = session.execute(
        update(MediaFile)
        .where(
            MediaFile.id == claim.media_id,
            MediaFile.status == "leased",
            MediaFile.lease_owner == owner,
            MediaFile.attempts == claim.attempt,
        )
        .values(**values, lease_owner=None, lease_until=None, run_id=_run_of(owner))
        .returning(MediaFile.id)
        .execution_options(synchronize_session=False)
    )
    return written.first() is not None


def claim_features(
    catalog: Catalog,
    feature_set_id: int,
    *,
    owner: str,
    limit: int,
    lease_s: float = LEASE_S,
    now: datetime | None = None,
) -> list[FeatureClaim]:
    """Take up to `limit` features to extract, in one short transaction; [] when there are none."""
    with catalog.write() as session:
        feature_set = session.get(FeatureSet, feature_set_id)
        if feature_set is None:
            raise NotFound(f"no feature set with id {feature_set_id}")
        input_set = feature_set.input_set_id
        there = MEDIA_THERE if input_set is None else INPUT_THERE
        inner = (
            "SELECT u.video_id FROM feature u"
            f" WHERE u.feature_set_id = :set_id AND {CLAIMABLE} AND {there}"
            " ORDER BY u.status, u.video_id LIMIT :n"
        )
        more = {"set_id": feature_set_id}
        if input_set is not None:
            more["input_set"] = input_set
        own = "feature_set_id = :set_id"
        taken = take(session, "feature", "video_id", own, inner, owner, limit, lease_s, now, more)
        return [
            FeatureClaim(video_id, tiktok_id, taken[video_id], uri, row, sha256)
            for video_id, tiktok_id, uri, row, sha256 in _inputs(session, input_set, taken)
        ]


def finish_feature(
    session: Session,
    feature_set_id: int,
    claim: FeatureClaim,
    owner: str,
    result: FeatureDone | Absent | Failed,
) -> bool:
    """Write what became of a claim; False when it is no longer ours, and nothing was written."""
    now = utc_now()
    if isinstance(result, FeatureDone):
        values: dict[str, Any] = {
            "status": "done",
            "uri": result.uri,
            "row": result.row,
            "sha256": result.sha256,
            "shape": list(result.shape),
            "dtype": result.dtype,
            "n_bytes": result.n_bytes,
            "seconds": result.seconds,
            "detail": plain_json(result.detail),
            "error_code": None,
            "error": None,
            "not_before": None,
            "finished_at": now,
        }
    else:
        values = unfinished(result, claim.attempt, now)
    written = session.execute(
        update(Feature)
        .where(
            Feature.feature_set_id == feature_set_id,
            Feature.video_id == claim.video_id,
            Feature.status == "leased",
            Feature.lease_owner == owner,
            Feature.attempts == claim.attempt,
        )
        .values(
            **values,
            input_sha256=claim.input_sha256,
            lease_owner=None,
            lease_until=None,
            run_id=_run_of(owner),
        )
        .returning(Feature.video_id)
        .execution_options(synchronize_session=False)
    )
    return written.first() is not None


def count_open(session: Session, feature_set_id: int) -> int:
    """Return how many features of a set are still to come: pending, leased or to be retried."""
    open_states = ("pending", "failed", "leased")
    counted = select(func.count()).where(
        Feature.feature_set_id == feature_set_id, Feature.status.in_(open_states)
    )
    return session.execute(counted).scalar_one()


def _inputs(session: Session, input_set: int | None, video_ids: dict[int, int]) -> list[Any]:
    if input_set is None:
        wanted = (
            select(Video.id, Video.tiktok_id, MediaFile.uri, text("NULL"), MediaFile.sha256)
            .join(MediaFile, MediaFile.video_id == Video.id)
            .where(MediaFile.kind == "video")
        )
    else:
        wanted = (
            select(Video.id, Video.tiktok_id, Feature.uri, Feature.row, Feature.sha256)
            .join(Feature, Feature.video_id == Video.id)
            .where(Feature.feature_set_id == input_set)
        )
    rows = session.execute(wanted.where(Video.id.in_(video_ids)).order_by(Video.id))
    return list(rows)


def _run_of(owner: str) -> Any:
    return select(Run.id).where(Run.uid == owner).scalar_subquery()
