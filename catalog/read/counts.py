"""Read the counts of videos over time: all of them, and what they were at an age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, select
from sqlalchemy.orm import Session

from catalog.ages import AgeRule, CountAtAge, NoCount, comes_of_age, count_at_age
from catalog.facts import Candidate, Observed, posted_at_of
from catalog.read.posts import CANDIDATE, OBSERVED, Page, by_video_id
from catalog.schema.tables import Video, ViewObservation
from catalog.schema.types import among, chunks, moments

COUNTED: Page = (
    select(*CANDIDATE)
    .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
    .where(Video.gone_at.is_(None), ViewObservation.views_k.is_not(None))
)


def video_histories(session: Session) -> Iterator[tuple[Candidate, Sequence[Observed]]]:
    """Yield each video that is not gone and has a readable count, in the order of its id.

    Beside it every readable count of it, the oldest first.
    """
    for videos in chunks(by_video_id(session, COUNTED)):
        seen = counts_seen(session, [video.id for video in videos])
        for video in videos:
            yield Candidate(*video), seen[video.id]


def counts_seen(session: Session, video_ids: Sequence[int]) -> dict[int, list[Observed]]:
    """Return every readable count of at most a chunk of videos, by video, the oldest first."""
    found: dict[int, list[Observed]] = {video_id: [] for video_id in video_ids}
    wanted: Page = (
        select(ViewObservation.video_id, *OBSERVED)
        .where(among(session, ViewObservation.video_id, video_ids))
        .where(ViewObservation.views_k.is_not(None))
        .order_by(ViewObservation.video_id, ViewObservation.observed_at)
    )
    for video_id, *observed in session.execute(wanted):
        found[video_id].append(Observed(*observed))
    return found


@dataclass(frozen=True, slots=True)
class AskedAge:
    """An age at which the views of a video are asked for.

    after: only counts seen later than this are looked at; None: all.
    """

    posted_at: datetime
    age_s: float
    after: datetime | None = None


def counts_at_age(
    session: Session, asked: Mapping[int, AskedAge], *, now: datetime, rule: AgeRule
) -> dict[int, CountAtAge | NoCount]:
    """Return of at most a chunk of videos, by id, the views at an age or why there is no number.

    Two counts of each are read, however many there are: the one before that age and the one after.
    """
    due = {video_id: comes_of_age(ask.posted_at, ask.age_s) for video_id, ask in asked.items()}
    at = {
        video_id: max(due[video_id], ask.after or due[video_id])
        for video_id, ask in asked.items()
        if due[video_id] <= now
    }
    seen = _seen_around(session, at)
    return {
        video_id: count_at_age(
            seen.get(video_id, ()),
            ask.posted_at,
            ask.age_s,
            now=now,
            rule=rule,
            after=ask.after,
        )
        for video_id, ask in asked.items()
    }


def labels_at_age(
    session: Session, age_s: int, *, now: datetime, rule: AgeRule
) -> Iterator[tuple[Candidate, CountAtAge | NoCount | None]]:
    """Yield each video that is not gone and has a readable count, by id, with its views at an age.

    None: nobody knows when it was posted.
    """
    for rows in chunks(by_video_id(session, COUNTED)):
        videos = [Candidate(*row) for row in rows]
        posted = {video.video_id: at for video in videos if (at := posted_at_of(video))}
        asked = {video_id: AskedAge(at, age_s) for video_id, at in posted.items()}
        found = counts_at_age(session, asked, now=now, rule=rule)
        for video in videos:
            yield video, found.get(video.video_id)


def _seen_around(session: Session, at: Mapping[int, datetime]) -> dict[int, list[Observed]]:
    """Return each video's last readable count up to a moment and its first one after it."""
    if not at:
        return {}
    asked = moments(session, [(video_id, video_id, when) for video_id, when in at.items()])
    around = select(asked.c.id, _beside(asked, is_after=False), _beside(asked, is_after=True))
    ids = {row[0]: row[1:] for row in session.execute(around)}
    wanted = [one for pair in ids.values() for one in pair if one is not None]
    read: Page = select(*OBSERVED).where(among(session, ViewObservation.id, wanted))
    counts = {row[0]: Observed(*row) for row in session.execute(read)}
    return {
        video_id: [counts[one] for one in pair if one is not None] for video_id, pair in ids.items()
    }


def _beside(asked: FromClause, *, is_after: bool) -> Any:
    """Return the query of the readable count that is the nearest to a moment on one side of it."""
    seen_at = ViewObservation.observed_at
    return (
        select(ViewObservation.id)
        .where(
            ViewObservation.video_id == asked.c.owner,
            ViewObservation.views_k.is_not(None),
            seen_at > asked.c.at if is_after else seen_at <= asked.c.at,
        )
        .order_by(seen_at if is_after else seen_at.desc())
        .limit(1)
        .correlate(asked)
        .scalar_subquery()
    )
