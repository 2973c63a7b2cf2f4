"""When a job is due: as in a crontab, and each once however the clocks change."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadValue
from catalog.work.schedule import Schedule, Slot

# Half an hour in summer; back for Ramadan; an hour in each half of the year; at midnight.
ZONES = ("Australia/Lord_Howe", "Africa/Casablanca", "Europe/Berlin", "America/Santiago")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


YEAR = (utc(2026, 1, 1), utc(2027, 1, 1))
MOMENTS = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001 - the strategy gives it the zone
    datetime(2027, 12, 31),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)


def changes(zone: str) -> list[datetime]:
    """The hours of 2026 within which that zone's clocks are changed."""
    hours = [YEAR[0] + timedelta(hours=hour) for hour in range(365 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hours[i - 1] for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]


def test_a_slot_is_named_after_its_local_day():
    berlin = Schedule("nightly", "30 0 * * *", "Europe/Berlin")
    slot = berlin.newest(utc(2026, 7, 1, 23, 0))
    assert slot == Slot("nightly/2026-07-02", utc(2026, 7, 1, 22, 30))


def test_what_is_due_several_times_a_day_is_named_after_its_minute():
    hourly = Schedule("refresh", "15 * * * *", "Europe/Berlin")
    slot = hourly.newest(utc(2026, 7, 1, 23, 20))
    assert slot == Slot("refresh/2026-07-01T23:15Z", utc(2026, 7, 1, 23, 15))


def test_before_its_time_yesterday_is_the_newest_slot():
    daily = Schedule("nightly", "30 4 * * *")
    before, after = (utc(2026, 7, 1, 4, minute) for minute in (29, 30))
    assert daily.newest(before).name == "nightly/2026-06-30"
    assert daily.newest(after).name == "nightly/2026-07-01"
    assert daily.following(before).name == "nightly/2026-07-01"
    assert daily.following(after).name == "nightly/2026-07-02"


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", {6}),  # in date.weekday(), in which Monday is 0
        ("7", {6}),
        ("sun", {6}),
        ("SUN", {6}),
        ("1", {0}),
        ("1-5", {0, 1, 2, 3, 4}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("5-7", {4, 5, 6}),
        ("fri-mon", {4, 5, 6, 0}),
        ("0,3", {6, 2}),
        ("*/2", {6, 1, 3, 5}),
        ("*", set(range(7))),
    ],
)
def test_days_of_the_week_are_those_of_a_crontab(field, days):
    found = Schedule("retrain", f"0 7 * * {field}").slots(YEAR[0], YEAR[0] + timedelta(days=21))
    assert {slot.scheduled_for.weekday() for slot in found} == days
    assert len(found) == 3 * len(days)


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("30 4 * *", "five fields"),
        ("@daily", "five fields"),
        ("61 4 * * *", "no cron expression"),
        ("0 7 * * 8", "0 to 7, both Sunday"),
        ("0 7 * * so", "sun to sat"),
        ("0 7 1 * mon", "give one"),
        ("0 7 30 2 *", "no day of any year"),
    ],
)
def test_what_is_no_expression_is_refused_in_words(cron, told):
    with pytest.raises(BadValue, match=told):
        Schedule("nightly", cron)


def test_an_unknown_zone_is_refused():
    with pytest.raises(BadValue, match="Mars"):
        Schedule("nightly", "30 4 * * *", "Mars/Olympus")


