"""Which known videos are to be looked at again: for want of a count, for their age, for long."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, false, func, or_, select
from sqlalchemy.orm import Session

from catalog.facts import SITE_PLATFORM, RefreshTodo
from catalog.schema.forecasts import Judgement
from catalog.schema.tables import Hashtag, Video, VideoHashtag, ViewObservation
from catalog.schema.types import seconds_between


def videos_to_refresh(
    session: Session,
    *,
    observed_before: datetime,
    unseen: bool,
    after: int = 0,
    limit: int = 1_000,
) -> list[RefreshTodo]:
    """Return videos that are not gone and were last observed before then, in the order of their id.

    unseen: those that were never observed, which somebody put on the list; else the others. An
    observation counts whether its count was readable or not. after: begin behind this video id.
    """
    page = (
        select(Video.id, Video.tiktok_id)
        .where(_is_due(observed_before, unseen=unseen), Video.id > after)
        .order_by(Video.id)
        .limit(limit)
    )
    return [RefreshTodo(*row) for row in session.execute(page)]


@dataclass(frozen=True)
class ComingOfAge:
    """Which videos are to be looked at so that their views at an age become known.

    ages_s: the ages. is_forecast: of the videos of which a forecast waits for its truth; else of
    the others. ahead_s: a video that comes to an age so soon is looked at before, unless that was
    done within the reach of the age and, where a forecast of that age waits, after it was made; one
    that has come to it is looked at once. What has no count at all is none of them.
    """

    ages_s: tuple[float, ...]
    now: datetime
    ahead_s: float
    reach: float
    is_forecast: bool

    def is_due(self, session: Session) -> ColumnElement[bool]:
        """The rule as SQL, for queries of `video`."""
        waits: list[ColumnElement[bool]] = [false()]
        for age_s in self.ages_s:
            comes_at = self.now - timedelta(seconds=age_s)
            waits += [
                (Video.posted_at <= comes_at)
                & (Video.posted_at > comes_at - timedelta(seconds=age_s * self.reach))
                & ~_seen_from(session, age_s),
                (Video.posted_at > comes_at)
                & (Video.posted_at <= comes_at + timedelta(seconds=self.ahead_s))
                & (
                    ~_seen_from(session, age_s * (1 - self.reach))
                    | _waits_unseen(session, age_s, age_s * (1 - self.reach))
                ),
            ]
        is_forecast = exists().where(Judgement.video_id == Video.id, Judgement.status == "open")
        known = Video.gone_at.is_(None) & Video.latest_observation_id.is_not(None)
        known &= is_forecast if self.is_forecast else ~is_forecast
        return or_(*waits) & known & (Video.platform == SITE_PLATFORM)


def _seen_from(
    session: Session, age_s: float, *conditions: ColumnElement[bool]
) -> ColumnElement[bool]:
    age = seconds_between(session, Video.posted_at, ViewObservation.observed_at)
    return exists().where(ViewObservation.video_id == Video.id, age >= age_s, *conditions)


def _waits_unseen(session: Session, horizon_s: float, from_s: float) -> ColumnElement[bool]:
    """Say whether a forecast of that age waits for a first look, since it is judged by later ones.

    A night looks first and forecasts then: what it saw a minute before says nothing to the judge.
    """
    looked_at = _seen_from(session, from_s, ViewObservation.observed_at > Judgement.made_at)
    return exists().where(
        Judgement.video_id == Video.id,
        Judgement.status == "open",
        Judgement.horizon_s == horizon_s,
        ~looked_at.correlate(Video, Judgement),
    )


def videos_of_age(
    session: Session, coming: ComingOfAge, *, after: int = 0, limit: int = 1_000
) -> list[RefreshTodo]:
    """Return videos that are to be looked at for their views at an age, in the order of their id.

    Their time of posting has been stated. after: begin behind this video id.
    """
    page = (
        select(Video.id, Video.tiktok_id)
        .where(coming.is_due(session), Video.id > after)
        .order_by(Video.id)
        .limit(limit)
    )
    return [RefreshTodo(*row) for row in session.execute(page)]


def count_of_age(session: Session, coming: ComingOfAge) -> int:
    """Return how many videos `videos_of_age` has."""
    counted = select(func.count()).select_from(Video).where(coming.is_due(session))
    return session.execute(counted).scalar_one()


def coming_of_age(
    session: Session, ages_s: Collection[float], reach: float, ahead: timedelta, now: datetime
) -> list[ComingOfAge]:
    """Return what is due now: first of forecasts, at the ages that they wait for as well."""
    waits = select(Judgement.horizon_s).where(Judgement.status == "open").distinct()
    of_forecasts = {*ages_s, *session.scalars(waits)}
    return [
        ComingOfAge(tuple(sorted(ages)), now, ahead.total_seconds(), reach, is_forecast)
        for ages, is_forecast in ((of_forecasts, True), (set(ages_s), False))
    ]


def count_to_refresh(
    session: Session, *, observed_before: datetime, unseen: bool | None = None
) -> int:
    """Return how many videos `videos_to_refresh` has; unseen None: both kinds together."""
    is_due = _is_due(observed_before, unseen=unseen)
    counted = select(func.count()).select_from(Video).where(is_due)
    return session.execute(counted).scalar_one()


def hashtags_to_refresh(
    session: Session, *, observed_before: datetime, at_least: int
) -> list[tuple[str, int]]:
    """Return the hashtags whose page listed that many stale videos or more, most first."""
    n_stale = func.count()
    page = (
        select(Hashtag.name, n_stale)
        .join(VideoHashtag, VideoHashtag.hashtag_id == Hashtag.id)
        .join(Video, Video.id == VideoHashtag.video_id)
        .where(_is_stale(observed_before), VideoHashtag.found_by == "listing")
        .group_by(Hashtag.name)
        .having(n_stale >= at_least)
        .order_by(n_stale.desc(), Hashtag.name)
    )
    return [(name, n) for name, n in session.execute(page)]


def _is_due(observed_before: datetime, *, unseen: bool | None) -> ColumnElement[bool]:
    is_unseen = Video.latest_observation_id.is_(None)
    if unseen:
        # Without a look at the observations, of which there are none.
        return is_unseen & Video.gone_at.is_(None) & (Video.platform == SITE_PLATFORM)
    is_stale = _is_stale(observed_before)
    return is_stale if unseen is None else is_stale & ~is_unseen


def _is_stale(observed_before: datetime) -> ColumnElement[bool]:
    seen_since = exists().where(
        ViewObservation.video_id == Video.id, ViewObservation.observed_at >= observed_before
    )
    return Video.gone_at.is_(None) & (Video.platform == SITE_PLATFORM) & ~seen_since
