"""Add what videos' counts were, leaving out looks that say nothing new."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.facts import ObservationFacts, VideoFacts
from catalog.rows import among, bulk, insert_into
from catalog.tables import Video, ViewObservation

Sightings = Sequence[tuple[VideoFacts, ObservationFacts]]


class _Newest(NamedTuple):
    """A video's newest readable observation."""

    display_text: str
    views_k: float | None
    step_k: float | None
    observed_at: datetime


def add_observations(
    session: Session,
    batch: Sightings,
    ids: Mapping[str, int],
    run_id: int | None,
    repeat_after: timedelta,
) -> int:
    """Add what the counts were; return how many rows that were. See `store_sightings`.

    ids: the videos' ids in the catalog by those of their site.
    """
    may_repeat = {
        ids[video.tiktok_id] for video, seen in batch if repeat_after or not seen.is_time_stated
    }
    before = _newest_of(session, may_repeat)
    rows: dict[tuple[int, Any], dict[str, Any]] = {}
    for video, seen in batch:
        video_id = ids[video.tiktok_id]
        last = before.get(video_id)
        if last is not None and _is_same_count(last, seen):
            is_soon = timedelta(0) <= seen.observed_at - last.observed_at < repeat_after
            if is_soon or not seen.is_time_stated:
                continue
        row = {
            "video_id": video_id,
            "observed_at": seen.observed_at,
            "display_text": seen.display_text,
            "views_k": seen.views_k,
            "step_k": seen.step_k,
            "source": seen.source,
            "run_id": run_id,
        }
        # The first of one moment counts, in one batch as over many.
        rows.setdefault((video_id, seen.observed_at), row)
    if not rows:
        return 0
    statement = insert_into(session, ViewObservation).on_conflict_do_nothing(
        index_elements=["video_id", "observed_at"]
    )
    ordered = [rows[key] for key in sorted(rows)]
    n_added = bulk(session, statement, ordered)
    newest = (
        select(ViewObservation.id)
        .where(ViewObservation.video_id == Video.id)
        # One unreadable page must not hide the count that is known.
        .order_by(ViewObservation.views_k.is_(None), ViewObservation.observed_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        update(Video)
        .where(among(session, Video.id, set(ids.values())))
        .values(latest_observation_id=newest)
        .execution_options(synchronize_session=False)
    )
    return n_added


def _is_same_count(newest: _Newest, seen: ObservationFacts) -> bool:
    """Say whether two looks showed one count: "45.3K" on a card is 45300 in the page's data."""
    if newest.display_text == seen.display_text:
        return True
    if newest.views_k is None or seen.views_k is None or newest.views_k != seen.views_k:
        return False
    # Thousands without their text do not say how they were rounded.
    return newest.step_k == seen.step_k or not seen.is_time_stated


def _newest_of(session: Session, video_ids: set[int]) -> dict[int, _Newest]:
    """Return what each video's newest readable observation showed, and when."""
    if not video_ids:
        return {}
    rows = session.execute(
        select(
            Video.id,
            ViewObservation.display_text,
            ViewObservation.views_k,
            ViewObservation.step_k,
            ViewObservation.observed_at,
        )
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(among(session, Video.id, video_ids))
    )
    return {video_id: _Newest(text, k, step, at) for video_id, text, k, step, at in rows}
