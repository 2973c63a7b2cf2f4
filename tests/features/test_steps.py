import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from catalog.console import Silent
from catalog.files import sha256_text
from catalog.record.sightings import store_sightings
from catalog.work.claims import (
    Failed,
    MediaDone,
    claim_features,
    claim_media,
    enrol_media,
    finish_media,
)
from features import steps
from features.errors import MissingInput, NoAudioTrack, NoText, Undecodable, WeightsMissing
from features.extractor import Extracted, Extractor, FeatureSetSpec
from features.plan import FilePlan, VisualPlan
from features.settings import ClipConfig
from features.steps import (
    count_to_extract,
    drop_from_shard,
    extract,
    find_set,
    retry,
    states_of,
)
from features.store import FeatureStore
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from model.training.pretraining import save_autoencoder
from tests.catalog.factories import seen, video_facts
from tests.features.media import make_media
from tests.features.plans import ToyExtractor
from tests.fresh_catalog import ask, fresh_catalog

SMALL = ClipConfig(every_frames=10, max_frames=4, height_px=16, width_px=9)
STATES = """SELECT tiktok_id, status, error_code FROM feature f JOIN feature_set s
    ON s.id = f.feature_set_id JOIN video ON video.id = f.video_id WHERE s.kind = :kind"""


SHARDS = """SELECT tiktok_id, uri, row FROM feature f JOIN feature_set s
    ON s.id = f.feature_set_id JOIN video ON video.id = f.video_id
    WHERE s.kind = :kind AND f.status = 'done' ORDER BY tiktok_id"""


class Deaf(ToyExtractor):
    """As its base, but a video called `silent` has no sound track."""

    def _one(self, source):
        return NoAudioTrack("no track") if source.tiktok_id == "silent" else super()._one(source)


@dataclass(frozen=True)
class ToyPlan:
    """A feature that needs no media; its weights may be missing."""

    store_root: str
    has_weights: bool = True
    kind: str = "toy"
    version: str = "1"

    def spec(self) -> FeatureSetSpec:
        return FeatureSetSpec(self.kind, {}, "toy", self.version, None)

    def check(self) -> None:
        if not self.has_weights:
            raise WeightsMissing("the toy's weights are nowhere")

    def build(self) -> Extractor:
        self.check()
        return Deaf(Path(self.store_root))


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        yield opened


def add_media(catalog, files):
    """Videos in this order, each with the file of that path; None: it could not be fetched."""
    with catalog.write() as session:
        for name in files:  # one by one, so that ids follow the order given
            store_sightings(session, [(video_facts(name), seen())], run_id=None, found_by=None)
        enrol_media(session)
    for claim in claim_media(catalog, owner="test", limit=len(files)):
        uri = files[claim.tiktok_id]
        result = (
            Failed("gone", "gone", permanent=True)
            if uri is None
            else MediaDone(uri, f"{claim.tiktok_id:0<64}"[:64], 9, {})
        )
        with catalog.write() as session:
            assert finish_media(session, claim, "test", result)


def run(catalog, plan, folder, *, needs=None, batch=2, workers=0):
    return extract(
        catalog, [plan], data=folder, needs=needs, workers=workers, batch=batch, progress=Silent()
    )


def states(catalog, kind):
    return {name: (status, code) for name, status, code in ask(catalog, STATES, kind=kind)}


@pytest.fixture
def toys(catalog, tmp_path):
    add_media(catalog, dict.fromkeys(("good", "silent", "bad", "fine", "last"), "x.mp4"))
    return ToyPlan(str(tmp_path / "features"))


def test_done_absent_and_damaged_are_kept_apart_and_each_costs_its_own_row(catalog, toys, tmp_path):
    outcome = run(catalog, toys, tmp_path)

    assert states(catalog, "toy") == {
        "good": ("done", None),
        "silent": ("skipped", "no_audio"),
        "bad": ("dead", "undecodable"),
        "fine": ("done", None),
        "last": ("done", None),
    }
    assert (outcome.n_done, outcome.n_skipped, outcome.n_failed) == (3, 1, 1)
    assert (outcome.status, outcome.exit_code) == ("partial", 4)
    assert outcome.codes == {"no_audio": 1, "undecodable": 1}


