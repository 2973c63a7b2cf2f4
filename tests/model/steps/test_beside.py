"""What the catalog says beside a forecast: of held-out errors, openings and the past."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import update

from catalog.facts import PostFacts, PredictionFacts
from catalog.read.beside import Counts
from catalog.record.lineage import model_facts, store_predictions
from catalog.record.sightings import store_sightings
from catalog.schema.forecasts import ModelVersion
from catalog.schema.tables import Feature
from catalog.work.runs import record_run
from features.store import FeatureStore
from model.blocks.past import place_of
from model.forecast.request import Named
from model.steps.beside import Beside
from tests import synthetic
from tests.catalog.factories import T0, add_model, seen, video_facts
from tests.fresh_catalog import ask, fresh_catalog

N, N_AUTHORS = 400, 40
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Held-out forecasts whose errors authors share, and what their openings do to the rest."""
    folder = tmp_path_factory.mktemp("data")
    with fresh_catalog(folder) as catalog, pytest.MonkeyPatch.context() as patch:
        patch.setitem(synthetic.ROWS, "opening", lambda _i: {"numbers": np.zeros(2, np.float32)})
        yield filled(catalog, FeatureStore(str(folder / "features")))


def filled(catalog, store):
    generator = np.random.default_rng(0)
    shared = generator.normal(size=N_AUTHORS)
    sightings = []
    for i in range(N):
        facts = video_facts(
            f"{7_300_000_000_000_000_000 + i}",
            author_key=f"author-{i % N_AUTHORS}",
            posted_at=T0 - (N - i) * DAY,
        )
        sightings.append((facts, seen(10.0 + i)))
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by=None)
    model_id = add_model(catalog)
    with catalog.read() as session:
        model = model_facts(session.get(ModelVersion, model_id))
    ids = [row for (row,) in ask(catalog, "SELECT id FROM video ORDER BY tiktok_id")]
    openings = synthetic.add_feature_set(catalog, "opening")
    synthetic.add_features(catalog, store, openings, ids, n_distinct=1)
    cuts = generator.integers(0, 9, N)
    error = shared[np.arange(N) % N_AUTHORS] + 0.25 * (cuts - 4) + generator.normal(size=N)
    with record_run(catalog, "score", params={}, model_version_id=model.id) as run:
        rows = [
            PredictionFacts(
                video_id, 10.0, float(10 * np.exp(e)), None, 0, 0, "x", "holdout", 2.5, 40.0
            )
            for video_id, e in zip(ids, error, strict=True)
        ]
        with catalog.write() as session:
            store_predictions(session, run.id, rows)
            for video_id, n in zip(ids, cuts.tolist(), strict=True):
                detail = {"opening_cuts": n, "opening_motion_levels": float(video_id % 13)}
                wanted = update(Feature).where(Feature.video_id == video_id)
                session.execute(wanted.values(detail=detail))
        run.done()
    return catalog, model, ids


def beside(study, **more):
    catalog, model, _ids = study
    known = {"history": "posted", "moment": T0 + 400 * DAY, "is_constant": False, **more}
    return Beside(catalog, model, **known)


def test_what_all_files_are_compared_with_is_read_once(study, monkeypatch):
    asked = []

    def read(_session, hashtags):
        asked.append(hashtags)
        return Counts()

    monkeypatch.setattr("model.steps.beside.views_with_hashtags", read)
    found = beside(study)
    places = [found.standing(k, ("cat",)) for k in (0.0, 1e9)]
    assert asked == [("cat",)]
    assert [one.percentile for one in places] == [0.0, 100.0]


def test_the_errors_that_authors_share_are_those_of_held_out_forecasts(study):
    found = beside(study).shared
    assert (found.n_authors, found.n_pairs) == (N_AUTHORS, N_AUTHORS * 45)
    assert 0.2 < found.correlation < 0.7


def test_openings_are_set_beside_what_the_forecasts_missed(study):
    table = beside(study).opening_table
    assert (table.against, len(table.outcome)) == ("forecast", N)
    rank = np.corrcoef(table.numbers[:, 0], table.outcome)[0, 1]
    assert rank > 0.25
    assert abs(np.corrcoef(table.numbers[:, 2], table.outcome)[0, 1]) < 0.15


def test_without_forecasts_openings_are_set_beside_views(study):
    catalog, model, ids = study
    other = replace(model, id=model.id + 1, train_run_id=10**6)
    table = beside((catalog, other, ids)).opening_table
    assert (table.against, len(table.outcome)) == ("views", N)


def test_what_an_author_got_is_known_without_the_count_of_the_very_video(study):
    _catalog, _model, ids = study
    asked = beside(study, author=Named("author-7", ("author-7",)))
    facts = asked.poster.fill(PostFacts())
    mine = asked.history_of(facts, 0)[place_of("author")]
    newest = next(video_id for at, video_id in reversed(list(enumerate(ids))) if at % 40 == 7)
    without = asked.history_of(facts, newest)[place_of("author")]
    assert np.expm1(mine[5]) == pytest.approx(N / N_AUTHORS)
    assert np.expm1(without[5]) == pytest.approx(N / N_AUTHORS - 1)
    newer_d, older_d = np.expm1((mine[6], without[6]))
    assert older_d - newer_d == pytest.approx(N_AUTHORS, rel=1e-3)  # one post a day, in turn


def test_a_model_that_reads_no_history_is_given_none(study):
    assert beside(study, history=None).history_of(PostFacts(), 0) is None


def test_topics_are_those_of_the_hashtags(study):
    assert beside(study).topics(("dance",)) == ()
