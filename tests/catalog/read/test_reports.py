"""Reports and read-only queries."""

import pytest
from sqlalchemy import text

from catalog.errors import BadQuery, NotFound
from catalog.facts import PredictionFacts
from catalog.read.reports import (
    coverage,
    explained,
    failure_counts,
    failures,
    gaps,
    leaderboard,
    query,
    run_details,
    runs,
    totals,
    verdict,
    weeks,
)
from catalog.record.lineage import store_predictions
from catalog.schema.forecasts import METADATA
from catalog.schema.session import Catalog
from catalog.work.runs import record_run
from tests.catalog.factories import (
    SHA,
    add_feature_set,
    add_features,
    add_media,
    add_model,
    add_split,
    add_videos,
)

VIEWS = (
    "v_error_drift",
    "v_failure",
    "v_feature_coverage",
    "v_hashtag_performance",
    "v_latest_score",
    "v_lineage",
    "v_performance_gap",
    "v_prediction",
    "v_run_leaderboard",
    "v_video",
)
ENDS = ("low", "high")
DIFFERENCES = tuple(
    f"{metric}_diff.{constant}"
    for metric in ("mse_k2", "mae_k", "log_mae")
    for constant in ("train_mean", "train_median", "geometric_mean")
)


@pytest.fixture
def scored(catalog: Catalog) -> Catalog:
    """A catalog that has been through everything once."""
    ids = add_videos(catalog, 10)
    add_media(catalog)
    set_id = add_feature_set(catalog)
    add_features(catalog, set_id)
    split_id = add_split(catalog, ids[:8])
    model = add_model(catalog, split_id=split_id, feature_set_ids=[set_id])
    with record_run(catalog, "score", params={}, model_version_id=model) as run:
        with catalog.write() as session:
            facts = [
                PredictionFacts(i, 50.0, 10.0 * i, i, 1, 2, SHA, "new" if i > 8 else "train")
                for i in ids
            ]
            store_predictions(session, run.id, facts)
        for name, value in (
            ("n", 40), ("mse_k2", 5.0), ("mae_k", 2.0), ("spearman", 0.8), ("log_mae", 0.3),
            ("spearman.low", 0.6), ("log_mae.train_mean", 0.9), ("log_mae.train_median", 0.5),
            ("log_mae.geometric_mean", 0.6),
            ("mse_k2.train_mean", 6.0), ("mae_k.train_mean", 3.0),
            ("mse_k2.train_median", 7.0), ("mae_k.train_median", 2.5),
            *((f"{name}.low", -3.0) for name in DIFFERENCES),
            *((f"{name}.high", -0.1) for name in DIFFERENCES),
        ):  # fmt: skip
            run.metric("new", name, value)
        run.failed("73", "io", "disk full")
        run.done(10)
    return catalog


def test_the_leaderboard_shows_the_constants_beside_the_model(scored):
    with scored.read() as session:
        (row,) = leaderboard(session)
    assert (row["kind"], row["part"], row["model_name"], row["model_kind"]) == (
        "score", "new", "fused", "fused",
    )  # fmt: skip
    assert (row["n"], row["mse_k2"], row["mae_k_train_median"]) == (40, 5.0, 2.5)
    assert (row["spearman"], row["status"], row["objective"]) == (0.8, "partial", "regression")
    assert row["verdict"] == "better"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "better"),
        ({"part": "train"}, "in sample"),
        ({"n": 29}, "no evidence"),
        ({"n": None}, "no evidence"),
        ({"log_mae_diff_train_median_high": 0.1}, "no evidence"),
        ({"log_mae_diff_train_mean_high": 0.0}, "no evidence"),
        ({"log_mae_diff_geometric_mean_high": None}, "no evidence"),
        ({"log_mae": 0.4999}, "no evidence"),
        ({"log_mae": 0.49}, "better"),
        ({"log_mae": None}, "no evidence"),
        ({"spearman_low": -0.01}, "no evidence"),
        ({"spearman_low": None}, "no evidence"),
        ({"mae_k_diff_train_median_high": 9.0, "mse_k2_diff_train_mean_high": None}, "better"),
        (
            {f"{name.replace('.', '_')}_{end}": 1.0 for name in DIFFERENCES for end in ENDS}
            | {"log_mae": 2.0},
            "worse",
        ),
    ],
)
def test_better_means_by_log_mae_beside_every_constant_and_ranking(change, said):
    row = {"n": 30, "part": "holdout", "log_mae": 0.3, "spearman_low": 0.05}
    row |= {"log_mae_train_mean": 0.9, "log_mae_train_median": 0.5, "log_mae_geometric_mean": 0.6}
    for name in DIFFERENCES:
        plain = name.replace(".", "_")
        row |= {f"{plain}_low": -3.0, f"{plain}_high": -0.1}

    assert verdict(row | change) == said


