"""Forecasts of files that are in no catalog: the numbers of `score`, honest about what they are."""

import hashlib
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from catalog.console import Silent
from catalog.facts import FeatureSetFacts, ModelFacts
from catalog.read.lookup import find_model
from catalog.record.lineage import add_model_version
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog, open_catalog
from catalog.work.runs import record_run
from features.errors import DeviceMissing, WeightsMissing
from features.extractor import Source
from features.one_video import Aside
from features.plan import AUTOENCODER, FilePlan, VisualPlan
from features.settings import ClipConfig, OpeningConfig
from features.store import FeatureStore
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from model.errors import IncompatibleFeatures
from model.forecast.card import ForecastCard, Refused
from model.forecast.request import PredictRequest
from model.scoring import Scorer
from model.split import SplitConfig
from model.steps.predict import predict
from model.steps.rows import Reader
from model.steps.score import load_model
from model.steps.split import create_split
from model.steps.train import TrainRequest, train
from model.training.pretraining import save_autoencoder
from tests.catalog.factories import add_media, add_videos, seen, video_facts
from tests.features.media import make_media
from tests.features.toys import ToyHearingPlan
from tests.fresh_catalog import ask, fresh_catalog
from tests.synthetic import add_feature_set, add_features

pytestmark = pytest.mark.ffmpeg

N = 24
# Trimmed, so that a video of one frame has no clip.
CLIPS = ClipConfig(every_frames=10, max_frames=2, start_s=0.1, height_px=4, width_px=4)


@dataclass
class Study:
    """24 videos with all features, and models trained on them; files of no catalog beside it."""

    catalog: Catalog
    data: Path
    clips: ClipConfig = CLIPS
    hears_loud: bool = False
    told: list[ForecastCard | Refused] = field(default_factory=list)

    def plan_of(self, kind):
        root = str(self.data / "features")
        if kind == "clip":
            return FilePlan("clip", self.clips, root)
        if kind == "opening":
            return FilePlan("opening", OpeningConfig(), root)
        assert kind == "audio"
        return ToyHearingPlan(root, loud=self.hears_loud)

    def model(self, name="fused", version=None) -> ModelFacts:
        with self.catalog.read() as session:
            return find_model(session, name=name, version=version)

    def predict(self, *files, name="fused", asides=None, version=None, visual_device="cpu", **more):
        return predict(
            self.catalog,
            self.model(name, version),
            PredictRequest(files=files, **more),
            self.plan_of,
            data=self.data,
            on_result=self.told.append,
            visual_device=visual_device,
            asides=asides,
        )

    def card(self, *files, **more) -> ForecastCard:
        predicted = self.predict(*files, **more)
        assert predicted.n_failed == 0, predicted.results
        [card] = predicted.results
        assert isinstance(card, ForecastCard)
        return card


@contextmanager
def opened(folder):
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    yield Study(catalog, folder)
    catalog.close()


def add_autoencoder(catalog, data, seed) -> ModelFacts:
    """Register weights as `pretrain` does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ConvLstmAutoencoder(ConvLstmConfig(hidden=8))
    uri = f"weights/autoencoder-{seed}.safetensors"
    (data / "weights").mkdir(exist_ok=True)
    sha256 = save_autoencoder(data / uri, network, {})
    with record_run(catalog, "pretrain", params={"seed": seed}) as run, catalog.write() as session:
        return add_model_version(
            session,
            name=AUTOENCODER,
            model_kind="convlstm",
            artifact_uri=uri,
            sha256=sha256,
            hyper={},
            target={},
            quartile_edges=[],
            split_id=None,
            train_run_id=run.id,
            feature_set_ids=[],
            inputs_hash=sha256,
        )


def add_sets(study) -> dict[str, FeatureSetFacts]:
    """The feature sets that the study's plans make, as `extract` registers them."""
    clips = study.plan_of("clip")
    first = study.model(AUTOENCODER)
    visual = VisualPlan(
        clips.spec().hash, study.data / first.artifact_uri, first.sha256, clips.store_root
    )
    found = {}
    for plan in (clips, visual, study.plan_of("audio")):
        spec = plan.spec()
        found[spec.kind] = add_feature_set(
            study.catalog,
            spec.kind,
            config_hash=spec.hash,
            config=spec.config,
            weights_sha256=spec.weights_sha256,
        )
    return found


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The study's folder, made once, to be copied."""
    folder = tmp_path_factory.mktemp("study")
    with fresh_catalog(folder) as catalog:
        videos = add_videos(catalog, N)
    with opened(folder) as study:
        add_autoencoder(study.catalog, folder, 0)
        sets = add_sets(study)
        store = FeatureStore(str(folder / "features"))
        for kind, feature_set in sets.items():
            absent = videos[::6] if kind == "audio" else ()
            add_features(study.catalog, store, feature_set, videos, absent=absent)
        create_split(study.catalog, SplitConfig())
        for request in (
            TrainRequest("fused", fit={"epochs": 2}),
            TrainRequest("median"),
            TrainRequest("fused", fit={"epochs": 1}, objective="quartile"),
            TrainRequest("fused", fit={"epochs": 1}, shuffle_labels=True),
        ):
            train(
                study.catalog,
                request,
                sets.__getitem__,
                store=store,
                data=folder,
                progress=Silent(),
            )
    return folder


