from dataclasses import replace

import pytest
import torch
from torchvision.models.video import SwinTransformer3d

from features.errors import WeightsMismatch
from features.weights import save_weights
from model.batches import collate
from model.errors import BadSetting
from model.networks.swin3d import Swin3d, Swin3dConfig
from tests.model.factories import TINY_SWIN3D, watched_examples


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
