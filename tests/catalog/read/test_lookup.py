from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text

from catalog.errors import NotFound
from catalog.facts import PredictionFacts
from catalog.read.beside import all_views
from catalog.read.counts import video_histories
from catalog.read.lookup import (
    all_splits,
    features_of_video,
    final_metrics,
    find_split_row,
    find_video,
    known_videos,
    loss_points,
    media_uri,
    newest_predictions,
    part_in_split,
    split_members,
    train_labels,
    videos_of_files,
)
from catalog.read.pending import scored_rows
from catalog.record.lineage import model_facts, store_predictions
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.forecasts import ModelVersion
from catalog.schema.session import Catalog
from catalog.schema.tables import RunMetric, Video
from catalog.schema.types import utc_now
from catalog.work.claims import (
    Failed,
    FeatureDone,
    claim_features,
    enrol_features,
    finish_feature,
)
from catalog.work.runs import record_run
from tests.catalog.factories import (
    SHA,
    T0,
    add_feature_set,
    add_media,
    add_model,
    add_split,
    add_videos,
    seen,
    sha_of,
    video_facts,
)


@pytest.fixture
def videos(catalog):
    """Seven videos: six of 10, 20, … thousand with #dance, and one without a readable count."""
    ids = add_videos(catalog, 5)
    more = [
        (video_facts("74", hashtags=("dance", "cat"), caption="a cat"), seen(60.0)),
        (video_facts("75", hashtags=("cat",)), seen(None)),
    ]
    with catalog.write() as session:
        store_sightings(session, more, run_id=None, found_by=None)
        names = select(Video.id).where(Video.tiktok_id.in_(["74", "75"])).order_by(Video.id)
        return [*ids, *session.execute(names).scalars()]


def test_videos_are_found_by_id_with_their_latest_count(catalog, videos):
    with catalog.read() as session:
        found = known_videos(session, [videos[6], videos[5], 10**6])

    assert found.keys() == {videos[5], videos[6]}
    cat = found[videos[5]]
    assert (cat.tiktok_id, cat.caption, cat.views_k) == ("74", "a cat", 60.0)
    assert cat.url.endswith("/74")
    assert found[videos[6]].views_k is None


def test_the_newest_readable_count_is_the_one_that_counts(catalog, videos):
    later = seen(999.0, at=seen().observed_at.replace(year=2027))
    with catalog.write() as session:
        store_sightings(
            session, [(video_facts("74", hashtags=()), later)], run_id=None, found_by=None
        )

    with catalog.read() as session:
        assert known_videos(session, [videos[5]])[videos[5]].views_k == 999.0
        assert sorted(all_views(session).views_k) == [10.0, 20.0, 30.0, 40.0, 50.0, 999.0]


def test_a_file_is_known_by_its_checksum(catalog, videos):
    add_media(catalog)
    with catalog.read() as session:
        found = videos_of_files(session, [sha_of("74"), "f" * 64])
        first = session.scalar(
            text("SELECT tiktok_id FROM video WHERE id = :id"), {"id": videos[5]}
        )

    assert first == "74"
    assert {sha256: video.tiktok_id for sha256, video in found.items()} == {sha_of("74"): "74"}


def test_the_part_of_a_video_in_a_split(catalog, videos):
    split_id = add_split(catalog, videos[:5])
    with catalog.read() as session:
        assert part_in_split(session, split_id, videos[0]) == "train"
        assert part_in_split(session, split_id, videos[4]) == "holdout"
        assert part_in_split(session, split_id, videos[6]) is None


def predict(catalog: Catalog, run_id: int, predicted_k: dict[int, float], part: str = "holdout"):
    """Store what a run predicted; the truth is 10 thousand more."""
    facts = [
        PredictionFacts(video_id, value, value + 10.0, None, None, None, SHA, part)
        for video_id, value in predicted_k.items()
    ]
    with catalog.write() as session:
        store_predictions(session, run_id, facts)


def scored(catalog: Catalog, model_id: int, predicted_k: dict[int, float], **more) -> int:
    with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
        predict(catalog, run.id, predicted_k, **more)
    return run.id


def facts_of(catalog: Catalog, model_id: int):
    with catalog.read() as session:
        found = session.get(ModelVersion, model_id)
        assert found is not None
        return model_facts(found)


def read(catalog: Catalog, model_id: int, part: str = "holdout"):
    model = facts_of(catalog, model_id)
    with catalog.read() as session:
        return {
            row.video_id: (row.actual_k, row.predicted_k)
            for row in newest_predictions(session, model, part)
        }