@pytest.mark.parametrize(
    ("zone", "cron", "day", "due"),
    [
        # 02:30 does not exist, and comes twice.
        ("Europe/Berlin", "30 2 * * *", date(2027, 3, 28), utc(2027, 3, 28, 1, 30)),
        ("Europe/Berlin", "30 2 * * *", date(2027, 10, 31), utc(2027, 10, 31, 0, 30)),
        ("Europe/Berlin", "30 2 * * *", date(2027, 7, 1), utc(2027, 7, 1, 0, 30)),
        # Half an hour: 02:15 is skipped, 01:45 comes twice.
        ("Australia/Lord_Howe", "15 2 * * *", date(2026, 10, 4), utc(2026, 10, 3, 15, 45)),
        ("Australia/Lord_Howe", "45 1 * * *", date(2026, 4, 5), utc(2026, 4, 4, 14, 45)),
        # Back by an hour for Ramadan, and forward after it.
        ("Africa/Casablanca", "30 2 * * *", date(2026, 2, 15), utc(2026, 2, 15, 1, 30)),
        ("Africa/Casablanca", "30 2 * * *", date(2026, 3, 22), utc(2026, 3, 22, 2, 30)),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat_is_due_once(zone, cron, day, due):
    daily = Schedule("nightly", cron, zone)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert daily.slots(noon - timedelta(hours=15), noon) == [Slot(f"nightly/{day}", due)]


@pytest.mark.parametrize("zone", [*ZONES, "UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("time", ["30 4", "0 2", "30 2", "15 2", "45 1", "0 0", "30 0", "59 23"])
def test_each_day_of_a_year_has_one_slot(zone, time):
    found = Schedule("nightly", f"{time} * * *", zone).slots(*YEAR)
    days = [date.fromisoformat(slot.name.removeprefix("nightly/")) for slot in found]
    assert days == [days[0] + timedelta(days=number) for number in range(len(found))]
    assert len(found) == 365
    gaps = {b.scheduled_for - a.scheduled_for for a, b in pairwise(found)}
    assert timedelta(hours=23) <= min(gaps)
    assert max(gaps) <= timedelta(hours=25)


@pytest.mark.parametrize("zone", [*ZONES, "Asia/Kolkata"])
@pytest.mark.parametrize("minute", [0, 15, 45])
def test_an_hourly_job_loses_no_hour_and_doubles_none(zone, minute):
    found = Schedule("refresh", f"{minute} * * * *", zone).slots(*YEAR)
    times = [slot.scheduled_for for slot in found]
    assert len({slot.name for slot in found}) == len(found)
    # As many as there are hours, but where half an hour is taken, and given back in autumn.
    assert abs(len(found) - 365 * 24) <= (1 if zone == "Australia/Lord_Howe" else 0)
    odd = [b - a for a, b in pairwise(times) if b - a != timedelta(hours=1)]
    assert odd == [] or zone == "Australia/Lord_Howe"
    assert all(timedelta(minutes=30) <= gap <= timedelta(minutes=90) for gap in odd)


def test_the_zones_are_such_that_something_changes():
    assert all(len(changes(zone)) == 2 for zone in ZONES)


@given(
    moment=MOMENTS,
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(
        ["30 2 * * *", "45 1 * * *", "15 * * * *", "0 7 * * sun", "0 2,3 * * *", "*/20 1-2 * * *"]
    ),
)
def test_the_newest_and_the_following_are_neighbours(moment, zone, cron):
    schedule = Schedule("job", cron, zone)
    newest, following = schedule.newest(moment), schedule.following(moment)
    assert newest.scheduled_for <= moment < following.scheduled_for
    assert schedule.slots(newest.scheduled_for, following.scheduled_for) == [following]
    whole = schedule.slots(newest.scheduled_for - timedelta(days=9), following.scheduled_for)
    parts = schedule.slots(newest.scheduled_for - timedelta(days=9), moment)
    assert whole == [*parts, following]


def test_a_day_that_a_zone_left_out_has_no_slot():
    samoa = Schedule("nightly", "30 4 * * *", "Pacific/Apia")
    found = samoa.slots(utc(2011, 12, 29), utc(2012, 1, 1))
    assert [slot.name[-2:] for slot in found] == ["29", "31", "01"]


@pytest.mark.parametrize(
    ("cron", "zone", "warns"),
    [
        ("30 2 * * *", "Europe/Berlin", True),
        ("30 2 * * *", "Africa/Casablanca", True),
        ("30 4 * * *", "Europe/Berlin", False),
        ("30 2 * * *", "UTC", False),
        ("30 * * * *", "Europe/Berlin", False),
    ],
)
def test_an_hour_that_the_clocks_skip_is_warned_of(cron, zone, warns):
    warning = Schedule("nightly", cron, zone).dst_warning()
    assert ("03:00 is safer" in (warning or "")) == warns
