"""Weights are named ones: published, in a file, or of a seed; the cache is not trusted blindly."""

from pathlib import Path

import pytest
import torch
from torchvision.models import get_model_weights

from features.backbone_weights import (
    BACKBONES,
    choose_weights,
    fetch_weights,
    find_file,
    published_weights,
    recognise,
)
from features.errors import WeightsMismatch, WeightsMissing
from tests.features.backbones import BACKBONE, NAME, Offered, offer


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
