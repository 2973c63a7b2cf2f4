"""The frames feature: the decoder's frames, the weights' own transforms, pooled row by row."""

import json
import os
import pickle  # noqa: TID251 - to make the kind of file that must not be run
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from features.engine import Stored, extract_batches
from features.errors import (
    MissingInput,
    NotFinite,
    NoVideoStream,
    Undecodable,
    WeightsMismatch,
    WeightsMissing,
)
from features.extractor import Extracted, Source
from features.plan import FilePlan
from features.settings import FramesConfig
from features.store import FeatureStore
from features.video.frames import (
    BACKBONES,
    FramesExtractor,
    backbone_fingerprint,
    choose_weights,
    fetch_weights,
    find_file,
    load_backbone,
    pool,
    published_weights,
    random_fingerprint,
    read_tensors,
    recognise,
)
from features.video.frames import (
    check as check_weights,
)
from features.video.frames import (
    spec as frames_spec,
)
from tests.features.backbones import BACKBONE, NAME, Offered, offer
from tests.features.media import make_media

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
    monkeypatch.setattr("features.video.frames.find_file", lambda _: tmp_path / "swag.pth")
    monkeypatch.setattr("features.video.frames.read_tensors", lambda _: state)
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


CONFIG = FramesConfig(BACKBONE, "random:1", n_frames=5, device="cpu")
WIDTH = 1024


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def extractor() -> FramesExtractor:
    return FramesExtractor(CONFIG)


def row(extractor: FramesExtractor, path: Path) -> Extracted:
    (result,) = extractor([Source(1, "a", path=str(path))])
    assert isinstance(result, Extracted), result
    return result


def every_frame(path: Path) -> list[torch.Tensor]:
    """Decode the whole file the plain way: (3, h, w) uint8 each."""
    with av.open(str(path)) as container:
        return [
            torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            for frame in container.decode(video=0)
        ]


