"""The frames feature: the decoder's frames, the weights' own transforms, pooled row by row."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights

from features.engine import Stored, extract_batches
from features.errors import (
    MissingInput,
    NotFinite,
    NoVideoStream,
    Undecodable,
    WeightsMissing,
)
from features.extractor import Extracted, Source
from features.plan import FilePlan
from features.settings import FramesConfig
from features.store import FeatureStore
from features.video.backbones import (
    choose_weights,
    load_backbone,
)
from features.video.frames import FITS, FramesExtractor, pool
from features.video.frames import check as check_weights
from features.video.frames import spec as frames_spec
from features.video.picture import Picture
from tests.features.backbones import BACKBONE, NAME, offer
from tests.features.media import make_media

# Sees the middle, as torchvision's own transforms do: the plain way to compare with.
CONFIG = FramesConfig(BACKBONE, "random:1", n_frames=5, fit="crop", device="cpu")
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
        pictures = [Picture(frame) for frame in container.decode(video=0)]
    return [
        torch.from_numpy(np.ascontiguousarray(picture.rgb(picture.height_px, picture.width_px)))
        for picture in pictures
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
    assert list(result.tensors) == ["mean", "std", "max", "each"]
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
        "times_s": [0.4, 1.2, 2.0, 2.8, 3.6],
        "n_frames_total": 120,
        "fps": 30.0,
        "duration_s": 4.0,
        "truncated": False,
        "fraction_read": 1.0,
        "n_errors": 0,
        "height_px": 256,
        "width_px": 144,
        "rotation_deg": 0,
        "mirrored": False,
        "hdr": None,
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
    frames = [
        torch.rot90(frame, turns, (1, 2)) for frame in every_frame(make_media("landscape", media))
    ]
    kept = [int((part + 0.5) / 5 * len(frames) + 1e-6) for part in range(5)]
    expected = pool(straightforward([frames[index] for index in kept]))
    np.testing.assert_allclose(result.tensors["mean"], expected["mean"], rtol=1e-4, atol=1e-6)


@pytest.mark.ffmpeg
def test_more_frames_than_one_pass_takes_are_all_seen(media):
    path = make_media("no_b_frames", media)
    result = row(FramesExtractor(FramesConfig(BACKBONE, "random:1", n_frames=20, fit="crop")), path)
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


@pytest.mark.ffmpeg
def test_each_frame_keeps_its_own_vector(media, extractor):
    result = row(extractor, make_media("long_group", media))
    each = result.tensors["each"]
    assert (each.shape, each.dtype) == ((5, WIDTH), np.float16)
    for name, pooled in pool(torch.from_numpy(each).float()).items():
        np.testing.assert_allclose(pooled, result.tensors[name], atol=2e-3)


def picture_of(pixels: np.ndarray) -> Picture:
    """A picture of (H, W, 3) uint8 pixels."""
    return Picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))


@pytest.mark.parametrize("size", [(512, 288), (288, 512), (100, 100), (1000, 100), (60, 100)])
@pytest.mark.parametrize("fit", FITS)
def test_pictures_of_any_shape_fill_squares_of_the_network(fit, size):
    preset = choose_weights(BACKBONE, "random:0").published.preset
    fitted = FITS[fit](picture_of(np.full((*size, 3), 200, np.uint8)), preset)
    assert fitted.dtype == np.uint8
    assert fitted.shape == (3, 448 if fit == "tiles" else 224, 224)


@pytest.mark.parametrize("fit", FITS)
def test_all_of_a_picture_is_seen_but_by_crop(fit):
    preset = choose_weights(BACKBONE, "random:0").published.preset
    pixels = np.full((512, 288, 3), 128, np.uint8)
    plain = FITS[fit](picture_of(pixels), preset)
    pixels[:64], pixels[-64:] = 255, 0  # where captions are
    changed = (FITS[fit](picture_of(pixels), preset) != plain).any(axis=0).mean()
    assert changed == 0 if fit == "crop" else changed > 0.1


@pytest.mark.ffmpeg
def test_a_tall_picture_is_embedded_as_the_mean_of_its_two_squares(media):
    path = make_media("long_group", media)
    extractor = FramesExtractor(replace(CONFIG, fit="tiles"))
    network = load_backbone(choose_weights(BACKBONE, "random:1"))
    frames = [every_frame(path)[at] for at in (12, 36, 60, 84, 108)]
    expected = []
    for frame in frames:  # 256x144, which becomes 398x224
        picture = picture_of(frame.permute(1, 2, 0).numpy())
        whole = torch.from_numpy(np.ascontiguousarray(picture.rgb(398, 224)))
        squares = extractor.preset.normalise(torch.stack([whole[:, :224], whole[:, -224:]]))
        with torch.inference_mode():
            expected.append(network(squares).mean(0))
    found = row(extractor, path).tensors["mean"]
    near = torch.stack(expected).mean(0).numpy()
    assert np.abs(found - near).mean() < 0.02 * np.abs(near).mean()


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
        "fit": "tiles",
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
        FramesConfig(BACKBONE, "random:2", 5, "crop"),
        FramesConfig("shufflenet_v2_x1_0", "random:1", 5, "crop"),
        FramesConfig(BACKBONE, "random:1", 6, "crop"),
        FramesConfig(BACKBONE, "random:1", 5, "pad"),
        FramesConfig(BACKBONE, NAME, 5, "crop"),
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
