from pathlib import Path

import numpy as np
import pytest

from features.soundtrack import promised_s
from tests.features.sounds import ffmpeg, write_wav

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 900, 32_000).astype(np.int16)
    return write_wav(tmp_path / "two.wav", noise)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ogg", "a.flac", "a.mp3", "a.wav"])
def test_every_usual_header_tells_the_length(wav: Path, tmp_path: Path, name: str) -> None:
    options = ["-c:a", "libopus"] if name == "a.webm" else []
    ffmpeg("-i", str(wav), *options, str(tmp_path / name))
    assert promised_s(tmp_path / name) == pytest.approx(2.0, abs=0.1)


def test_what_has_no_header_with_a_length_tells_none(wav: Path, tmp_path: Path) -> None:
    ffmpeg("-i", str(wav), str(tmp_path / "raw.aac"))
    assert promised_s(tmp_path / "raw.aac") is None
    (tmp_path / "page.mp4").write_bytes(b"<html></html>")
    assert promised_s(tmp_path / "page.mp4") is None
    assert promised_s(tmp_path / "gone.mp4") is None
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=1", "-c:v", "mpeg4", f"{tmp_path}/m.mp4")
    assert promised_s(tmp_path / "m.mp4") is None


def test_a_wav_written_to_a_pipe_promises_what_is_there(wav: Path, tmp_path: Path) -> None:
    content = wav.read_bytes()
    for size in (bytes(4), b"\xff\xff\xff\xff"):
        streamed = tmp_path / "streamed.wav"
        head = content[:4] + size + content[8:40] + b"\xff\xff\xff\xff"
        streamed.write_bytes(head + content[44:])
        assert promised_s(streamed) == pytest.approx(2.0, abs=0.01)


def test_the_sound_s_own_length_counts_not_the_picture_s(wav: Path, tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=5"]
    for name, codec in {"a.mp4": "mpeg4", "a.mkv": "mpeg4"}.items():
        ffmpeg(*picture, "-i", str(wav), "-c:v", codec, str(tmp_path / name))
        assert promised_s(tmp_path / name) == pytest.approx(2.0, abs=0.1)
