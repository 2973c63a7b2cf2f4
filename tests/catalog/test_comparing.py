from sqlalchemy import insert

from catalog.comparing import (
    final_metrics,
    loss_points,
    newest_predictions,
    train_labels,
)
from catalog.facts import PredictionFacts
from catalog.lineage import model_facts
from catalog.record import store_predictions
from catalog.runs import record_run
from catalog.session import Catalog
from catalog.tables import ModelVersion, RunMetric
from catalog.types import utc_now
from tests.catalog.factories import SHA, add_model, add_split, add_videos


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
    monkeypatch.setattr("catalog.paging.PAGE", 2)
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
