"""Pages per day, and pauses of a site and of its hashtags."""

from datetime import UTC, datetime, timedelta

from catalog.record.site_days import (
    count_pages,
    end_pause,
    n_pauses,
    pages_today,
    pause_of,
    set_pause,
)

SITE = "https://www.tiktok.example"
NOW = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)


def test_pages_add_up_within_a_day_and_a_site(catalog):
    with catalog.write() as session:
        count_pages(session, SITE, 3, NOW)
        count_pages(session, SITE, 4, NOW)
        count_pages(session, "https://other.example", 9, NOW)
        count_pages(session, SITE, 0, NOW)
    with catalog.read() as session:
        assert pages_today(session, SITE, NOW) == 7
        assert pages_today(session, SITE, NOW + timedelta(hours=1)) == 0


def test_a_pause_is_in_force_until_its_end(catalog):
    until = NOW + timedelta(minutes=15)
    with catalog.write() as session:
        set_pause(session, SITE, "#dance", until, "a captcha")
    with catalog.read() as session:
        found = pause_of(session, SITE, "#dance", NOW)
        assert (found.until, found.reason, found.n_times) == (until, "a captcha", 1)
        assert pause_of(session, SITE, "", NOW) is None
        assert pause_of(session, SITE, "#dance", until) is None
        assert n_pauses(session, SITE, "#dance") == 1


def test_pauses_in_a_row_are_counted_until_one_success(catalog):
    with catalog.write() as session:
        for minutes in (15, 30, 60):
            set_pause(session, SITE, "", NOW + timedelta(minutes=minutes), "403")
        assert n_pauses(session, SITE, "") == 3
        end_pause(session, SITE, "")
        assert n_pauses(session, SITE, "") == 0


def test_a_longer_pause_is_not_cut_short(catalog):
    far, near = NOW + timedelta(hours=8), NOW + timedelta(minutes=1)
    with catalog.write() as session:
        set_pause(session, SITE, "", far, "429")
        set_pause(session, SITE, "", near, "403")
    with catalog.read() as session:
        assert pause_of(session, SITE, "", NOW).until == far
