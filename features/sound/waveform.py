"""From a media file to the mono 16 kHz samples that Whisper hears.

ffmpeg runs once per file on the way that works; ffprobe is asked only to explain a failure. Files
that hold no sound are Absent, unreadable ones Undecodable: neither ever becomes zeros.

ffmpeg ends well when half of a file is missing, so the promise is what a cut-off file is known by.

Samples are floats, as they came out of the decoder: what is read back is what was heard, bit for
bit. A line at the end of the file, behind the sound, says which media file it was made of, how much
of it, and the checksum of what stands before.
"""

import math
import struct
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import av
import ffmpeg
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from scipy.io import wavfile

from catalog.files import atomic_file
from features.errors import MissingInput, NoAudioTrack, TooShort, Undecodable

SAMPLE_RATE_HZ: Final = 16_000
#: Whisper's spectrogram needs more than half of its 25 ms window; below this nothing is heard.
MIN_DURATION_S: Final = 0.1
#: Below this level a file is silent: nothing in it is decoded to words.
SILENT_BELOW_DBFS: Final = -60.0
#: Codecs add and hide some hundredths of a second at either end, and headers are rounded.
_SLACK_S: Final = 0.3
_SLACK_SHARE: Final = 0.02
#: These have no header with a length: what FFmpeg tells is guessed from the size of the file.
_WITHOUT_LENGTH: Final = frozenset({"aac", "ac3", "eac3", "amr", "dts"})
#: Sizes of a RIFF whose writer could not go back to fill them in.
_UNKNOWN_SIZES: Final = (0, 0xFFFFFFFF)
#: In place of a file's own name, whose bytes need not be UTF-8, as ffmpeg-python would have them.
_ANY_NAME: Final = "file:any"
#: What the last line of a kept file begins with.
_SEAL: Final = b"viewcast "

Status = Literal["ok", "silent", "capped", "truncated"]


def promised_s(path: Path) -> float | None:
    """Return the length of the first audio track by the header, None where it does not say."""
    try:
        # As in the decoding of it: nothing in the file can make other files or hosts be opened.
        with av.open(
            f"file:{path.resolve()}",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as container:
            if not container.streams.audio or container.format.name in _WITHOUT_LENGTH:
                return None
            stream = container.streams.audio[0]
            length_s = _track_s(stream)
            if length_s is None and len(container.streams) == 1 and container.duration:
                length_s = container.duration / 1_000_000
            if length_s is not None and container.format.name == "wav":
                length_s += _missing_bytes(path) * 8 / (stream.bit_rate or math.inf)
            return length_s
    except (av.error.FFmpegError, OSError):
        return None  # whoever decodes it gets the decoder's own words


def _track_s(stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska and WebM keep the end of each track as text, "00:00:10.008000000".
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = map(float, parts)
    except ValueError:
        return None
    start_s = 0.0
    if stream.start_time is not None and stream.time_base is not None:
        start_s = float(stream.start_time * stream.time_base)
    return hours * 3600 + minutes * 60 + seconds - start_s


def _missing_bytes(path: Path) -> int:
    """How much longer a WAV promises to be than it is: FFmpeg tells only what is there."""
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) < 8:
        return 0
    (n_bytes,) = struct.unpack_from("<I", head, 4)
    return 0 if n_bytes in _UNKNOWN_SIZES else max(0, n_bytes + 8 - path.stat().st_size)


def origin_of(path: Path, max_s: float) -> str:
    """Name the sound by its source's size and time of change, and by how much of it was asked."""
    stat = path.stat()
    return f"bytes={stat.st_size} mtime_ns={stat.st_mtime_ns} max_s={max_s!r}"


def write_kept(wav: Path, samples: NDArray[np.float32], rate_hz: int, origin: str) -> None:
    """Write mono samples, atomically, and behind them a line of text; the folder is made."""
    with atomic_file(wav) as temporary:
        wavfile.write(temporary, rate_hz, samples)
        seal = _seal(temporary.read_bytes(), origin)
        with temporary.open("ab") as file:
            file.write(seal)


def read_kept(wav: Path, rate_hz: int, origin: str) -> NDArray[np.float32] | None:
    """Read what `write_kept` wrote; None unless it is there, whole and of that origin."""
    try:
        content = wav.read_bytes()
    except OSError:
        return None
    end = content.rfind(_SEAL)
    if end < 0 or content[end:] != _seal(content[:end], origin):
        return None
    found_hz, samples = wavfile.read(BytesIO(content))
    return samples.astype(np.float32, copy=False) if found_hz == rate_hz else None


def _seal(content: bytes, origin: str) -> bytes:
    return _SEAL + f"{origin} sha256={sha256(content).hexdigest()}\n".encode()


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
    command = (
        ffmpeg.input(_ANY_NAME, t=max_s + 0.5, threads=1, protocol_whitelist="file")
        .output("pipe:1", map="0:a:0", format="f32le", ac=1, ar=SAMPLE_RATE_HZ, threads=1)
        .global_args("-nostdin", "-v", "error")
        .compile()
    )
    command[command.index(_ANY_NAME)] = f"file:{path.resolve()}"
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise _explain(path, _last_line(done.stderr))
    return np.frombuffer(done.stdout, dtype="<f4")


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