@pytest.fixture
def study(untouched, tmp_path):
    shutil.copytree(untouched, tmp_path / "data")
    with opened(tmp_path / "data") as found:
        yield found


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    return lambda name: make_media(name, folder)


def tables(catalog):
    """How many rows each table has."""
    names = [name for (name,) in ask(catalog, "SELECT name FROM sqlite_master WHERE type='table'")]
    return {name: ask(catalog, f"SELECT count(*) FROM {name}")[0][0] for name in names}


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file() and "catalog.db" not in path.name}


def test_a_file_gets_the_score_that_a_video_with_it_would_get(study, media):
    path = media("with_sound")
    card = study.card(path)

    model = study.model()
    plan = study.plan_of("clip")
    held = {}
    [clip] = plan.build()([source(path)])
    autoencoder = study.model(AUTOENCODER)
    visual = VisualPlan(
        plan.spec().hash, study.data / autoencoder.artifact_uri, autoencoder.sha256, "x"
    ).build()
    [embedding] = visual.embed([clip.tensors["frames"]])
    held["visual"] = embedding.half().numpy()
    [sound] = study.plan_of("audio").build()([source(path)])
    loaded = load_model(study.data, model)
    example = Reader(FeatureStore("x"), {})(0, {})
    example = replace(example, visual=held["visual"], audio=sound.tensors["pooled_audio"])
    expected = Scorer(loaded.network, loaded.card.target, loaded.card.edges)(example)
    assert card.views_k == expected.views_k
    assert card.quartile == expected.quartile
    assert card.read == ("audio", "visual")
    assert (card.transcript, card.language) == ("hello there", "en")
    assert (card.width_px, card.height_px) == (144, 256)


def source(path):
    return Source(0, path.name, path=str(path))


def test_nothing_is_stored_unless_asked(study, media):
    rows, files = tables(study.catalog), files_below(study.data)
    study.card(media("with_sound"))
    assert (tables(study.catalog), files_below(study.data)) == (rows, files)