def test_every_done_row_points_at_what_was_written_for_it(catalog, toys, tmp_path):
    run(catalog, toys, tmp_path)

    store = FeatureStore(toys.store_root)
    done = ask(catalog, "SELECT uri, row, sha256, shape FROM feature WHERE status = 'done'")
    assert len(done) == 3
    for uri, row, sha256, shape in done:
        assert str(list(store.read(uri, row, sha256=sha256)["toy"].shape)) == shape


def test_a_second_extract_does_nothing(catalog, toys, tmp_path):
    run(catalog, toys, tmp_path)
    before = ask(catalog, "SELECT video_id, attempts, finished_at FROM feature")

    again = run(catalog, toys, tmp_path)

    assert (again.status, again.n_total) == ("ok", 0)
    assert ask(catalog, "SELECT video_id, attempts, finished_at FROM feature") == before
    assert count_to_extract(catalog, toys, None) == 0


def test_retry_opens_what_was_given_up_and_nothing_else(catalog, toys, tmp_path):
    run(catalog, toys, tmp_path)

    assert retry(catalog, toys) == 1
    assert count_to_extract(catalog, toys, None) == 1
    assert run(catalog, toys, tmp_path).codes == {"undecodable": 1}


def test_missing_weights_are_on_record_and_use_up_no_attempt(catalog, toys, tmp_path):
    poor = ToyPlan(toys.store_root, has_weights=False)
    for _ in range(4):  # more often than a row may be tried
        with pytest.raises(WeightsMissing):
            run(catalog, poor, tmp_path)

    assert set(states(catalog, "toy").values()) == {("failed", "weights_missing")}
    assert ask(catalog, "SELECT DISTINCT attempts FROM feature") == [(0,)]
    assert ask(catalog, "SELECT DISTINCT status FROM run WHERE kind = 'extract-toy'") == [
        ("failed",)
    ]

    assert run(catalog, toys, tmp_path).n_done == 3
    assert "weights_missing" not in {code for _status, code in states(catalog, "toy").values()}


def test_rows_blocked_by_missing_weights_can_be_claimed_at_once(catalog, toys, tmp_path):
    with suppress(WeightsMissing):
        run(catalog, ToyPlan(toys.store_root, has_weights=False), tmp_path)

    feature_set = find_set(catalog, toys)
    claims = claim_features(catalog, feature_set.id, owner="test", limit=10)

    assert [claim.attempt for claim in claims] == [1] * 5


def test_nothing_to_do_needs_no_weights(catalog, tmp_path):
    poor = ToyPlan(str(tmp_path / "features"), has_weights=False)

    assert run(catalog, poor, tmp_path).status == "ok"


def test_a_file_that_cannot_be_had_closes_its_feature(catalog, toys, tmp_path):
    add_media(catalog, {"lost": None})

    run(catalog, toys, tmp_path)

    assert states(catalog, "toy")["lost"] == ("skipped", "no_input")


class Reader:
    """Keeps what it was given to read; a video without a text has nothing to read."""

    def __call__(self, sources):
        assert all(source.path is None and source.uri is None for source in sources)
        return [
            Extracted({"all": vector_of(source.texts["caption"])}, dict(source.texts))
            if source.texts
            else NoText("nothing to read")
            for source in sources
        ]


def vector_of(caption):
    """Another one for each caption, to be known again in a file."""
    return np.frombuffer(sha256_text(caption).encode()[:8], np.float32)


@dataclass(frozen=True)
class ReadingPlan(ToyPlan):
    """A feature that is made of texts."""

    kind: str = "text"

    def build(self) -> Extractor:
        return Reader()


