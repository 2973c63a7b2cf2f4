import json
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import text

from catalog.console import Silent
from catalog.errors import Busy, NotFound
from catalog.facts import FeatureSetFacts
from catalog.read.lookup import find_model
from catalog.schema.session import Catalog, open_catalog
from features.errors import WeightsMismatch
from features.plan import clip_alias
from features.store import FeatureStore
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from features.video.visual import load_autoencoder
from features.weights import load_weights
from model.errors import BadCheckpoint, IncompatibleFeatures, NothingToTrain
from model.evaluation.metrics import NOBODY, clusters_of
from model.settings import PretrainConfig
from model.split import SplitConfig
from model.steps.figures import compare_autoencoders
from model.steps.pretrain import import_autoencoder, pretrain_autoencoder
from model.steps.score import count_to_score, load_model, score
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from tests import synthetic
from tests.catalog.factories import add_videos
from tests.fresh_catalog import ask, fresh_catalog
from tests.synthetic import add_feature_set, add_features

N = 24
N_BY_PART = {"train": 16, "val": 4, "holdout": 4}
TINY = PretrainConfig(hidden=4, epochs=1, batch=4)
QUICK = {"epochs": 2}


@dataclass
class Study:
    """24 videos with views of 10, 20, … thousand and all features; every sixth has no sound."""

    catalog: Catalog
    data: Path
    store: FeatureStore
    sets: dict[str, FeatureSetFacts]
    videos: list[int]

    def split(self, **more):
        return create_split(self.catalog, SplitConfig(), **more)

    def feature_set(self, kind):
        """The set of a kind, where the study has one."""
        if kind not in self.sets:
            raise NotFound(f"no {kind}")
        return self.sets[kind]

    def train(self, preset="fused", **more):
        fit = QUICK if preset == "fused" else {}
        return train(
            self.catalog,
            TrainRequest(preset, **{"fit": fit, **more}),
            self.feature_set,
            store=self.store,
            data=self.data,
            progress=Silent(),
        )

    def pretrain(self, **more):
        return pretrain_autoencoder(
            self.catalog,
            self.sets["clip"],
            more.pop("config", TINY),
            store=self.store,
            data=self.data,
            progress=Silent(),
            **more,
        )

    def score(self, model, *, progress=None, **more):
        return score(
            self.catalog,
            model,
            store=self.store,
            data=self.data,
            progress=progress or Silent(),
            **more,
        )

    def add_videos(self, n):
        """More videos, with all features."""
        added = add_videos(self.catalog, n, first=len(self.videos) + 1)
        self.videos += added
        for kind in ("visual", "audio"):
            add_features(self.catalog, self.store, self.sets[kind], added)
        return added

    def metrics(self, run_id, step=-1):
        """Final metrics of a run by part and name."""
        sql = "SELECT split, name, value FROM run_metric WHERE run_id = :run AND step = :step"
        rows = ask(self.catalog, sql, run=run_id, step=step)
        return {(part, name): value for part, name, value in rows}


@contextmanager
def opened(folder):
    """The study whose catalog and features lie in the folder."""
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    videos = [video_id for (video_id,) in ask(catalog, "SELECT id FROM video ORDER BY id")]
    sets = {kind: add_feature_set(catalog, kind) for kind in ("clip", "visual", "audio")}
    yield Study(catalog, folder, FeatureStore(str(folder / "features")), sets, videos)
    catalog.close()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A study's folder, made once, to be copied."""
    folder = tmp_path_factory.mktemp("study")
    with fresh_catalog(folder) as catalog:
        add_videos(catalog, N)
    with opened(folder) as study:
        for kind, feature_set in study.sets.items():
            absent = study.videos[::6] if kind == "audio" else ()
            add_features(study.catalog, study.store, feature_set, study.videos, absent=absent)
    return folder


@pytest.fixture(scope="module")
def with_model(untouched, tmp_path_factory):
    """The same after a split, a training, and two videos that came later."""
    folder = tmp_path_factory.mktemp("trained") / "study"
    shutil.copytree(untouched, folder)
    with opened(folder) as study:
        study.split()
        study.train()
        study.add_videos(2)
    return folder


