"""Features of single files: the numbers of `extract`, a bad part costs itself, nothing is kept."""

import os
import shutil

import numpy as np
import pytest
import torch

from features.engine import extract_batches
from features.errors import (
    MissingInput,
    NoAudioTrack,
    NoVideoStream,
    TooShort,
    Undecodable,
    WeightsMissing,
)
from features.extractor import Extracted, Source
from features.kinds import KINDS
from features.one_video import Aside, HeldStore, OneOff, probe
from features.plan import FilePlan, VisualPlan
from features.settings import ClipConfig
from features.sound.waveform import read_waveform
from features.store import FeatureStore
from features.video.clip import read_clip
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from features.video.reading import read_pictures
from features.weights import weights_sha256
from model.training.pretraining import save_autoencoder
from tests.features.media import make_media
from tests.features.toys import ToyHearingPlan

pytestmark = pytest.mark.ffmpeg

CLIPS = ClipConfig(every_frames=10, max_frames=4, height_px=6, width_px=4)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    return lambda name: make_media(name, folder)


@pytest.fixture
def plans(tmp_path):
    """Clips, embeddings of them and a toy hearing, with stores below the test's folder."""
    root = str(tmp_path / "store")
    torch.manual_seed(0)
    weights = tmp_path / "autoencoder.safetensors"
    save_autoencoder(weights, ConvLstmAutoencoder(ConvLstmConfig(hidden=4)), {})
    clips = FilePlan("clip", CLIPS, root)
    visual = VisualPlan(clips.spec().hash, weights, weights_sha256(weights), root)
    # In another order than they are made in.
    return {"visual": visual, "audio": ToyHearingPlan(root), "clip": clips}


def test_the_numbers_are_those_that_extract_stores(plans, media, tmp_path):
    path = media("with_sound")

    found = OneOff(plans)(path)

    store = FeatureStore(str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
    source = Source(1, "a", path=str(path))
    [clips] = extract_batches({"clip": plans["clip"]}, [[source]], workers=0)
    clip = clips.results[0]["clip"]
    row = clip.row
    [embedded] = extract_batches(
        {"visual": plans["visual"]}, [[Source(1, "a", uri=row.uri, row=row.row)]], workers=0
    )
    for kind, result in (("clip", clip), ("visual", embedded.results[0]["visual"])):
        stored = store.read(result.row.uri, result.row.row)
        made = found.made[kind]
        assert stored.keys() == made.tensors.keys()
        for name, tensor in stored.items():
            np.testing.assert_array_equal(tensor, made.tensors[name])
        assert dict(result.detail) == dict(made.detail)


class Reading:
    """Says which texts it was given."""

    def __call__(self, sources):
        return [Extracted({"all": np.zeros(2)}, dict(source.texts)) for source in sources]


class ReadingPlan(ToyHearingPlan):
    def build(self):
        return Reading()


def test_texts_are_those_of_the_post_and_of_what_was_made(plans, media):
    path = media("with_sound")
    one_off = OneOff({"text": ReadingPlan("s"), "audio": plans["audio"]})
    assert one_off(path, "a caption").made["text"].detail == {
        "caption": "a caption",
        "transcript": "hello there",
    }
    with Aside("audio") as aside:
        beside = OneOff({"text": ReadingPlan("s"), "audio": plans["audio"]}, {"audio": aside})
        assert beside(path).made["text"].detail == {"caption": "", "transcript": "hello there"}


def test_another_caption_makes_the_text_anew_and_nothing_else(plans, media):
    one_off = OneOff({"text": ReadingPlan("s"), "audio": plans["audio"]})
    made = one_off(media("with_sound"), "a caption")
    other = one_off.with_caption(made, "another one")
    assert other.made["text"].detail == {"caption": "another one", "transcript": "hello there"}
    assert other.made["audio"] is made.made["audio"]
    without = OneOff({"audio": plans["audio"]})
    made = without(media("with_sound"))
    assert without.with_caption(made, "another one") is made


def test_every_network_is_loaded_once_and_each_file_has_its_own_numbers(plans, media):
    one_off = OneOff(plans)

    first, second = one_off(media("with_sound")), one_off(media("landscape"))
    load_s = dict(one_off.load_s)
    again = one_off(media("with_sound"))

    assert set(load_s) == {"clip", "visual", "audio"}
    assert one_off.load_s == load_s
    embeddings = [found.made["visual"].tensors["embedding"] for found in (first, second, again)]
    assert not np.array_equal(embeddings[0], embeddings[1])
    np.testing.assert_array_equal(embeddings[0], embeddings[2])


def test_no_sound_track_costs_the_sound_alone(plans, media, tmp_path):
    path = shutil.copy(media("landscape"), tmp_path / "silent.mp4")

    found = OneOff(plans)(tmp_path / "silent.mp4")

    assert str(path).endswith("silent.mp4")
    assert isinstance(found.made["audio"].error, NoAudioTrack)
    assert found.made["audio"].tensors is None
    assert found.made["visual"].tensors is not None


def test_what_is_made_of_an_absent_part_is_absent_for_its_reason(plans, media):
    trimmed = FilePlan("clip", ClipConfig(start_s=60.0, height_px=6, width_px=4), "x")
    one_off = OneOff({**plans, "clip": trimmed})
    one_off(media("with_sound"))

    found = one_off(media("landscape"))

    assert isinstance(found.made["clip"].error, TooShort)
    assert found.made["visual"].error is found.made["clip"].error
    assert found.made["audio"].error is None


@pytest.mark.parametrize(
    ("name", "size"),
    [("landscape", (256, 144)), ("sideways", (144, 256)), ("long_group", (144, 256))],
)
def test_a_file_is_as_large_as_it_is_shown(media, name, size):
    found = probe(media(name))

    assert (found.width_px, found.height_px) == size
    assert found.duration_s == pytest.approx(4 if name == "long_group" else 2, abs=0.1)


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("empty", Undecodable, "is empty"),
        ("page", Undecodable, "cannot be decoded"),
        ("text", Undecodable, "cannot be decoded"),
        ("zeros", Undecodable, "cannot be decoded"),
        ("first_box_only", Undecodable, "cannot be decoded"),
        ("without_header", Undecodable, "cannot be decoded"),
        ("sound_only", NoVideoStream, "no moving picture"),
        ("cover_only", NoVideoStream, "no moving picture"),
        ("encrypted", Undecodable, "encrypted"),
        ("unknown_codec", Undecodable, "codec"),
        ("picture", Undecodable, "cannot be decoded"),
    ],
)
def test_what_is_no_video_is_one_clear_error(media, name, error, reason):
    with pytest.raises(error, match=reason):
        probe(media(name))


