"""Which day of a job is due when: one slot a local day, however the clocks change."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from catalog.errors import BadValue
from catalog.types import utc_now


@dataclass(frozen=True)
class Slot:
    """One day's execution of a job, and when it was due."""

    name: str
    scheduled_for: datetime


class RunningJob(Protocol):
    """A child process, as subprocess.Popen is one."""

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it and what it started; harmless when it has ended."""


@dataclass(frozen=True)
class Job:
    """What to start (a child that records a run of kind `name` under the slot), and when."""

    name: str
    at: time
    timezone: str
    start: Callable[[Slot], RunningJob]

    def __post_init__(self) -> None:
        """Refuse a time zone that nobody knows."""
        self.zone()

    def zone(self) -> ZoneInfo:
        """Return the zone of `at`. Raises BadValue."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BadValue(f"no time zone {self.timezone!r}; one is Europe/Berlin") from error

    def slot_of(self, day: date) -> Slot:
        """Return the slot of a local day."""
        # Where the clocks jump over the time, it is due an hour later; where they repeat it,
        # at the first time. Either way the day has one slot.
        due = datetime.combine(day, self.at.replace(tzinfo=None), tzinfo=self.zone())
        return Slot(f"{self.name}/{day.isoformat()}", due.astimezone(UTC))

    def latest_slot(self, now: datetime) -> Slot:
        """Return the newest slot that is due at `now`."""
        today = now.astimezone(self.zone()).date()
        slot = self.slot_of(today)
        return slot if slot.scheduled_for <= now else self.slot_of(today - timedelta(days=1))

    def dst_warning(self) -> str | None:
        """Return why this time is a poor choice in its zone, None when it is a good one."""
        if not 1 <= self.at.hour < 3:
            return None
        year = utc_now().year
        offsets = {datetime(year, month, 1, tzinfo=self.zone()).utcoffset() for month in (1, 7)}
        if len(offsets) == 1:
            return None
        return (
            f"{self.at:%H:%M} {self.timezone} is skipped on one day of the year and comes twice on"
            " another, as the clocks change; each day is still done once, but 03:00 is safer"
        )
