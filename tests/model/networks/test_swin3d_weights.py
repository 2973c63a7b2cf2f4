import hashlib

import pytest
import torch

from features.errors import WeightsMismatch, WeightsMissing
from model.errors import BadSetting
from model.networks import swin3d_weights
from model.networks.swin3d_weights import fetch, published, published_file, starting_weights

NAME = "swin3d_t:KINETICS400_V1"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torchvision's, and a published file that can be made here."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save({"norm.weight": torch.ones(3)}, tmp_path / "made.pth")
    sha256 = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    url = f"https://weights.example/swin3d_t-{sha256[:8]}.pth"
    monkeypatch.setattr(swin3d_weights, "published", lambda: {NAME: url})
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