@pytest.fixture
def study(untouched, tmp_path):
    shutil.copytree(untouched, tmp_path, dirs_exist_ok=True)
    with opened(tmp_path) as found:
        yield found


def set_status(study, kind, video_ids, status):
    """Take a feature back, as a test's shortcut."""
    with study.catalog.write() as session:
        for video_id in video_ids:
            session.connection().exec_driver_sql(
                "UPDATE feature SET status = ?, uri = NULL, row = NULL, sha256 = NULL"
                " WHERE feature_set_id = ? AND video_id = ?",
                (status, study.sets[kind].id, video_id),
            )


def test_a_model_whose_file_is_gone_is_trained_again(study):
    study.split()
    _outcome, first = study.train("median")
    (study.data / first.artifact_uri).unlink()

    outcome, second = study.train("median")
    again, same = study.train("median")

    assert (outcome.n_done, second.version) == (1, first.version + 1)
    assert (study.data / second.artifact_uri).is_file()
    assert (again.codes, same.version) == ({"trained_before": 1}, second.version)


# --- pretrain


def test_pretraining_registers_its_weights_and_is_done_once(study):
    outcome, model = study.pretrain()
    again, same = study.pretrain()

    assert (outcome.status, outcome.n_done) == ("ok", 1)
    assert (study.data / model.artifact_uri).is_file()
    assert not list((study.data / "weights").glob("*.state"))
    assert (again.n_done, again.codes) == (0, {"trained_before": 1})
    assert same == model
    assert study.metrics(outcome.run_id)["val", "mse_pixels"] > 0
    assert study.metrics(outcome.run_id, step=1).keys() == {
        ("train", "mse_pixels"),
        ("val", "mse_pixels"),
    }


@pytest.mark.parametrize(
    ("again", "module", "work"),
    [
        (lambda study: study.pretrain(), "model.steps.pretrain", "_train"),
        (lambda study: study.train("median"), "model.steps.train", "_fitted"),
    ],
)
def test_the_very_same_is_not_trained_twice_at_once(study, monkeypatch, again, module, work):
    """Both would write one unfinished state."""
    study.split()
    really = getattr(sys.modules[module], work)

    def meanwhile(*arguments, **more):
        with pytest.raises(Busy, match="is being trained on the same rows by process"):
            again(study)
        return really(*arguments, **more)

    monkeypatch.setattr(sys.modules[module], work, meanwhile)
    outcome, _model = again(study)
    assert (outcome.status, outcome.n_done) == ("ok", 1)
    assert list((study.data / "scratch").iterdir()) == []
    assert ask(study.catalog, "SELECT status, count(*) FROM run GROUP BY status ORDER BY 1")[0] == (
        "failed",
        1,
    )


def test_intervals_are_drawn_by_author_whatever_the_network_reads(study, monkeypatch):
    drawn: list[list[int]] = []

    def seen(authors):
        drawn.append(list(authors))
        return clusters_of(drawn[-1])

    monkeypatch.setattr(sys.modules["model.steps.score"], "clusters_of", seen)
    study.split()
    _outcome, model = study.train("fused")  # it is shown no facts
    trained = sorted(map(sorted, drawn))
    drawn.clear()
    study.score(model)

    assert sorted(map(sorted, drawn)) == trained
    assert sorted(map(len, trained)) == sorted(N_BY_PART.values())
    assert NOBODY not in {author for part in trained for author in part}
    # The factory's videos are of ten authors, by the last digit of their ids.
    assert len({author for part in trained for author in part}) == 10


def test_more_clips_are_another_pretraining_unless_any_will_do(study):
    _outcome, first = study.pretrain()
    added = add_videos(study.catalog, 4, first=N + 1)
    add_features(study.catalog, study.store, study.sets["clip"], added)

    kept, same = study.pretrain(if_missing=True)
    outcome, second = study.pretrain()

    assert (kept.codes, same.version) == ({"trained_before": 1}, first.version)
    assert (outcome.n_done, second.version) == (1, 2)


def test_a_repeated_pretraining_leaves_the_file_of_the_first_alone(study):
    _outcome, first = study.pretrain()
    before = (study.data / first.artifact_uri).stat().st_mtime_ns

    outcome, second = study.pretrain(again=True)

    assert (outcome.n_done, second.version) == (1, 2)
    assert second.artifact_uri != first.artifact_uri
    assert (study.data / first.artifact_uri).stat().st_mtime_ns == before


