"""Weights files: what was saved comes back, and nothing else is taken for it."""

import json

import pytest
import torch
from safetensors import torch as safetensors_torch

from features import weights
from features.errors import WeightsMismatch, WeightsMissing
from features.video.convlstm import KIND, ConvLstmAutoencoder, ConvLstmConfig
from features.video.visual import load_autoencoder
from features.weights import (
    ALIGNMENT,
    FORMAT,
    load_foreign,
    load_weights,
    map_tensors,
    save_weights,
    weights_sha256,
)

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "c": torch.zeros(0, 4)}


def write_raw(path, document, tensors=TENSORS):
    safetensors_torch.save_file(dict(tensors), path, {"viewcast": json.dumps(document)})


def test_what_was_saved_comes_back_to_the_bit(tmp_path):
    tensors = {**TENSORS, "half": torch.tensor([0.1, float("nan")]).half()}
    path = tmp_path / "new" / "w.safetensors"
    sha256 = save_weights(path, "toy", {"hidden": 3, "lr": 0.1}, tensors, {"curve": [1, None]})
    found = load_weights(path, kind="toy")
    assert (found.kind, found.config) == ("toy", {"hidden": 3, "lr": 0.1})
    assert found.extra == {"curve": [1, None]}
    assert found.sha256 == sha256 == weights_sha256(path)
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert found.tensors[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_the_same_content_gives_the_same_file_every_time(tmp_path):
    hashes = {
        save_weights(tmp_path / str(i), "toy", {"x": 1, "y": 2}, TENSORS, {"p": 1, "q": 2})
        for i in range(20)
    }
    hashes |= {
        save_weights(
            tmp_path / "turned",
            "toy",
            {"y": 2, "x": 1},
            dict(reversed(TENSORS.items())),
            {"q": 2, "p": 1},
        )
    }
    assert len(hashes) == 1


def test_gradients_and_strides_do_not_reach_the_file(tmp_path):
    turned = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3)).t()
    save_weights(tmp_path / "w", "toy", {}, {"turned": turned})
    found = load_weights(tmp_path / "w").tensors["turned"]
    assert torch.equal(found, turned)
    assert not found.requires_grad


def test_a_network_comes_back_with_equal_output(tmp_path):
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=5, normalised=True)).eval()
    save_weights(tmp_path / "w", KIND, vars(network.config), network.state_dict())
    again = load_autoencoder(tmp_path / "w").eval()
    assert again.config == network.config
    clip = torch.rand(2, 3, 3, 7, 5)
    with torch.inference_mode():
        for left, right in zip(network(clip), again(clip), strict=True):
            assert torch.equal(left, right)


def test_others_read_our_files(tmp_path):
    tensors = {**TENSORS, "yes": torch.tensor([True, False]), "b16": torch.ones(3).bfloat16()}
    save_weights(tmp_path / "w", "toy", {}, tensors)
    found = safetensors_torch.load_file(tmp_path / "w")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_tensors_lie_where_torch_would_put_them(tmp_path):
    odd = {f"{name}.{size}": torch.rand(size) for name in "ab" for size in (1, 3, 16, 33, 64)}
    save_weights(tmp_path / "w", "toy", {}, odd)
    safetensors_torch.save_file(odd, tmp_path / "foreign")
    for path in (tmp_path / "w", tmp_path / "foreign"):
        mapped = map_tensors(path)
        assert mapped.keys() == odd.keys()
        for name, tensor in mapped.items():
            assert tensor.data_ptr() % ALIGNMENT == 0
            assert torch.equal(tensor, odd[name])


