import hashlib
from pathlib import Path

import pytest
import torch
from whisper.model import Whisper

from features import whisper_files
from features.errors import FeatureError, WeightsMissing
from features.whisper_files import convert_weights, list_weights
from features.whisper_weights import (
    BASE_CONTAINER_SHA256,
    BASE_FINGERPRINT,
    WeightsSources,
    fingerprint,
    load_whisper,
)
from tests.features.sounds import random_whisper

NO_PACKAGES = (("viewcast-no-such-weights", "model.bin"),)


@pytest.fixture(scope="module")
def tiny() -> Whisper:
    """A network with tiny's encoder and next to no decoder, full of noise."""
    return random_whisper(n_audio_ctx=8, width=384, layers=4, n_vocab=20, n_text_ctx=6)


@pytest.fixture
def checkpoint(tiny: Whisper, tmp_path: Path) -> Path:
    path = tmp_path / "mine.pt"
    state = {name: tensor.half() for name, tensor in tiny.state_dict().items()}
    torch.save({"dims": vars(tiny.dims), "model_state_dict": state}, path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whisper's own cache folder, somewhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "whisper"
    folder.mkdir(parents=True)
    return folder


def test_there_and_back_again_nothing_has_changed(
    checkpoint: Path, tiny: Whisper, cache: Path, tmp_path: Path
) -> None:
    folder, again = tmp_path / "converted", tmp_path / "again.pt"
    there = convert_weights("tiny", folder, WeightsSources(path=checkpoint))
    back = convert_weights("tiny", again, WeightsSources(path=folder))
    assert there == back == fingerprint(tiny)
    for path in (folder, again):
        loaded = load_whisper("tiny", WeightsSources(path=path))
        for name, parameter in loaded.named_parameters():
            assert torch.equal(parameter, tiny.get_parameter(name)), name
    assert [file.name for file in folder.iterdir()] == ["model.bin"]
    assert abs(again.stat().st_size - checkpoint.stat().st_size) < 10_000
    assert not list(cache.iterdir())


@pytest.mark.whisper
def test_the_real_base_weights_convert_and_stay_openai_s(
    cache: Path, tmp_path: Path
) -> None:
    pt, folder = tmp_path / "base-of-mine.pt", tmp_path / "base"
    assert convert_weights("base", pt) == BASE_FINGERPRINT
    assert pt.stat().st_size == pytest.approx(145_262_807, rel=1e-3)  # OpenAI's own
    assert convert_weights("base", folder, WeightsSources(path=pt)) == BASE_FINGERPRINT
    assert (folder / "model.bin").stat().st_size == pytest.approx(145_217_532, rel=1e-3)
    assert fingerprint(load_whisper("base", WeightsSources(path=folder))) == BASE_FINGERPRINT


def test_nothing_is_overwritten_and_no_official_name_is_taken(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    sources = WeightsSources(path=checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(FeatureError, match=r"mine\.pt is there already"):
        convert_weights("tiny", checkpoint, sources)
    assert checkpoint.read_bytes() == before
    with pytest.raises(FeatureError, match="where Whisper keeps its own download"):
        convert_weights("tiny", cache / "tiny.pt", sources)
    convert_weights("tiny", cache / "converted.pt", sources)
    assert [file.name for file in cache.iterdir()] == ["converted.pt"]
    with pytest.raises(WeightsMissing):
        convert_weights("tiny", tmp_path / "new.pt", WeightsSources(path=tmp_path / "gone"))
    assert not (tmp_path / "new.pt").exists()


def test_a_file_that_came_out_wrong_gets_no_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(network: Whisper, file: Path) -> None:
        state = network.state_dict()
        state["encoder.conv1.bias"] = state["encoder.conv1.bias"] + 1
        torch.save({"dims": vars(network.dims), "model_state_dict": state}, file)

    monkeypatch.setattr(whisper_files, "_write_checkpoint", spoil)
    with pytest.raises(FeatureError, match="came out with fingerprint"):
        convert_weights("tiny", tmp_path / "new.pt", WeightsSources(path=checkpoint))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.pt"]


def test_the_list_says_what_is_where_and_which_is_used(
    checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "tiny.pt").write_bytes(b"not it")
    (cache / "large-v3.pt").write_bytes(b"the large one")
    (cache / "somebody-else.pt").write_bytes(b"")
    right = hashlib.sha256(b"the large one").hexdigest()
    for name in ("large", "large-v3"):
        address = f"https://example.org/{right}/large-v3.pt"
        monkeypatch.setitem(whisper_files.whisper._MODELS, name, address)
    places = list_weights("large", WeightsSources(parts=NO_PACKAGES))
    assert [(p.files[0].name, p.state, p.used) for p in places] == [
        ("large-v3.pt", "right", True),
        ("tiny.pt", "wrong", False),
    ]
    assert {place.place for place in places} == {"cache"}
    named = list_weights("tiny", WeightsSources(path=checkpoint, parts=NO_PACKAGES))
    assert [(p.place, p.state, p.used) for p in named] == [
        ("setting", "unchecked", True),
        ("cache", "right", False),
        ("cache", "wrong", False),
    ]
    assert named[0].sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_nothing_found_is_an_empty_list(cache: Path, tmp_path: Path) -> None:
    assert list_weights("base", WeightsSources(parts=NO_PACKAGES)) == []
    gone = WeightsSources(path=tmp_path / "gone", parts=NO_PACKAGES)
    assert list_weights("base", gone) == []


@pytest.mark.whisper
def test_the_data_packages_are_listed_with_their_hash(cache: Path) -> None:
    (place,) = list_weights("base")
    assert (place.model, place.place, place.state, place.used) == ("base", "package", "right", True)
    assert place.sha256 == BASE_CONTAINER_SHA256
    assert len(place.files) == 2
