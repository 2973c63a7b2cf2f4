"""What imports ask of sightings: other platforms, tombstones, times that nobody stated."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from catalog.errors import BadValue, NameTaken, NotFound
from catalog.facts import (
    AccountFacts,
    Candidate,
    Member,
    Observed,
    PredictionFacts,
    Reactions,
    RejectedFacts,
)
from catalog.read.lookup import find_model
from catalog.record.lineage import add_model_version, freeze_split, set_alias, store_predictions
from catalog.record.retention import purge
from catalog.record.sightings import adopt_media, mark_gone, store_rejected, store_sightings
from catalog.schema.forecasts import ModelAlias, SplitMember
from catalog.schema.session import Catalog
from catalog.schema.tables import (
    Account,
    Event,
    Hashtag,
    MediaFile,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.work.claims import MediaDone
from catalog.work.runs import record_run
from tests.catalog.factories import (
    SHA,
    T0,
    add_feature_set,
    add_model,
    add_split,
    add_videos,
    named,
    seen,
    video_facts,
)
from tests.fresh_catalog import ask, fresh_catalog, told

ID = "7301234567890123457"


def store(catalog: Catalog, *sightings, found_by=None):
    with catalog.write() as session:
        return store_sightings(session, sightings, run_id=None, found_by=found_by)


def latest_views_k(catalog: Catalog) -> float | None:
    with catalog.read() as session:
        return session.scalar(
            select(ViewObservation.views_k).join(
                Video, Video.latest_observation_id == ViewObservation.id
            )
        )


def test_a_sighting_twice_is_one_video_and_one_observation(catalog):
    first = store(catalog, (video_facts(ID), seen()))
    again = store(catalog, (video_facts(ID), seen()))

    assert (first.new_videos, first.known_videos, first.new_observations) == (1, 0, 1)
    assert (again.new_videos, again.known_videos, again.new_observations) == (0, 1, 0)


def test_the_same_video_twice_in_one_batch_is_one_video(catalog):
    later = T0 + timedelta(hours=1)
    counts = store(
        catalog, (video_facts(ID), seen(1.0)), (video_facts(ID, caption=""), seen(2.0, at=later))
    )

    assert (counts.new_videos, counts.new_observations) == (1, 2)
    assert latest_views_k(catalog) == 2.0


def test_a_nineteen_digit_id_survives(catalog):
    store(catalog, (video_facts(ID), seen()))
    with catalog.read() as session:
        assert session.scalars(select(Video.tiktok_id)).all() == [ID]


def test_the_latest_count_moves_only_forward_in_time(catalog):
    store(catalog, (video_facts(ID), seen(30.0)))
    store(catalog, (video_facts(ID), seen(20.0, at=T0 - timedelta(days=1), source="import")))
    assert latest_views_k(catalog) == 30.0

    store(catalog, (video_facts(ID), seen(40.0, at=T0 + timedelta(days=1))))
    assert latest_views_k(catalog) == 40.0


def test_an_unreadable_count_keeps_its_text_and_hides_no_readable_one(catalog):
    store(catalog, (video_facts(ID), seen(30.0)))
    store(catalog, (video_facts(ID), seen(None, at=T0 + timedelta(days=1))))

    assert latest_views_k(catalog) == 30.0
    with catalog.read() as session:
        assert (
            session.scalar(
                select(ViewObservation.display_text).where(ViewObservation.views_k.is_(None))
            )
            == "??"
        )


def test_what_a_page_does_not_say_erases_nothing(catalog):
    store(catalog, (video_facts(ID), seen()))
    blank = video_facts(
        ID, caption="", author_key=None, posted_at=None, duration_s=None, width_px=None, hashtags=()
    )
    store(catalog, (blank, seen(at=T0 + timedelta(hours=1))))
    with catalog.read() as session:
        video = session.scalars(select(Video)).one()

    assert (video.caption, video.duration_s, video.width_px) == ("a caption", 9.5, 576)
    assert video.account_id is not None
    assert video.posted_at == T0 - timedelta(days=3)
    assert video.first_seen_at == T0


def test_a_listed_video_is_linked_to_its_hashtag_whatever_its_caption_says(catalog):
    store(catalog, (video_facts(ID, hashtags=("Dance", "#fun")), seen()), found_by="#Music")
    with catalog.read() as session:
        found = session.execute(
            select(Hashtag.name, VideoHashtag.found_by)
            .join(VideoHashtag, VideoHashtag.hashtag_id == Hashtag.id)
            .order_by(Hashtag.name)
        ).all()
    assert [tuple(row) for row in found] == [
        ("dance", "caption"),
        ("fun", "caption"),
        ("music", "listing"),
    ]


def test_a_link_found_by_listing_stays_one(catalog):
    store(catalog, (video_facts(ID), seen()), found_by="dance")
    store(catalog, (video_facts(ID), seen(at=T0 + timedelta(hours=1))))
    with catalog.read() as session:
        assert session.scalars(select(VideoHashtag.found_by)).all() == ["listing"]


def test_a_video_seen_after_it_was_gone_is_back(catalog):
    store(catalog, (video_facts(ID), seen()))
    with catalog.write() as session:
        mark_gone(session, 1, T0 + timedelta(days=1), "deleted")
    store(catalog, (video_facts(ID), seen(at=T0 + timedelta(hours=5), source="import")))
    with catalog.read() as session:
        assert session.get_one(Video, 1).gone_reason == "deleted"

    store(catalog, (video_facts(ID), seen(at=T0 + timedelta(days=2))))
    with catalog.read() as session:
        assert session.get_one(Video, 1).gone_at is None


def test_many_sightings_take_few_statements(catalog):
    statements = []
    event.listen(catalog.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    add_videos(catalog, 900)
    assert len(statements) < 40


def test_a_naive_time_is_refused(catalog):
    with pytest.raises(Exception, match="no time zone"):
        store(catalog, (video_facts(ID), seen(at=datetime(2026, 7, 1))))  # noqa: DTZ001 - the point


def test_times_come_back_aware_and_in_utc(catalog):
    store(catalog, (video_facts(ID), seen()))
    with catalog.read() as session:
        assert session.scalars(select(Video.first_seen_at)).one().tzinfo is UTC


@pytest.mark.parametrize("views_k", [float("nan"), float("inf"), -1.0, 1e12])
def test_a_count_that_is_no_count_is_refused(catalog, views_k):
    with pytest.raises(Exception, match="constraint"):
        store(catalog, (video_facts(ID), seen(views_k)))


def test_a_video_that_is_not_there_cannot_be_gone(catalog):
    with catalog.write() as session, pytest.raises(NotFound, match="99"):
        mark_gone(session, 99, T0, "deleted")


def test_a_feature_set_is_made_once(catalog):
    assert add_feature_set(catalog) == add_feature_set(catalog)
    assert add_feature_set(catalog) != add_feature_set(catalog, name="b")


def test_the_same_split_is_the_existing_one(catalog):
    ids = add_videos(catalog, 5)
    first = add_split(catalog, ids, "one")

    assert add_split(catalog, ids, "two") == first
    with pytest.raises(NameTaken, match="one"):
        add_split(catalog, ids[:4], "one")


def test_a_split_without_members_is_refused(catalog):
    with catalog.write() as session, pytest.raises(BadValue, match="no members"):
        freeze_split(session, name="x", strategy="time", params={}, members=[])


def test_a_split_that_names_a_video_twice_is_refused(catalog):
    video, label = Candidate(1, "1", None, None, T0), Observed(1, T0, 1.0)
    members = [Member(video, "train", label), Member(video, "val", label)]
    with catalog.write() as session, pytest.raises(BadValue, match="twice"):
        freeze_split(session, name="x", strategy="time", params={}, members=members)


def test_a_split_reports_its_parts(catalog):
    ids = add_videos(catalog, 10)
    add_split(catalog, ids)
    with catalog.read() as session:
        counts = dict(
            session.execute(select(SplitMember.part, func.count()).group_by(SplitMember.part)).all()
        )
    assert counts == {"train": 6, "val": 2, "holdout": 2}


def test_versions_of_a_model_count_up(catalog):
    add_model(catalog)
    set_id = add_feature_set(catalog)
    with record_run(catalog, "train", params={}) as run, catalog.write() as session:
        facts = add_model_version(
            session,
            name="fused",
            model_kind="fused",
            artifact_uri="y",
            sha256=SHA,
            hyper={"objective": "quartile"},
            target={},
            quartile_edges=[1, 2, 3],
            split_id=None,
            train_run_id=run.id,
            feature_set_ids=[set_id],
            inputs_hash="x",
            as_of="crawl",
            history_rule="observed",
        )
    assert (facts.version, facts.objective) == (2, "quartile")
    assert (facts.as_of, facts.history_rule) == ("crawl", "observed")
    with catalog.read() as session:
        assert find_model(session, name="fused", version=2) == facts
        first = find_model(session, name="fused", version=1)
    assert (first.as_of, first.history_rule) == (None, None)


def test_an_alias_keeps_its_history(catalog):
    first, second = add_model(catalog), add_model(catalog)
    with catalog.write() as session:
        set_alias(session, "fused", "live", first, set_by="me", reason="first")
        set_alias(session, "fused", "live", second, set_by="me", reason="better")
        assert session.scalars(select(ModelAlias.model_version_id)).all() == [second]
        events = session.scalars(select(Event).where(Event.code == "alias_set").order_by(Event.id))
        assert [(e.detail["from"], e.detail["to"]) for e in events] == [
            (None, first),
            (first, second),
        ]
    with catalog.write() as session, pytest.raises(NotFound, match="other"):
        set_alias(session, "other", "live", first, set_by="me", reason="")


def prediction(video_id: int, predicted_k: float) -> PredictionFacts:
    return PredictionFacts(video_id, predicted_k, None, None, None, None, SHA, "new")


def test_a_prediction_is_stored_once(catalog):
    ids = add_videos(catalog, 3)
    model = add_model(catalog)
    with record_run(catalog, "score", params={}, model_version_id=model) as run:
        with catalog.write() as session:
            assert store_predictions(session, run.id, [prediction(i, 5.0) for i in ids]) == 3
        with catalog.write() as session:
            assert store_predictions(session, run.id, [prediction(i, 6.0) for i in ids]) == 0


@pytest.mark.parametrize("predicted_k", [float("nan"), float("inf"), -1.0])
def test_a_prediction_that_is_no_count_is_refused(catalog, predicted_k):
    ids = add_videos(catalog, 1)
    with catalog.write() as session, pytest.raises(BadValue, match="predicted"):
        store_predictions(session, 1, [prediction(ids[0], predicted_k)])


DONE = MediaDone("media/57/7301234567890123457.mp4", SHA, 9, {"fps": 30})


def store_all(catalog, *sightings, **options):
    with catalog.write() as session:
        return store_sightings(session, sightings, run_id=None, found_by=None, **options)


def test_one_id_on_two_platforms_is_two_videos(catalog):
    counts = store_all(
        catalog, (video_facts(ID), seen()), (video_facts(ID, platform="youtube"), seen())
    )
    assert counts.new_videos == 2
    assert ask(catalog, "SELECT DISTINCT platform FROM account ORDER BY 1") == [
        ("tiktok",),
        ("youtube",),
    ]


def test_only_known_videos_may_be_asked_for(catalog):
    store_all(catalog, (video_facts(ID), seen()))
    later = seen(31.0, at=T0 + timedelta(days=1))
    counts = store_all(
        catalog, (video_facts(ID), later), (video_facts("7301234567890123458"), later),
        known_only=True,
    )  # fmt: skip
    assert (counts.known_videos, counts.new_videos, counts.unknown) == (1, 0, 1)
    assert ask(catalog, "SELECT COUNT(*) FROM video") == [(1,)]


def test_a_count_that_did_not_change_needs_a_stated_time_to_be_an_observation(catalog):
    at_file_age = replace(seen(30.0, source="import"), is_time_stated=False)
    later = T0 + timedelta(days=9)
    assert store_all(catalog, (video_facts(ID), at_file_age)).new_observations == 1
    same = replace(at_file_age, observed_at=later)
    assert store_all(catalog, (video_facts(ID), same)).new_observations == 0
    grown = replace(same, display_text="44.0K", views_k=44.0)
    assert store_all(catalog, (video_facts(ID), grown)).new_observations == 1
    stated = seen(44.0, at=later + timedelta(days=1), source="import")
    assert store_all(catalog, (video_facts(ID), stated)).new_observations == 1


def test_a_count_on_two_pages_of_one_hour_is_one_observation(catalog):
    hour = timedelta(hours=1)
    store_all(catalog, (video_facts(ID), seen(30.0)), repeat_after=hour)
    soon = seen(30.0, at=T0 + timedelta(minutes=59))
    assert store_all(catalog, (video_facts(ID), soon), repeat_after=hour).new_observations == 0
    grown = seen(31.0, at=T0 + timedelta(minutes=59))
    assert store_all(catalog, (video_facts(ID), grown), repeat_after=hour).new_observations == 1
    later = seen(31.0, at=T0 + timedelta(minutes=119))
    assert store_all(catalog, (video_facts(ID), later), repeat_after=hour).new_observations == 1


def test_the_first_count_of_a_moment_stays(catalog):
    store_all(catalog, (video_facts(ID), seen(1.0)), (video_facts(ID), seen(2.0)))
    store_all(catalog, (video_facts(ID), seen(3.0)))
    assert ask(catalog, "SELECT views_k FROM view_observation") == [(1.0,)]


def test_a_handle_is_stored_when_given_and_not_forgotten(catalog):
    store_all(catalog, (video_facts(ID, handle="somebody"), seen()))
    store_all(catalog, (video_facts(ID), seen(at=T0 + timedelta(hours=1))))
    with catalog.read() as session:
        assert session.scalar(select(Account.handle)) == "somebody"


def test_a_purged_video_or_author_is_not_stored_again(catalog):
    mine = video_facts(ID, author_key="author-a")
    hers = video_facts("7301234567890123458", author_key="author-b")
    store_all(catalog, (mine, seen()))
    with catalog.write() as session:
        purge(session, named([ID], ["author-b"]), reason="asked for")
    counts = store_all(catalog, (mine, seen()), (hers, seen()))
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
    store_all(catalog, (video_facts(ID), seen()))
    with catalog.write() as session:
        assert adopt_media(session, "tiktok", ID, DONE) is True
        assert adopt_media(session, "tiktok", ID, DONE) is False
        assert session.scalar(select(MediaFile.status)) == "ok"
        with pytest.raises(NotFound, match="no video 1 of youtube"):
            adopt_media(session, "youtube", "1", DONE)


def test_a_file_takes_the_place_of_one_that_could_not_be_fetched(catalog):
    store_all(catalog, (video_facts(ID), seen()))
    with catalog.write() as session:
        video_id = session.scalar(select(Video.id))
        session.add(MediaFile(video_id=video_id, kind="video", status="dead", attempts=3))
        session.flush()
        assert adopt_media(session, "tiktok", ID, DONE) is True


def test_growth_is_per_day_between_readable_counts(catalog):
    day = timedelta(days=1)
    store_all(
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
    store_all(catalog, (video_facts(ID), seen(45.3)), repeat_after=hour)
    soon = T0 + timedelta(seconds=2)
    in_json = replace(seen(45.3, at=soon), display_text="45300")
    assert store_all(catalog, (video_facts(ID), in_json), repeat_after=hour).new_observations == 0
    exact = replace(in_json, display_text="45,300", step_k=0.0)
    assert store_all(catalog, (video_facts(ID), exact), repeat_after=hour).new_observations == 1


def test_thousands_of_no_stated_time_that_are_known_are_no_observation(catalog):
    store_all(catalog, (video_facts(ID), seen(45.3)))
    later = T0 + timedelta(days=9)
    pair = replace(seen(45.3, at=later), display_text="views_k=45.3", step_k=0.0)
    unstated = replace(pair, is_time_stated=False)
    assert store_all(catalog, (video_facts(ID), unstated)).new_observations == 0
    assert store_all(catalog, (video_facts(ID), pair)).new_observations == 1


def test_a_video_that_is_seen_again_is_back_but_not_for_the_age_of_a_file(catalog):
    store_all(catalog, (video_facts(ID), seen(1.0)))
    with catalog.write() as session:
        mark_gone(session, session.scalar(select(Video.id)), T0 + timedelta(days=1), "removed")
    later = seen(2.0, at=T0 + timedelta(days=2))
    gone = "SELECT gone_at IS NOT NULL, gone_reason FROM video"

    store_all(catalog, (video_facts(ID), replace(later, is_time_stated=False)))
    store_all(catalog, (video_facts(ID), seen(1.5, at=T0 + timedelta(hours=1))))
    assert [tuple(row) for row in ask(catalog, gone)] == [(True, "removed")]

    # Both in one batch: the older one must not hide the newer.
    store_all(
        catalog, (video_facts(ID), seen(1.6, at=T0 + timedelta(hours=2))), (video_facts(ID), later)
    )
    assert [tuple(row) for row in ask(catalog, gone)] == [(False, None)]


def test_what_a_later_file_leaves_out_is_not_forgotten(catalog):
    url = "https://x.invalid/watch?v=1"
    full = video_facts(ID, platform="x", url=url, caption="with @some.body")
    store_all(catalog, (full, seen()))
    for caption in ("", "with @…"):
        store_all(
            catalog, (replace(full, url="", caption=caption), seen(at=T0 + timedelta(hours=1)))
        )
    assert ask(catalog, "SELECT url, caption FROM video") == [(url, "with @some.body")]


BATCHES = {
    "an empty caption": [{"caption": "words"}, {"caption": "", "url": ""}],
    "a caption without its names": [{"caption": "by @somebody"}, {"caption": "by @…"}],
    "a handle that one of two says": [{"handle": "somebody"}, {"handle": None}],
    "a count that stays as it was": [{}, {"at": 5}, {"at": 70}],
    "an old one among new ones": [{"at": 90}, {"at": 0}, {"at": 91}],
    "an unreadable one between": [{"views_k": None}, {"at": 1}, {"at": 2, "views_k": None}],
    "files' ages": [{"is_time_stated": False}, {"at": 300, "is_time_stated": False}],
    "reactions of one moment": [{}, {"reactions": Reactions(5)}],
    "an account told in parts": [
        {"account": AccountFacts(is_verified=True)},
        {"account": AccountFacts(n_followers=7)},
        {"account": AccountFacts(n_followers=8)},
    ],
}


@pytest.mark.parametrize("name", BATCHES)
def test_one_batch_gives_what_one_after_another_gives(catalog, tmp_path, name):
    sightings = []
    for given in BATCHES[name]:
        told_of, at = dict(given), T0 + timedelta(minutes=given.get("at", 0))
        told_of.pop("at", None)
        count = replace(
            seen(told_of.pop("views_k", 5.0), at=at),
            is_time_stated=told_of.pop("is_time_stated", True),
            reactions=told_of.pop("reactions", None),
        )
        sightings.append((video_facts(ID, **told_of), count))
    (tmp_path / "other").mkdir()
    with fresh_catalog(tmp_path / "other") as other:
        for target, batches in ((catalog, [sightings]), (other, [[one] for one in sightings])):
            for batch in batches:
                with target.write() as session:
                    store_sightings(
                        session, batch, run_id=None, found_by=None, repeat_after=timedelta(hours=1)
                    )
        assert told(catalog) == told(other)
    assert ask(catalog, "select 1 from video where caption = '' or url = ''") == []


def test_a_file_without_a_time_may_bring_reactions_later(catalog):
    copied = replace(seen(5.0), is_time_stated=False)
    with catalog.write() as session:
        for reactions in (None, Reactions(3, 2)):
            sighting = (video_facts(ID), replace(copied, reactions=reactions))
            store_sightings(session, [sighting], run_id=None, found_by=None)
    assert ask(catalog, "select n_likes, n_comments from view_observation") == [(3, 2)]


def test_an_account_is_told_in_parts_of_one_moment(catalog):
    parts = [AccountFacts(is_verified=True), AccountFacts(n_followers=7, is_verified=False)]
    with catalog.write() as session:
        for account in parts:
            sighting = (video_facts(ID, account=account), seen(5.0))
            store_sightings(session, [sighting], run_id=None, found_by=None)
    found = ask(catalog, "select n_followers, is_verified from account_observation")
    assert found == [(7, True)]


def test_stated_and_derived_times_are_written_in_one_order(catalog):
    names = [f"{7_301_234_567_890_123_450 + n}" for n in range(6)]
    statements = []

    def note(_connection, _cursor, statement, parameters, _context, is_many):
        if statement.startswith("INSERT INTO video "):
            rows = parameters if is_many else [parameters]
            values = [row.values() if isinstance(row, dict) else row for row in rows]
            statements.append([next(v for v in row if v in names) for row in values])

    def batch(stated, day):
        posted_at = T0 - timedelta(days=day)
        return [
            (
                video_facts(name, posted_at=posted_at, is_posted_at_stated=n % 2 == stated),
                seen(5.0),
            )
            for n, name in enumerate(names)
        ]

    event.listen(catalog.engine, "before_cursor_execute", note)
    with catalog.write() as session:
        store_sightings(session, batch(1, 9)[::-1], run_id=None, found_by=None)
        store_sightings(session, batch(0, 5), run_id=None, found_by=None)
    event.remove(catalog.engine, "before_cursor_execute", note)
    assert statements == [names, names]
    with catalog.read() as session:
        rows = session.execute(select(Video.posted_at).order_by(Video.tiktok_id)).scalars()
        assert [(T0 - at).days for at in rows] == [5, 9] * 3