def test_how_large_a_lead_must_be_is_a_setting(scored):
    with scored.read() as session:
        (strict,) = leaderboard(session, least_gain=0.5)
        (mild,) = leaderboard(session, least_gain=0.3)
    assert (strict["verdict"], mild["verdict"]) == ("no evidence", "better")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers(scored, view):
    with query(scored, f"SELECT * FROM {view}") as result:
        assert result.columns
        assert list(result.rows)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_when_there_is_nothing(catalog, view):
    with query(catalog, f"SELECT * FROM {view};") as result:
        assert len(result.columns) > 5
        assert list(result.rows) == []


def test_a_query_stops_at_its_limit(scored):
    with query(scored, "SELECT tiktok_id, views_k FROM v_video ORDER BY video_id", 3) as result:
        assert result.columns == ("tiktok_id", "views_k")
        rows = list(result.rows)
    assert rows == [(f"730000000000000000{i}", 10.0 * i) for i in (1, 2, 3)]


def test_a_query_gives_what_json_knows(scored):
    with query(scored, "SELECT posted_at, probe FROM video, media_file LIMIT 1") as result:
        ((posted_at, probe),) = result.rows
    assert posted_at.startswith("2026-06-28")
    assert probe == '{"fps": 30}' or probe == '{"fps":30}'


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM event",
        "UPDATE video SET caption = ''",
        "DROP TABLE video",
        "COMMIT; DROP TABLE event",
        "SELECT 1; DROP TABLE event",
        "CREATE TABLE x (y INTEGER)",
        "WITH gone AS (DELETE FROM event RETURNING 1) SELECT * FROM gone",
        "ATTACH DATABASE 'attached.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA query_only = OFF",
        "SET default_transaction_read_only = off",
        "SELECT * FROM no_such_table",
        "nonsense",
        "",
    ],
)
def test_a_query_cannot_write(scored, sql):
    with pytest.raises(BadQuery), query(scored, sql) as result:
        list(result.rows)
    with scored.read() as session:
        assert totals(session)["event"] == 1
        assert (
            session.execute(text("SELECT COUNT(*) FROM v_video WHERE caption <> ''")).scalar() == 10
        )


def test_an_error_on_the_way_is_the_databases_own(scored):
    sql = (
        "SELECT 1 / (SELECT 0)" if "postgres" in scored.url else "SELECT abs(-9223372036854775808)"
    )
    with pytest.raises(BadQuery), query(scored, sql) as result:
        list(result.rows)


def test_coverage_counts_states(scored):
    add_videos(scored, 2, first=20)
    with scored.read() as session:
        (row,) = coverage(session)
    assert (row["kind"], row["n_videos"], row["n_media"]) == ("clip", 12, 10)
    assert (row["n_done"], row["n_dead"], row["n_not_enrolled"]) == (10, 0, 2)


def test_failures_are_listed_and_counted(scored):
    with scored.read() as session:
        (row,) = failures(session)
        assert (row["stage"], row["subject"], row["error_code"]) == ("score", "73", "io")
        assert "disk full" in row["error"]
        assert failures(session, code="other") == []
        assert failures(session, stage="score", code="io") == [row]
        assert [(r["stage"], r["n"]) for r in failure_counts(session)] == [("score", 1)]


