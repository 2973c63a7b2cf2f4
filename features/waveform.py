"""From a media file to the mono 16 kHz samples that Whisper hears.

ffmpeg runs once per file on the way that works; ffprobe is asked only to explain a failure. Files
that hold no sound are Absent, unreadable ones Undecodable: neither ever becomes zeros.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from features.errors import MissingInput, NoAudioTrack, TooShort, Undecodable
from features.kept_wav import origin_of, read_kept, write_kept
from features.soundtrack import promised_s

SAMPLE_RATE_HZ: Final = 16_000
#: Whisper's spectrogram needs more than half of its 25 ms window; below this nothing is heard.
MIN_DURATION_S: Final = 0.1
#: Below this level a file is silent: nothing in it is decoded to words.
SILENT_BELOW_DBFS: Final = -60.0
#: Codecs add and hide some hundredths of a second at either end, and headers are rounded.
_SLACK_S: Final = 0.3
_SLACK_SHARE: Final = 0.02

Status = Literal["ok", "silent", "capped", "truncated"]


@dataclass(frozen=True)
class Waveform:
    """Sound of one media file: samples (T,) float32 in [-1, 1] at 16 kHz, all finite.

    capped: the file goes on after the asked limit. truncated: it ends before its header says.
    promised_s: how long the sound should have been within the limit, None where no header says.
    """

    samples: NDArray[np.float32]
    duration_s: float
    capped: bool
    n_nonfinite: int
    promised_s: float | None = None

    @property
    def truncated(self) -> bool:
        """Whether the end is missing, as in a download that broke off."""
        return self.promised_s is not None and _is_cut_off(self.duration_s, self.promised_s)

    @property
    def fraction_read(self) -> float:
        """Share of the promised sound that is here; 1 where nothing is missing."""
        if self.promised_s is None or not self.truncated:
            return 1.0
        return self.duration_s / self.promised_s

    @property
    def silent(self) -> bool:
        """Whether there is nothing loud enough to be heard."""
        return self.level_dbfs < SILENT_BELOW_DBFS

    @property
    def status(self) -> Status:
        """What is most remarkable about this sound, in one word."""
        if self.truncated:
            return "truncated"
        if self.capped:
            return "capped"
        return "silent" if self.silent else "ok"

    @property
    def level_dbfs(self) -> float:
        """Root mean square level in dB below full scale; -inf for digital silence."""
        power = float(np.mean(np.square(self.samples, dtype=np.float64)))
        return 10.0 * math.log10(power) if power > 0 else -math.inf


def read_waveform(path: Path, *, max_s: float = 600.0, keep: Path | None = None) -> Waveform:
    """Decode the first audio track of a file, mixed to mono at 16 kHz, at most `max_s` of it.

    keep: a .wav to write the sound to; it is read in place of the file where it is still right.
    Raises MissingInput, NoAudioTrack, TooShort (under 0.1 s) or Undecodable.
    """
    if not path.is_file():
        raise MissingInput(f"{path}: no such file")
    samples = _decode(path, max_s) if keep is None else _decode_once(path, max_s, keep)
    n_max = round(max_s * SAMPLE_RATE_HZ)
    capped = len(samples) > n_max
    samples = samples[:n_max]
    duration_s = len(samples) / SAMPLE_RATE_HZ
    promise = promised_s(path)
    if promise is not None:
        promise = min(promise, max_s)
    if duration_s < MIN_DURATION_S:
        if promise is not None and _is_cut_off(duration_s, promise):
            raise Undecodable(f"{path}: {duration_s:.3f} s is left of {promise:.1f} s of sound")
        raise TooShort(f"{path}: {duration_s:.3f} s of sound, {MIN_DURATION_S} s is needed")
    finite = np.isfinite(samples)
    n_nonfinite = int(len(samples) - np.count_nonzero(finite))
    if n_nonfinite == len(samples):
        raise Undecodable(f"{path}: none of its {len(samples)} samples is a finite number")
    if n_nonfinite:
        # One NaN would make the whole spectrogram NaN; the count is stored beside the feature.
        samples = np.where(finite, samples, np.float32(0))
    # Clipped like Whisper's own 16-bit reader does: a float track may hold any number.
    clipped = np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)
    return Waveform(clipped, duration_s, capped, n_nonfinite, promise)


def _is_cut_off(duration_s: float, promise_s: float) -> bool:
    return promise_s - duration_s > max(_SLACK_S, _SLACK_SHARE * promise_s)


def _decode_once(path: Path, max_s: float, keep: Path) -> NDArray[np.float32]:
    origin = origin_of(path, max_s)
    samples = read_kept(keep, SAMPLE_RATE_HZ, origin)
    if samples is None:
        samples = _decode(path, max_s)
        if len(samples):
            write_kept(keep, samples, SAMPLE_RATE_HZ, origin)
    return samples


def _decode(path: Path, max_s: float) -> NDArray[np.float32]:
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
    return np.frombuffer(out, dtype="<f4")


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