def test_pretraining_without_clips_fails_and_is_on_record(study):
    set_status(study, "clip", study.videos, "pending")

    with pytest.raises(NothingToTrain):
        study.pretrain()

    assert ask(study.catalog, "SELECT status FROM run WHERE kind = 'pretrain'") == [("failed",)]


def test_a_pretraining_leaves_its_last_epoch_and_its_figures_in_the_runs_folder(study):
    config = PretrainConfig(hidden=4, epochs=2, batch=4, precision="fp32")
    outcome, model = study.pretrain(config=config)

    folder = study.data / "runs" / str(outcome.run_id)
    names = {path.name for path in folder.iterdir()}
    assert names == {"last.safetensors", "figures.html", "reconstructions.png", "epochs.png"}
    page = (folder / "figures.html").read_text(encoding="utf-8")
    assert page.count("<polyline") == 2
    assert "epochs.png" in page
    best = load_weights(study.data / model.artifact_uri)
    assert [epoch["number"] for epoch in best.extra["curve"]] == [1, 2]
    assert load_autoencoder(folder / "last.safetensors").config.hidden == 4
    assert study.metrics(outcome.run_id)["train", "clips_per_s"] > 0
    assert model.hyper["computed_in"] == "fp32"


def test_two_autoencoders_are_drawn_side_by_side(study):
    first = study.pretrain()[1]
    second = study.pretrain(config=PretrainConfig(hidden=3, epochs=2, batch=4))[1]
    page = compare_autoencoders(study.catalog, [first, second], store=study.store, data=study.data)
    assert page == study.data / "runs" / str(second.train_run_id) / "compare-1-2.html"
    assert page.read_text(encoding="utf-8").count("<polyline") == 2
    assert page.with_suffix(".png").is_file()


def test_autoencoders_without_a_common_video_cannot_be_compared(study):
    model = study.pretrain()[1]
    set_status(study, "clip", study.videos, "pending")
    with pytest.raises(NothingToTrain, match="no video has clips"):
        compare_autoencoders(study.catalog, [model], store=study.store, data=study.data)


def test_foreign_weights_become_the_autoencoder_of_the_clips(study, tmp_path):
    own = study.pretrain()[1]
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=5)).eval()
    path = tmp_path / "theirs.pt"
    torch.save({"model_state_dict": network.state_dict()}, path)

    outcome, model = import_autoencoder(study.catalog, study.sets["clip"], path, data=study.data)
    again, same = import_autoencoder(study.catalog, study.sets["clip"], path, data=study.data)

    assert (outcome.n_done, again.codes) == (1, {"imported_before": 1})
    assert same == model
    assert model.version == own.version + 1
    assert model.hyper["from"] == "theirs.pt"
    found = load_autoencoder(study.data / model.artifact_uri)
    assert torch.equal(found.painter.weight, network.painter.weight)
    with study.catalog.read() as session:
        alias = clip_alias(study.sets["clip"].config_hash)
        assert find_model(session, name="autoencoder", alias=alias) == model
    # Imported weights have no curve; they are drawn all the same.
    page = compare_autoencoders(study.catalog, [own, model], store=study.store, data=study.data)
    assert page.read_text(encoding="utf-8").count("<polyline") == 1


def test_foreign_weights_that_do_not_fit_are_no_model(study, tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsMismatch, match=r"fc\.weight"):
        import_autoencoder(
            study.catalog, study.sets["clip"], tmp_path / "other.pt", data=study.data
        )
    assert ask(study.catalog, "SELECT count(*) FROM model_version") == [(0,)]


# --- split


def test_a_split_holds_every_labelled_video_and_the_same_one_is_made_once(study):
    outcome, split = study.split()
    again, same = study.split()

    assert (outcome.n_done, dict(split.n_by_part)) == (N, N_BY_PART)
    assert (again.n_done, again.codes) == (0, {"split_exists": 1})
    assert (same.id, same.created) == (split.id, False)