def test_the_widest_gaps_come_first(scored):
    with scored.read() as session:
        rows = gaps(session, 2)
        verdicts = {r["verdict"] for r in gaps(session, 100)}
    assert [row["video_id"] for row in rows] == [1, 2]
    assert rows[0]["verdict"] == "under"
    assert verdicts == {"under", "as predicted"}


def test_the_errors_of_a_week_are_of_the_model_that_scored_last_and_not_in_sample(scored):
    with scored.read() as session:
        found = weeks(session)
    # Eight of the ten predictions are of videos that it was trained on.
    assert [(row["part"], row["n"]) for row in found] == [("new", 2)]
    assert found[0]["mae_k"] == 45.0


def test_what_explains_a_model_is_read_back_as_it_was_noted(scored):
    with scored.read() as session:
        assert explained(session) is None
        version = session.execute(text("SELECT MAX(id) FROM model_version")).scalar_one()
    importance = {"block": "tags", "present": 1.0, "log_mae": 0.2, "log_mae_interval": [0.1, 0.3]}
    effect = {"what": "dance", "n": 9, "factor": 2.0, "interval": [1.5, 2.5]}
    with record_run(scored, "explain", params={}, model_version_id=version) as run:
        run.note("tags", "importance", {**importance, "spearman": 0.1})
        run.note("dance", "hashtag_effect", effect)
        run.done()
    with scored.read() as session:
        found = explained(session)
    assert [row["log_mae_low"] for row in found.importances] == [0.1]
    assert [(row["what"], row["high"]) for row in found.hashtags] == [("dance", 2.5)]
    assert found.hours == []
    older = {"block": "tags", "present": 1.0, "log_mae_k": 0.2, "log_mae_k_interval": [0.1, 0.3]}
    with record_run(scored, "explain", params={}, model_version_id=version) as run:
        run.note("tags", "importance", {**older, "spearman": 0.1})
        run.done()
    with scored.read() as session:
        [row] = explained(session).importances
    assert (row["log_mae"], row["log_mae_low"], row["spearman"]) == (None, None, 0.1)


def test_the_hashtag_view_counts_videos_once(scored):
    with query(scored, "SELECT hashtag, n_videos, n_scored FROM v_hashtag_performance") as result:
        assert list(result.rows) == [("dance", 10, 10)]


def test_lineage_leads_from_the_score_to_the_file(scored):
    sql = "SELECT model_sha256, split_name, feature_kind, feature_row, media_uri FROM v_lineage"
    with query(scored, sql + " ORDER BY video_id", 1) as result:
        (row,) = result.rows
    assert row == (SHA, "s1", "clip", 0, "7300000000000000001.mp4")


def test_what_a_model_may_know_stands_beside_its_results(scored):
    for view in ("v_lineage", "v_run_leaderboard WHERE kind = 'score'"):
        with query(scored, f"SELECT DISTINCT as_of, history_rule FROM {view}") as result:
            assert list(result.rows) == [(None, None)]
    with scored.write() as session:
        session.execute(text("UPDATE model_version SET as_of = 'crawl', history_rule = 'posted'"))
    for view in ("v_lineage", "v_run_leaderboard WHERE kind = 'score'"):
        with query(scored, f"SELECT DISTINCT as_of, history_rule FROM {view}") as result:
            assert list(result.rows) == [("crawl", "posted")]


def test_totals_name_every_table(scored):
    with scored.read() as session:
        counted = totals(session)
    assert counted.keys() == METADATA.tables.keys()
    assert (counted["video"], counted["prediction"], counted["run"]) == (10, 10, 2)


def test_a_run_is_shown_with_all_it_left(scored):
    with scored.read() as session:
        newest, _ = runs(session)
        shown = run_details(session, newest["id"])
        assert runs(session, kind="train", limit=5)[0]["kind"] == "train"
        with pytest.raises(NotFound, match="the newest is 2"):
            run_details(session, 99)
    assert shown["status"] == "partial"
    assert {"part": "new", "name": "mae_k", "value": 2.0} in shown["metrics"]
    assert shown["events"][0]["code"] == "io"
