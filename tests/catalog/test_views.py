"""The reporting views that say how good forecasts are: per run, per week, and as intervals."""

from datetime import UTC, datetime, timedelta
from math import log1p

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from catalog.facts import PredictionFacts
from catalog.record.lineage import store_predictions
from catalog.record.sightings import store_sightings
from catalog.schema.forecasts import Prediction
from catalog.schema.session import Catalog
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model, add_videos, seen, video_facts
from tests.fresh_catalog import ask

MONDAY = datetime(2026, 6, 29, 0, 0, tzinfo=UTC)


def predict(catalog: Catalog, model_id: int, rows: list[dict[str, object]]) -> int:
    """Record a scoring run with these predictions; its number."""
    with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
        with catalog.write() as session:
            facts = [
                PredictionFacts(
                    video_id=int(row["video_id"]),  # type: ignore[call-overload] # a test's rows
                    predicted_k=float(row["predicted_k"]),  # type: ignore[arg-type] # as above
                    actual_k=row.get("actual_k"),  # type: ignore[arg-type] # as above
                    observation_id=None,
                    pred_quartile=None,
                    actual_quartile=None,
                    inputs_sha256=SHA,
                    part="new",
                )
                for row in rows
            ]
            store_predictions(session, run.id, facts)
            for row in rows:
                session.execute(
                    text(
                        "UPDATE prediction SET low_k = :low_k, high_k = :high_k"
                        " WHERE run_id = :run_id AND video_id = :video_id"
                    ),
                    {
                        "run_id": run.id,
                        "video_id": row["video_id"],
                        "low_k": row.get("low_k"),
                        "high_k": row.get("high_k"),
                    },
                )
        run.done()
    return run.id


@pytest.fixture
def posted(catalog: Catalog) -> list[int]:
    """Five videos: on a Monday and the Sunday after it, the Sunday before, and a day unknown."""
    times = [
        MONDAY,
        MONDAY + timedelta(days=6, hours=23),
        MONDAY - timedelta(hours=1),
        MONDAY + timedelta(days=2),
        None,
    ]
    sightings = [
        (video_facts(f"{7_300_000_000_000_000_000 + i}", posted_at=at), seen())
        for i, at in enumerate(times)
    ]
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by="dance")
    return [row[0] for row in ask(catalog, "SELECT id FROM video ORDER BY tiktok_id")]


def test_errors_are_shown_by_week_of_posting(catalog, posted):
    model_id = add_model(catalog)
    first, sunday, before, unlabelled, unknown = posted
    predict(catalog, model_id, [{"video_id": first, "predicted_k": 900.0, "actual_k": 1.0}])
    predict(
        catalog,
        model_id,
        [
            # The newest of the first video's two: within its interval.
            {"video_id": first, "predicted_k": 10, "actual_k": 20, "low_k": 5, "high_k": 20},
            {"video_id": sunday, "predicted_k": 30, "actual_k": 4, "low_k": 5, "high_k": 60},
            {"video_id": before, "predicted_k": 7, "actual_k": 7},
            {"video_id": unlabelled, "predicted_k": 7},
            {"video_id": unknown, "predicted_k": 7, "actual_k": 1},
        ],
    )
    rows = ask(
        catalog,
        "SELECT week, n, mae_k, bias_k, log_mae, bias_log, n_intervals, coverage"
        " FROM v_error_by_week ORDER BY week",
    )
    low, high = log1p(10_000) - log1p(20_000), log1p(30_000) - log1p(4_000)
    assert [str(row[0]) for row in rows] == ["2026-06-22", "2026-06-29"]
    assert rows[0][1:] == (1, 0.0, 0.0, 0.0, 0.0, 0, None)
    assert [float(value) for value in rows[1][1:]] == pytest.approx(
        [2, 18, 8, (high - low) / 2, (high + low) / 2, 2, 0.5]
    )


def test_intervals_are_shown_with_predictions(catalog, posted):
    predict(
        catalog,
        add_model(catalog),
        [{"video_id": posted[0], "predicted_k": 10, "low_k": 5.5, "high_k": 20}],
    )
    for view in ("v_prediction", "v_latest_score"):
        assert ask(catalog, f"SELECT predicted_k, low_k, high_k FROM {view}") == [(10, 5.5, 20)]


