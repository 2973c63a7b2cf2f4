"""Backbones give features, from exactly the weights that were named and from nothing else."""

import os
import pickle  # noqa: TID251 - to make the kind of file that must not be run
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from features.backbone import fingerprint, load_backbone, random_fingerprint, read_tensors
from features.backbone_weights import choose_weights
from features.errors import WeightsMismatch, WeightsMissing
from tests.features.backbones import BACKBONE, NAME, offer

SMALL = "shufflenet_v2_x0_5"


def network_of(backbone: str, seed: int = 0, **arguments: object) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = get_model(backbone, weights=None, **arguments)
    return network.eval()


def loaded_from(path: Path, backbone: str = SMALL) -> nn.Module:
    return load_backbone(choose_weights(backbone, str(path)))


def saved(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("backbone", "width"),
    [
        ("resnet18", 512),
        ("resnet50", 2048),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
        ("mobilenet_v3_large", 1280),
        ("densenet121", 1024),
        ("mnasnet0_5", 1280),
        ("regnet_y_400mf", 440),
        ("vit_b_16", 768),
        ("swin_t", 768),
    ],
)
def test_every_family_gives_one_vector_a_picture(backbone, width):
    network = load_backbone(choose_weights(backbone, "random:1"))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with torch.inference_mode():
        features = network(torch.rand(2, 3, 224, 224))
    assert features.shape == (2, width)
    assert bool(torch.isfinite(features).all())
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize(
    ("backbone", "layer"), [(SMALL, "mean"), ("resnet18", "flatten"), ("densenet121", "flatten")]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_features_are_what_the_whole_network_hands_to_its_head(tmp_path, backbone, layer, suffix):
    whole = network_of(backbone, seed=3)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        saved(path, whole.state_dict())
    else:
        save_file({name: value.contiguous() for name, value in whole.state_dict().items()}, path)
    before_head = create_feature_extractor(whole, [layer])
    pictures = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        features = loaded_from(path, backbone)(pictures)
        torch.testing.assert_close(features, before_head(pictures)[layer])


def test_published_weights_come_from_torchvisions_cache(tmp_path, monkeypatch):
    offered = offer(tmp_path, monkeypatch)
    chosen = choose_weights(BACKBONE, NAME)
    with pytest.raises(WeightsMissing):
        load_backbone(chosen)
    offered.put_into_cache()
    assert fingerprint(load_backbone(chosen)) == fingerprint(loaded_from(offered.file, BACKBONE))


def test_weights_of_another_picture_size_bring_that_size_along(tmp_path, monkeypatch):
    # A published file of 350 MB stands for itself here: only the size that it asks for matters.
    chosen = choose_weights("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")
    state = network_of("vit_b_16", image_size=384).state_dict()
    monkeypatch.setattr("features.backbone.find_file", lambda _: tmp_path / "swag.pth")
    monkeypatch.setattr("features.backbone.read_tensors", lambda _: state)
    assert load_backbone(chosen).get_submodule("encoder").get_parameter("pos_embedding").shape == (
        1,
        24 * 24 + 1,
        768,
    )


def test_a_seed_names_its_weights_and_leaves_the_generator_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    one = fingerprint(load_backbone(choose_weights(SMALL, "random:1")))
    torch.testing.assert_close(torch.rand(3), expected)
    assert one == random_fingerprint(SMALL, 1)
    assert one != random_fingerprint(SMALL, 2)


def headless(state: "OrderedDict[str, Tensor]") -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


@pytest.mark.parametrize(
    "wrap",
    [
        headless,
        lambda state: {**state, "fc.weight": torch.ones(10, 1024), "fc.bias": torch.ones(10)},
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")},
    ],
    ids=["headless", "ten classes", "state_dict", "model and module", "older"],
)
def test_what_differs_only_around_the_features_is_no_obstacle(tmp_path, wrap):
    state = network_of(SMALL, seed=4).state_dict()
    plain = fingerprint(loaded_from(saved(tmp_path / "plain.pth", state)))
    assert fingerprint(loaded_from(saved(tmp_path / "wrapped.pth", wrap(state)))) == plain


def test_densenets_published_names_with_dots_are_understood(tmp_path):
    state = network_of("densenet121").state_dict()
    dotted = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in state.items()
    }
    assert dotted.keys() != state.keys()
    plain = loaded_from(saved(tmp_path / "plain.pth", state), "densenet121")
    old = loaded_from(saved(tmp_path / "old.pth", dotted), "densenet121")
    assert fingerprint(old) == fingerprint(plain)


def test_weights_in_half_precision_are_computed_with_in_full(tmp_path):
    halves = {
        n: v.half() if v.is_floating_point() else v
        for n, v in network_of(SMALL).state_dict().items()
    }
    network = loaded_from(saved(tmp_path / "half.pth", halves))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_another_architecture_is_refused_by_its_first_names(tmp_path):
    path = saved(tmp_path / "resnet.pth", network_of("resnet18").state_dict())
    with pytest.raises(WeightsMismatch) as caught:
        loaded_from(path)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"{path} does not fit {SMALL}" in message
    assert "it lacks conv1.0.weight, conv1.1.weight" in message
    assert "it has unknown conv1.weight, bn1.weight, bn1.bias …" in message
    assert len(message) < len(str(path)) + 400


def test_another_size_of_the_same_family_is_refused_by_its_shapes(tmp_path):
    path = saved(tmp_path / "wider.pth", network_of("shufflenet_v2_x1_0").state_dict())
    with pytest.raises(WeightsMismatch, match=r"size mismatch for stage2\.0"):
        loaded_from(path)


class _Runs:
    """Unpickled as it asks to be, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_nothing_in_a_file_is_run(tmp_path):
    trace = tmp_path / "was_run"
    path = saved(tmp_path / "evil.pth", {"conv1.weight": _Runs(trace)})
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Runs(trace), 2))
    for file in (path, tmp_path / "plain.pth"):
        with pytest.raises(WeightsMismatch, match="is not a file of weights"):
            read_tensors(file)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(range(256)) * 8])
def test_what_is_no_weights_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsMismatch, match="is not a file of weights"):
        read_tensors(path)


def test_a_file_cut_short_is_refused(tmp_path):
    whole = saved(tmp_path / "whole.pth", network_of(SMALL).state_dict()).read_bytes()
    for n_bytes in (100, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.pth").write_bytes(whole[:n_bytes])
        with pytest.raises(WeightsMismatch, match="is not a file of weights"):
            read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.ones(2), {"model": {"a": 1}}])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    with pytest.raises(WeightsMismatch, match="something else than named tensors"):
        read_tensors(saved(tmp_path / "other.pth", content))


def test_a_file_that_is_gone_and_a_folder_say_so(tmp_path):
    with pytest.raises(WeightsMissing, match=r"gone\.pth"):
        read_tensors(tmp_path / "gone.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(WeightsMismatch, match=r"folder\.pth is not a file"):
        read_tensors(tmp_path / "folder.pth")