def test_texts_are_read_when_they_are_there_and_again_when_they_change(catalog, toys, tmp_path):
    plan = ReadingPlan(toys.store_root)
    with catalog.write() as session:
        session.execute(text("UPDATE video SET caption = tiktok_id WHERE tiktok_id <> 'last'"))
        session.execute(text("UPDATE video SET caption = '' WHERE tiktok_id = 'last'"))
    assert count_to_extract(catalog, plan, None) == 4
    assert run(catalog, plan, tmp_path).n_done == 4
    assert states(catalog, "text")["last"] == ("skipped", "no_text")
    assert run(catalog, plan, tmp_path).n_done == 0

    with catalog.write() as session:
        session.execute(text("UPDATE video SET caption = 'later' WHERE tiktok_id = 'last'"))
        session.execute(text("UPDATE video SET caption = 'else' WHERE tiktok_id = 'good'"))
    assert count_to_extract(catalog, plan, None) == 2
    assert run(catalog, plan, tmp_path).n_done == 2
    read = """SELECT tiktok_id, detail FROM feature f JOIN feature_set s
        ON s.id = f.feature_set_id JOIN video ON video.id = f.video_id WHERE s.kind = 'text'"""
    assert {name: json.loads(detail) for name, detail in ask(catalog, read)} == {
        "good": {"caption": "else"},
        "silent": {"caption": "silent"},
        "bad": {"caption": "bad"},
        "fine": {"caption": "fine"},
        "last": {"caption": "later"},
    }


def stored(plan):
    """Which captions' vectors are in a shard, whatever the catalog says."""
    shards = b"".join(file.read_bytes() for file in Path(plan.store_root).rglob("*.safetensors"))
    names = ("good", "silent", "bad", "fine", "else")
    return {name for name in names if vector_of(name).tobytes() in shards}


@pytest.fixture
def read_once(catalog, toys, tmp_path):
    """A plan of texts that are all read, after which one has changed and one is gone."""
    plan = ReadingPlan(toys.store_root)
    with catalog.write() as session:
        session.execute(text("UPDATE video SET caption = tiktok_id WHERE tiktok_id <> 'last'"))
        session.execute(text("UPDATE video SET caption = '' WHERE tiktok_id = 'last'"))
    assert run(catalog, plan, tmp_path, batch=5).n_done == 4
    assert stored(plan) == {"good", "silent", "bad", "fine"}
    with catalog.write() as session:
        session.execute(text("UPDATE video SET caption = 'else' WHERE tiktok_id = 'good'"))
        session.execute(text("UPDATE video SET caption = '' WHERE tiktok_id = 'bad'"))
    return plan


def assert_all_can_be_read(catalog, plan):
    store = FeatureStore(plan.store_root)
    done = ask(catalog, "SELECT uri, row, sha256 FROM feature WHERE status = 'done'")
    assert len(done) == 3
    for uri, row, sha256 in done:
        store.read(uri, row, sha256=sha256)


def test_what_is_made_anew_leaves_nothing_of_itself_in_its_old_shard(catalog, read_once, tmp_path):
    assert run(catalog, read_once, tmp_path, batch=5).n_done == 1
    assert stored(read_once) == {"else", "silent", "fine"}
    assert_all_can_be_read(catalog, read_once)


@pytest.mark.parametrize("step", ["drop_from_shard", "forget_shard"])
def test_killed_in_the_midst_of_that_it_is_done_later(
    catalog, read_once, tmp_path, monkeypatch, step
):
    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, step, killed)
        with pytest.raises(KeyboardInterrupt):
            run(catalog, read_once, tmp_path, batch=5)
    # Until then nobody may take them: what they finish would hide where the old rows are.
    set_id = find_set(catalog, read_once).id
    assert claim_features(catalog, set_id, owner="other", limit=5) == []
    assert run(catalog, read_once, tmp_path, batch=5).n_done == 1
    assert stored(read_once) == {"else", "silent", "fine"}
    assert_all_can_be_read(catalog, read_once)


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_shard_that_cannot_be_written_anew_keeps_nobody_from_working(
    catalog, read_once, tmp_path, harm
):
    (shard,) = Path(read_once.store_root).rglob("*.safetensors")
    if harm == "lost":
        shard.unlink()
    else:
        shard.write_bytes(b"torn")
    assert run(catalog, read_once, tmp_path, batch=5).n_done == 1
    assert run(catalog, read_once, tmp_path, batch=5).n_done == 0


