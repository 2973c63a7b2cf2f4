"""The visual feature: stored clips become embeddings, each row for itself."""

import numpy as np
import pytest
import torch

from features.engine import Stored, extract_batches
from features.errors import (
    CorruptFeature,
    FeatureError,
    MissingInput,
    NotFinite,
    WeightsMismatch,
    WeightsMissing,
)
from features.extractor import Extracted, Source
from features.plan import VisualPlan
from features.store import FeatureStore
from features.video.convlstm import KIND, ConvLstmAutoencoder, ConvLstmConfig
from features.video.visual import VisualExtractor, load_autoencoder, load_foreign_autoencoder, pad
from features.weights import save_weights, weights_sha256
from model.training.pretraining import save_autoencoder

H, W, HIDDEN = 8, 6, 4
LENGTHS = (1, 5, 3)


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return FeatureStore(str(tmp_path / "store"))


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "autoencoder.safetensors"
    save_autoencoder(path, ConvLstmAutoencoder(ConvLstmConfig(hidden=HIDDEN)), {})
    return path


def clip(n_frames: int, height: int = H) -> np.ndarray:
    return np.random.default_rng(n_frames).integers(0, 256, (3, n_frames, height, W), np.uint8)


def stored_sources(store: FeatureStore, clips: list[np.ndarray]) -> list[Source]:
    rows = store.write("clip", "c" * 64, [{"frames": c} for c in clips])
    return [Source(i, f"t{i}", uri=row.uri, row=row.row) for i, row in enumerate(rows)]


def good(result: Extracted | FeatureError) -> Extracted:
    assert isinstance(result, Extracted), result
    return result


def test_a_row_holds_the_encoders_state_and_its_summary(store, weights):
    sources = stored_sources(store, [clip(n) for n in LENGTHS])
    results = [good(r) for r in VisualExtractor(weights, store)(sources)]
    network = load_autoencoder(weights).eval()
    for result, n_frames in zip(results, LENGTHS, strict=True):
        with torch.inference_mode():
            expected = network.encode(torch.from_numpy(clip(n_frames))[None].float())[0]
        assert result.detail == {"n_frames": n_frames}
        assert list(result.tensors) == ["embedding", "pooled"]  # the first names the row's shape
        embedding, pooled = result.tensors["embedding"], result.tensors["pooled"]
        assert (embedding.dtype, embedding.shape) == (np.float16, (HIDDEN, H, W))
        np.testing.assert_allclose(embedding, expected, atol=1e-3)
        assert (pooled.dtype, pooled.shape) == (np.float32, (3 * HIDDEN,))
        flat = expected.flatten(1).numpy()
        by_hand = np.concatenate([flat.mean(1), flat.std(1), flat.max(1)])
        np.testing.assert_allclose(pooled, by_hand, atol=1e-5)


def test_a_row_does_not_depend_on_its_batch(store, weights):
    sources = stored_sources(store, [clip(n) for n in LENGTHS])
    extractor = VisualExtractor(weights, store)
    together = [good(r) for r in extractor(sources)]
    for source, result in zip(sources, together, strict=True):
        alone = good(extractor([source])[0])
        np.testing.assert_allclose(
            alone.tensors["pooled"], result.tensors["pooled"], atol=1e-6, rtol=0
        )


def test_clips_of_two_sizes_keep_their_places(store, weights):
    shapes = [clip(2), clip(3, height=4), clip(1), clip(2, height=4)]
    results = VisualExtractor(weights, store)(stored_sources(store, shapes))
    heights = [good(r).tensors["embedding"].shape[1] for r in results]
    assert heights == [H, 4, H, 4]
    assert [good(r).detail["n_frames"] for r in results] == [2, 3, 1, 2]


def test_one_bad_source_costs_its_own_row(store, weights):
    first, last = stored_sources(store, [clip(2), clip(3)])
    other = store.write("toy", "t" * 64, [{"numbers": np.zeros(3)}])[0]
    results = VisualExtractor(weights, store)(
        [
            first,
            Source(7, "no input"),
            Source(8, "gone", uri="clip/x/yy/gone.safetensors", row=0),
            Source(9, "not a clip", uri=other.uri, row=0),
            last,
        ]
    )
    assert [type(r) for r in results] == [
        Extracted,
        MissingInput,
        MissingInput,
        CorruptFeature,
        Extracted,
    ]
    assert good(results[4]).detail == {"n_frames": 3}
    assert VisualExtractor(weights, store)([]) == []


def test_an_embedding_that_is_not_finite_is_not_stored(store, tmp_path):
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=HIDDEN))
    torch.nn.init.constant_(network.encoder_2.conv.bias, torch.nan)
    save_autoencoder(tmp_path / "bad", network, {})
    results = VisualExtractor(tmp_path / "bad", store)(stored_sources(store, [clip(2)]))
    assert isinstance(results[0], NotFinite)