def test_a_split_stays_as_it_is_when_videos_come_and_a_new_one_holds_them(study):
    _outcome, first = study.split()
    study.add_videos(6)

    _kept, any_split = study.split(if_missing=True)
    _outcome, second = study.split()

    assert any_split.id == first.id
    assert (second.id > first.id, sum(second.n_by_part.values())) == (True, N + 6)
    assert ask(
        study.catalog, "SELECT count(*) FROM split_member WHERE split_id = :id", id=first.id
    ) == [(N,)]


# --- train


def test_training_needs_a_split(study):
    with pytest.raises(NotFound):
        study.train()


@pytest.mark.parametrize("preset", ["fused", "mean", "median"])
def test_every_part_is_measured_beside_the_constants(study, preset):
    study.split()

    outcome, model = study.train(preset)

    found = study.metrics(outcome.run_id)
    for part, n in N_BY_PART.items():
        assert found[part, "n"] == n
        for name in ("mse_k2", "mae_k"):
            assert found[part, name] > 0
            assert found[part, f"{name}.train_mean"] > 0
            assert found[part, f"{name}.train_median"] > 0
            beside = {c: found[part, f"{name}.train_{c}"] for c in ("mean", "median")}
            same = {c for c, value in beside.items() if value == found[part, name]}
            # The two may be one number, but a network is neither.
            assert (preset in same) == bool(same) == (preset != "fused")
    assert (model.split_id, model.train_run_id) == (1, outcome.run_id)


def test_a_model_of_posts_without_a_time_says_that_it_reads_no_history(study):
    study.split()
    _, timed = study.train("author_recent")
    with study.catalog.write() as session:
        session.execute(text("UPDATE video SET posted_at = NULL, tiktok_id = 'v' || id"))
        session.execute(text("UPDATE video SET caption = 'one of ' || id"))
    _, untimed = study.train("ridge")
    assert timed.history_rule is not None
    assert untimed.history_rule is None


def test_the_same_training_is_done_once_and_another_seed_is_another(study):
    study.split()
    outcome, first = study.train()
    again, same = study.train()
    _outcome, other = study.train(seed=1)

    assert (outcome.n_done, again.n_done) == (1, 0)
    assert (again.codes, same.id) == ({"trained_before": 1}, first.id)
    assert (other.version, other.sha256 != first.sha256) == (2, True)
    assert study.metrics(outcome.run_id, step=2).keys() == {("train", "loss"), ("val", "loss")}
    assert not list((study.data / "weights").glob("*.state"))


def test_a_repeated_training_leaves_the_first_version_loadable(study):
    study.split()
    _outcome, first = study.train()
    _outcome, second = study.train(again=True)

    assert second.version == 2
    assert study.score(first).n_done == study.score(second).n_done == N


def test_any_version_will_do_if_missing(study):
    study.split()
    _outcome, first = study.train()
    study.add_videos(6)
    study.split()

    kept, same = study.train(if_missing=True)
    _outcome, second = study.train()

    assert (kept.codes, same.id) == ({"trained_before": 1}, first.id)
    assert second.version == 2


def test_a_version_that_reads_features_of_before_is_none_if_missing(study):
    study.split()
    _outcome, first = study.train()
    study.sets["visual"] = add_feature_set(study.catalog, "visual", config_hash="9" * 64)
    add_features(study.catalog, study.store, study.sets["visual"], study.videos)

    _outcome, second = study.train(if_missing=True)
    kept, same = study.train(if_missing=True)

    assert (first.version, second.version) == (1, 2)
    assert (kept.codes, same.id) == ({"trained_before": 1}, second.id)


def test_rows_without_their_features_are_left_out_and_counted(study):
    study.split()
    set_status(study, "visual", study.videos[:2], "pending")
    set_status(study, "visual", study.videos[2:3], "skipped")
    set_status(study, "audio", study.videos[3:4], "pending")

    outcome, _model = study.train()

    assert outcome.codes == {"visual_not_yet": 2, "no_visual": 1, "audio_not_yet": 1}
    assert (outcome.n_done, outcome.n_skipped, outcome.n_total) == (1, 4, 5)
    assert study.metrics(outcome.run_id)["train", "n"] == N_BY_PART["train"] - 4


