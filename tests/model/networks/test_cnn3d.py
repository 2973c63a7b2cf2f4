import pytest
import torch

from model.batches import Example, collate
from model.errors import BadSetting
from model.networks.cnn3d import Cnn3d, Cnn3dConfig


def count(config: Cnn3dConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Cnn3d(config).parameters())


def test_has_the_parameters_that_were_published():
    assert count(Cnn3dConfig()) == 415_951
    assert Cnn3dConfig().pooled == (3, 128, 72)


@pytest.mark.parametrize("size", [(30, 128, 72), (4, 4, 4), (9, 33, 17)])
def test_works_at_other_clip_sizes(size):
    depth, height_px, width_px = size
    network = Cnn3d(Cnn3dConfig(depth=depth, height_px=height_px, width_px=width_px)).eval()
    rows = [Example(1, clip=torch.zeros(3, *size).byte())]
    assert network(collate(rows, network.shapes)).shape == (1,)


@pytest.mark.parametrize(
    "settings", [{"depth": 3}, {"height_px": 3}, {"channels": 0}, {"reduce": 0}, {"dropout": 1.0}]
)
def test_refuses_sizes_it_cannot_have(settings):
    with pytest.raises(BadSetting):
        Cnn3dConfig(**settings)
