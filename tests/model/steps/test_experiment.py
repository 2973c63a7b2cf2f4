"""The experiment, the comparison and the splits on a small catalog."""

import csv
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from catalog.ages import AgeRule
from catalog.console import Silent
from catalog.facts import PredictionFacts
from catalog.read.beside import label_age_s, labels_of
from catalog.read.histories import past_posts
from catalog.read.lookup import find_model, split_members, train_labels
from catalog.read.pending import split_rows, videos_to_score
from catalog.record.accounts import ensure_accounts
from catalog.record.lineage import store_predictions
from catalog.record.sightings import mark_gone, store_sightings
from catalog.schema.forecasts import SplitMember
from catalog.work.runs import record_run
from cli import main
from model.errors import BadSetting, NothingToTrain
from model.experiment.table import choose
from model.split import SplitConfig
from model.steps.compare import compare
from model.steps.experiment import ExperimentRequest, run_experiment
from model.steps.split import create_split, show_split
from model.steps.train import train
from scraper.pseudonyms import author_key
from tests.catalog.factories import SHA, T0, add_model, add_split, add_videos, seen, video_facts
from tests.fresh_catalog import ask, fresh_catalog
from tests.model.steps.test_steps import opened
from tests.synthetic import add_features

N = 24
ROWS = ("mean", "median", "paper", "paper-mse")


@pytest.fixture
def study(tmp_path):
    """24 videos with views of 10, 20, … thousand and all features, and a split of them."""
    with fresh_catalog(tmp_path) as catalog:
        add_videos(catalog, N)
    with opened(tmp_path) as found:
        for feature_set in found.sets.values():
            add_features(found.catalog, found.store, feature_set, found.videos)
        found.split()
        yield found


def run(study, *names, train_one=None, **more):
    """Run the experiment's rows of these names, two epochs each."""
    request = ExperimentRequest(rows=choose(names), **{"epochs": 2, **more})
    return run_experiment(
        study.catalog, request, train_one or partial(train_row, study), data=study.data
    )


def train_row(study, request, parent_id):
    """Train one row, as the command does."""
    return train(
        study.catalog,
        request,
        study.sets.__getitem__,
        store=study.store,
        data=study.data,
        progress=Silent(),
        parent_id=parent_id,
    )


