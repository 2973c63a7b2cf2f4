from dataclasses import replace

import pytest
import torch

from model.batches import Example, InputShapes, collate
from model.errors import BadSetting, IncompatibleFeatures
from model.networks.cnn3d import ClipInput, Cnn3d, Cnn3dConfig, clip_size, watched

CONFIG = ClipInput(height_px=2, width_px=3, depth=4)


def batch_of_level(level: int):
    clip = torch.full((3, 4, 2, 3), level, dtype=torch.uint8)
    return collate([Example(7, clip=clip)], CONFIG.shapes)


def test_pixels_are_those_of_the_file_or_scaled():
    assert watched(batch_of_level(255), "bytes").unique().tolist() == [255.0]
    assert watched(batch_of_level(255), "unit").unique().tolist() == [1.0]
    colours = watched(batch_of_level(255), "standard")[0, :, 0, 0, 0]
    white = torch.tensor([0.515, 0.544, 0.594]) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(colours, white)


def test_nothing_stands_in_for_a_clip():
    batch = collate([Example(3, clip=torch.zeros(3, 4, 2, 3).byte()), Example(9)], CONFIG.shapes)
    with pytest.raises(IncompatibleFeatures, match=r"\[9\] have no clip"):
        watched(batch, "bytes")


def test_clips_lend_their_size_but_not_their_depth():
    assert clip_size(InputShapes(clip=(3, 9, 128, 72))) == (128, 72)
    with pytest.raises(IncompatibleFeatures):
        clip_size(InputShapes(visual=(64, 128, 72)))


@pytest.mark.parametrize("settings", [{"depth": 0}, {"pixels": "float"}, {"outputs": 3}])
def test_refuses_clips_that_cannot_be(settings):
    with pytest.raises(BadSetting, match=next(iter(settings))):
        replace(CONFIG, **settings)


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