def test_training_on_nothing_says_what_is_missing(study):
    study.split()
    set_status(study, "visual", study.videos, "pending")

    with pytest.raises(NothingToTrain, match="'visual_not_yet': 24"):
        study.train()


def test_a_feature_made_anew_makes_another_training(study):
    study.split()
    _outcome, first = study.train()
    with study.catalog.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE feature SET uri = o.uri, row = o.row, sha256 = o.sha256 FROM feature o"
            " WHERE o.feature_set_id = feature.feature_set_id AND feature.video_id = ?"
            " AND o.video_id = ? AND feature.feature_set_id = ?",
            (study.videos[0], study.videos[1], study.sets["visual"].id),
        )

    outcome, second = study.train()

    assert (outcome.n_done, second.version) == (1, first.version + 1)


# --- score


@pytest.fixture
def trained(with_model, tmp_path):
    """The study with a model, and two videos that came after its split."""
    shutil.copytree(with_model, tmp_path, dirs_exist_ok=True)
    with opened(tmp_path) as found:
        with found.catalog.read() as session:
            model = find_model(session, name="fused")
        yield found, model


def test_every_video_is_scored_once_and_measured_by_its_part(trained):
    study, model = trained
    assert count_to_score(study.catalog, model, rescore=False) == N + 2

    outcome = study.score(model)
    again = study.score(model)

    assert (outcome.status, outcome.n_done, outcome.n_total) == ("ok", N + 2, N + 2)
    assert (again.status, again.n_done) == ("ok", 0)
    assert count_to_score(study.catalog, model, rescore=False) == 0
    by_part = ask(study.catalog, "SELECT part, count(*) FROM prediction GROUP BY part")
    assert dict(by_part) == {**N_BY_PART, "new": 2}
    found = study.metrics(outcome.run_id)
    assert {part: found[part, "n"] for part in dict(by_part)} == dict(by_part)
    assert found["holdout", "mae_k.train_median"] > 0


def test_scores_are_those_that_training_measured(trained):
    study, model = trained
    outcome = study.score(model)

    measured = study.metrics(model.train_run_id)
    scored = study.metrics(outcome.run_id)
    for part in N_BY_PART:
        assert scored[part, "mae_k"] == pytest.approx(measured[part, "mae_k"], rel=1e-9)


def test_a_later_score_takes_only_what_is_new(trained):
    study, model = trained
    study.score(model)
    study.add_videos(3)

    assert study.score(model).n_done == 3


def test_rescoring_gives_the_same_numbers_in_a_run_of_its_own(trained):
    study, model = trained
    first = study.score(model)
    second = study.score(model, rescore=True)

    assert second.n_done == N + 2
    sql = "SELECT video_id, predicted_k, inputs_sha256 FROM prediction WHERE run_id = :run"
    assert ask(study.catalog, sql, run=first.run_id) == ask(study.catalog, sql, run=second.run_id)


class StopAfter(Silent):
    """Ctrl-C once so many rows are written."""

    def __init__(self, n):
        self.n_left = n

    def advance(self, n=1):
        self.n_left -= n
        if self.n_left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("rescore", [False, True])
def test_a_stopped_score_goes_on_as_the_same_run(trained, monkeypatch, rescore):
    study, model = trained
    if rescore:
        study.score(model)
    # The module, not the function that the package calls by the same name.
    monkeypatch.setattr(sys.modules["model.steps.score"], "SCORE_BATCH", 5)
    with pytest.raises(KeyboardInterrupt):
        study.score(model, progress=StopAfter(10), rescore=rescore)
    [(run_id, status)] = ask(
        study.catalog, "SELECT id, status FROM run WHERE kind = 'score' ORDER BY id DESC LIMIT 1"
    )
    assert status == "cancelled"
    sql = "SELECT count(*), count(DISTINCT video_id) FROM prediction WHERE run_id = :run"
    assert ask(study.catalog, sql, run=run_id) == [(10, 10)]

    outcome = study.score(model, rescore=rescore)

    assert outcome.run_id == run_id
    assert (outcome.status, outcome.n_done, outcome.n_total) == ("ok", N + 2, N + 2)
    assert ask(study.catalog, sql, run=run_id) == [(N + 2, N + 2)]
    found = study.metrics(run_id)
    assert {part: found[part, "n"] for part in N_BY_PART} == N_BY_PART