def table_of(folder):
    with (folder / "table1.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


# --- experiment


def test_each_row_is_a_run_of_its_own_and_the_table_has_them_all(study):
    outcome, folder = run(study, *ROWS)

    assert (outcome.status, outcome.n_done) == ("ok", len(ROWS))
    assert folder == study.data / "runs" / str(outcome.run_id)
    rows = table_of(folder)
    assert list(rows) == list(ROWS)
    assert {row["status"] for row in rows.values()} == {"trained"}
    for name, row in rows.items():
        found = study.metrics(int(row["train_run_id"]))
        assert float(row["mae_k"]) == found["holdout", "mae_k"]
        [(parent_id,)] = ask(
            study.catalog, "SELECT parent_id FROM run WHERE id = :id", id=row["train_run_id"]
        )
        assert parent_id == outcome.run_id
        with study.catalog.read() as session:
            assert find_model(session, name=name).version == 1
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<h3>fused</h3>") == 1
    assert "at most 2 epochs in place of those that each preset has" in page
    assert page.count("<polyline") == 4


def test_what_was_predicted_for_the_held_out_videos_is_drawn(study):
    def and_predict(request, parent_id):
        outcome, model = train_row(study, request, parent_id)
        facts = [
            PredictionFacts(video_id, 7.0, 9.0, None, None, None, SHA, "holdout")
            for video_id in study.videos[-4:]
        ]
        with study.catalog.write() as session:
            store_predictions(session, model.train_run_id, facts)
        return outcome, model

    _outcome, folder = run(study, "paper", "paper-mse", train_one=and_predict)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<circle") == 2 * 4


def test_a_repeated_experiment_trains_nothing_again_and_shows_the_same(study):
    _outcome, first = run(study, *ROWS)
    _outcome, second = run(study, *ROWS)

    again = table_of(second)
    assert {row["status"] for row in again.values()} == {"kept"}
    for name, row in table_of(first).items():
        assert again[name] | {"status": "trained"} == row
    assert ask(study.catalog, "SELECT count(*) FROM model_version") == [(len(ROWS),)]


def test_a_row_that_cannot_be_trained_costs_that_row(study):
    def without_networks(request, parent_id):
        if request.preset == "paper":
            raise NothingToTrain("no <visual> feature")
        return train_row(study, request, parent_id)

    outcome, folder = run(study, *ROWS, train_one=without_networks)

    assert (outcome.status, outcome.n_done, outcome.n_failed) == ("partial", 2, 2)
    rows = table_of(folder)
    assert [row["status"] for row in rows.values()] == ["trained", "trained", "failed", "failed"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "NothingToTrain: no &lt;visual&gt; feature" in page
    events = ask(study.catalog, "SELECT subject FROM event WHERE level = 'error' ORDER BY id")
    assert events == [("paper",), ("paper-mse",)]


def test_many_failed_rows_do_not_end_the_experiment(study):
    def never(request, parent_id):
        raise NothingToTrain("nothing")

    outcome, folder = run(study, train_one=never)
    assert outcome.status == "failed"
    assert {row["status"] for row in table_of(folder).values()} == {"failed"}


NO_ROOM = (MemoryError("full"), RuntimeError("allocator: can't allocate memory: 3 GB"))


@pytest.mark.parametrize("error", NO_ROOM)
def test_a_model_that_is_too_big_for_the_machine_costs_its_row(study, error):
    def too_big(request, parent_id):
        raise error

    outcome, folder = run(study, "paper", train_one=too_big)
    assert (outcome.n_failed, table_of(folder)["paper"]["status"]) == (1, "failed")


def test_a_fault_of_the_program_is_not_hidden_in_a_row(study):
    def broken(request, parent_id):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(study, "mean", train_one=broken)


def test_what_is_done_is_in_the_table_when_it_is_stopped(study, tmp_path):
    def stop_at_second(request, parent_id):
        if request.preset == "median":
            raise KeyboardInterrupt
        return train_row(study, request, parent_id)

    out = tmp_path / "chosen"
    with pytest.raises(KeyboardInterrupt):
        run(study, "mean", "median", train_one=stop_at_second, out=out)
    assert list(table_of(out)) == ["mean"]


def test_the_command_lists_its_rows_without_training_them(study):
    words = ["--data", str(study.data), "experiment", "paper", "--dry-run", "--json"]
    result = CliRunner().invoke(main, [*words, "--only", "mean", "--only", "paper"])
    listed = json.loads(result.stdout)["rows"]
    assert [row["row"] for row in listed] == ["mean", "paper"]
    assert ask(study.catalog, "SELECT count(*) FROM run WHERE kind = 'experiment'") == [(0,)]


def test_the_command_trains_and_says_where_the_table_is(study):
    words = ["--data", str(study.data), "experiment", "paper", "--only", "mean", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["n_done"] == 1
    assert document["folder"] == str(study.data / "runs" / str(document["run_id"]))


def test_an_unknown_row_is_refused_before_anything_is_trained(study):
    words = ["--data", str(study.data), "experiment", "paper", "--only", "swin"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "'swin' is no row of the table" in result.output


# --- compare


@pytest.fixture
def scored(tmp_path):
    """400 videos, a split, and two models: one that nearly knows the views, one that does not."""
    with fresh_catalog(tmp_path) as catalog:
        videos = add_videos(catalog, 400)
        split_id = add_split(catalog, videos)
        for name, factor in (("sharp", 1.01), ("blunt", 30.0)):
            model_id = add_model(catalog, name=name, split_id=split_id)
            with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
                facts = [
                    PredictionFacts(
                        video_id,
                        factor * 10.0 * (i + 1),
                        10.0 * (i + 1),
                        None,
                        None,
                        None,
                        SHA,
                        "holdout" if i >= 320 else "train",
                    )
                    for i, video_id in enumerate(videos)
                    # The second model has not met the last three videos yet.
                    if name == "sharp" or i < 397
                ]
                with catalog.write() as session:
                    store_predictions(session, run.id, facts)
        yield catalog


def models(catalog, *names):
    with catalog.read() as session:
        return [find_model(session, name=name) for name in names]


def test_models_meet_on_the_videos_that_all_have_predicted(scored):
    found = compare(scored, models(scored, "sharp", "blunt"), part="holdout")
    assert found.comparison.n == 77
    assert found.n_left_out == {"sharp:1": 3, "blunt:1": 0}
    by_pair = {(d.metric, d.first, d.second): d for d in found.comparison.differences}
    assert by_pair["mae_k", "sharp:1", "blunt:1"].verdict == "better"
    assert by_pair["mae_k", "blunt:1", "train_mean"].verdict == "worse"
    assert found.comparison.metrics["sharp:1"]["mae_k"] == pytest.approx(0.01 * 3590, rel=1e-3)


def test_videos_that_were_trained_on_give_no_verdict(scored):
    found = compare(scored, models(scored, "sharp", "blunt"), part="train")
    assert {d.verdict for d in found.comparison.differences} == {"in sample"}


def test_models_without_a_common_video_cannot_be_compared(scored):
    with pytest.raises(NothingToTrain, match="viewcast score --model sharp:1"):
        compare(scored, models(scored, "sharp", "blunt"), part="val")
    with pytest.raises(BadSetting, match="two or more different"):
        compare(scored, models(scored, "sharp", "sharp"), part="holdout")


def test_videos_whose_truth_was_another_for_each_model_are_left_out(scored):
    with scored.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE prediction SET actual_k = actual_k + 1 WHERE run_id ="
            " (SELECT max(id) FROM run WHERE kind = 'score') AND video_id % 2 = 0"
        )
    found = compare(scored, models(scored, "sharp", "blunt"), part="holdout")
    assert (found.comparison.n, found.n_other_count) == (39, 38)


def test_the_command_says_who_is_better_in_words_and_in_json(scored, tmp_path):
    words = ["--data", str(tmp_path), "compare", "sharp", "blunt:1"]
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    assert "77 holdout videos" in shown.output
    assert "3 videos of sharp:1" in shown.output
    assert "better" in shown.output
    document = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (document["n"], document["left_out"]["sharp:1"]) == (77, 3)
    one = CliRunner().invoke(main, words[:-1])
    assert (one.exit_code, "two or more" in one.output) == (2, True)


# --- split


def see_later(catalog, number, *, days, views_k):
    """See the video of that number once more, so many days after its factory's T0."""
    sighting = (
        video_facts(f"{7_300_000_000_000_000_000 + number}"),
        seen(views_k, at=T0 + timedelta(days=days)),
    )
    with catalog.write() as session:
        store_sightings(session, [sighting], run_id=None, found_by="dance")


@pytest.fixture
def aged(tmp_path):
    """Six videos posted three days before T0, when all were seen; four were seen again later."""
    with fresh_catalog(tmp_path) as catalog:
        add_videos(catalog, 6)
        for number in (1, 2, 3, 4):
            see_later(catalog, number, days=5, views_k=500.0 + number)
            see_later(catalog, number, days=30, views_k=9_000.0)
        yield catalog


def test_a_label_age_takes_the_first_count_that_is_old_enough(aged):
    week = SplitConfig(label="from:7d")
    outcome, split = create_split(aged, week, name="week")

    assert outcome.codes == {"no_label_yet": 2}
    assert sum(split.n_by_part.values()) == 4
    labels = ask(
        aged,
        "SELECT o.views_k FROM split_member m JOIN view_observation o ON o.id = m.observation_id"
        " WHERE m.split_id = :id ORDER BY m.video_id",
        id=split.id,
    )
    assert labels == [(501.0,), (502.0,), (503.0,), (504.0,)]


def test_nothing_crosses_a_frozen_split_and_no_label_is_later_than_it(aged):
    create_split(aged, SplitConfig(strategy="author", holdout=0.4, val=0.2, seed=3), name="apart")
    row, summary = show_split(aged, "apart")
    assert all(shared.n_authors == 0 for shared in summary.shared)
    assert all(part.labels_seen_to <= row.created_at for part in summary.parts.values())
    doubled = "SELECT video_id FROM split_member GROUP BY split_id, video_id HAVING count(*) > 1"
    assert ask(aged, doubled) == []


@pytest.mark.parametrize("in_key_order", [False, True])
def test_the_same_videos_are_parted_the_same_whatever_the_salt(tmp_path, in_key_order):
    parts = []
    config = SplitConfig(strategy="author", holdout=0.3, val=0.3)
    for salt in (b"one" * 8, b"another" * 4):
        keys = [author_key(f"somebody{i % 15}", salt) for i in range(60)]
        with fresh_catalog(tmp_path / salt.decode()) as catalog:
            rows = [
                (video_facts(f"{100 + i}", author_key=key), seen()) for i, key in enumerate(keys)
            ]
            with catalog.write() as session:
                if in_key_order:  # as they were given ids before
                    ensure_accounts(session, "tiktok", dict.fromkeys(sorted(keys)))
                store_sightings(session, rows, run_id=None, found_by=None)
            create_split(catalog, config)
            parts.append(
                ask(
                    catalog,
                    "SELECT v.tiktok_id, m.part FROM split_member m"
                    " JOIN video v ON v.id = m.video_id ORDER BY v.tiktok_id",
                )
            )
    assert parts[0] == parts[1]
    assert {part for _, part in parts[0]} == {"train", "val", "holdout"}


def test_an_author_stays_where_they_are_when_their_first_video_goes(tmp_path):
    parts = []
    with fresh_catalog(tmp_path) as catalog:
        ids = add_videos(catalog, 40)  # by ten authors, in turn
        for _ in range(2):
            create_split(catalog, SplitConfig(strategy="author", holdout=0.3, val=0.3))
            rows = "SELECT video_id, part FROM split_member WHERE split_id = :id"
            parts.append(dict(ask(catalog, rows, id=len(parts) + 1)))
            with catalog.write() as session:
                for video_id in ids[:10]:
                    mark_gone(session, video_id, T0, "deleted")
    assert len(parts[1]) == 30
    assert parts[1].items() <= parts[0].items()


def test_a_split_is_shown_with_its_settings_label_ages_and_hash(aged, tmp_path):
    said = CliRunner().invoke(
        main, ["--data", str(tmp_path), "split", "create", "--name", "week", "--label", "from:7d"]
    )
    assert said.exit_code == 0, said.output
    shown = CliRunner().invoke(main, ["--data", str(tmp_path), "split", "show", "--json"])
    document = json.loads(shown.stdout)
    assert (document["name"], document["strategy"]) == ("week", "time")
    assert document["params"]["label_age_s"] == 7 * 86_400
    assert document["n_by_part"] == {"train": 2, "val": 1, "holdout": 1}
    train_part = document["parts"]["train"]
    assert train_part["label_age_d_median"] == pytest.approx(8.0)
    assert train_part["posted_from"] == (T0 - timedelta(days=3)).isoformat()
    text = CliRunner().invoke(main, ["--data", str(tmp_path), "split", "show", "week"]).output
    assert document["sha256"] in text
    assert "8.0 to 8.0, median 8.0" in text


RULE = AgeRule(reach=0.9, tolerance=0.1)


def test_a_label_at_an_age_lies_between_the_counts_around_it(aged, tmp_path):
    # Seen at 3 days by all; at 8 and 33 days by four of the six.
    see_later(aged, 5, days=3.5, views_k=77.0)  # at 6.5 days: near enough to stand alone
    outcome, split = create_split(aged, SplitConfig(label="at:7d"), rule=RULE, name="week")

    assert outcome.codes == {"label_not_observed": 1}
    rows = ask(
        aged,
        "SELECT m.label_k, m.label_low_k, m.label_high_k, o.views_k, s.views_k FROM split_member m"
        " JOIN view_observation o ON o.id = m.observation_id"
        " LEFT JOIN view_observation s ON s.id = m.second_observation_id"
        " WHERE m.split_id = :id ORDER BY m.video_id",
        id=split.id,
    )
    for number, (label_k, low_k, high_k, before_k, after_k) in enumerate(rows[:4], 1):
        assert (before_k, after_k) == (10.0 * number, 500.0 + number)
        assert low_k <= before_k < label_k < after_k <= high_k
    assert rows[4][3:] == (77.0, None)
    assert 77.0 < rows[4][0] < 77.0 * 7 / 6.5

    row, summary = show_split(aged, "week")
    stated = {"label": "at:7d", "reach": 0.9, "tolerance": 0.1}
    assert row.params.items() >= {**stated, "strategy": "time"}.items()
    assert row.params["left_out"] == {"label_not_observed": 1}
    assert {part.label_age_d_min for part in summary.parts.values()} == {7.0}
    # Known when the second count was seen.
    assert summary.parts["train"].labels_seen_to == T0 + timedelta(days=5)
    shown = CliRunner().invoke(main, ["--data", str(tmp_path), "split", "show", "week"]).output
    assert "label_not_observed: 1" in shown

    again, same = create_split(aged, SplitConfig(label="at:168h"), rule=RULE)
    assert (same.id, again.codes["split_exists"]) == (split.id, 1)
    _outcome, other = create_split(aged, SplitConfig(label="at:7d"), rule=AgeRule(0.8, 0.1))
    assert other.created


def test_a_label_that_may_still_come_and_one_that_cannot_are_counted_apart(tmp_path):
    now = datetime.now(UTC)
    with fresh_catalog(tmp_path) as catalog:
        add_videos(catalog, 3)
        young = video_facts("7400000000000000001", posted_at=now - timedelta(days=2))
        timeless = video_facts("abc", posted_at=None)
        sightings = [(facts, seen(5.0, at=now)) for facts in (young, timeless)]
        with catalog.write() as session:
            store_sightings(session, sightings, run_id=None, found_by=None)
        outcome, split = create_split(catalog, SplitConfig(label="at:3d", val=0.0))
    assert sum(split.n_by_part.values()) == 3  # all seen at exactly that age
    assert outcome.codes == {"label_not_yet": 1, "label_no_posting_time": 1}


def test_every_reader_of_a_split_gets_the_label_and_not_the_count_before_it(aged):
    _outcome, split = create_split(aged, SplitConfig(label="at:7d"), rule=RULE, name="week")
    model_id = add_model(aged, split_id=split.id)
    with record_run(aged, "score", params={}, model_version_id=model_id) as run:
        pass
    with aged.read() as session:
        labels = dict(session.execute(select(SplitMember.video_id, SplitMember.label_k)).all())
        rows = list(split_rows(session, split.id, {}, parts=("train", "val", "holdout")))
        scored = videos_to_score(
            session,
            model_version_id=model_id,
            feature_set_ids={},
            required=(),
            run_id=run.id,
            rescore=False,
            parts=("train", "val", "holdout"),
        )
        assert {row.video_id: row.views_k for row in rows} == labels
        assert {row.video_id: row.actual_k for row in scored} == labels
        in_train = {row.video_id for row in rows if row.part == "train"}
        trained = sorted(labels[video_id] for video_id in in_train)
        assert sorted(train_labels(session, split.id)) == trained
        assert list(labels_of(session, split.id, list(labels))) == list(labels.values())
        members = {one.video.video_id: one for one in split_members(session, split.id)}
        assert {video_id: one.label.views_k for video_id, one in members.items()} == labels
        posts = past_posts(session, "posted", split_id=split.id)
        past = {one.video_id: one.views_k for one in posts}
        assert {video_id: past[video_id] for video_id in labels} == labels
        assert label_age_s(session, split.id) == 7 * 86_400


def test_latest_labels_of_unequal_age_are_said_to_be_with_what_equal_ones_would_cost(
    aged, tmp_path
):
    create_split(aged, SplitConfig(), name="latest")
    # Two were last seen at three days, four at 33.
    words = ["--data", str(tmp_path), "split", "show", "latest"]
    document = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (document["label_age_d_10"], document["label_age_d_90"]) == (3.0, 33.0)
    assert document["n_equal"] == 4
    assert "--label at:7d" in CliRunner().invoke(main, words).output
    create_split(aged, SplitConfig(label="from:7d"), name="from")
    shown = CliRunner().invoke(main, [*words[:-1], "from"]).output
    assert "--label" not in shown


def test_splits_are_listed(aged, tmp_path):
    listed = CliRunner().invoke(main, ["--data", str(tmp_path), "split", "list"])
    assert "no split yet" in listed.output
    create_split(aged, SplitConfig(), name="first")
    listed = CliRunner().invoke(main, ["--data", str(tmp_path), "split", "list", "--json"])
    [row] = json.loads(listed.stdout)["splits"]
    assert (row["name"], sum(row["n_by_part"].values())) == ("first", 6)


def test_an_age_without_a_unit_is_refused(tmp_path):
    words = ["--data", str(tmp_path), "split", "create", "--label", "at:7"]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, "90s, 30m, 12h, 7d, 2w" in result.output) == (2, True)
