import base64
import gzip
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import whisper
from whisper.model import Whisper

from features import whisper_weights
from features.errors import WeightsMismatch, WeightsMissing
from features.whisper_weights import (
    BASE_FINGERPRINT,
    BASE_PARTS,
    WeightsSources,
    find_weights,
    fingerprint,
    load_whisper,
    weights_sha256,
)
from tests.features.sounds import container_arrays, random_whisper, write_container

NO_PACKAGES = (("viewcast-no-such-weights", "model.bin"),)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        pytest.fail("weights were downloaded without being asked for")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whisper's own cache folder, somewhere else and not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "whisper"


@pytest.fixture(scope="module")
def tiny() -> Whisper:
    """A network with tiny's encoder and next to no decoder, full of noise."""
    return random_whisper(n_audio_ctx=8, width=384, layers=4, n_vocab=20, n_text_ctx=6)


@pytest.fixture
def tiny_file(tiny: Whisper, tmp_path: Path) -> Path:
    """That network as a checkpoint, in half precision like OpenAI's."""
    path = tmp_path / "mine.pt"
    state = {name: tensor.half() for name, tensor in tiny.state_dict().items()}
    torch.save({"dims": vars(tiny.dims), "model_state_dict": state}, path)
    return path


@pytest.fixture
def published(tiny_file: Path, tmp_path: Path) -> Iterator[Path]:
    """The same file where OpenAI's address of tiny leads to, for the time of one test."""
    sha256 = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    file = tmp_path / "site" / sha256 / "tiny.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(tiny_file.read_bytes())
    heads = base64.b85encode(gzip.compress(bytes(2)))
    with (
        patch.dict(whisper._MODELS, {"tiny": file.as_uri()}),
        patch.dict(whisper._ALIGNMENT_HEADS, {"tiny": heads}),
    ):
        yield file


@pytest.mark.whisper
def test_the_base_weights_are_openai_s(cache: Path, no_network: None) -> None:
    network = load_whisper("base")
    assert fingerprint(network) == BASE_FINGERPRINT
    assert BASE_FINGERPRINT == "2cc244ce7f330c4c90b1a5fe2fe65cad9e2df23d1359de2d3ced51c93061543d"
    assert (network.dims.n_audio_layer, network.dims.n_audio_state) == (6, 512)
    assert sum(p.numel() for p in network.parameters()) == 72_593_920 - 1500 * 512
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert not cache.exists()


@pytest.mark.whisper
def test_half_of_the_weights_is_refused() -> None:
    sources = WeightsSources(cache_folder=Path("/nonexistent"), parts=BASE_PARTS[:1])
    with pytest.raises(WeightsMismatch, match="expected d01c3014"):
        load_whisper("base", sources)


def test_the_fingerprint_of_base_is_known_without_weights(cache: Path, no_network: None) -> None:
    assert weights_sha256("base") == BASE_FINGERPRINT


