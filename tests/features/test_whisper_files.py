import hashlib
from pathlib import Path

import pytest
import torch
from whisper.model import Whisper

from features import whisper_files
from features.whisper_files import list_weights
from features.whisper_weights import BASE_CONTAINER_SHA256, WeightsSources
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
