"""Read the counts of videos over time: all of them, and what they were at an age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.ages import AgeRule, CountAtAge, NoCount, count_at_age
from catalog.facts import Candidate, Observed
from catalog.read.posts import CANDIDATE, OBSERVED, Page, by_video_id
from catalog.schema.tables import Video, ViewObservation
from catalog.schema.types import among, chunks


def video_histories(session: Session) -> Iterator[tuple[Candidate, Sequence[Observed]]]:
    """Yield each video that is not gone and has a readable count, in the order of its id.

    Beside it every readable count of it, the oldest first.
    """
    page = (
        select(*CANDIDATE)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(Video.gone_at.is_(None), ViewObservation.views_k.is_not(None))
    )
    for videos in chunks(by_video_id(session, page)):
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
    """Return of at most a chunk of videos, by id, the views at an age or why there is no number."""
    seen = counts_seen(session, list(asked))
    return {
        video_id: count_at_age(
            seen[video_id], ask.posted_at, ask.age_s, now=now, rule=rule, after=ask.after
        )
        for video_id, ask in asked.items()
    }