def test_a_checkpoint_and_a_container_of_one_network_have_one_fingerprint(
    tiny: Whisper, tiny_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ct2"
    folder.mkdir()
    (folder / "model.bin").write_bytes(write_container(container_arrays(tiny)))
    for path in (tiny_file, folder, folder / "model.bin"):
        sources = WeightsSources(path=path)
        loaded = load_whisper("tiny", sources)
        assert weights_sha256("tiny", sources) == fingerprint(loaded) == fingerprint(tiny)
        for name, parameter in loaded.named_parameters():
            assert torch.equal(parameter, tiny.get_parameter(name)), name


def test_another_value_is_another_fingerprint(tiny: Whisper) -> None:
    before = fingerprint(tiny)
    bias = tiny.encoder.conv1.bias
    bias.data[0] += 1
    assert fingerprint(tiny) != before
    bias.data[0] -= 1


def test_the_fingerprint_does_not_see_the_memory_layout(tiny: Whisper) -> None:
    before = fingerprint(tiny)
    embedding = tiny.decoder.token_embedding
    embedding.weight = torch.nn.Parameter(embedding.weight.T.contiguous().T, requires_grad=False)
    assert fingerprint(tiny) == before


def test_weights_of_another_size_are_refused(tiny_file: Path) -> None:
    with pytest.raises(
        WeightsMismatch, match=r"4 encoder layers of width 384; Whisper 'base' has 6"
    ):
        load_whisper("base", WeightsSources(path=tiny_file))


@pytest.mark.parametrize("model", ["base", "tiny", "large-v3-turbo"])
def test_no_weights_anywhere_names_every_way_out_and_writes_nothing(
    model: str, cache: Path, tmp_path: Path, no_network: None
) -> None:
    sources = WeightsSources(parts=NO_PACKAGES)
    with pytest.raises(WeightsMissing) as caught:
        load_whisper(model, sources)
    message = str(caught.value)
    for way in ("VIEWCAST_AUDIO__WEIGHTS", str(cache), ".pt (sha256 ", "weights fetch"):
        assert way in message
    assert ("viewcast[weights]" in message) == (model == "base")
    assert caught.value.exit_code == 3
    with pytest.raises(WeightsMissing):
        find_weights(model, sources)
    assert not list(tmp_path.iterdir())


def test_a_named_path_that_is_not_there_is_missing(
    tmp_path: Path, cache: Path, no_network: None
) -> None:
    for path in (tmp_path / "gone.pt", tmp_path):
        said = rf"{path}: no weights file.*VIEWCAST_AUDIO__WEIGHTS"
        with pytest.raises(WeightsMissing, match=said):
            load_whisper("base", WeightsSources(path=path, download=True))


def test_whisper_s_own_cache_is_used(
    published: Path, tiny: Whisper, cache: Path, no_network: None
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.pt").write_bytes(published.read_bytes())
    assert find_weights("tiny").files == (cache / "tiny.pt",)
    assert fingerprint(load_whisper("tiny")) == fingerprint(tiny)


def test_a_wrong_file_in_the_cache_is_neither_used_nor_touched(
    published: Path, cache: Path, no_network: None, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.pt").write_bytes(b"not it")
    with caplog.at_level(logging.WARNING), pytest.raises(WeightsMissing):
        load_whisper("tiny")
    assert "is not OpenAI's file" in caplog.text
    assert (cache / "tiny.pt").read_bytes() == b"not it"


def test_a_download_that_is_asked_for_fills_whisper_s_cache(
    published: Path, tiny: Whisper, cache: Path
) -> None:
    network = load_whisper("tiny", WeightsSources(download=True))
    assert fingerprint(network) == fingerprint(tiny)
    assert (cache / "tiny.pt").read_bytes() == published.read_bytes()


def test_a_download_that_fails_says_what_else_helps(published: Path, cache: Path) -> None:
    sources = WeightsSources(download=True)
    published.write_bytes(b"half of it")
    with pytest.raises(WeightsMissing, match=r"download failed .*SHA256.*VIEWCAST_AUDIO__WEIGHTS"):
        load_whisper("tiny", sources)
    published.unlink()
    with (
        pytest.warns(UserWarning, match="checksum does not match"),
        pytest.raises(WeightsMissing, match=r"download failed .*VIEWCAST_AUDIO__WEIGHTS"),
    ):
        load_whisper("tiny", sources)


@pytest.mark.parametrize("content", ["nothing", "page", "other", "code", "cut"])
def test_a_file_that_holds_no_whisper_is_refused(
    content: str, tiny_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "file.pt"
    if content == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    elif content == "code":
        torch.save({"dims": whisper_weights.WeightsSources()}, path)
    else:
        texts = {"nothing": b"", "page": b"<html></html>", "cut": tiny_file.read_bytes()[:9000]}
        path.write_bytes(texts[content])
    with pytest.raises(WeightsMismatch, match=r"file\.pt: "):
        load_whisper("tiny", WeightsSources(path=path))