def straightforward(pictures: list[torch.Tensor]) -> torch.Tensor:
    """Embed pictures one by one with torchvision's own transforms: (D, E)."""
    transforms = get_model_weights(BACKBONE)[NAME].transforms()
    network = load_backbone(choose_weights(BACKBONE, "random:1"))
    with torch.inference_mode():
        return torch.cat([network(transforms(picture)[None]) for picture in pictures])


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["long_group", "open_groups", "landscape"])
def test_a_row_pools_what_the_plain_way_gives(media, extractor, name):
    path = make_media(name, media)
    result = row(extractor, path)
    assert sorted(result.tensors) == ["max", "mean", "std"]
    frames = every_frame(path)
    # The middle of five equal parts of the time; all frames of these files last equally long.
    kept = [int((part + 0.5) / 5 * len(frames) + 1e-6) for part in range(5)]
    embeddings = straightforward([frames[index] for index in kept])
    for key, expected in pool(embeddings).items():
        assert result.tensors[key].shape == (WIDTH,)
        assert result.tensors[key].dtype == np.float32
        np.testing.assert_allclose(result.tensors[key], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.ffmpeg
def test_a_rows_facts_are_fit_for_sql(media, extractor):
    result = row(extractor, make_media("long_group", media))
    assert json.loads(json.dumps(result.detail, allow_nan=False)) == {
        "n_frames": 5,
        "shown_s": [0.4, 1.2, 2.0, 2.8, 3.6],
        "n_frames_total": 120,
        "fps": 30.0,
        "duration_s": 4.0,
        "truncated": False,
        "fraction_read": 1.0,
        "rotation_deg": 0,
        "mirrored": False,
        "n_errors": 0,
    }


@pytest.mark.ffmpeg
def test_a_row_is_the_same_alone_and_in_any_batch(media, extractor):
    names = ["long_group", "landscape", "one_frame", "no_b_frames"]
    sources = [Source(i, n, path=str(make_media(n, media))) for i, n in enumerate(names)]
    together = extractor(sources)
    backwards = extractor(sources[::-1])[::-1]
    for source, one, other in zip(sources, together, backwards, strict=True):
        (alone,) = extractor([source])
        assert isinstance(alone, Extracted)
        assert isinstance(one, Extracted)
        assert isinstance(other, Extracted)
        for key, expected in alone.tensors.items():
            np.testing.assert_array_equal(one.tensors[key], expected)
            np.testing.assert_array_equal(other.tensors[key], expected)


@pytest.mark.ffmpeg
def test_one_bad_file_costs_its_own_row(media, tmp_path, extractor):
    good = str(make_media("no_b_frames", media))
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    results = extractor(
        [
            Source(1, "first", path=good),
            Source(2, "page", path=str(tmp_path / "page.mp4")),
            Source(3, "gone", path=str(tmp_path / "gone.mp4")),
            Source(4, "stored feature", uri="x", row=0),
            Source(5, "sound", path=str(make_media("sound_only", media))),
            Source(6, "last", path=good),
        ]
    )
    assert [type(r) for r in results] == [
        Extracted,
        Undecodable,
        MissingInput,
        MissingInput,
        NoVideoStream,
        Extracted,
    ]


@pytest.mark.ffmpeg
def test_one_frame_has_no_spread(media, extractor):
    result = row(extractor, make_media("one_frame", media))
    assert result.detail["n_frames"] == 1
    np.testing.assert_array_equal(result.tensors["std"], np.zeros(WIDTH, np.float32))
    np.testing.assert_allclose(result.tensors["mean"], result.tensors["max"], rtol=1e-6)


@pytest.mark.ffmpeg
def test_a_video_filmed_sideways_is_seen_upright(media, extractor):
    path = make_media("sideways", media)
    result = row(extractor, path)
    turns = result.detail["rotation_deg"] // 90
    assert turns % 2 == 1
    frames = [torch.rot90(frame, turns, (1, 2)) for frame in every_frame(path)]
    kept = [int((part + 0.5) / 5 * len(frames) + 1e-6) for part in range(5)]
    expected = pool(straightforward([frames[index] for index in kept]))
    np.testing.assert_allclose(result.tensors["mean"], expected["mean"], rtol=1e-4, atol=1e-6)


@pytest.mark.ffmpeg
def test_more_frames_than_one_pass_takes_are_all_seen(media):
    path = make_media("no_b_frames", media)
    result = row(FramesExtractor(FramesConfig(BACKBONE, "random:1", n_frames=20)), path)
    frames = every_frame(path)
    kept = [int((part + 0.5) / 20 * len(frames) + 1e-6) for part in range(20)]
    expected = pool(straightforward([frames[index] for index in kept]))
    np.testing.assert_allclose(result.tensors["max"], expected["max"], rtol=1e-4, atol=1e-6)


@pytest.mark.ffmpeg
def test_infinities_cost_the_row(media, tmp_path):
    state = load_backbone(choose_weights(BACKBONE, "random:1")).state_dict()
    state["conv1.0.weight"][0] = torch.inf
    torch.save(state, tmp_path / "broken.pth")
    extractor = FramesExtractor(FramesConfig(BACKBONE, str(tmp_path / "broken.pth"), 2))
    (result,) = extractor([Source(1, "a", path=str(make_media("one_frame", media)))])
    assert isinstance(result, NotFinite)


@pytest.mark.ffmpeg
def test_a_worker_stores_the_same_row(media, tmp_path, extractor):
    path = make_media("long_group", media)
    plan = FilePlan("frames", CONFIG, str(tmp_path / "store"))
    (batch,) = extract_batches({"frames": plan}, [[Source(1, "a", path=str(path))]], workers=1)
    stored = batch.results[0]["frames"]
    assert isinstance(stored, Stored)
    tensors = FeatureStore(plan.store_root).read(stored.row.uri, stored.row.row)
    for key, expected in row(extractor, path).tensors.items():
        np.testing.assert_allclose(tensors[key], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_numbers(extractor):
    pictures = torch.randint(0, 256, (3, 6, 224, 224), dtype=torch.uint8).numpy()
    there = FramesExtractor(replace(CONFIG, device="cuda")).embed(pictures)
    torch.testing.assert_close(there, extractor.embed(pictures), rtol=1e-3, atol=1e-5)


def test_pooling_is_over_the_frames():
    pooled = pool(torch.tensor([[1.0, -4.0], [3.0, -4.0]]))
    assert {key: value.tolist() for key, value in pooled.items()} == {
        "mean": [2.0, -4.0],
        "std": [1.0, 0.0],
        "max": [3.0, -4.0],
    }


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="n_frames"):
        FramesConfig(n_frames=0)
    with pytest.raises(ValueError, match="backbone 'resnet' is not"):
        frames_spec(FramesConfig(backbone="resnet"))
    with pytest.raises(ValueError, match="weights 'none' are none"):
        frames_spec(FramesConfig(weights="none"))


def test_the_default_is_named_without_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = frames_spec(FramesConfig())
    assert spec.kind == "frames"
    assert spec.weights_sha256 is None
    assert spec.config == {
        "backbone": "resnet18",
        "weights": "IMAGENET1K_V1 (resnet18-f37072fd.pth)",
        "n_frames": 8,
        "transforms": {
            "resize_px": 256,
            "crop_px": 224,
            "interpolation": "bilinear",
            "antialias": True,
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        },
    }
    assert frames_spec(FramesConfig(weights="DEFAULT")).hash == spec.hash
    with pytest.raises(WeightsMissing, match=r"resnet18-f37072fd\.pth"):
        check_weights(FramesConfig())


@pytest.mark.parametrize(
    "other",
    [
        FramesConfig(BACKBONE, "random:2", 5),
        FramesConfig("shufflenet_v2_x1_0", "random:1", 5),
        FramesConfig(BACKBONE, "random:1", 6),
        FramesConfig(BACKBONE, NAME, 5),
    ],
)
def test_what_changes_the_numbers_changes_the_set(other):
    assert frames_spec(other).hash != frames_spec(CONFIG).hash


def test_random_weights_are_called_so_and_named_by_what_they_are():
    spec = frames_spec(CONFIG)
    assert spec.config["weights"] == "random:1"
    assert len(spec.weights_sha256 or "") == 64
    check_weights(CONFIG)


def test_a_files_content_names_the_set_and_not_its_place(tmp_path):
    state = load_backbone(choose_weights(BACKBONE, "random:1")).state_dict()
    hashes = []
    for name, value in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        state["conv1.0.weight"][0] = value
        torch.save(state, tmp_path / f"{name}.pth")
        (tmp_path / name).mkdir()
        # The archive has its own name in it: moved, not saved anew under another one.
        path = (tmp_path / f"{name}.pth").rename(tmp_path / name / "weights.pth")
        if name == "b":
            path.write_bytes((tmp_path / "a" / "weights.pth").read_bytes())
        spec = frames_spec(FramesConfig(BACKBONE, str(path)))
        assert str(tmp_path) not in json.dumps(spec.config)
        hashes.append(spec.hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_published_file_makes_the_same_set_from_the_cache_and_by_name(tmp_path, monkeypatch):
    offered = offer(tmp_path, monkeypatch)
    by_name, by_file = FramesConfig(BACKBONE, NAME), FramesConfig(BACKBONE, str(offered.file))
    assert frames_spec(by_name).hash == frames_spec(by_file).hash
    with pytest.raises(WeightsMissing):
        check_weights(by_name)
    offered.put_into_cache()
    pictures = torch.randint(0, 256, (3, 2, 224, 224), dtype=torch.uint8).numpy()
    torch.testing.assert_close(
        FramesExtractor(by_name).embed(pictures),
        FramesExtractor(by_file).embed(pictures),
        rtol=0,
        atol=0,
    )