def test_a_recorded_forecast_is_a_run_with_the_whole_document(study, media, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    files = [media("with_sound"), bad, *[tmp_path / f"none{i}.mp4" for i in range(6)]]

    predicted = study.predict(*files, record=True, caption="hi #cat")

    assert predicted.exit_code == predicted.outcome.exit_code == 4
    assert predicted.outcome.codes == {"undecodable": 1, "missing_input": 6}
    [(kind, status, model_id, params)] = ask(
        study.catalog,
        "SELECT kind, status, model_version_id, params FROM run WHERE id = :id",
        id=predicted.outcome.run_id,
    )
    assert (kind, status, model_id) == ("predict", "partial", study.model().id)
    assert json.loads(params)["caption"] == "hi #cat"
    events = ask(
        study.catalog,
        "SELECT level, code, detail FROM event WHERE run_id = :id ORDER BY id",
        id=predicted.outcome.run_id,
    )
    assert [event[:2] for event in events[:2]] == [("info", "prediction"), ("error", "undecodable")]
    assert json.loads(events[0][2])["views_k"] == predicted.results[0].views_k


def test_a_bad_file_costs_itself_and_all_bad_is_a_failure(study, media, tmp_path):
    good, empty = media("with_sound"), tmp_path / "empty.mp4"
    empty.touch()

    some = study.predict(empty, good, tmp_path)
    none = study.predict(tmp_path / "nothing.mp4", tmp_path)

    assert [type(result) for result in some.results] == [Refused, ForecastCard, Refused]
    assert (some.exit_code, none.exit_code) == (4, 1)
    assert "is empty" in some.results[0].message
    assert some.results[0].code == "undecodable"


def test_without_sound_the_forecast_is_made_of_the_rest(study, media, tmp_path):
    path = Path(shutil.copy(media("landscape"), tmp_path / "silent.mp4"))
    card = study.card(path)
    assert card.read == ("visual",)
    assert "no sound track" in card.absent["audio"]
    assert card.moves == ()  # without its picture there would be nothing left to go by
    assert card.transcript is None


def test_a_file_without_what_the_model_needs_is_refused(study, media):
    predicted = study.predict(media("one_frame"))
    [refused] = predicted.results
    assert isinstance(refused, Refused)
    assert refused.code == "too_short"


def test_leaving_out_tells_what_each_modality_did(study, media):
    card = study.card(media("with_sound"))
    moves = {move.modality: move.factor for move in card.moves}
    assert moves.keys() == {"picture", "sound"}
    assert all(np.isfinite(factor) and factor > 0 for factor in moves.values())
    assert any(factor != 1.0 for factor in moves.values())


def test_settings_of_today_do_not_matter_where_those_of_the_training_are_known(study, media):
    before = study.card(media("with_sound"))
    study.clips = replace(CLIPS, every_frames=24)
    assert study.card(media("with_sound")).views_k == before.views_k


def test_features_that_can_no_longer_be_made_are_refused_by_section(study, media):
    study.hears_loud = True
    with pytest.raises(IncompatibleFeatures, match=r"audio\.loud is True.*section \[audio\]"):
        study.predict(media("with_sound"))


def test_another_pretraining_since_does_not_matter(study, media):
    before = study.card(media("with_sound"))
    add_autoencoder(study.catalog, study.data, 1)
    assert study.card(media("with_sound")).views_k == before.views_k


def test_an_autoencoder_that_is_gone_is_said(study, media):
    with study.catalog.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE model_version SET sha256 = ? WHERE name = 'autoencoder'", ("e" * 64,)
        )
    with pytest.raises(IncompatibleFeatures, match="that the catalog has no more"):
        study.predict(media("with_sound"))


def test_a_constant_needs_no_network_and_says_that_it_is_one(study, media):
    predicted = study.predict(media("landscape"), name="median")
    [card] = predicted.results
    median = load_model(study.data, study.model("median")).card.constants.train_median_k
    assert card.views_k == median
    assert card.record.verdict == "constant"
    assert (card.moves, card.similar, card.read) == ((), None, ())
    assert set(predicted.load_s) == {"model"}


def test_a_model_is_shown_with_its_record_on_held_out_videos(study, media):
    card = study.card(media("with_sound"))
    assert card.record.part == "holdout"
    assert card.record.n == 4
    [(log_mae,)] = ask(
        study.catalog,
        "SELECT value FROM run_metric WHERE run_id = :run AND split = 'holdout'"
        " AND name = 'log_mae' AND step = -1",
        run=study.model().train_run_id,
    )
    assert card.record.log_mae == log_mae
    assert card.record.verdict in ("not_better", "unclear", "better")


def test_a_classifier_and_a_shuffled_model_say_what_they_are(study, media):
    names = {name for (name,) in ask(study.catalog, "SELECT name FROM model_version")}
    [quartile] = [name for name in names if "quartile" in name]
    [shuffled] = [name for name in names if "shuffled" in name]
    card = study.card(media("with_sound"), name=quartile)
    assert card.model.objective == "quartile"
    assert card.quartile in range(4)
    assert study.card(media("with_sound"), name=shuffled).model.is_shuffled


