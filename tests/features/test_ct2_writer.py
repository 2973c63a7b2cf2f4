import pytest
import torch

from features.ct2 import WhisperTensors, read_container, to_whisper
from features.ct2_writer import write_container
from tests.features import sounds
from tests.features.sounds import container_arrays, random_whisper

NETWORK = random_whisper(n_mels=4, n_audio_ctx=6, width=8, n_vocab=11, n_text_ctx=5)
# The encoder's table of positions is computed, not loaded, and so is not float16 by itself.
STATE = {name: tensor.half().float() for name, tensor in NETWORK.state_dict().items()}
TENSORS = WhisperTensors(vars(NETWORK.dims), STATE)


@pytest.mark.parametrize("is_half", [True, False])
def test_what_was_written_is_read_back_value_by_value(is_half: bool) -> None:
    state = dict(TENSORS.state)
    if not is_half:
        state["encoder.conv1.bias"] = state["encoder.conv1.bias"] + 1e-6
    blob = write_container(WhisperTensors(TENSORS.dims, state))
    read = to_whisper(read_container(blob))
    assert read.dims == TENSORS.dims
    assert read.state.keys() == state.keys()
    for name, tensor in read.state.items():
        assert tensor.dtype == (torch.float16 if is_half else torch.float32)
        assert torch.equal(tensor.float(), state[name]), name


def test_two_writers_agree_on_every_array() -> None:
    ours = read_container(write_container(TENSORS))
    other = read_container(sounds.write_container(container_arrays(NETWORK)))
    for name in ("decoder/alignment_layer",):  # of no use here
        other.pop(name)
    assert ours.keys() == other.keys()
    for name, array in ours.items():
        assert (array.dtype, array.tobytes()) == (other[name].dtype, other[name].tobytes()), name
