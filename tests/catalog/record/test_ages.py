"""The views at reported ages stay what the rule says of all counts, at the cost of what is new."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select

from catalog.ages import AgeRule, CountAtAge, count_at_age
from catalog.facts import posted_at_of
from catalog.read.counts import video_histories
from catalog.record import ages
from catalog.record.ages import ages_to_do, keep_ages, n_known_by_age
from catalog.record.sightings import store_sightings
from catalog.schema.forecasts import ReportedAge, ViewsAtAge
from catalog.schema.types import utc_now
from tests.catalog.factories import named, seen, video_facts
from tests.fresh_catalog import ask

DAY_S = 86_400
AGES_S = (DAY_S, 7 * DAY_S)
RULE = AgeRule(reach=0.5, tolerance=0.1)
#: All of these are over and done with; what is still to come stands in tests of its own.
POSTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def see(catalog, number: int, *counts: tuple[float, float], posted_at=POSTED):
    """See the video of that number with counts by age in days."""
    tiktok_id = str((int(POSTED.timestamp()) << 32) + number)
    facts = video_facts(tiktok_id, posted_at=posted_at)
    with catalog.write() as session:
        for age_d, views_k in counts:
            sighting = facts, seen(views_k, at=POSTED + timedelta(days=age_d))
            store_sightings(session, [sighting], run_id=None, found_by=None)
    return tiktok_id


def kept(catalog) -> dict[tuple[int, int], tuple]:
    with catalog.read() as session:
        rows = session.scalars(select(ViewsAtAge))
        return {
            (row.video_id, row.age_s): (
                row.views_k, row.low_k, row.high_k, row.method, row.before_id, row.after_id
            )
            for row in rows
        }  # fmt: skip


def by_the_rule(catalog, ages_s=AGES_S, rule=RULE) -> dict[tuple[int, int], tuple]:
    """What the rule says of all that was ever seen, worked out from the whole histories."""
    told = {}
    with catalog.read() as session:
        for video, counts in video_histories(session):
            for age_s in ages_s:
                posted_at = posted_at_of(video)
                count = count_at_age(counts, posted_at, age_s, now=utc_now(), rule=rule)
                if isinstance(count, CountAtAge):
                    ends = [None if one is None else one.id for one in (count.before, count.after)]
                    numbers = (count.views_k, count.low_k, count.high_k, count.method)
                    told[video.video_id, age_s] = (*numbers, *ends)
    return told


def status_of(catalog, tiktok_id: str) -> dict[float, str]:
    sql = "SELECT age_d, status FROM v_views_at_age WHERE tiktok_id = :id"
    return dict(ask(catalog, sql, id=tiktok_id))


def test_what_is_kept_is_what_the_rule_says_of_all_counts(catalog):
    see(catalog, 1, (0.6, 10), (1.3, 20), (5, 50), (8, 70))
    see(catalog, 2, (6.5, 30))
    see(catalog, 3, (40, 30))
    outcome = keep_ages(catalog, AGES_S, RULE)
    assert (outcome.status, outcome.n_done) == ("ok", 3)
    assert kept(catalog) == by_the_rule(catalog)
    assert {value[3] for value in kept(catalog).values()} == {"interpolated", "nearest"}


def test_a_run_without_anything_new_reads_no_observation_and_writes_no_count(catalog):
    for number in range(5):
        see(catalog, number, (0.6, 10), (1.3, 20))
    keep_ages(catalog, AGES_S, RULE)
    statements = []
    listen = lambda _c, _cursor, sql, *_rest: statements.append(sql)  # noqa: E731 (to take it off again)
    event.listen(catalog.engine, "before_cursor_execute", listen)
    outcome = keep_ages(catalog, AGES_S, RULE)
    event.remove(catalog.engine, "before_cursor_execute", listen)
    assert outcome.n_done == 0
    of_videos = [sql for sql in statements if "FROM view_observation" in sql]
    assert all("max(" in sql for sql in of_videos)
    assert not any("views_at_age" in sql and "SELECT" not in sql for sql in statements)


def test_an_older_count_that_comes_later_mends_a_number(catalog):
    see(catalog, 1, (6.8, 30), (9, 40))
    keep_ages(catalog, AGES_S, RULE)
    before = kept(catalog)
    see(catalog, 1, (6.9, 33))  # an import of what somebody wrote down then
    outcome = keep_ages(catalog, AGES_S, RULE)
    assert outcome.n_done == 1
    assert kept(catalog) == by_the_rule(catalog) != before


def test_another_time_of_posting_changes_what_an_old_count_was_of(catalog):
    see(catalog, 1, (6.8, 30), (7.4, 40))
    keep_ages(catalog, AGES_S, RULE)
    assert set(kept(catalog)) == {(1, 7 * DAY_S)}
    # So much earlier that the counts are of other ages, with a count of long after.
    see(catalog, 1, (90, 400), posted_at=POSTED - timedelta(days=30))
    keep_ages(catalog, AGES_S, RULE)
    assert kept(catalog) == by_the_rule(catalog) == {}


def test_so_does_one_that_comes_with_no_new_count(catalog):
    see(catalog, 1, (6.8, 30), (7.4, 40))
    see(catalog, 2, (6.9, 30), posted_at=None)
    keep_ages(catalog, AGES_S, RULE)
    see(catalog, 1, (6.8, 30), posted_at=POSTED + timedelta(hours=1))
    see(catalog, 2, (6.9, 30), posted_at=POSTED - timedelta(days=30))
    assert keep_ages(catalog, AGES_S, RULE).n_done == 0
    assert set(kept(catalog)) == {(1, 7 * DAY_S)}
    assert kept(catalog) == by_the_rule(catalog)


def test_a_count_before_the_age_alone_is_taken_when_the_time_for_a_later_one_is_over(
    catalog, monkeypatch
):
    tiktok_id = see(catalog, 1, (6.8, 30))
    untimed = see(catalog, 2, (6.9, 30), posted_at=None)
    monkeypatch.setattr(ages, "utc_now", lambda: POSTED + timedelta(days=8))
    keep_ages(catalog, AGES_S, RULE)
    assert kept(catalog) == {}
    monkeypatch.setattr(ages, "utc_now", lambda: POSTED + timedelta(days=10, hours=11))
    assert keep_ages(catalog, AGES_S, RULE).n_done == 0
    monkeypatch.setattr(ages, "utc_now", lambda: POSTED + timedelta(days=10, hours=12))
    assert keep_ages(catalog, AGES_S, RULE).n_done == 2
    assert kept(catalog) == by_the_rule(catalog)
    assert status_of(catalog, tiktok_id) == {1.0: "not_observed", 7.0: "known"}
    # The time of the second stands in its id alone.
    assert status_of(catalog, untimed) == {7.0: "known"}


def test_many_posts_of_one_moment_close_across_pages(catalog, monkeypatch):
    monkeypatch.setattr(ages, "PAGE", 2)
    for number in range(7):
        posted_at = POSTED if number < 5 else POSTED + timedelta(minutes=number)
        see(catalog, number, (6.8, 30.0 + number), posted_at=posted_at)
    monkeypatch.setattr(ages, "utc_now", lambda: POSTED + timedelta(days=8))
    keep_ages(catalog, AGES_S, RULE)
    monkeypatch.setattr(ages, "utc_now", lambda: POSTED + timedelta(days=11))
    assert keep_ages(catalog, AGES_S, RULE).n_done == 7
    assert kept(catalog) == by_the_rule(catalog)


def test_the_view_says_of_each_video_and_age_whether_it_is_known(catalog):
    now = utc_now()
    tiktok_id = see(catalog, 1, posted_at=POSTED)
    young = str((int(now.timestamp()) << 32) + 7)
    with catalog.write() as session:
        posted = video_facts(young, posted_at=now - timedelta(hours=2))
        store_sightings(session, [(posted, seen(1.0, at=now))], run_id=None, found_by=None)
    see(catalog, 1, (0.6, 10), (1.3, 20))
    keep_ages(catalog, AGES_S, RULE)
    assert status_of(catalog, tiktok_id) == {1.0: "known", 7.0: "not_observed"}
    assert status_of(catalog, young) == {1.0: "not_yet", 7.0: "not_yet"}
    numbers = "SELECT views_k FROM v_views_at_age WHERE status <> 'known'"
    assert {views_k for (views_k,) in ask(catalog, numbers)} == {None}


def test_other_ages_and_rules_begin_anew_and_what_is_not_reported_goes(catalog, monkeypatch):
    monkeypatch.setattr(ages, "PAGE", 2)
    for number in range(5):
        see(catalog, number, (0.6, 10), (1.3, 20), (6, 50), (8, 70), (30, 90))
    keep_ages(catalog, AGES_S, RULE)
    with catalog.read() as session:
        assert n_known_by_age(session) == dict.fromkeys(AGES_S, 5)
    more = (7 * DAY_S, 30 * DAY_S)
    with catalog.read() as session:
        todo = ages_to_do(session, more, RULE)
    assert (todo.begun, todo.dropped, todo.n_observations) == (more[1:], AGES_S[:1], 25)
    keep_ages(catalog, more, RULE)
    assert kept(catalog) == by_the_rule(catalog, more)
    narrow = AgeRule(reach=0.1, tolerance=0.05)
    keep_ages(catalog, more, narrow)
    assert kept(catalog) == by_the_rule(catalog, more, narrow)
    assert {age_s for _video, age_s in kept(catalog)} == {30 * DAY_S}
    keep_ages(catalog, (), RULE)
    with catalog.read() as session:
        assert (kept(catalog), session.scalars(select(ReportedAge)).all()) == ({}, [])


class Killed(BaseException):
    """As SIGKILL: nothing that is open is stored."""


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(catalog, monkeypatch, seed):
    monkeypatch.setattr(ages, "PAGE", 3)
    draw = random.Random(seed)
    for number in range(8):
        days = sorted(draw.uniform(0.1, 12) for _ in range(draw.randrange(1, 5)))
        see(catalog, number, *((day, 10 * day) for day in days))
    looks = 0
    look = ages._look

    def dying(*args):
        nonlocal looks
        looks += 1
        found = look(*args)
        if draw.random() < 0.3:
            raise Killed
        return found

    monkeypatch.setattr(ages, "_look", dying)
    for _ in range(40):
        try:
            keep_ages(catalog, AGES_S, RULE)
            break
        except Killed:
            continue
    else:
        raise AssertionError("never got to the end")
    assert kept(catalog) == by_the_rule(catalog)
    monkeypatch.setattr(ages, "_look", look)
    assert keep_ages(catalog, AGES_S, RULE).n_done == 0


def test_numbers_that_the_database_gives_again_are_not_taken_for_read(catalog):
    see(catalog, 1, (0.6, 10), (1.3, 20))
    gone = see(catalog, 2, (0.6, 10), (1.3, 20))
    keep_ages(catalog, AGES_S, RULE)
    from catalog.record.retention import purge  # noqa: PLC0415 (of this test alone)

    with catalog.write() as session:
        purge(session, named([gone]), reason="asked for")
    see(catalog, 3, (0.7, 30), (1.2, 40))
    keep_ages(catalog, AGES_S, RULE)
    assert len(kept(catalog)) == 2
    assert kept(catalog) == by_the_rule(catalog)
