"""How the daemon is: who it is, how its jobs stand, and what is wrong."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.schema.session import Catalog
from catalog.schema.tables import JobLease, Run
from catalog.schema.types import utc_now
from catalog.work.daemon import LEASE, NIGHTLY, known_schedules
from catalog.work.job_lease import holder_of
from catalog.work.schedule import Schedule


def daemon_status(
    catalog: Catalog, max_age: timedelta, *, now: datetime | None = None
) -> dict[str, Any]:
    """Return whether a daemon lives and a night has succeeded within `max_age`.

    No other job may be later than that either. `ok` says all of it; `why` says what is wrong,
    None when nothing is. Only reads.
    """
    moment = now or utc_now()
    with catalog.read() as session:
        lease = session.get(JobLease, LEASE)
        jobs = {
            schedule.job: _job_status(session, schedule, lease, moment)
            for schedule in known_schedules(session)
        }
    lives = lease is not None and _lives(lease, moment)
    why = [] if lives else ["no daemon is running"]
    for name, job in jobs.items():
        # A night has to have succeeded; what is rarer only must not be late.
        age_s, is_night = job["last_good_age_s"], name == NIGHTLY
        if is_night and (age_s is None or age_s > max_age.total_seconds()):
            why.append(f"no {name} has succeeded in the last {hours_text(max_age)}")
        elif not is_night and (job["late_s"] or 0) > max_age.total_seconds():
            why.append(f"{name} is {hours_text(timedelta(seconds=job['late_s']))} late")
    return {
        "ok": not why,
        "why": "; ".join(why) or None,
        "running": lives,
        "heartbeat_age_s": (moment - lease.heartbeat_at).total_seconds() if lease else None,
        "owner": lease.owner if lease else None,
        "fence": lease.fence if lease else None,
        "jobs": jobs,
    }


def hours_text(length: timedelta) -> str:
    """Say a length of time in hours, or days where these are many."""
    hours = length.total_seconds() / 3600
    return f"{hours:.3g} h" if hours < 72 else f"{hours / 24:.3g} days"


def _lives(lease: JobLease, moment: datetime) -> bool:
    holder = holder_of(lease)
    # One of this machine that was killed is not waited for until its time is over.
    return lease.owner != "" and lease.expires_at > moment and not (holder and holder.is_dead())


def _job_status(
    session: Session, schedule: Schedule, lease: JobLease | None, moment: datetime
) -> dict[str, Any]:
    of_kind = select(Run).where(Run.kind == schedule.job).order_by(Run.id.desc()).limit(1)
    last = session.scalar(of_kind.where(Run.slot.is_not(None)))
    good = session.scalar(of_kind.where(Run.status.in_(("ok", "partial"))))
    done_until = lease.acquired_at if lease else moment
    if good is not None:
        done_until = good.scheduled_for or good.started_at
    overdue = schedule.following(done_until)
    following = schedule.following(moment)
    late_s = (moment - overdue.scheduled_for).total_seconds() if overdue else 0.0
    return {
        "last_run": _brief(last),
        "last_good_run": _brief(good),
        "last_good_age_s": _age_s(good, moment),
        "late_s": late_s if late_s > 0 else None,
        "next_due": following.scheduled_for.isoformat() if following else None,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
    }


def _age_s(run: Run | None, moment: datetime) -> float | None:
    if run is None or run.finished_at is None:
        return None
    return (moment - run.finished_at).total_seconds()


def _brief(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    finished = run.finished_at.isoformat() if run.finished_at else None
    return {"id": run.id, "slot": run.slot, "status": run.status, "finished_at": finished}


def status_rows(status: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of a table of the jobs."""
    rows = []
    for name, job in status["jobs"].items():
        last = job["last_run"] or {}
        age_s, late_s = job["last_good_age_s"], job["late_s"]
        rows.append(
            [
                name,
                last.get("slot"),
                last.get("status"),
                age_s if age_s is None else hours_text(timedelta(seconds=age_s)),
                job["next_due"],
                late_s if late_s is None else hours_text(timedelta(seconds=late_s)),
            ]
        )
    return ["job", "last slot", "status", "last good", "next due", "late"], rows
