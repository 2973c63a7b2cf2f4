"""How much is there to do: what a step would take up now, counted without claiming any of it."""

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from catalog.stale import SITE_PLATFORM
from catalog.tables import Feature, MediaFile, Video

OPEN = ("pending", "failed", "leased")


def count_media_to_fetch(session: Session) -> int:
    """Return how many videos have no media file yet and are not given up."""
    has_settled = exists().where(MediaFile.video_id == Video.id, MediaFile.status.not_in(OPEN))
    wanted = select(func.count()).select_from(Video).where(
        Video.gone_at.is_(None), Video.platform == SITE_PLATFORM, ~has_settled
    )
    return session.execute(wanted).scalar_one()


def count_to_extract(
    session: Session, feature_set_id: int | None, *, needs_feature_set_id: int | None
) -> int:
    """Return how many videos have the input of a feature set but not its feature.

    feature_set_id: None for a set that nothing was extracted for yet.
    needs_feature_set_id: the set it is made from; None: the media files.
    """
    if needs_feature_set_id is None:
        has_input = exists().where(MediaFile.video_id == Video.id, MediaFile.status == "ok")
    else:
        made_from = aliased(Feature)
        has_input = exists().where(
            made_from.video_id == Video.id,
            made_from.feature_set_id == needs_feature_set_id,
            made_from.status == "done",
        )
    wanted = select(func.count()).select_from(Video).where(has_input)
    if feature_set_id is not None:
        wanted = wanted.where(
            ~exists().where(
                Feature.video_id == Video.id,
                Feature.feature_set_id == feature_set_id,
                Feature.status.not_in(OPEN),
            )
        )
    return session.execute(wanted).scalar_one()
