"""What imports ask of sightings: other platforms, tombstones, times that nobody stated."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.errors import NotFound
from catalog.facts import RejectedFacts
from catalog.leases import MediaDone
from catalog.record import adopt_media, mark_gone, store_rejected, store_sightings
from catalog.retention import purge
from catalog.runs import record_run
from catalog.tables import Account, MediaFile, Video
from tests.catalog.factories import SHA, T0, seen, video_facts
from tests.fresh_catalog import ask

ID = "7301234567890123457"
DONE = MediaDone("media/57/7301234567890123457.mp4", SHA, 9, {"fps": 30})


def store(catalog, *sightings, **options):
    with catalog.write() as session:
        return store_sightings(session, sightings, run_id=None, found_by=None, **options)


def test_one_id_on_two_platforms_is_two_videos(catalog):
    counts = store(
        catalog, (video_facts(ID), seen()), (video_facts(ID, platform="youtube"), seen())
    )
    assert counts.new_videos == 2
    assert ask(catalog, "SELECT DISTINCT platform FROM account ORDER BY 1") == [
        ("tiktok",),
        ("youtube",),
    ]


def test_only_known_videos_may_be_asked_for(catalog):
    store(catalog, (video_facts(ID), seen()))
    later = seen(31.0, at=T0 + timedelta(days=1))
    counts = store(
        catalog, (video_facts(ID), later), (video_facts("7301234567890123458"), later),
        known_only=True,
    )  # fmt: skip
    assert (counts.known_videos, counts.new_videos, counts.unknown) == (1, 0, 1)
    assert ask(catalog, "SELECT COUNT(*) FROM video") == [(1,)]


def test_a_count_that_did_not_change_needs_a_stated_time_to_be_an_observation(catalog):
    at_file_age = replace(seen(30.0, source="import"), is_time_stated=False)
    later = T0 + timedelta(days=9)
    assert store(catalog, (video_facts(ID), at_file_age)).new_observations == 1
    same = replace(at_file_age, observed_at=later)
    assert store(catalog, (video_facts(ID), same)).new_observations == 0
    grown = replace(same, display_text="44.0K", views_k=44.0)
    assert store(catalog, (video_facts(ID), grown)).new_observations == 1
    stated = seen(44.0, at=later + timedelta(days=1), source="import")
    assert store(catalog, (video_facts(ID), stated)).new_observations == 1


def test_a_count_on_two_pages_of_one_hour_is_one_observation(catalog):
    hour = timedelta(hours=1)
    store(catalog, (video_facts(ID), seen(30.0)), repeat_after=hour)
    soon = seen(30.0, at=T0 + timedelta(minutes=59))
    assert store(catalog, (video_facts(ID), soon), repeat_after=hour).new_observations == 0
    grown = seen(31.0, at=T0 + timedelta(minutes=59))
    assert store(catalog, (video_facts(ID), grown), repeat_after=hour).new_observations == 1
    later = seen(31.0, at=T0 + timedelta(minutes=119))
    assert store(catalog, (video_facts(ID), later), repeat_after=hour).new_observations == 1


def test_the_first_count_of_a_moment_stays(catalog):
    store(catalog, (video_facts(ID), seen(1.0)), (video_facts(ID), seen(2.0)))
    store(catalog, (video_facts(ID), seen(3.0)))
    assert ask(catalog, "SELECT views_k FROM view_observation") == [(1.0,)]


def test_a_handle_is_stored_when_given_and_not_forgotten(catalog):
    store(catalog, (video_facts(ID, handle="somebody"), seen()))
    store(catalog, (video_facts(ID), seen(at=T0 + timedelta(hours=1))))
    with catalog.read() as session:
        assert session.scalar(select(Account.handle)) == "somebody"


def test_a_purged_video_or_author_is_not_stored_again(catalog):
    mine = video_facts(ID, author_key="author-a")
    hers = video_facts("7301234567890123458", author_key="author-b")
    store(catalog, (mine, seen()))
    with catalog.write() as session:
        purge(
            session,
            platform="tiktok",
            tiktok_ids=[ID],
            author_keys=["author-b"],
            reason="asked for",
        )
    counts = store(catalog, (mine, seen()), (hers, seen()))
    assert (counts.tombstoned, counts.new_videos) == (2, 0)
    assert ask(catalog, "SELECT COUNT(*) FROM video") == [(0,)]


def test_rejected_rows_are_kept_once(catalog):
    rows = [
        RejectedFacts(2, None, "bad_id", "'x' is no id", SHA),
        RejectedFacts(3, None, "bad_id", "'x' is no id", SHA),
    ]
    with record_run(catalog, "import", params={}) as run, catalog.write() as session:
        assert store_rejected(session, "old.csv", rows, run_id=run.id) == 2
        assert store_rejected(session, "old.csv", rows, run_id=run.id) == 0
        assert store_rejected(session, "new.csv", rows, run_id=run.id) == 2
    found = ask(catalog, "SELECT source, line, reason, kind FROM v_rejected_row ORDER BY 1, 2")
    assert found[0] == ("new.csv", 2, "bad_id", "import")
    assert len(found) == 4


def test_a_file_is_adopted_where_there_is_none(catalog):
    store(catalog, (video_facts(ID), seen()))
    with catalog.write() as session:
        assert adopt_media(session, "tiktok", ID, DONE) is True
        assert adopt_media(session, "tiktok", ID, DONE) is False
        assert session.scalar(select(MediaFile.status)) == "ok"
        with pytest.raises(NotFound, match="no video 1 of youtube"):
            adopt_media(session, "youtube", "1", DONE)


def test_a_file_takes_the_place_of_one_that_could_not_be_fetched(catalog):
    store(catalog, (video_facts(ID), seen()))
    with catalog.write() as session:
        video_id = session.scalar(select(Video.id))
        session.add(MediaFile(video_id=video_id, kind="video", status="dead", attempts=3))
        session.flush()
        assert adopt_media(session, "tiktok", ID, DONE) is True


def test_growth_is_per_day_between_readable_counts(catalog):
    day = timedelta(days=1)
    store(
        catalog,
        (video_facts(ID), seen(10.0)),
        (video_facts(ID), seen(None, at=T0 + day)),
        (video_facts(ID), seen(30.0, at=T0 + 2 * day)),
        (video_facts(ID), seen(29.0, at=T0 + 3 * day)),
    )
    rows = ask(
        catalog,
        "SELECT views_k, days, growth_k, growth_k_per_day, growth_slack_k, age_days"
        " FROM v_view_growth ORDER BY observed_at",
    )
    assert [row[:1] + row[2:4] for row in rows] == [
        (10.0, None, None),
        (30.0, 20.0, pytest.approx(10.0)),
        (29.0, -1.0, pytest.approx(-1.0)),
    ]
    assert [row[1] for row in rows] == [None, pytest.approx(2.0), pytest.approx(1.0)]
    assert rows[1][4] == pytest.approx(0.1)
    assert rows[0][5] == pytest.approx(3.0)  # posted three days before


def test_a_count_in_two_forms_is_the_same_count(catalog):
    hour = timedelta(hours=1)
    store(catalog, (video_facts(ID), seen(45.3)), repeat_after=hour)
    soon = T0 + timedelta(seconds=2)
    in_json = replace(seen(45.3, at=soon), display_text="45300")
    assert store(catalog, (video_facts(ID), in_json), repeat_after=hour).new_observations == 0
    exact = replace(in_json, display_text="45,300", step_k=0.0)
    assert store(catalog, (video_facts(ID), exact), repeat_after=hour).new_observations == 1


def test_thousands_of_no_stated_time_that_are_known_are_no_observation(catalog):
    store(catalog, (video_facts(ID), seen(45.3)))
    later = T0 + timedelta(days=9)
    pair = replace(seen(45.3, at=later), display_text="views_k=45.3", step_k=0.0)
    unstated = replace(pair, is_time_stated=False)
    assert store(catalog, (video_facts(ID), unstated)).new_observations == 0
    assert store(catalog, (video_facts(ID), pair)).new_observations == 1


def test_a_video_that_is_seen_again_is_back_but_not_for_the_age_of_a_file(catalog):
    store(catalog, (video_facts(ID), seen(1.0)))
    with catalog.write() as session:
        mark_gone(session, session.scalar(select(Video.id)), T0 + timedelta(days=1), "removed")
    later = seen(2.0, at=T0 + timedelta(days=2))
    gone = "SELECT gone_at IS NOT NULL, gone_reason FROM video"

    store(catalog, (video_facts(ID), replace(later, is_time_stated=False)))
    store(catalog, (video_facts(ID), seen(1.5, at=T0 + timedelta(hours=1))))
    assert [tuple(row) for row in ask(catalog, gone)] == [(True, "removed")]

    # Both in one batch: the older one must not hide the newer.
    store(
        catalog, (video_facts(ID), seen(1.6, at=T0 + timedelta(hours=2))), (video_facts(ID), later)
    )
    assert [tuple(row) for row in ask(catalog, gone)] == [(False, None)]


def test_what_a_later_file_leaves_out_is_not_forgotten(catalog):
    url = "https://x.invalid/watch?v=1"
    full = video_facts(ID, platform="x", url=url, caption="with @some.body")
    store(catalog, (full, seen()))
    for caption in ("", "with @…"):
        store(catalog, (replace(full, url="", caption=caption), seen(at=T0 + timedelta(hours=1))))
    assert ask(catalog, "SELECT url, caption FROM video") == [(url, "with @some.body")]