@pytest.mark.parametrize(
    ("low_k", "high_k"),
    [("1", "NULL"), ("NULL", "1"), ("2", "1"), ("-1", "1"), ("1", "1e12"), ("'NaN'", "'NaN'")],
)
def test_an_interval_that_is_none_is_refused(catalog, low_k, high_k):
    (video_id,) = add_videos(catalog, 1)
    run_id = predict(catalog, add_model(catalog), [{"video_id": video_id, "predicted_k": 1}])
    statement = f"UPDATE prediction SET low_k = {low_k}, high_k = {high_k} WHERE run_id = {run_id}"
    with pytest.raises(IntegrityError), catalog.write() as session:
        session.execute(text(statement))
    with catalog.write() as session:
        update = "UPDATE prediction SET low_k = 1, high_k = 1 WHERE run_id = :id"
        session.execute(text(update), {"id": run_id})
    assert ask(catalog, "SELECT low_k, high_k FROM prediction") == [(1, 1)]
    assert {"low_k", "high_k"} <= set(Prediction.__table__.columns.keys())


METRICS = {
    "n": 12,
    "mae_k": 3,
    "mae_k.geometric_mean": 4,
    "mse_k2.geometric_mean": 5,
    "log_mae": 0.5,
    "log_mae.train_mean": 0.6,
    "log_mae.train_median": 0.7,
    "log_mae.geometric_mean": 0.8,
    "spearman": 0.3,
    "spearman.low": 0.1,
    "spearman.high": 0.4,
    "balanced_accuracy": 0.31,
    "majority_accuracy": 0.26,
    "coverage_80": 0.78,
    "interval_width_log": 2.5,
}
DIFFERENCES = [
    f"{error}_diff.{constant}.{end}"
    for error in ("mse_k2", "mae_k", "log_mae")
    for constant in ("train_mean", "train_median", "geometric_mean")
    for end in ("low", "high")
]


def test_the_leaderboard_has_every_constant_and_interval(catalog):
    metrics = METRICS | {name: number / 10 for number, name in enumerate(DIFFERENCES)}
    with record_run(catalog, "score", params={}, model_version_id=add_model(catalog)) as run:
        for name, value in metrics.items():
            run.metric("holdout", name, value)
        run.done()
    columns = ", ".join(name.replace(".", "_") for name in metrics)
    (row,) = ask(catalog, f"SELECT {columns} FROM v_run_leaderboard WHERE kind = 'score'")
    assert row == pytest.approx(tuple(metrics.values()))


def test_drift_shows_calibration_beside_the_runs_before(catalog):
    model_id = add_model(catalog)
    for coverage in (0.8, 0.6, 0.1):
        with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
            for name, value in {"n": 5, "mae_k": 1, "log_mae": 1 - coverage}.items():
                run.metric("new", name, value)
            run.metric("new", "coverage_80", coverage)
            run.done()
    rows = ask(
        catalog,
        "SELECT coverage_80, coverage_80_before, log_mae, log_mae_before, ratio"
        " FROM v_error_drift ORDER BY run_id",
    )
    assert rows[0] == (0.8, None, pytest.approx(0.2), None, None)
    assert rows[2] == pytest.approx((0.1, 0.7, 0.9, 0.3, 1.0))


def test_drift_is_told_of_versions_that_forecast_the_same(catalog):
    versions = [add_model(catalog) for _ in range(3)]
    with catalog.write() as session:
        at_a_week = "UPDATE model_version SET label = 'at:7d', horizon_s = 604800 WHERE id <> :id"
        session.execute(text(at_a_week), {"id": versions[0]})
    for model_id, error_k in zip(versions, (1, 5, 6), strict=True):
        with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
            run.metric("new", "n", 5)
            run.metric("new", "mae_k", error_k)
            run.done()
    told = "SELECT label, horizon_s, mae_k, mae_k_before FROM v_error_drift ORDER BY run_id"
    assert ask(catalog, told) == [
        ("latest", None, 1, None), ("at:7d", 604_800, 5, None), ("at:7d", 604_800, 6, 5),
    ]  # fmt: skip
