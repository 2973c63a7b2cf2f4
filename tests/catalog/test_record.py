"""Sightings, topics, feature sets, splits, model versions and predictions."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from catalog.errors import BadValue, NameTaken, NotFound
from catalog.facts import PredictionFacts, SplitMemberFacts
from catalog.record import (
    add_model_version,
    add_topics,
    freeze_split,
    mark_gone,
    mark_listed,
    plain_hashtag,
    set_alias,
    store_predictions,
    store_sightings,
)
from catalog.runs import record_run
from catalog.session import Catalog
from catalog.tables import (
    Event,
    Hashtag,
    ModelAlias,
    SplitMember,
    Video,
    VideoHashtag,
    ViewObservation,
)
from tests.catalog.factories import (
    SHA,
    T0,
    add_feature_set,
    add_model,
    add_split,
    add_videos,
    seen,
    video_facts,
)

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


def test_topics_are_added_once(catalog):
    with catalog.write() as session:
        assert add_topics(session, {"Dance": ["Dance", "#ballet"], "Sports": ["golf"]}) == 3
    with catalog.write() as session:
        assert add_topics(session, {"Dance": ["dance", "tango"]}) == 1


@pytest.mark.parametrize("name", ["", "#", "##x", "x" * 201])
def test_what_is_no_hashtag_is_refused(name):
    with pytest.raises(BadValue, match="no hashtag"):
        plain_hashtag(name)


def test_a_listing_moves_only_forward(catalog):
    with catalog.write() as session:
        mark_listed(session, "Dance", T0)
        mark_listed(session, "dance", T0 - timedelta(days=1))
        assert session.scalars(select(Hashtag.listed_at)).one() == T0


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
    members = [SplitMemberFacts(1, "train", 1), SplitMemberFacts(1, "val", 1)]
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
        )
    assert (facts.version, facts.objective) == (2, "quartile")


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
