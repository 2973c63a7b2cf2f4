"""What a site may still be asked today, and until when it wants to be left alone."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Select, case, delete, select
from sqlalchemy.orm import Session

from catalog.schema.tables import SiteDay, SitePause
from catalog.schema.types import insert_into, utc_now

WHOLE_SITE = ""


@dataclass(frozen=True)
class Pause:
    """Until when not to come back; scope "" is the whole site, "#dance" one hashtag."""

    scope: str
    until: datetime
    reason: str
    n_times: int


def pages_today(session: Session, site: str, now: datetime) -> int:
    """Return how many pages of a site were visited on the day (UTC) of `now`."""
    counted = select(SiteDay.n_pages).where(SiteDay.site == site, SiteDay.day == _day(now))
    return session.scalar(counted) or 0


def count_pages(session: Session, site: str, n: int, now: datetime) -> None:
    """Add visited pages to the day (UTC) of `now`."""
    if n <= 0:
        return
    statement = insert_into(session, SiteDay)
    row = {"site": site, "day": _day(now), "n_pages": n}
    total = SiteDay.n_pages + statement.excluded.n_pages
    keys = ["site", "day"]
    session.execute(
        statement.on_conflict_do_update(index_elements=keys, set_={"n_pages": total}), [row]
    )


def pause_of(session: Session, site: str, scope: str, now: datetime) -> Pause | None:
    """Return the pause that is in force for the scope, None when there is none."""
    found = session.execute(_pause(site, scope).where(SitePause.until > now)).first()
    return None if found is None else Pause(*found)


def n_pauses(session: Session, site: str, scope: str) -> int:
    """Return how often in a row the scope was paused, the last pause over or not."""
    found = session.execute(_pause(site, scope)).first()
    return 0 if found is None else found[3]


def set_pause(session: Session, site: str, scope: str, until: datetime, reason: str) -> None:
    """Leave the scope alone until then, and count the time; a longer pause in force stays."""
    statement = insert_into(session, SitePause)
    new = statement.excluded
    is_longer = SitePause.until <= new.until
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["site", "scope"],
            set_={
                "until": case((is_longer, new.until), else_=SitePause.until),
                "reason": case((is_longer, new.reason), else_=SitePause.reason),
                "n_times": SitePause.n_times + 1,
                "set_at": new.set_at,
            },
        ),
        [
            {
                "site": site,
                "scope": scope,
                "until": until,
                "reason": reason,
                "n_times": 1,
                "set_at": utc_now(),
            }
        ],
    )


def end_pause(session: Session, site: str, scope: str) -> None:
    """Forget the pauses of the scope: it has answered again."""
    session.execute(delete(SitePause).where(SitePause.site == site, SitePause.scope == scope))


def _pause(site: str, scope: str) -> Select[str, datetime, str, int]:
    columns = (SitePause.scope, SitePause.until, SitePause.reason, SitePause.n_times)
    return select(*columns).where(SitePause.site == site, SitePause.scope == scope)


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()