def test_a_row_whose_tensors_are_lost_costs_itself(trained):
    study, model = trained
    with study.catalog.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE feature SET uri = 'visual/none.safetensors' WHERE feature_set_id = ?"
            " AND video_id = ?",
            (study.sets["visual"].id, study.videos[0]),
        )

    outcome = study.score(model)

    assert (outcome.status, outcome.n_done) == ("partial", N + 1)
    assert outcome.codes == {"missing_input": 1}


def test_a_video_is_not_scored_before_its_features_are_settled(trained):
    study, model = trained
    set_status(study, "visual", study.videos[:1], "failed")
    set_status(study, "visual", study.videos[1:2], "dead")
    set_status(study, "audio", study.videos[2:3], "pending")

    assert study.score(model).n_done == N + 2 - 3


def test_a_file_that_is_not_the_registered_one_is_refused(trained):
    study, model = trained
    _outcome, other = study.train(seed=1)
    (study.data / other.artifact_uri).replace(study.data / model.artifact_uri)

    with pytest.raises(BadCheckpoint, match=model.sha256):
        study.score(model)

    assert ask(study.catalog, "SELECT count(*) FROM prediction") == [(0,)]


def test_features_other_than_those_of_the_training_are_refused(trained):
    study, model = trained
    other = add_feature_set(study.catalog, "visual", config_hash="f" * 64)
    with study.catalog.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE model_feature_set SET feature_set_id = ? WHERE feature_set_id = ?",
            (other.id, study.sets["visual"].id),
        )

    with pytest.raises(IncompatibleFeatures, match="visual"):
        study.score(model)


def test_states_are_not_to_be_had_of_the_text_lane(study, monkeypatch):
    study.split()
    study.sets["audio"] = add_feature_set(
        study.catalog, "audio", config_hash="e" * 64, config={"lane": "text"}
    )
    said = {"said": np.float32([3.0, 8.0])}
    monkeypatch.setitem(synthetic.ROWS, "audio", lambda _number: said)
    add_features(study.catalog, study.store, study.sets["audio"], study.videos)

    with pytest.raises(IncompatibleFeatures, match=r"fused reads the states .* audio\.lane"):
        study.train("fused")
    # Who can do without them does, and reads the words as facts.
    outcome, model = study.train("ridge")
    assert outcome.status == "ok"
    assert model.hyper["tensors"]["audio"] == []
    assert study.score(model).n_done == N


def test_a_constant_needs_no_feature(study):
    study.split()
    _outcome, model = study.train("median")
    set_status(study, "visual", study.videos, "pending")

    assert study.score(model).n_done == N
    assert len(ask(study.catalog, "SELECT DISTINCT predicted_k FROM prediction")) == 1


def test_a_model_of_views_at_an_age_says_so_and_knows_new_videos_only_at_that_age(study):
    _, split = study.split()
    params = {"strategy": "time", "label": "at:7d"}
    with study.catalog.write() as session:
        sql = "UPDATE dataset_split SET params = :p WHERE id = :id"
        session.execute(text(sql), {"p": json.dumps(params), "id": split.id})
    _, model = study.train("median")
    assert (model.label, model.horizon_s) == ("at:7d", 604_800)
    assert load_model(study.data, model).card.horizon_s == 604_800
    study.add_videos(2)
    outcome = study.score(model)
    sql = "SELECT part, horizon_s, actual_k FROM prediction WHERE run_id = :run ORDER BY video_id"
    rows = ask(study.catalog, sql, run=outcome.run_id)
    assert {horizon_s for _, horizon_s, _ in rows} == {604_800}
    assert [actual for part, _, actual in rows if part == "new"] == [None, None]
    assert None not in [actual for part, _, actual in rows if part != "new"]


def test_a_model_of_the_latest_count_states_no_age_unless_growth_could_be_told(study):
    study.split()
    _, model = study.train("ridge", fit={})
    assert (model.label, model.horizon_s) == ("latest", None)
    outcome = study.score(model)
    sql = "SELECT DISTINCT horizon_s FROM prediction WHERE run_id = :run"
    assert ask(study.catalog, sql, run=outcome.run_id) == [(None,)]