def test_each_video_has_the_newest_of_its_predictions(catalog: Catalog):
    videos = add_videos(catalog, 3)
    model = add_model(catalog)
    scored(catalog, model, dict.fromkeys(videos, 1.0))
    scored(catalog, model, {videos[0]: 2.0})
    assert read(catalog, model) == {
        videos[0]: (12.0, 2.0),
        videos[1]: (11.0, 1.0),
        videos[2]: (11.0, 1.0),
    }


def test_what_training_predicted_counts_and_a_later_score_replaces_it(catalog: Catalog):
    videos = add_videos(catalog, 2)
    model = add_model(catalog)
    predict(catalog, facts_of(catalog, model).train_run_id, dict.fromkeys(videos, 3.0))
    assert read(catalog, model) == dict.fromkeys(videos, (13.0, 3.0))
    scored(catalog, model, {videos[1]: 4.0})
    assert read(catalog, model)[videos[1]] == (14.0, 4.0)


def test_another_model_another_part_and_a_failed_run_are_left_out(catalog: Catalog):
    videos = add_videos(catalog, 3)
    model, other = add_model(catalog), add_model(catalog, name="other")
    scored(catalog, other, {videos[0]: 7.0})
    scored(catalog, model, {videos[1]: 1.0}, part="train")
    try:
        with record_run(catalog, "score", params={}, model_version_id=model) as run:
            predict(catalog, run.id, {videos[2]: 9.0})
            raise KeyError("a fault")
    except KeyError:
        pass
    assert read(catalog, model) == {}
    assert read(catalog, model, "train") == {videos[1]: (11.0, 1.0)}


def test_more_predictions_than_a_page_are_all_read(catalog: Catalog, monkeypatch):
    monkeypatch.setattr("catalog.read.posts.PAGE", 2)
    videos = add_videos(catalog, 5)
    model = add_model(catalog)
    scored(catalog, model, dict.fromkeys(videos, 1.0))
    scored(catalog, model, dict.fromkeys(videos, 2.0))
    assert list(read(catalog, model)) == videos


def test_the_labels_of_training_are_those_of_the_split(catalog: Catalog):
    videos = add_videos(catalog, 5)
    split_id = add_split(catalog, videos)
    with catalog.read() as session:
        assert list(train_labels(session, split_id)) == [10.0, 20.0, 30.0]


def test_a_runs_last_numbers_and_its_losses_are_told_apart(catalog: Catalog):
    with record_run(catalog, "train", params={}) as run:
        run.metric("holdout", "mae_k", 5.0)
        run.metric("val", "mae_k", 4.0)
        for epoch, loss in ((1, 0.9), (2, 0.5)):
            run.metric("train", "loss", loss, step=epoch)
    undefined = {"run_id": run.id, "split": "holdout", "name": "r2_log", "step": -1}
    with catalog.write() as session:
        session.execute(insert(RunMetric), [{**undefined, "value": None, "at": utc_now()}])
    with catalog.read() as session:
        assert final_metrics(session, run.id, "holdout") == {"mae_k": 5.0}
        losses = [(p.part, p.epoch, p.loss) for p in loss_points(session, run.id)]
    assert losses == [("train", 1, 0.9), ("train", 2, 0.5)]


def observe(catalog: Catalog, tiktok_id: str, *, views_k: float | None, days: float) -> None:
    """See a video of the factory once more, `days` after T0."""
    with catalog.write() as session:
        sighting = (video_facts(tiktok_id), seen(views_k, at=T0 + timedelta(days=days)))
        store_sightings(session, [sighting], run_id=None, found_by="dance")


def test_a_history_has_every_readable_count_the_oldest_first(catalog: Catalog):
    add_videos(catalog, 2)
    first, second = "7300000000000000001", "7300000000000000002"
    observe(catalog, first, views_k=50.0, days=9)
    observe(catalog, first, views_k=20.0, days=2)
    observe(catalog, first, views_k=None, days=1)

    with catalog.read() as session:
        histories = {video.tiktok_id: counts for video, counts in video_histories(session)}

    assert [o.views_k for o in histories[first]] == [10.0, 20.0, 50.0]
    assert [o.observed_at - T0 for o in histories[first]] == [
        timedelta(days=days) for days in (0, 2, 9)
    ]
    assert [o.views_k for o in histories[second]] == [20.0]


def test_a_video_that_is_gone_or_was_never_readable_has_no_history(catalog: Catalog):
    [gone] = add_videos(catalog, 1)
    with catalog.write() as session:
        unreadable = (video_facts("7300000000000000009"), seen(None))
        store_sightings(session, [unreadable], run_id=None, found_by="dance")
        mark_gone(session, gone, T0, "deleted")
    with catalog.read() as session:
        assert list(video_histories(session)) == []