def test_a_stopped_extract_gives_back_its_claims(catalog, toys, tmp_path):
    class Interrupted(Silent):
        def advance(self, _n=1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(
            catalog, [toys], data=tmp_path, workers=0, batch=3, progress=Interrupted(), needs=None
        )

    found = [status for status, _code in states(catalog, "toy").values()]
    assert sorted(found) == ["done", "pending", "pending", "pending", "pending"]
    assert run(catalog, toys, tmp_path).n_done == 2


def together(catalog, plans, folder, **more):
    return extract(catalog, plans, data=folder, workers=0, batch=2, progress=Silent(), **more)


def test_of_several_kinds_each_video_gets_what_it_lacks(catalog, toys, tmp_path):
    other = replace(toys, kind="other")
    run(catalog, toys, tmp_path)
    add_media(catalog, {"new": "x.mp4"})

    outcome = together(catalog, [other, toys], tmp_path)

    assert states(catalog, "other") == states(catalog, "toy")
    assert states(catalog, "toy")["new"] == ("done", None)
    # Of `other` all six videos, of `toy` the new one.
    assert (outcome.n_done, outcome.n_skipped, outcome.n_failed) == (5, 1, 1)
    stored = {kind: ask(catalog, SHARDS, kind=kind) for kind in ("toy", "other")}
    store = FeatureStore(toys.store_root)
    for (name, *left), (same, *right) in zip(stored["toy"], stored["other"], strict=True):
        assert name == same
        assert store.read(*left)["toy"].tolist() == store.read(*right)["toy"].tolist()
    assert together(catalog, [other, toys], tmp_path).n_done == 0


def test_one_file_that_cannot_be_read_fails_once_for_each_kind(catalog, toys, tmp_path):
    kinds = [replace(toys, kind=f"toy{n}") for n in range(6)]

    outcome = together(catalog, kinds, tmp_path)  # of each kind, 1 of 5 fails: no reason to stop

    assert (outcome.n_done, outcome.n_skipped, outcome.n_failed) == (18, 6, 6)
    assert set(states(catalog, "toy5").values()) == {
        ("done", None),
        ("skipped", "no_audio"),
        ("dead", "undecodable"),
    }


def test_a_death_that_costs_most_rows_their_turn_does_not_end_the_run(catalog, tmp_path):
    add_media(catalog, {f"video{n}": "x.mp4" for n in range(3)} | {"kill": "x.mp4"})
    add_media(catalog, {f"later{n}": "x.mp4" for n in range(20)})
    plan = ToyPlan(str(tmp_path / "features"))

    outcome = run(catalog, plan, tmp_path, workers=1, batch=8)

    assert outcome.n_done + outcome.n_failed == 24
    assert 8 <= outcome.n_failed <= 16
    assert set(outcome.codes) == {"worker_lost"}
    assert states(catalog, "toy")["later19"] == ("done", None)


def test_the_kind_whose_weights_are_missing_does_not_keep_the_others(catalog, toys, tmp_path):
    with pytest.raises(WeightsMissing, match="nowhere"):
        together(catalog, [replace(toys, kind="other", has_weights=False), toys], tmp_path)

    assert states(catalog, "toy")["good"] == ("done", None)
    assert set(states(catalog, "other").values()) == {("failed", "weights_missing")}


def test_what_another_version_made_is_stale_and_made_anew(catalog, toys, tmp_path):
    newer = replace(toys, version="2")
    run(catalog, toys, tmp_path)
    rows = [{"kind": "toy", "config_hash": toys.spec().hash}]
    now = {"toy": newer.spec()}

    [before] = states_of(catalog, rows, now)
    outcome = run(catalog, newer, tmp_path)

    assert (before.name, before.why) == ("stale", "made by toy 1, now it is toy 2")
    assert outcome.n_done == 3
    rows.append({"kind": "toy", "config_hash": newer.spec().hash})
    assert [state.name for state in states_of(catalog, rows, now)] == ["stale", "current"]
    assert [state.name for state in states_of(catalog, rows, {})] == ["unknown", "unknown"]


def test_what_is_made_of_something_stale_is_stale_before_it_can_be_made_anew(
    catalog, toys, tmp_path
):
    run(catalog, toys, tmp_path)
    made = replace(toys, kind="made")
    run(catalog, made, tmp_path, needs=find_set(catalog, toys))
    rows = [{"kind": plan.kind, "config_hash": plan.spec().hash} for plan in (toys, made)]

    of_old, of_now = (
        states_of(catalog, rows, {"toy": replace(toys, version=version).spec()})[1]
        for version in ("2", "1")
    )
    assert (of_old.name, of_old.why) == ("stale", "made of toy that is stale")
    assert of_now.name == "unknown"


# --- real files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with three media files, of which one is no video at all."""
    made = tmp_path_factory.mktemp("data")
    (made / "media").mkdir()
    make_media("one_frame", made / "media")
    make_media("no_b_frames", made / "media")
    (made / "media" / "torn.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\xff" * 500)
    return made


@pytest.fixture
def clips(catalog, folder, tmp_path):
    """The clips of the folder's files, extracted; one of them failed."""
    add_media(
        catalog,
        {name: f"media/{name}.mp4" for name in ("one_frame", "torn", "no_b_frames", "absent")},
    )
    plan = FilePlan("clip", SMALL, str(tmp_path / "features"))
    return plan, run(catalog, plan, folder)


@pytest.mark.ffmpeg
def test_clips_of_real_files_are_stored_and_a_bad_file_costs_one(catalog, clips):
    plan, outcome = clips

    assert (outcome.n_done, outcome.n_failed) == (2, 2)
    assert states(catalog, "clip") == {
        "one_frame": ("done", None),
        "torn": ("dead", Undecodable.code),
        "no_b_frames": ("done", None),
        "absent": ("failed", "missing_input"),
    }
    store = FeatureStore(plan.store_root)
    frames = {
        name: store.read(uri, row)["frames"].shape
        for name, uri, row in ask(
            catalog,
            "SELECT tiktok_id, uri, row FROM feature JOIN video ON video.id = video_id"
            " WHERE status = 'done'",
        )
    }
    assert frames == {"one_frame": (3, 1, 16, 9), "no_b_frames": (3, 4, 16, 9)}


@pytest.mark.ffmpeg
def test_a_file_that_is_missing_for_now_is_tried_again_later(catalog, clips):
    [(attempts, waits)] = ask(
        catalog,
        "SELECT attempts, not_before IS NOT NULL FROM feature WHERE error_code = 'missing_input'",
    )

    assert (attempts, waits) == (1, 1)


@pytest.mark.ffmpeg
def test_visual_is_made_from_the_clips_that_are_there(catalog, clips, folder, tmp_path):
    clip_plan, _outcome = clips
    weights = tmp_path / "autoencoder.safetensors"
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=4))
    sha256 = save_autoencoder(weights, network, {"best": 1})
    clip_set = find_set(catalog, clip_plan)
    plan = VisualPlan(clip_set.config_hash, weights, sha256, clip_plan.store_root)

    outcome = run(catalog, plan, folder, needs=clip_set)

    assert (outcome.status, outcome.n_done) == ("ok", 2)
    assert states(catalog, "visual") == {
        "one_frame": ("done", None),
        "no_b_frames": ("done", None),
        "torn": ("skipped", "no_input"),
    }
    store = FeatureStore(plan.store_root)
    for uri, row, sha in ask(
        catalog,
        "SELECT f.uri, f.row, f.sha256 FROM feature f JOIN feature_set s"
        " ON s.id = f.feature_set_id WHERE s.kind = 'visual' AND f.status = 'done'",
    ):
        assert store.read(uri, row, sha256=sha)["embedding"].shape == (4, 16, 9)


