"""From a media file to the mono 16 kHz samples that Whisper hears.

ffmpeg runs once per file on the way that works; ffprobe is asked only to explain a failure.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from features.errors import MissingInput, NoAudioTrack, TooShort, Undecodable

SAMPLE_RATE_HZ: Final = 16_000
#: Whisper's spectrogram needs more than half of its 25 ms window; below this nothing is heard.
MIN_DURATION_S: Final = 0.1


@dataclass(frozen=True)
class Waveform:
    """Sound of one media file: samples (T,) float32 in [-1, 1] at 16 kHz, all finite."""

    samples: NDArray[np.float32]
    duration_s: float
    truncated: bool
    n_nonfinite: int

    @property
    def level_dbfs(self) -> float:
        """Root mean square level in dB below full scale; -inf for digital silence."""
        power = float(np.mean(np.square(self.samples, dtype=np.float64)))
        return 10.0 * math.log10(power) if power > 0 else -math.inf


def read_waveform(path: Path, *, max_s: float = 600.0) -> Waveform:
    """Decode the first audio track of a file, mixed to mono at 16 kHz, at most `max_s` of it.

    Raises MissingInput, NoAudioTrack, TooShort (under 0.1 s) or Undecodable.
    """
    if not path.is_file():
        raise MissingInput(f"{path}: no such file")
    samples = np.frombuffer(_decode(path, max_s), dtype="<f4")
    n_max = round(max_s * SAMPLE_RATE_HZ)
    truncated = len(samples) > n_max
    samples = samples[:n_max]
    if len(samples) < MIN_DURATION_S * SAMPLE_RATE_HZ:
        seconds = len(samples) / SAMPLE_RATE_HZ
        raise TooShort(f"{path}: {seconds:.3f} s of sound, at least {MIN_DURATION_S} s is needed")
    finite = np.isfinite(samples)
    n_nonfinite = int(len(samples) - np.count_nonzero(finite))
    if n_nonfinite == len(samples):
        raise Undecodable(f"{path}: none of its {len(samples)} samples is a finite number")
    if n_nonfinite:
        # One NaN would make the whole spectrogram NaN; the count is stored beside the feature.
        samples = np.where(finite, samples, np.float32(0))
    # Clipped like Whisper's own 16-bit reader does: a float track may hold any number.
    clipped = np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)
    return Waveform(clipped, len(clipped) / SAMPLE_RATE_HZ, truncated, n_nonfinite)


def _decode(path: Path, max_s: float) -> bytes:
    # Float samples, not 16-bit ones: a NaN in the file must stay visible to be counted.
    # Half a second past the limit is read, so that "longer than allowed" is seen without a probe.
    command = ffmpeg.input(
        f"file:{path.resolve()}", t=max_s + 0.5, threads=1, protocol_whitelist="file"
    ).output("pipe:1", map="0:a:0", format="f32le", ac=1, ar=SAMPLE_RATE_HZ, threads=1)
    try:
        out, _ = command.global_args("-nostdin", "-v", "error").run(
            capture_stdout=True, capture_stderr=True
        )
    except ffmpeg.Error as error:
        raise _explain(path, _last_line(error.stderr)) from error
    decoded: bytes = out
    return decoded


def _explain(path: Path, message: str) -> NoAudioTrack | Undecodable:
    try:
        streams = ffmpeg.probe(f"file:{path.resolve()}", v="error", protocol_whitelist="file")
    except ffmpeg.Error as error:
        return Undecodable(f"{path}: {_last_line(error.stderr) or message}")
    kinds = [stream.get("codec_type") for stream in streams["streams"]]
    if kinds and "audio" not in kinds:
        return NoAudioTrack(f"{path}: no audio track among its streams ({', '.join(kinds)})")
    return Undecodable(f"{path}: {message}")


def _last_line(stderr: bytes | None) -> str:
    lines = (stderr or b"").decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