def test_few_common_hashtags_compare_with_all_and_many_with_those(study, media):
    few = study.card(media("with_sound"), caption="#dance")
    with study.catalog.write() as session:
        more = [
            (video_facts(f"{8_000_000_000_000_000_000 + i}", hashtags=("cat",)), seen(1e6))
            for i in range(30)
        ]
        store_sightings(session, more, run_id=None, found_by=None)
    all_of_them = study.card(media("with_sound"), caption="#dance")
    cats = study.card(media("with_sound"), caption="look, a #Cat!")

    assert (few.standing.n, few.standing.hashtags) == (N, ())
    assert (all_of_them.standing.n, all_of_them.standing.hashtags) == (N + 30, ())
    assert (cats.standing.n, cats.standing.hashtags) == (30, ("cat",))
    assert cats.standing.percentile == 0.0
    assert all_of_them.standing.percentile < few.standing.percentile


def test_a_file_of_the_catalog_is_recognised(study, media, tmp_path):
    add_media(study.catalog)
    path = media("with_sound")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with study.catalog.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE media_file SET sha256 = ? WHERE video_id = (SELECT min(id) FROM video)",
            (sha256,),
        )
    card = study.card(path)
    [(tiktok_id, part)] = ask(
        study.catalog,
        "SELECT tiktok_id, part FROM video JOIN split_member ON video_id = video.id"
        " WHERE video.id = (SELECT min(id) FROM video)",
    )
    assert (card.known_as, card.known_part) == (tiktok_id, part)


def test_every_network_is_loaded_once_for_all_files(study, media):
    predicted = study.predict(media("with_sound"), media("landscape"), media("square"))
    assert predicted.n_failed == 0
    assert predicted.load_s.keys() == {"model", "clip", "visual", "audio"}
    for card in predicted.results:
        assert {"look", "clip", "visual", "audio", "forecast"} <= card.seconds.keys()


def test_a_process_beside_changes_no_number(study, media):
    here = study.card(media("with_sound"))
    with Aside("audio") as aside:
        beside = study.card(media("with_sound"), asides={"audio": aside})
    assert beside.views_k == here.views_k


def test_missing_weights_are_no_files_fault(study, media):
    (study.data / study.model(AUTOENCODER).artifact_uri).unlink()
    with pytest.raises(WeightsMissing):
        study.predict(media("with_sound"))


def test_a_gpu_that_is_not_there_is_no_files_fault(study, media, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceMissing, match="torch finds no GPU"):
        study.predict(media("with_sound"), visual_device="cuda")


def test_what_is_said_of_the_post_reaches_the_card(study, media):
    at = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
    card = study.card(
        media("with_sound"),
        caption="two #Cats\0 and a \ud800#dog #cats",
        hashtags=("#Fish", " ", "dog"),
        posted_at=at,
    )
    assert card.hashtags == ("cats", "dog", "fish")
    assert card.caption == "two #Cats and a #dog #cats"
    assert card.posted_at == "2026-11-23T18:30:00+00:00"


def test_what_happens_in_a_process_beside_costs_the_file_alone(study, media, tmp_path, caplog):
    names = ("a.mp4", "defect.mp4", "kill.mp4", "z.mp4")
    for name in names:
        os.link(media("with_sound"), tmp_path / name)
    with Aside("audio") as aside:
        predicted = study.predict(*(tmp_path / name for name in names), asides={"audio": aside})

    first, defect, killed, last = predicted.results
    assert study.told == [first, defect, killed, last]
    assert isinstance(defect, Refused)
    assert defect.code == "unexpected"
    assert "ValueError: nobody thought of this" in caplog.text
    assert "worker" in killed.absent["audio"] or "died" in killed.absent["audio"]
    assert [one.code for one in killed.cautions if one.part == "sound"] == ["unread"]
    assert first.views_k == last.views_k
    assert predicted.exit_code == 1


def test_a_partial_file_is_forecast_with_its_caution(study, media, tmp_path):
    whole, cut = media("with_sound"), tmp_path / "cut.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(whole), "-c", "copy", str(tmp_path / "whole.mkv")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    content = (tmp_path / "whole.mkv").read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    predicted = study.predict(cut)

    [card] = predicted.results
    assert "truncated" in {caution.code for caution in card.cautions}
    assert (predicted.n_failed, predicted.n_partial, predicted.exit_code) == (0, 1, 4)
