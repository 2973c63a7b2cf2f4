"""When a job is due: a cron expression in a time zone, and the slots that it names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from catalog.errors import BadValue
from catalog.schema.types import utc_now

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# How far to look for the slot before, or after, a moment: most are found at the first.
REACHES = tuple(timedelta(days=days) for days in (0.1, 2, 9, 33, 367, 9 * 366))
# No zone has moved its clocks by more at once: Samoa left out a day.
LARGEST_JUMP = timedelta(hours=25)


@dataclass(frozen=True)
class Slot:
    """One execution of a job, and when it is due."""

    name: str
    scheduled_for: datetime


@dataclass(frozen=True)
class Schedule:
    """The slots of `job`: five fields as in a crontab, read on the clock of a zone.

    second: of the minute. Raises BadValue for an unknown zone and for what is no expression.
    """

    job: str
    cron: str
    timezone: str = "UTC"
    second: int = 0

    def __post_init__(self) -> None:
        """Refuse what is never due."""
        if self._trigger.get_next_fire_time(None, _on_wall(utc_now(), self._zone)) is None:
            raise BadValue(f"{self.job}: {self.cron!r} is on no day of any year")

    @property
    def is_daily(self) -> bool:
        """Whether it is due at one time of the day, so that a day can name its slot."""
        return all(field.isdecimal() for field in self._fields[:2])

    def slots(self, after: datetime, until: datetime) -> list[Slot]:
        """Return what is due after one moment and at the latest at the other, in order."""
        found: dict[datetime, str] = {}
        wall = _on_wall(after, self._zone) - LARGEST_JUMP
        last = _on_wall(until, self._zone) + LARGEST_JUMP
        at = self._trigger.get_next_fire_time(None, wall)
        while at is not None and at <= last:
            for due in self._instants(at):
                if after < due <= until:
                    day = at.date().isoformat()
                    found[due] = day if self.is_daily else f"{due:%Y-%m-%dT%H:%MZ}"
            at = self._trigger.get_next_fire_time(at, at + timedelta(seconds=1))
        return [Slot(f"{self.job}/{found[due]}", due) for due in sorted(found)]

    def newest(self, now: datetime) -> Slot | None:
        """Return the newest slot that is due at `now`, None when there never was one."""
        return next((found[-1] for r in REACHES if (found := self.slots(now - r, now))), None)

    def following(self, now: datetime) -> Slot | None:
        """Return the first slot that is due after `now`."""
        return next((found[0] for r in REACHES if (found := self.slots(now, now + r))), None)

    def dst_warning(self) -> str | None:
        """Return why this time is a poor choice in its zone, None when it is a good one."""
        if not self.is_daily or not 1 <= int(self._fields[1]) < 3:
            return None
        start = utc_now()
        days = [(start + timedelta(days=day)).astimezone(self._zone) for day in range(366)]
        if len({day.utcoffset() for day in days}) == 1:
            return None
        time = f"{int(self._fields[1]):02}:{int(self._fields[0]):02}"
        return (
            f"{self.job}: {time} {self.timezone} is skipped on one day of the year and comes twice"
            " on another, as the clocks change; each day is still done once, but 03:00 is safer"
        )

    @cached_property
    def _fields(self) -> list[str]:
        fields = self.cron.lower().split()
        if len(fields) != 5:
            raise BadValue(
                f"{self.job}: {self.cron!r} is no cron expression; one has five fields: 30 4 * * *"
            )
        return fields

    @cached_property
    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BadValue(f"no time zone {self.timezone!r}; one is Europe/Berlin") from error

    @cached_property
    def _trigger(self) -> CronTrigger:
        minute, hour, day, month, weekday = self._fields
        if day[0] != "*" and weekday[0] != "*":
            # cron takes either, the library only both: nobody would get what he expects.
            raise BadValue(
                f"{self.job}: {self.cron!r} names days of the month and of the week; give one"
            )
        try:
            # In UTC: what it says is what a clock on the wall shows. Where the clocks change,
            # the library's own way through a zone loses some times and finds others twice.
            return CronTrigger(
                minute=minute,
                hour=hour,
                day=day,
                month=month,
                day_of_week=_weekdays(weekday),
                second=self.second,
                timezone=UTC,
            )
        except ValueError as error:
            raise BadValue(f"{self.job}: {self.cron!r} is no cron expression: {error}") from error

    def _instants(self, wall: datetime) -> Iterator[datetime]:
        """Say when a clock on the wall shows that; in every hour: each time that it does."""
        # A time that the clocks jump over is due as much later as they jump; of one that comes
        # twice the first is meant.
        first = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        yield first
        second = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        if second > first and self._fields[1][0] == "*":
            yield second


def _on_wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock in that zone shows, as if it were UTC."""
    return moment.astimezone(zone).replace(tzinfo=UTC, fold=0)


def _weekdays(field: str) -> str:
    """Return the names of the days that a crontab's field means, in which 0 and 7 are Sunday."""
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([1-9]))?", part)
        if match is None:
            raise ValueError(f"{part!r} is no day of the week")
        start = 0 if match[1] is None else _weekday(match[1])
        end = 6 if match[1] is None else _weekday(match[2] or match[1])
        if end < start:  # fri-mon
            end += 7
        chosen.update(day % 7 for day in range(start, end + 1, int(match[3] or 1)))
    return ",".join(WEEKDAYS[day] for day in sorted(chosen))


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text in "01234567" and len(text) == 1:
        return int(text)
    raise ValueError(f"{text!r} is no day of the week: sun to sat, or 0 to 7, both Sunday")
