import hashlib
from dataclasses import replace

import pytest
import torch
from torchvision.models.video import SwinTransformer3d

from features.errors import WeightsMismatch, WeightsMissing
from features.weights import save_weights
from model.batches import collate
from model.errors import BadSetting
from model.networks import swin3d
from model.networks.swin3d import (
    Swin3d,
    Swin3dConfig,
    fetch,
    published,
    published_file,
    starting_weights,
)
from tests.model.factories import TINY_SWIN3D, watched_examples

NAME = "swin3d_t:KINETICS400_V1"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torchvision's, and a published file that can be made here."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save({"norm.weight": torch.ones(3)}, tmp_path / "made.pth")
    sha256 = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    url = f"https://weights.example/swin3d_t-{sha256[:8]}.pth"
    monkeypatch.setattr(swin3d, "published", lambda: {NAME: url})
    return tmp_path


def test_knows_what_torchvision_publishes():
    assert NAME in published()
    assert published_file(NAME).name == "swin3d_t-7615ae03.pth"


def test_reads_what_lies_in_the_cache(cache):
    published_file(NAME).write_bytes((cache / "made.pth").read_bytes())
    assert torch.equal(starting_weights(NAME)["norm.weight"], torch.ones(3))
    assert fetch(NAME) == published_file(NAME)


def test_downloads_nothing_unless_told_to(cache, monkeypatch):
    def refuse(*_arguments, **_keywords):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(WeightsMissing, match="models fetch"):
        starting_weights(NAME)


def test_a_download_goes_into_the_cache(cache, monkeypatch):
    asked = []

    def download(url, path, prefix, *, progress):
        asked.append((url, prefix))
        published_file(NAME).write_bytes((cache / "made.pth").read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert fetch(NAME) == published_file(NAME)
    assert asked[0][1] in asked[0][0]


def test_a_download_that_fails_leaves_no_file(cache, monkeypatch):
    def fail(*_arguments, **_keywords):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsMissing, match="no network"):
        fetch(NAME)


def test_a_damaged_file_in_the_cache_is_refused(cache):
    published_file(NAME).write_bytes((cache / "made.pth").read_bytes()[:-1])
    with pytest.raises(WeightsMismatch, match="delete it"):
        starting_weights(NAME)


@pytest.mark.parametrize("weights", ["KINETICS", "swin3d_t", "weights.bin"])
def test_what_is_neither_a_name_nor_a_file_is_refused(weights):
    with pytest.raises(BadSetting, match="KINETICS400_V1"):
        starting_weights(weights)
    with pytest.raises(BadSetting, match="KINETICS400_V1"):
        fetch(weights)


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(WeightsMissing, match="nowhere"):
        starting_weights(str(tmp_path / "nowhere.pth"))


def count(config: Swin3dConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Swin3d(config).parameters())


def test_has_the_parameters_that_were_published():
    assert count(Swin3dConfig()) == 27_625_903
    assert count(Swin3dConfig(head="pooled")) == 27_625_903 - 59 * 768


def test_with_its_own_head_it_is_torchvision_s_network():
    config = replace(TINY_SWIN3D, head="pooled")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = SwinTransformer3d([2, 4, 4], 8, [1, 2], [2, 4], [2, 3, 3], num_classes=1).eval()
        ours = Swin3d(config).eval()
    ours.swin.load_state_dict(
        {k: v for k, v in theirs.state_dict().items() if not k.startswith("head.")}
    )
    ours.head.load_state_dict(theirs.head.state_dict())
    batch = collate(watched_examples(3), ours.shapes)
    with torch.inference_mode():
        torch.testing.assert_close(ours(batch), theirs(batch.clip.float()).squeeze(1))


@pytest.mark.parametrize(("depth", "height_px", "width_px"), [(1, 4, 4), (5, 33, 18)])
@pytest.mark.parametrize("head", ["flat", "pooled"])
def test_works_at_other_clip_sizes(depth, height_px, width_px, head):
    config = replace(TINY_SWIN3D, depth=depth, height_px=height_px, width_px=width_px, head=head)
    network = Swin3d(config).eval()
    rows = [replace(watched_examples(1)[0], clip=torch.zeros(network.shapes.clip).byte())]
    assert network(collate(rows, network.shapes)).shape == (1,)


def test_the_last_step_can_keep_predictions_above_zero():
    network = Swin3d(replace(TINY_SWIN3D, final_relu=True)).eval()
    batch = collate(watched_examples(3), network.shapes)
    assert (network(batch) > 0).all()  # else it would never learn
    network.head.bias.data.fill_(-100.0)
    assert network(batch).tolist() == [0.0] * 3


def test_starts_from_the_weights_it_is_told_to(tmp_path):
    torchvision = SwinTransformer3d([2, 4, 4], 8, [1, 2], [2, 4], [2, 3, 3])
    save_weights(tmp_path / "w.safetensors", "swin", {}, torchvision.state_dict())
    network = Swin3d(replace(TINY_SWIN3D, weights=str(tmp_path / "w.safetensors")))
    network.prepare([])
    for name, tensor in network.swin.state_dict().items():
        assert torch.equal(tensor, torchvision.state_dict()[name])


def test_refuses_weights_of_another_size(tmp_path):
    torchvision = SwinTransformer3d([2, 4, 4], 8, [1, 2], [2, 4], [8, 3, 3])
    save_weights(tmp_path / "w.safetensors", "swin", {}, torchvision.state_dict())
    network = Swin3d(replace(TINY_SWIN3D, weights=str(tmp_path / "w.safetensors")))
    before = [tensor.clone() for tensor in network.state_dict().values()]
    with pytest.raises(WeightsMismatch, match="window_depth 8"):
        network.prepare([])
    assert all(map(torch.equal, before, network.state_dict().values()))


@pytest.mark.parametrize(
    "settings",
    [
        {"embed": 0},
        {"heads": (3, 7, 12, 24)},
        {"depths": (2, 2)},
        {"depths": (1,), "heads": (3,)},
        {"dropout": 1.0},
        {"head": "deep"},
        {"patch_px": 0},
    ],
)
def test_refuses_sizes_it_cannot_have(settings):
    with pytest.raises(BadSetting):
        Swin3dConfig(**settings)
