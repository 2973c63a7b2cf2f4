"""What is known of the last nights, for whoever judges whether they went well."""

import os
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

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
NIGHTLY = "nightly"
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
    ended = select(func.max(Run.finished_at)).where(Run.kind == NIGHTLY, Run.status.in_(GOOD))
    began = select(func.min(Run.started_at)).where(Run.kind == NIGHTLY)
    newest = row if row is not None and row.kind == NIGHTLY else _asked_for(session, None, None)
    period = f"day/{now:%Y-%m-%d}" if newest is None else name_of(newest)
    charts = _charts_out(session, now if newest is None else newest.started_at)
    never_ran = {} if slot is None or night is not None else _told_by_daemon(session, slot)
    return Facts(
        now=now,
        slot=slot or (night.name if night else period),
        period=period,
        disk=disk_of(data_folder),
        night=night,
        is_under_way=row is not None and row.status == "running",
        last_good_at=session.scalar(ended),
        first_at=session.scalar(began),
        n_new_before=() if night is None else _n_new_before(session, night),
        exit_code=never_ran.get("exit_code"),
        missed=never_ran.get("why"),
        sites_left=_sites_left(session, now),
        drifts=tuple(chart for chart in charts if chart.what != COVERAGE),
        coverages=tuple(chart for chart in charts if chart.what == COVERAGE),
    )


def name_of(run: Run) -> str:
    """Return what an execution is called: its slot, or its number where it has none."""
    return run.slot or f"{run.kind}/run-{run.id}"


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
    return session.scalar(ended.where(Run.kind == NIGHTLY, Run.status != "cancelled"))


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
        name=name_of(run),
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
        if chart.is_out and chart.night >= since.date()
    ]


def _told_by_daemon(session: Session, slot: str) -> dict[str, Any]:
    """Return what the daemon knows of a slot that has no run: an exit code, or why it missed it."""
    known = Event.code.in_(("job_failed", "schedule_missed"))
    told = select(Event.detail).where(known, Event.subject == slot)
    return session.scalar(told.order_by(Event.id.desc()).limit(1)) or {}


def _sites_left(session: Session, now: datetime) -> tuple[SiteLeft, ...]:
    in_force = select(SitePause).where(SitePause.scope == WHOLE_SITE, SitePause.until > now)
    return tuple(
        SiteLeft(pause.site, pause.until, pause.reason) for pause in session.scalars(in_force)
    )
