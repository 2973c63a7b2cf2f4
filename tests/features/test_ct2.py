import struct
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ct2 import read_container, to_whisper
from features.errors import WeightsMismatch
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
