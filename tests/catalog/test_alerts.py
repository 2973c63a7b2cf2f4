"""When somebody is told: each rule on both sides of its limit, and what it says to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from catalog.alerts import (
    GB,
    Disk,
    Drift,
    Facts,
    Limits,
    Night,
    SiteLeft,
    StageFailure,
    alerts_of,
)

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
SLOT = "nightly/2026-11-23"
NIGHT = Night(
    name=SLOT,
    run_id=7,
    kind="nightly",
    slot=SLOT,
    status="ok",
    started_at=NOW - timedelta(minutes=30),
    finished_at=NOW,
    error=None,
    failures=(),
    n_blocked=0,
    n_new=10,
)
FACTS = Facts(
    now=NOW,
    slot=SLOT,
    period=SLOT,
    disk=Disk("/srv/data", int(50 * GB), int(100 * GB)),
    night=NIGHT,
    last_good_at=NOW,
    first_at=NOW - timedelta(days=9),
    n_new_before=(10, 12, 8, 11, 9, 10, 30),
)


def kinds(facts: Facts) -> list[str]:
    return [alert.kind for alert in alerts_of(facts, Limits())]


def with_night(**changes: object) -> Facts:
    return replace(FACTS, night=replace(NIGHT, **changes))  # type: ignore[arg-type] # a test's free hand


def test_nobody_is_told_of_a_good_night() -> None:
    assert kinds(FACTS) == []


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        ({"status": "failed", "error": "BudgetExceeded: 9 of 9 failed"}, True),
        ({"status": "lost"}, True),
        ({"status": "partial", "failures": (StageFailure("score", "stage_partial", ""),)}, False),
        ({"failures": (StageFailure("train", "stage_out_of_time", "after 2 h"),)}, False),
        ({"failures": (StageFailure("scrape", "robots_unread", "no robots.txt"),)}, True),
        # Whoever could not be told is told later; that is no failure of the night.
        ({"failures": (StageFailure("alerts", "stage_failed", "run 9"),)}, False),
        ({"status": "cancelled"}, False),
    ],
)
def test_a_night_has_failed_when_it_or_a_whole_stage_did(
    changes: dict[str, object], is_told: bool
) -> None:
    assert kinds(with_night(**changes)) == ["night_failed"] * is_told


def test_a_failed_night_says_why_and_what_to_do() -> None:
    failures = tuple(StageFailure(f"stage {n}", "stage_failed", "run 9") for n in range(8))
    [alert] = alerts_of(with_night(failures=failures), Limits())

    assert alert.key == f"{SLOT} night_failed"
    assert "stage 0 (stage_failed): run 9" in alert.text
    assert "and 3 more" in alert.text
    assert "`viewcast runs show 7`" in alert.text
    assert f"`viewcast nightly --slot {SLOT}`" in alert.text


def test_a_job_that_died_without_a_word_is_told_of_by_its_exit_code() -> None:
    [alert] = alerts_of(replace(FACTS, night=None, exit_code=-9), Limits())

    assert (alert.kind, "exit code -9" in alert.text) == ("night_failed", True)


def test_a_job_that_fails_each_hour_is_told_of_once_a_day_and_changes_no_state() -> None:
    hours = [f"refresh/2026-11-23T{hour:02}:00Z" for hour in (3, 4)]
    low = replace(FACTS, disk=Disk("/srv/data", 0, int(GB)))
    keys = [
        {alert.key for alert in alerts_of(replace(low, slot=slot, night=night), Limits())}
        for slot in hours
        for night in [replace(NIGHT, name=slot, slot=slot, kind="refresh", status="failed")]
    ]

    assert keys[0] == keys[1] == {"refresh/2026-11-23 night_failed", f"{SLOT} disk_low"}


def test_a_job_that_was_never_begun_is_told_of_with_its_reason() -> None:
    facts = replace(FACTS, night=None, missed="no daemon was running")
    [alert] = alerts_of(facts, Limits())

    assert (alert.kind, alert.slot) == ("night_late", SLOT)
    assert "was not done: no daemon was running." in alert.text


def test_a_night_is_late_after_its_time_and_again_each_time_that_goes_by() -> None:
    def late(hours: float) -> list[str]:
        facts = replace(FACTS, now=NOW + timedelta(hours=hours))
        return [alert.key for alert in alerts_of(facts, Limits())]

    assert late(25.9) == []
    assert late(26.1) == late(51.9) != []
    assert late(52.1) == late(77.9) != late(51.9)


def test_a_night_that_is_on_its_way_or_was_never_begun_is_not_late() -> None:
    old = replace(FACTS, last_good_at=NOW - timedelta(days=3))
    assert kinds(old) == ["night_late"]
    assert kinds(replace(old, is_under_way=True)) == []
    assert kinds(replace(FACTS, night=None, last_good_at=None, first_at=None)) == []
    # Begun, and never good.
    never = replace(FACTS, last_good_at=None, first_at=NOW - timedelta(days=2))
    assert kinds(never) == ["night_late"]


@pytest.mark.parametrize(
    ("n_new", "before", "is_told"),
    [
        (4, (10, 12, 8, 11, 9, 10, 30), True),
        (5, (10, 12, 8, 11, 9, 10, 30), False),  # one great night moves no median
        (0, (10, 12), False),  # too few nights to know
        (0, (4, 4, 4), False),  # too few videos a night: that is chance
        (None, (10, 12, 8), False),  # nothing was listed, as all lists were fresh
    ],
)
def test_few_new_videos_are_few_beside_the_nights_before(
    n_new: int | None, before: tuple[int, ...], is_told: bool
) -> None:
    facts = replace(with_night(n_new=n_new), n_new_before=before)
    assert kinds(facts) == ["few_new_videos"] * is_told


def test_a_site_that_is_left_alone_or_refuses_often_is_told_of() -> None:
    left = SiteLeft("www.example.org", NOW + timedelta(hours=2), "a captcha (again)")
    [alert] = alerts_of(replace(FACTS, sites_left=(left,)), Limits())
    assert alert.kind == "site_blocked"
    assert "www.example.org is left alone until 2026-11-23 07:00 UTC: a captcha" in alert.text
    assert kinds(with_night(n_blocked=3)) == ["site_blocked"]
    assert kinds(with_night(n_blocked=2)) == []


@pytest.mark.parametrize(
    ("free_gb", "total_gb", "is_told"),
    [(1.9, 10, True), (2.1, 10, False), (9.9, 200, True), (10.1, 200, False)],
)
def test_a_disk_is_low_in_gb_or_in_share(free_gb: float, total_gb: float, is_told: bool) -> None:
    disk = Disk("/srv/data", int(free_gb * GB), int(total_gb * GB))
    assert kinds(replace(FACTS, disk=disk)) == ["disk_low"] * is_told


def test_what_the_ledger_finds_is_told_with_its_limit() -> None:
    drift = Drift("modern at 7d", "log_mae", "2026-11-22", 0.9123, 0.7, 0.85, 40)
    coverage = Drift("modern at 7d", "coverage_80", "2026-11-22", 0.61, 0.8, 0.69, 200)
    alerts = alerts_of(replace(FACTS, drifts=(drift,), coverages=(coverage,)), Limits())

    assert [alert.kind for alert in alerts] == ["error_drift", "coverage_off"]
    assert "log_mae 0.912, usual 0.7, limit 0.85 (40 forecasts" in alerts[0].text
    assert "61% of the last 200 counts" in alerts[1].text