def test_what_is_mapped_and_changed_does_not_change_the_file(tmp_path):
    sha256 = save_weights(tmp_path / "w", "toy", {}, {"a": torch.zeros(64)})
    map_tensors(tmp_path / "w")["a"].fill_(1.0)
    assert weights_sha256(tmp_path / "w") == sha256
    assert map_tensors(tmp_path / "w")["a"].sum() == 0


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    sha256 = save_weights(path, "toy", {}, TENSORS)

    def write_half(target, _tensors, _metadata):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(weights, "write_tensors", write_half)
    with pytest.raises(OSError, match="disk full"):
        save_weights(path, "toy", {"new": 1}, TENSORS)
    assert weights_sha256(path) == sha256
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_file_is_missing(tmp_path):
    with pytest.raises(WeightsMissing, match="nowhere"):
        load_weights(tmp_path / "nowhere")
    with pytest.raises(WeightsMissing, match="nowhere"):
        weights_sha256(tmp_path / "nowhere")


def test_another_kind_is_refused(tmp_path):
    save_weights(tmp_path / "w", "toy", {}, TENSORS)
    with pytest.raises(WeightsMismatch, match="holds weights of 'toy', expected 'other'"):
        load_weights(tmp_path / "w", kind="other")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"format": FORMAT + 1, "kind": "toy", "config": {}, "extra": {}},
        {"format": FORMAT, "kind": "toy"},
    ],
    ids=["no object", "a later format", "fields absent"],
)
def test_a_description_that_is_not_ours_is_refused(tmp_path, document):
    write_raw(tmp_path / "w", document)
    with pytest.raises(WeightsMismatch, match="not a weights file"):
        load_weights(tmp_path / "w")


def test_files_of_others_are_refused(tmp_path):
    safetensors_torch.save_file(dict(TENSORS), tmp_path / "plain")
    (tmp_path / "noise").write_bytes(b"\x00" * 100)
    (tmp_path / "empty").touch()
    whole = tmp_path / "whole"
    save_weights(whole, "toy", {}, TENSORS)
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-4])
    for name in ("plain", "noise", "empty", "cut"):
        with pytest.raises(WeightsMismatch, match="not a weights file"):
            load_weights(tmp_path / name)
    for name in ("noise", "empty", "cut"):
        with pytest.raises(WeightsMismatch, match="no file of tensors"):
            map_tensors(tmp_path / name)
    with pytest.raises(WeightsMissing, match="nowhere"):
        map_tensors(tmp_path / "nowhere")


class Trap:
    """What a pickle can do to whoever opens it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (type(self.target).touch, (self.target,))


@pytest.mark.parametrize("key", ["", "model_state_dict", "state_dict", "model"])
def test_a_foreign_state_dict_is_found_where_people_put_it(tmp_path, key):
    state = {"module.a": torch.arange(3.0), "b": torch.ones(2, 2)}
    torch.save({key: state, "val_loss": 3.5, "epoch": 7} if key else state, tmp_path / "f.pt")
    found = load_foreign(tmp_path / "f.pt")
    assert list(found) == ["a", "b"]
    assert torch.equal(found["a"], torch.arange(3.0))


def test_foreign_safetensors_are_read(tmp_path):
    safetensors_torch.save_file(dict(TENSORS), tmp_path / "f.safetensors")
    assert load_foreign(tmp_path / "f.safetensors").keys() == TENSORS.keys()


def test_a_foreign_file_runs_no_code(tmp_path):
    torch.save({"a": torch.zeros(1), "trap": Trap(tmp_path / "ran")}, tmp_path / "f.pt")
    with pytest.raises(WeightsMismatch, match="no file of tensors"):
        load_foreign(tmp_path / "f.pt")
    assert not (tmp_path / "ran").exists()


def test_foreign_files_of_something_else_are_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list")
    torch.save({}, tmp_path / "nothing")
    torch.save({"a": torch.zeros(1), "epoch": 3}, tmp_path / "mixed")
    (tmp_path / "noise").write_bytes(b"\x00" * 100)
    whole = tmp_path / "whole"
    torch.save({"a": torch.zeros(1000)}, whole)
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-400])
    for name in ("list", "nothing", "mixed", "noise", "cut"):
        with pytest.raises(WeightsMismatch):
            load_foreign(tmp_path / name)
    with pytest.raises(WeightsMissing, match="nowhere"):
        load_foreign(tmp_path / "nowhere")
