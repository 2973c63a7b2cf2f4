import base64
import gzip
import hashlib
import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import whisper
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.model import Whisper

from features.errors import WeightsMismatch, WeightsMissing
from features.sound import whisper_weights
from features.sound.whisper_weights import (
    BASE_CONTAINER_SHA256,
    BASE_FINGERPRINT,
    BASE_PARTS,
    WeightsSources,
    find_weights,
    fingerprint,
    list_weights,
    load_whisper,
    read_container,
    to_whisper,
    whisper_fingerprint,
)
from tests.features.sounds import container_arrays, random_whisper, write_container

NETWORK = random_whisper(n_mels=4, n_audio_ctx=6, width=8, n_vocab=11, n_text_ctx=5)
ARRAYS = container_arrays(NETWORK)
BLOB = write_container(ARRAYS)


def read(blob: bytes) -> dict[str, torch.Tensor]:
    return dict(to_whisper(read_container(blob)).state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_what_was_written_is_read_back(dtype: torch.dtype, version: int) -> None:
    tensors = to_whisper(read_container(write_container(ARRAYS, dtype=dtype, version=version)))
    expected = NETWORK.state_dict()
    assert tensors.state.keys() == expected.keys()
    for name, tensor in tensors.state.items():
        assert torch.equal(tensor.float(), expected[name].to(dtype).float()), name
    assert tensors.dims == vars(NETWORK.dims)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(BLOB) - 1))
def test_a_container_cut_anywhere_is_refused(n_bytes: int) -> None:
    with pytest.raises(WeightsMismatch):
        read(BLOB[:n_bytes])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(0, 255))
def test_a_changed_byte_never_causes_another_error(place: int, value: int) -> None:
    changed = BLOB[:place] + bytes([value]) + BLOB[place + 1 :]
    with suppress(WeightsMismatch):
        read(changed)


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(WeightsMismatch, match="1 bytes follow the end"):
        read(BLOB + b"\0")


@pytest.mark.parametrize("blob", [b"PK\x03\x04" + bytes(80), b"<html></html>", b"", bytes(80)])
def test_what_is_no_container_is_refused(blob: bytes) -> None:
    with pytest.raises(WeightsMismatch):
        read(blob)


def test_another_network_s_container_is_refused() -> None:
    with pytest.raises(WeightsMismatch, match="holds a 'TransformerSpec', expected 'WhisperSpec'"):
        read(write_container(ARRAYS, spec="TransformerSpec"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
def test_quantised_weights_are_refused(dtype: torch.dtype) -> None:
    name = "encoder/layer_1/ffn/linear_0/weight"
    with pytest.raises(WeightsMismatch, match=r"quantised to int\d+; float16, bfloat16 or float32"):
        read(write_container(ARRAYS | {name: ARRAYS[name].to(dtype)}))


def test_an_unknown_number_type_is_refused() -> None:
    place = BLOB.index(b"encoder/conv1/bias\0") + len("encoder/conv1/bias\0") + 5
    with pytest.raises(WeightsMismatch, match="type number 9"):
        read(BLOB[:place] + b"\x09" + BLOB[place + 1 :])


def test_an_array_that_has_no_place_is_refused() -> None:
    extra = ARRAYS | {"decoder/layer_0/ffn/linear_2/weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsMismatch, match=r"no place for: \['decoder/layer_0/ffn/linear_2"):
        read(write_container(extra))


def test_a_missing_array_is_refused() -> None:
    arrays = {k: v for k, v in ARRAYS.items() if k != "encoder/layer_norm/beta"}
    with pytest.raises(WeightsMismatch, match="no 'encoder/layer_norm/beta'"):
        read(write_container(arrays))


def test_a_bias_on_the_keys_is_refused() -> None:
    name = "decoder/layer_0/self_attention/linear_0/bias"
    with pytest.raises(WeightsMismatch, match="keys have no bias"):
        read(write_container(ARRAYS | {name: ARRAYS[name] + 1}))


def test_an_output_projection_of_its_own_is_refused() -> None:
    arrays = ARRAYS | {"decoder/projection/weight": ARRAYS["decoder/embeddings/weight"] + 1}
    with pytest.raises(WeightsMismatch, match="not tied"):
        read(write_container(arrays, aliases={}))


def test_an_alias_of_nothing_is_refused() -> None:
    with pytest.raises(WeightsMismatch, match="'nowhere'"):
        read(write_container(ARRAYS, aliases={"decoder/projection/weight": "nowhere"}))


def test_a_network_that_computes_otherwise_is_refused() -> None:
    with pytest.raises(WeightsMismatch, match="decoder/pre_norm is 0, stock Whisper has 1"):
        read(write_container(ARRAYS | {"decoder/pre_norm": torch.tensor(0, dtype=torch.int8)}))


def test_a_version_of_the_future_is_refused() -> None:
    with pytest.raises(WeightsMismatch, match="version 7, expected one of"):
        read(struct.pack("<I", 7) + BLOB[4:])


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
def made_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whisper's own cache folder, somewhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "whisper"
    folder.mkdir(parents=True)
    return folder


def test_the_list_says_what_is_where_and_which_is_used(
    checkpoint: Path, made_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made_cache / "tiny.pt").write_bytes(b"not it")
    (made_cache / "large-v3.pt").write_bytes(b"the large one")
    (made_cache / "somebody-else.pt").write_bytes(b"")
    right = hashlib.sha256(b"the large one").hexdigest()
    for name in ("large", "large-v3"):
        address = f"https://example.org/{right}/large-v3.pt"
        monkeypatch.setitem(whisper_weights.whisper._MODELS, name, address)
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


def test_nothing_found_is_an_empty_list(made_cache: Path, tmp_path: Path) -> None:
    assert list_weights("base", WeightsSources(parts=NO_PACKAGES)) == []
    gone = WeightsSources(path=tmp_path / "gone", parts=NO_PACKAGES)
    assert list_weights("base", gone) == []


@pytest.mark.whisper
def test_the_data_packages_are_listed_with_their_hash(made_cache: Path) -> None:
    (place,) = list_weights("base")
    assert (place.model, place.place, place.state, place.used) == ("base", "package", "right", True)
    assert place.sha256 == BASE_CONTAINER_SHA256
    assert len(place.files) == 2


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
    assert whisper_fingerprint("base") == BASE_FINGERPRINT


def test_a_checkpoint_and_a_container_of_one_network_have_one_fingerprint(
    tiny: Whisper, tiny_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ct2"
    folder.mkdir()
    (folder / "model.bin").write_bytes(write_container(container_arrays(tiny)))
    for path in (tiny_file, folder, folder / "model.bin"):
        sources = WeightsSources(path=path)
        loaded = load_whisper("tiny", sources)
        assert whisper_fingerprint("tiny", sources) == fingerprint(loaded) == fingerprint(tiny)
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