@pytest.mark.ffmpeg
def test_the_autoencoder_must_be_there_before_anything_is_claimed(catalog, clips, folder, tmp_path):
    clip_plan, _outcome = clips
    clip_set = find_set(catalog, clip_plan)
    plan = VisualPlan(
        clip_set.config_hash, tmp_path / "nowhere.safetensors", "0" * 64, clip_plan.store_root
    )

    with pytest.raises(WeightsMissing):
        run(catalog, plan, folder, needs=clip_set)

    assert states(catalog, "visual") == {
        "one_frame": ("failed", "weights_missing"),
        "no_b_frames": ("failed", "weights_missing"),
        "torn": ("skipped", "no_input"),
    }
    assert ask(catalog, "SELECT max(attempts) FROM feature WHERE error_code = 'no_input'") == [(0,)]


def test_a_purged_row_leaves_its_shard_and_its_neighbours_stay_readable(catalog, toys, tmp_path):
    run(catalog, toys, tmp_path, batch=5)
    store = FeatureStore(toys.store_root)
    done = "SELECT uri, row, sha256, video_id FROM feature WHERE status = 'done' ORDER BY row"
    gone, *others = ask(catalog, done)
    assert {uri for uri, *_ in others} == {gone[0]}
    with catalog.write() as session:
        session.execute(text("DELETE FROM feature WHERE video_id = :id"), {"id": gone[3]})

    assert drop_from_shard(catalog, store, gone[0]) == len(others)

    with pytest.raises(MissingInput):
        store.read(gone[0], gone[1])
    after = ask(catalog, done)
    assert [row[2:] for row in after] == [row[2:] for row in others]
    for uri, row, sha256, _video_id in after:
        store.read(uri, row, sha256=sha256)
    # Again, as after a kill between the new shard and the note that all is clean.
    assert drop_from_shard(catalog, store, gone[0]) == 0
    assert drop_from_shard(catalog, store, after[0][0]) == len(others)
    assert ask(catalog, done) == after