def test_a_refusal_is_no_number_of_a_library(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("buy milk")

    with pytest.raises(Undecodable) as refused:
        probe(notes)

    assert str(refused.value) == (
        f"{notes} cannot be decoded: Invalid data found when processing input"
    )


def test_pictures_are_decoded_once_for_all_kinds(plans, media, monkeypatch):
    passes = []

    def counted(path, requests):
        passes.append(len(requests))
        return read_pictures(path, requests)

    monkeypatch.setattr("features.media.read_pictures", counted)
    both = {kind: FilePlan(kind, KINDS[kind].config(), "x") for kind in ("clip", "thumbnail")}

    together = OneOff(both)(media("landscape"))

    assert passes == [2]
    alone = OneOff({"thumbnail": both["thumbnail"]})(media("landscape"))
    for name, tensor in alone.made["thumbnail"].tensors.items():
        np.testing.assert_array_equal(tensor, together.made["thumbnail"].tensors[name])


def test_folders_pipes_and_absent_files_are_refused_before_they_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "no\nfile.mp4").symlink_to(tmp_path / "nowhere")

    with pytest.raises(Undecodable, match="is a folder"):
        probe(tmp_path)
    with pytest.raises(Undecodable, match="no regular file"):
        probe(tmp_path / "pipe.mp4")
    with pytest.raises(MissingInput, match="no file"):
        probe(tmp_path / "nothing.mp4")
    with pytest.raises(MissingInput):
        probe(tmp_path / "no\nfile.mp4")
    with pytest.raises(MissingInput, match="cannot be read"):
        probe(tmp_path / ("x" * 300))


def test_embeddings_need_the_plan_of_their_clips(plans):
    with pytest.raises(MissingInput, match="made of clip"):
        OneOff({"visual": plans["visual"]})


def test_nothing_is_held_but_what_was_put_there():
    store = HeldStore()
    store.held = {"clip": {"frames": np.zeros(3)}}

    assert store.read("clip", 0)["frames"].shape == (3,)
    with pytest.raises(MissingInput, match="no audio"):
        store.read("audio", 0)


def test_a_process_beside_makes_the_same_numbers(plans, media):
    path = media("with_sound")
    here = OneOff(plans)(path)

    with Aside("audio") as aside:
        one_off = OneOff(plans, {"audio": aside})
        beside = one_off(path)
        again = one_off(path)

    sound = beside.made["audio"]
    np.testing.assert_array_equal(
        sound.tensors["pooled_audio"], here.made["audio"].tensors["pooled_audio"]
    )
    assert sound.detail["pid"] != os.getpid()
    assert sound.detail["pid"] == again.made["audio"].detail["pid"]
    assert set(one_off.load_s) == {"clip", "visual", "audio"}


def test_a_process_that_dies_costs_the_sound_of_that_file(plans, media, tmp_path):
    shutil.copy(media("with_sound"), tmp_path / "kill.mp4")

    with Aside("audio") as aside:
        one_off = OneOff(plans, {"audio": aside})
        lost = one_off(tmp_path / "kill.mp4")
        after = one_off(media("with_sound"))

    assert lost.made["audio"].error.code == "worker_lost"
    assert lost.made["visual"].error is None
    assert after.made["audio"].error is None


@pytest.mark.parametrize("is_aside", [False, True])
def test_weights_that_are_nowhere_are_no_files_fault(plans, media, is_aside):
    plans["audio"] = ToyHearingPlan("x", has_weights=False)
    with Aside("audio") as aside, pytest.raises(WeightsMissing, match="nowhere"):
        OneOff(plans, {"audio": aside} if is_aside else {})(media("with_sound"))


def test_a_name_is_any_bytes(media, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9\n-i %d=:.mp4")
    os.link(media("with_sound"), path)
    assert probe(path) == probe(media("with_sound"))
    heard, clip = read_waveform(path), read_clip(path, CLIPS)
    np.testing.assert_array_equal(heard.samples, read_waveform(media("with_sound")).samples)
    np.testing.assert_array_equal(clip.frames, read_clip(media("with_sound"), CLIPS).frames)
    with pytest.raises(Undecodable) as refused:
        probe(path.parent)
    str(refused.value).encode()


def test_a_file_that_is_cut_off_says_how_much_of_it_is_there(media, tmp_path):
    whole, cut = media("fragmented"), tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert probe(whole).fraction_read == 1
    assert 0.2 < probe(cut).fraction_read < 0.8
