"""What is known of one video, and what was made of it."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.facts import KnownFeature
from catalog.read.lookup import KnownVideo, known_videos
from catalog.schema.tables import Feature, FeatureSet, MediaFile, Video

_DONE = "done"


def find_video(session: Session, name: str) -> KnownVideo:
    """Return the video of a platform's id, an address, or an id of the catalog, in this order.

    Raises NotFound; where several platforms have a video of that id, too.
    """
    name = name.strip()
    # In an address the id is the last part of the path.
    last = name.partition("?")[0].rstrip("/").rpartition("/")[2]
    named = (Video.tiktok_id == name, Video.url == name, Video.tiktok_id == last)
    # An id of ours is short: what is longer is no number that a database can hold.
    ours = (Video.id == int(name),) if name.isascii() and name.isdigit() and len(name) < 12 else ()
    for is_it in (*named, *ours):
        found = session.execute(select(Video.id, Video.platform).where(is_it).limit(2)).all()
        if len(found) > 1:
            platforms = ", ".join(f"{video_id} ({platform})" for video_id, platform in found)
            raise NotFound(f"{name} names several videos; ask by the catalog's id: {platforms}")
        if found:
            return known_videos(session, [found[0].id])[found[0].id]
    raise NotFound(f"no video {name}: give a platform's id, an address, or an id of the catalog")


def media_uri(session: Session, video_id: int) -> str | None:
    """Return where a video's file lies under the data folder; None where it was not fetched."""
    return session.scalar(
        select(MediaFile.uri).where(
            MediaFile.video_id == video_id, MediaFile.kind == "video", MediaFile.status == "ok"
        )
    )


def features_of_video(session: Session, video_id: int) -> dict[str, KnownFeature]:
    """Return what was made of a video by kind: of the newest set that has it, else the newest."""
    rows = session.execute(
        select(FeatureSet.kind, Feature)
        .join(FeatureSet, FeatureSet.id == Feature.feature_set_id)
        .where(Feature.video_id == video_id)
        .order_by(Feature.feature_set_id)
    )
    found: dict[str, KnownFeature] = {}
    for kind, row in rows:
        if row.status != _DONE and kind in found and found[kind].status == _DONE:
            continue
        found[kind] = KnownFeature(
            status=row.status,
            uri=row.uri,
            row=row.row,
            sha256=row.sha256,
            detail=row.detail or {},
            error_code=row.error_code,
            error=row.error,
        )
    return found
