import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from features.errors import WeightsMismatch, WeightsMissing
from features.settings import AudioConfig
from features.sound import voice
from features.sound.audio import AudioExtractor
from features.sound.voice import STEP, voice_probs, voiced_frames
from features.sound.waveform import read_waveform
from tests.features.sounds import SPEECH, random_whisper

pytestmark = pytest.mark.numeric  # the network computes with torch, which is not imported here

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
    # Turned round, not cut off: the level is that of the whole and must stay.
    changed = np.concatenate([speech[: 40 * STEP], speech[40 * STEP :][::-1]])
    now, then = voice_probs(changed), voice_probs(speech)
    np.testing.assert_allclose(now[:40], then[:40], atol=1e-5)
    assert np.abs(now[40:] - then[40:]).max() > 0.1
    # 4 ms of what came before are in a step, and all of it in the memory.
    forgotten = speech.copy()
    forgotten[: 20 * STEP] = forgotten[: 20 * STEP][::-1]
    assert np.abs(voice_probs(forgotten)[20:22] - then[20:22]).max() > 1e-3


@pytest.mark.parametrize("n", [1, 511, 512, 513, 1700])
def test_any_length_has_a_number_for_each_step_begun(n: int) -> None:
    probs = voice_probs(np.zeros(n, np.float32))
    assert probs.shape == (-(-n // STEP),)
    assert ((probs >= 0) & (probs < 0.5)).all()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package is looked for; nothing is there."""
    package = SimpleNamespace(locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: package)
    return tmp_path


def test_without_its_package_the_weights_are_said_to_be_missing(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    for _ in range(2):
        with pytest.raises(WeightsMissing, match=r"silero-vad.*audio\.transcript"):
            voice.find_weights()
        monkeypatch.setattr(importlib.metadata, "distribution", nowhere)


def test_other_weights_are_refused_before_any_file_is_heard(elsewhere: Path) -> None:
    other = elsewhere / voice._FILE
    other.parent.mkdir(parents=True)
    other.write_bytes(b"something else")
    network = random_whisper(n_text_ctx=40)
    uses: list[Callable[[], object]] = [
        voice.find_weights,
        voice._network.__wrapped__,
        lambda: AudioExtractor(AudioConfig(device="cpu"), network=network),
    ]
    for use in uses:
        with pytest.raises(WeightsMismatch, match=voice.SHA256):
            use()
    # Who wants no words needs no such weights.
    AudioExtractor(AudioConfig(device="cpu", transcript=False), network=network)