def test_padding_stands_behind_the_frames_and_on_the_networks_scale():
    padded, lengths = pad([clip(1), clip(3)], ConvLstmConfig(normalised=True))
    assert padded.shape == (2, 3, 3, H, W)
    assert lengths.tolist() == [1, 3]
    assert padded[0, :, 1:].eq(0).all()
    torch.testing.assert_close(padded[1], torch.from_numpy(clip(3)) / 255)
    assert pad([clip(1)], ConvLstmConfig())[0].max() > 1


def test_weights_that_do_not_fit_are_said_to(tmp_path, store):
    state = ConvLstmAutoencoder(ConvLstmConfig(hidden=HIDDEN)).state_dict()
    save_weights(tmp_path / "size", KIND, {"hidden": HIDDEN + 1}, state)
    save_weights(tmp_path / "setting", KIND, {"hidden": HIDDEN, "depth": 2}, state)
    save_weights(tmp_path / "kind", "something", {"hidden": HIDDEN}, state)
    for name in ("size", "setting", "kind"):
        with pytest.raises(WeightsMismatch):
            VisualExtractor(tmp_path / name, store)
    with pytest.raises(WeightsMissing):
        VisualExtractor(tmp_path / "nowhere", store)


def test_workers_give_the_rows_that_this_process_gives(store, weights):
    plan = VisualPlan("c" * 64, weights, weights_sha256(weights), store.root)
    sources = stored_sources(store, [clip(n) for n in LENGTHS])
    todo = [sources[:2], sources[2:]]
    plans = {"visual": plan}
    here = [r["visual"] for b in extract_batches(plans, todo, workers=0) for r in b.results]
    finished = {b.sources[0].video_id: b for b in extract_batches(plans, todo, workers=2)}
    there = [r["visual"] for key in sorted(finished) for r in finished[key].results]
    for left, right in zip(here, there, strict=True):
        assert isinstance(left, Stored)
        assert isinstance(right, Stored)
        a, b = (store.read(r.row.uri, r.row.row, sha256=r.row.sha256) for r in (left, right))
        np.testing.assert_allclose(a["pooled"], b["pooled"], atol=1e-6, rtol=0)


def test_sixteen_bits_cost_an_embedding_less_than_a_two_thousandth(store, weights):
    n = 3
    row = good(VisualExtractor(weights, store)(stored_sources(store, [clip(n)]))[0])
    with torch.inference_mode():
        exact = load_autoencoder(weights).eval().encode(torch.from_numpy(clip(n))[None].float())[0]
    stored = torch.from_numpy(row.tensors["embedding"].astype(np.float32))
    # Half of the last of 11 bits, for every number above the subnormals; as a whole, half of that.
    apart = (stored - exact).abs()
    assert bool((apart <= exact.abs() * 2**-11 + 2**-25).all())
    assert float(apart.norm() / exact.norm()) < 3e-4


@pytest.mark.parametrize("hidden", [3, 8])
@pytest.mark.parametrize("paints", ["painter", "decoder_CNN"])
def test_foreign_weights_of_any_size_and_either_naming_fit(tmp_path, hidden, paints):
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=hidden)).eval()
    state = {n.replace("painter", paints): t for n, t in network.state_dict().items()}
    torch.save({"model_state_dict": state, "val_loss": 1.0}, tmp_path / "f.pt")
    found = load_foreign_autoencoder(tmp_path / "f.pt", normalised=True).eval()
    assert found.config == ConvLstmConfig(hidden=hidden, normalised=True)
    pixels = torch.rand(1, 3, 2, H, W)
    with torch.inference_mode():
        assert torch.equal(found.encode(pixels), network.encode(pixels))


def test_foreign_weights_that_do_not_fit_are_said_to(tmp_path):
    state = ConvLstmAutoencoder(ConvLstmConfig(hidden=HIDDEN)).state_dict()
    short = {n: t for n, t in state.items() if n != "decoder_2.conv.bias"}
    spoilt = {**state, "painter.bias": torch.tensor([0.0, torch.nan, 0.0])}
    flat = {**state, "encoder_1.conv.weight": torch.zeros(4)}
    for name, content in {
        "short": short,
        "other": {"fc.weight": torch.zeros(2)},
        "flat": flat,
    }.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(WeightsMismatch, match="does not fit the autoencoder; it holds"):
            load_foreign_autoencoder(tmp_path / name)
    torch.save(spoilt, tmp_path / "spoilt")
    with pytest.raises(WeightsMismatch, match="infinities or NaN"):
        load_foreign_autoencoder(tmp_path / "spoilt")