def test_members_come_with_the_time_of_their_label(catalog: Catalog):
    videos = add_videos(catalog, 5)
    split_id = add_split(catalog, videos)
    # A later count is no part of the frozen split.
    observe(catalog, "7300000000000000001", views_k=99.0, days=5)

    with catalog.read() as session:
        members = list(split_members(session, split_id))

    assert [member.video.video_id for member in members] == videos
    assert {member.label.observed_at for member in members} == {T0}
    assert [member.part for member in members] == ["train"] * 3 + ["val", "holdout"]
    assert [member.label.views_k for member in members] == [10.0, 20.0, 30.0, 40.0, 50.0]


def test_splits_are_listed_the_newest_first_with_their_sizes(catalog: Catalog):
    videos = add_videos(catalog, 5)
    add_split(catalog, videos, "old")
    add_split(catalog, videos[:4], "new")
    with catalog.read() as session:
        listed = all_splits(session)
        assert [split.name for split in listed] == ["new", "old"]
        assert listed[1].n_by_part == {"train": 3, "val": 1, "holdout": 1}
        assert find_split_row(session, "old") == listed[1]
        assert find_split_row(session, None) == listed[0]
        with pytest.raises(NotFound, match="new, old"):
            find_split_row(session, "other")


def finish(catalog, feature_set_id, video_id, result):
    with catalog.write() as session:
        enrol_features(session, feature_set_id, needs_feature_set_id=None)
    claims = claim_features(catalog, feature_set_id, owner="me", limit=9)
    with catalog.write() as session:
        for claim in claims:
            if claim.video_id == video_id:
                assert finish_feature(session, feature_set_id, claim, "me", result)


def done(uri):
    return FeatureDone(uri, 3, SHA, (1,), "float32", 1, 0.1, {"of": uri})


def test_a_video_is_found_by_each_of_its_names(catalog):
    first, second = add_videos(catalog, 2)
    with catalog.read() as session:
        found = find_video(session, str(second))
        assert found.video_id == second != first
        address = f"https://www.example.org/@somebody/video/{found.tiktok_id}/?lang=en"
        for name in (found.tiktok_id, found.url, address, f" {found.tiktok_id} "):
            assert find_video(session, name) == found


@pytest.mark.parametrize("name", ["nothing", "7", "99999999999999999999999", "", "https://x.y/"])
def test_what_is_not_there_is_not_found(catalog, name):
    add_videos(catalog, 2)
    with catalog.read() as session, pytest.raises(NotFound, match="an address"):
        find_video(session, name)


def test_an_id_of_two_platforms_is_asked_for(catalog):
    sightings = [(video_facts("42", platform=name, url=name), seen()) for name in ("a", "b")]
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by=None)
    with catalog.read() as session:
        with pytest.raises(NotFound, match=r"several videos.*\(a\).*\(b\)"):
            find_video(session, "42")
        assert find_video(session, "2").url == "b"


def test_the_newest_set_that_is_done_counts_else_the_newest(catalog):
    video_id, other = add_videos(catalog, 2)
    add_media(catalog)
    old, new, newest = (add_feature_set(catalog, "clip", name) for name in "abc")
    finish(catalog, old, video_id, done("old"))
    finish(catalog, new, video_id, done("new"))
    finish(catalog, newest, video_id, Failed("undecodable", "why", permanent=True))
    finish(catalog, new, other, Failed("undecodable", "why", permanent=True))
    with catalog.read() as session:
        clip = features_of_video(session, video_id)["clip"]
        assert (clip.status, clip.uri, clip.row, clip.sha256) == ("done", "new", 3, SHA)
        assert clip.detail == {"of": "new"}
        failed = features_of_video(session, other)["clip"]
        assert failed.status != "done"
        assert media_uri(session, video_id) is not None
        assert features_of_video(session, 99) == {}


def test_a_video_that_was_not_fetched_has_no_file(catalog):
    (video_id,) = add_videos(catalog, 1)
    with catalog.read() as session:
        assert media_uri(session, video_id) is None


def test_what_was_predicted_says_whose_the_video_is(catalog: Catalog):
    # Their authors are 1, 2, … 9, 0, 1: of the eleventh the first's.
    videos = add_videos(catalog, 11)
    model = add_model(catalog)
    run_id, facts = scored(catalog, model, dict.fromkeys(videos, 1.0)), facts_of(catalog, model)
    with catalog.read() as session:
        newest = newest_predictions(session, facts, "holdout")
        authors = [row.author for row in newest]
        assert [row.author for row in scored_rows(session, run_id)] == authors
    assert authors[10] == authors[0]
    assert len({*authors}) == 10
    assert None not in authors
