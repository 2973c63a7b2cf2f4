"""The device setting: what it means on a machine, and that each extractor computes there."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from features.commands.extract import _workers
from features.device import bf16_units, full_precision, resolve
from features.errors import DeviceMissing
from features.plan import FilePlan, Plan, VisualPlan
from features.settings import AudioConfig, ClipConfig, FramesConfig
from features.sound.waveform import SAMPLE_RATE_HZ, Waveform
from features.sound.whisper_weights import BASE_FINGERPRINT
from features.video.convlstm import ConvLstmAutoencoder, ConvLstmConfig
from model.training.pretraining import save_autoencoder
from tests.features.sounds import random_whisper

THERE = "cuda:7"
FRAMES = FramesConfig("shufflenet_v2_x0_5", "random:0", n_frames=2, device=THERE)


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)


@pytest.fixture
def sent(eight_gpus: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is sent to a GPU, network or batch, and where to; it stays on the processor."""
    seen: list[tuple[str, str]] = []
    for kind, what in ((torch.nn.Module, "network"), (torch.Tensor, "batch")):

        def record(moved, *where, what=what, plain=kind.to, **more):
            if where and str(where[0]).startswith("cuda"):
                seen.append((what, str(where[0])))
                return moved
            return plain(moved, *where, **more)

        monkeypatch.setattr(kind, "to", record)
    return seen


@pytest.fixture
def visual(tmp_path: Path) -> VisualPlan:
    path = tmp_path / "autoencoder.safetensors"
    torch.manual_seed(0)
    sha256 = save_autoencoder(path, ConvLstmAutoencoder(ConvLstmConfig(hidden=4)), {})
    return VisualPlan("c" * 64, path, sha256, str(tmp_path), THERE)


def clips(n: int = 1) -> list[np.ndarray]:
    drawn = np.random.default_rng(0)
    return [drawn.integers(0, 256, (3, 4, 16, 9), dtype=np.uint8) for _ in range(n)]


def test_a_word_means_what_the_machine_has(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [resolve(word) for word in ("", "auto", "cpu")] == ["cpu"] * 3
    for word in ("cuda", "cuda:0"):
        with pytest.raises(DeviceMissing, match=f"device {word}: torch finds no GPU; set device"):
            resolve(word)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [resolve(word) for word in ("", "auto", "cuda")] == ["cuda"] * 3
    assert (resolve("cpu"), resolve("cuda:1")) == ("cpu", "cuda:1")
    with pytest.raises(DeviceMissing, match="torch finds 2, the last is cuda:1"):
        resolve("cuda:2")


@pytest.mark.parametrize("word", ["gpu", "tpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "meta"])
def test_what_is_no_device_is_said(word):
    with pytest.raises(DeviceMissing, match="is none of auto, cpu, cuda") as caught:
        resolve(word)
    assert caught.value.exit_code == 3


def test_a_gpus_convolutions_are_not_rounded_more_than_a_processors():
    assert isinstance(full_precision("cpu"), nullcontext)
    with full_precision(torch.device("cuda:1")):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_frames_are_seen_there(sent):
    extractor = FilePlan("frames", FRAMES, "x").build()
    assert sent == [("network", THERE)]
    extractor.embed(np.zeros((3, 2, 224, 224), np.uint8))
    assert sent == [("network", THERE), ("batch", THERE)]


def test_clips_are_embedded_there(sent, visual):
    extractor = visual.build()
    assert sent == [("network", THERE)]
    extractor.embed(clips())
    assert set(sent[1:]) == {("batch", THERE)}


@pytest.mark.filterwarnings("ignore:User provided device_type")
def test_sound_is_heard_there(sent, monkeypatch):
    network = random_whisper(n_text_ctx=40)
    monkeypatch.setattr("features.sound.audio.load_whisper", lambda *_: network)
    monkeypatch.setattr("features.sound.audio.fingerprint", lambda _: BASE_FINGERPRINT)
    extractor = FilePlan("audio", AudioConfig(transcript=False, device=THERE), "x").build()
    assert sent == [("network", THERE)]
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    extractor.extract(Waveform(noise, 1.0, False, 0))
    assert set(sent[1:]) == {("batch", THERE)}


@pytest.mark.parametrize("kind", ["visual", "audio", "frames"])
def test_a_gpu_that_is_not_there_is_said_before_any_work(kind, visual, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    plans: dict[str, Plan] = {
        "visual": visual,
        "audio": FilePlan("audio", AudioConfig(device=THERE), "x"),
        "frames": FilePlan("frames", FRAMES, "x"),
    }
    with pytest.raises(DeviceMissing):
        plans[kind].check()
    assert plans[kind].spec().hash  # what was made elsewhere has its name here, too


def test_a_gpu_has_one_worker_and_a_processor_as_many_as_are_set(eight_gpus, visual):
    assert _workers([visual], 4) == 1
    assert _workers([visual], 0) == 0
    assert _workers([replace(visual, device="")], 4) == 1
    assert _workers([replace(visual, device="cpu")], 4) == 4
    assert _workers([FilePlan("clip", ClipConfig(), "x")], 4) == 4


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False, "avx2": True}, {"avx512_bf16"}),
        ({"amx_bf16": True, "avx512_bf16": True}, {"amx_bf16", "avx512_bf16"}),
        ({"bf16": True, "neon": True}, {"bf16"}),
        ({"avx2": True, "avx512_f": True}, set()),
        ({}, set()),
    ],
)
def test_a_processor_says_what_it_computes_bfloat16_with(monkeypatch, told, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert bf16_units() == expected


def test_a_torch_that_does_not_tell_has_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bf16_units() == set()


@pytest.mark.gpu
def test_a_gpu_embeds_clips_as_a_processor_does(visual):
    here, there = (
        replace(visual, device=device).build().embed(clips(3)) for device in ("cpu", "cuda")
    )
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