def test_two_that_write_a_shard_anew_at_once_do_not_disturb_each_other(catalog, toys, tmp_path):
    class Slower(FeatureStore):
        def rewrite(self, uri, rows):
            drop_from_shard(catalog, FeatureStore(self.root), uri)
            return super().rewrite(uri, rows)

    run(catalog, toys, tmp_path, batch=5)
    done = "SELECT uri, row, sha256, video_id FROM feature WHERE status = 'done' ORDER BY row"
    gone, *others = ask(catalog, done)
    with catalog.write() as session:
        session.execute(text("DELETE FROM feature WHERE video_id = :id"), {"id": gone[3]})

    assert drop_from_shard(catalog, Slower(toys.store_root), gone[0]) == len(others)
    for uri, row, sha256, _video_id in ask(catalog, done):
        FeatureStore(toys.store_root).read(uri, row, sha256=sha256)
    # But rows whose shard is nowhere are told.
    [(uri,)] = {row[:1] for row in ask(catalog, done)}
    FeatureStore(toys.store_root).remove(uri)
    with pytest.raises(MissingInput):
        drop_from_shard(catalog, FeatureStore(toys.store_root), uri)


def test_a_shard_that_nobody_needs_is_removed(catalog, toys, tmp_path):
    run(catalog, toys, tmp_path, batch=5)
    store = FeatureStore(toys.store_root)
    [(uri,)] = ask(catalog, "SELECT DISTINCT uri FROM feature WHERE uri IS NOT NULL")
    with catalog.write() as session:
        session.execute(text("DELETE FROM feature"))
    assert drop_from_shard(catalog, store, uri) == 0
    assert list(Path(toys.store_root).rglob("*.safetensors")) == []
