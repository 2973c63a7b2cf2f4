"""What is known of the last nights, for whoever judges whether they went well."""

import os
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.ages import age_text
from catalog.alerts import Disk, Drift, Facts, Night, SiteLeft, StageFailure
from catalog.read.drift import controls
from catalog.record.site_days import WHOLE_SITE
from catalog.schema.tables import Event, Run, SitePause, Video
from catalog.schema.types import utc_now

GOOD = ("ok", "partial")
N_BEFORE = 7
# So far back is looked for nights that are like this one.
REACH = timedelta(days=30)
ONE_DAY = timedelta(days=1)
COVERAGE = "coverage_80"


def facts_of(
    session: Session, data_folder: Path, *, slot: str | None = None, parent_id: int | None = None
) -> Facts:
    """Read what alerts are made of.

    parent_id: the night that asks, still under way. slot: the execution that is asked about, of
    whatever job. Neither: the newest night that has ended.
    """
    now = utc_now()
    row = _asked_for(session, slot, parent_id)
    night = None if row is None else _night(session, row, now)
    nightly = select(func.max(Run.finished_at)).where(Run.kind == "nightly", Run.status.in_(GOOD))
    began = select(func.min(Run.started_at)).where(Run.kind == "nightly")
    charts = _charts_out(session, (night.started_at if night else now) - ONE_DAY)
    name = slot or (night.name if night else f"day/{now:%Y-%m-%d}")
    return Facts(
        now=now,
        slot=name,
        disk=disk_of(data_folder),
        night=night,
        is_under_way=row is not None and row.status == "running",
        last_good_at=session.scalar(nightly),
        first_at=session.scalar(began),
        n_new_before=() if night is None else _n_new_before(session, night),
        exit_code=_exit_code(session, slot) if slot and night is None else None,
        sites_left=_sites_left(session, now),
        drifts=tuple(chart for chart in charts if chart.what != COVERAGE),
        coverages=tuple(chart for chart in charts if chart.what == COVERAGE),
    )


def disk_of(folder: Path) -> Disk:
    """Return how full the disk of a folder is; of the nearest one above it that there is."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    usage = shutil.disk_usage(there)
    return Disk(os.fspath(folder), usage.free, usage.total)


def _asked_for(session: Session, slot: str | None, parent_id: int | None) -> Run | None:
    if parent_id is not None:
        return session.get(Run, parent_id)
    ended = select(Run).where(Run.status != "running").order_by(Run.id.desc()).limit(1)
    if slot is not None:
        return session.scalar(ended.where(Run.slot == slot))
    # One that somebody ended on purpose says nothing; when no other follows, the last is late.
    return session.scalar(ended.where(Run.kind == "nightly", Run.status != "cancelled"))


def _night(session: Session, run: Run, now: datetime) -> Night:
    failed = session.scalars(
        select(Event).where(Event.run_id == run.id, Event.level == "error").order_by(Event.id)
    )
    blocked = (
        select(func.count())
        .select_from(Event)
        .join(Run, Run.id == Event.run_id)
        .where(Run.parent_id == run.id, Event.code == "blocked")
    )
    ended = run.finished_at or now
    seen = select(func.count()).where(Video.first_seen_at.between(run.started_at, ended))
    has_listed = session.scalar(_listings(run.started_at).where(Run.parent_id == run.id).limit(1))
    return Night(
        run_id=run.id,
        kind=run.kind,
        slot=run.slot,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=run.error,
        failures=tuple(
            StageFailure(event.subject, event.code, str(event.detail.get("message", "")))
            for event in failed
        ),
        n_blocked=session.scalar(blocked) or 0,
        n_new=None if has_listed is None else session.scalar(seen) or 0,
    )


def _listings(since: datetime):  # type: ignore[no-untyped-def] # of the columns, by SQLAlchemy
    """Select the nights in which some page was listed: lists that are fresh bring nothing new."""
    return select(Run.parent_id).where(
        Run.kind == "scrape", Run.started_at >= since, Run.n_done + Run.n_failed > 0
    )


def _n_new_before(session: Session, night: Night) -> tuple[int, ...]:
    """Count the new videos of the seven nights before, newest first, that listed anything."""
    since = night.started_at - REACH
    before = session.execute(
        select(Run.started_at, Run.finished_at)
        .where(
            Run.kind == night.kind,
            Run.id < night.run_id,
            Run.status.in_(GOOD),
            Run.id.in_(_listings(since)),
        )
        .order_by(Run.id.desc())
        .limit(N_BEFORE)
    ).all()
    if not before:
        return ()
    # One pass over the videos for all of the nights.
    seen = session.scalars(
        select(Video.first_seen_at)
        .where(Video.first_seen_at.between(before[-1][0], night.started_at))
        .order_by(Video.first_seen_at)
    ).all()
    return tuple(_n_between(seen, start, end) for start, end in before)


def _n_between(moments: Sequence[datetime], start: datetime, end: datetime | None) -> int:
    return (len(moments) if end is None else bisect_right(moments, end)) - bisect_left(
        moments, start
    )


def _charts_out(session: Session, since: datetime) -> list[Drift]:
    """Read what is beyond its limits, of models whose forecasts were judged of late.

    A chart that no judgement has moved since says nothing new.
    """
    return [
        Drift(
            model=f"{chart.model_name} at {age_text(chart.horizon_s)}",
            what=chart.what,
            night=chart.night.isoformat(),
            value=chart.value,
            usual=chart.centre,
            limit=chart.limit,
            n=chart.n,
        )
        for chart in controls(session)
        if chart.is_out and chart.night > since.date()
    ]


def _exit_code(session: Session, slot: str) -> int | None:
    """Return how a child of the daemon ended that left no run behind."""
    died = select(Event).where(Event.code == "job_failed", Event.subject == slot)
    event = session.scalar(died.order_by(Event.id.desc()).limit(1))
    return None if event is None else int(event.detail.get("exit_code", 1))


def _sites_left(session: Session, now: datetime) -> tuple[SiteLeft, ...]:
    in_force = select(SitePause).where(SitePause.scope == WHOLE_SITE, SitePause.until > now)
    return tuple(
        SiteLeft(pause.site, pause.until, pause.reason) for pause in session.scalars(in_force)
    )
