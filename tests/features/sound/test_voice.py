import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from features.errors import WeightsMismatch, WeightsMissing
from features.sound import voice
from features.sound.voice import STEP, voice_probs, voiced_frames
from features.sound.waveform import read_waveform
from tests.features.sounds import SPEECH

CLIP = SPEECH / "austen_0880.flac"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_waveform(CLIP).samples


@pytest.mark.ffmpeg
def test_a_voice_is_heard_where_one_reads_and_not_before(speech: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    tune = 0.2 * np.sin(2 * np.pi * 220 * np.arange(64_000) / 16_000)
    for before in (np.zeros(64_000), rng.normal(0, 0.05, 64_000), tune):
        heard = voiced_frames(np.concatenate([before.astype(np.float32), speech]), 200 + 140)
        assert heard[:195].mean() < 0.03
        assert heard[200:].mean() > 0.7


@pytest.mark.ffmpeg
@pytest.mark.parametrize("gain", [0.01, 0.3, 3.0])
def test_how_loud_it_is_does_not_matter(speech: np.ndarray, gain: float) -> None:
    np.testing.assert_allclose(
        voice_probs(speech * np.float32(gain)), voice_probs(speech), atol=1e-4
    )


@pytest.mark.ffmpeg
def test_every_step_sees_what_came_before_and_nothing_that_comes_after(speech: np.ndarray) -> None:
    # The level is that of the whole: without it a part would be heard louder or softer.
    part = speech[: 40 * STEP].copy()
    part[0] = speech[0] = np.float32(0.9)
    np.testing.assert_allclose(voice_probs(part)[:39], voice_probs(speech)[:39], atol=0.05)


@pytest.mark.parametrize("n", [1, 511, 512, 513, 1700])
def test_any_length_has_a_number_for_each_step_begun(n: int) -> None:
    probs = voice_probs(np.zeros(n, np.float32))
    assert probs.shape == (-(-n // STEP),)
    assert ((probs >= 0) & (probs < 0.5)).all()


def test_without_its_package_the_weights_are_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nowhere)
    with pytest.raises(WeightsMissing, match="silero-vad"):
        voice.find_weights()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"something else")
    monkeypatch.setattr(voice, "find_weights", lambda: other)
    with pytest.raises(WeightsMismatch, match=voice.SHA256):
        voice._network.__wrapped__()
