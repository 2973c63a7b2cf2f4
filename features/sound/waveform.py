"""From a media file to the mono 16 kHz samples that Whisper hears.

ffmpeg runs once per file, for the samples and their loudness alike. Files that hold no sound are
Absent, unreadable ones Undecodable: neither ever becomes zeros.

Channels are mixed as in Whisper's own loader: by FFmpeg's weights, made to add up to one. FFmpeg
does so by itself for 16-bit samples only; ours are floats, as they came out of the decoder, so
that a NaN stays visible, and what is kept in a .wav is what was heard, bit for bit.

ffmpeg ends well when half of a file is missing, so the promise is what a cut-off file is known by.
"""

import math
import os
import struct
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, get_args

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray
from scipy.io import wavfile

from catalog.files import atomic_file
from features.errors import MissingInput, NoAudioTrack, TooShort, Undecodable

SAMPLE_RATE_HZ: Final = 16_000
#: Whisper's spectrogram needs more than half of its 25 ms window; below this nothing is heard.
MIN_DURATION_S: Final = 0.1
#: A file is silent when its loudest tenth of a second is softer: nothing in it is decoded to words.
#: Of four read sentences, made softer and softer, Whisper understood every word down to -61 and one
#: whole down to -71; below -80 it heard nothing or, in one of them, in part other words.
SILENT_BELOW_DBFS: Final = -80.0
#: Codecs add and hide some hundredths of a second at either end, and headers are rounded.
_SLACK_S: Final = 0.3
_SLACK_SHARE: Final = 0.02
#: These have no header with a length: what FFmpeg tells is guessed from the size of the file.
_WITHOUT_LENGTH: Final = frozenset({"aac", "ac3", "eac3", "amr", "dts"})
#: Sizes of a RIFF whose writer could not go back to fill them in.
_UNKNOWN_SIZES: Final = (0, 0xFFFFFFFF)
#: What the last line of a kept file begins with; the number is that of the rules of mixing.
_SEAL: Final = b"viewcast 2 "

#: EBU R128 measures this often, over 400 ms each time.
MOMENTARY_HZ: Final = 10
_MOMENTARY_BLOCKS: Final = 4
#: What FFmpeg tells of a file of which nothing is loud enough to be measured.
_UNMEASURED_LUFS: Final = -70.0
#: Loudness range is made of pieces of three seconds.
_RANGE_FROM_S: Final = 3.0

#: Two channels whose mix has less than this share of their own power extinguish each other: a
#: hundredth is 20 dB, which two alike channels lose only when one is turned over.
CANCELLED_BELOW: Final = 0.01
_DEFAULT: Final = Disposition.default

Status = Literal["ok", "silent", "capped", "truncated", "antiphase"]
#: Which channels are heard: all of them mixed, or one of two that extinguish each other.
Taken = Literal["mix", "left", "right"]


@dataclass(frozen=True)
class Track:
    """What the header says of the audio track that is heard: the default one, else the first.

    place: its number among the audio tracks. layout: FFmpeg's name of its channels, such as mono,
    stereo or 5.1. promised_s: its length, None where the header does not say.
    """

    place: int = 0
    layout: str = ""
    promised_s: float | None = None


def read_header(path: Path) -> Track | None:
    """Look at a file's audio track; None where the header cannot be read. Raises NoAudioTrack."""
    try:
        # As in the decoding of it: nothing in the file can make other files or hosts be opened.
        with av.open(
            f"file:{path.resolve()}",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as container:
            tracks = container.streams.audio
            if not tracks:
                kinds = ", ".join(stream.type or "unknown" for stream in container.streams)
                raise NoAudioTrack(f"{path}: no audio track among its streams ({kinds})")
            # Whisper's own loader leaves the choice to ffmpeg, which takes a default track, too.
            chosen = (n for n, stream in enumerate(tracks) if stream.disposition & _DEFAULT)
            place = next(chosen, 0)
            track = tracks[place]
            layout = "" if track.codec_context is None else track.layout.name
            return Track(place, layout, _promised_s(path, container, track))
    except (av.error.FFmpegError, OSError):
        return None  # whoever decodes it gets the decoder's own words


def _promised_s(path: Path, container: InputContainer, stream: AudioStream) -> float | None:
    if container.format.name in _WITHOUT_LENGTH:
        return None
    length_s = _track_s(stream)
    if length_s is None and len(container.streams) == 1 and container.duration:
        length_s = container.duration / 1_000_000
    if length_s is not None and container.format.name == "wav":
        length_s += _missing_bytes(path) * 8 / (stream.bit_rate or math.inf)
    return length_s


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


@dataclass(frozen=True)
class Mono:
    """Samples (T,) float32 as they were decoded, and which channels they are made of."""

    samples: NDArray[np.float32]
    taken: Taken = "mix"


def write_kept(wav: Path, mono: Mono, rate_hz: int, origin: str) -> None:
    """Write mono samples, atomically; the folder is made.

    A line of text behind the sound says which media file it was made of, how much of it, of which
    channels, and the checksum of what stands before.
    """
    with atomic_file(wav) as temporary:
        wavfile.write(temporary, rate_hz, mono.samples)
        seal = _seal(temporary.read_bytes(), origin, mono.taken)
        with temporary.open("ab") as file:
            file.write(seal)


def read_kept(wav: Path, rate_hz: int, origin: str) -> Mono | None:
    """Read what `write_kept` wrote; None unless it is there, whole and of that origin."""
    try:
        content = wav.read_bytes()
    except OSError:
        return None
    end = content.rfind(_SEAL)
    if end < 0:
        return None
    for taken in get_args(Taken):
        if content[end:] == _seal(content[:end], origin, taken):
            found_hz, samples = wavfile.read(BytesIO(content))
            mono = Mono(samples.astype(np.float32, copy=False), taken)
            return mono if found_hz == rate_hz else None
    return None


def _seal(content: bytes, origin: str, taken: Taken) -> bytes:
    return _SEAL + f"{origin} taken={taken} sha256={sha256(content).hexdigest()}\n".encode()


@dataclass(frozen=True)
class Loudness:
    """Loudness by EBU R128, of all channels as they are in the file, before any mixing.

    momentary_lufs: (T,) float32, element i over the 400 ms that begin i / 10 s into the sound;
    digital silence is -120.7. integrated_lufs, range_lu: None where nothing is loud enough (-70
    LUFS) or, for the range, there are less than three seconds. peak_dbfs: the largest sample,
    above 0 where the coding overshoots, -inf for digital silence.
    """

    momentary_lufs: NDArray[np.float32]
    integrated_lufs: float | None
    range_lu: float | None
    peak_dbfs: float


@dataclass(frozen=True)
class Waveform:
    """Sound of one media file: samples (T,) float32 in [-1, 1] at 16 kHz, all finite.

    capped: the file goes on after the asked limit. truncated: it ends before its header says.
    promised_s: how long the sound should have been within the limit, None where no header says.
    layout: FFmpeg's name of the file's channels. taken: which of them are heard. loudness: None
    where it was not asked for.
    """

    samples: NDArray[np.float32]
    duration_s: float
    capped: bool
    n_nonfinite: int
    promised_s: float | None = None
    layout: str = "mono"
    taken: Taken = "mix"
    loudness: Loudness | None = None

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
        """Whether there is nothing loud enough to be heard, not even for a tenth of a second."""
        return self.loudest_dbfs < SILENT_BELOW_DBFS

    @property
    def status(self) -> Status:
        """What is most remarkable about this sound, in one word."""
        if self.truncated:
            return "truncated"
        if self.capped:
            return "capped"
        if self.silent:
            return "silent"
        return "ok" if self.taken == "mix" else "antiphase"

    @property
    def level_dbfs(self) -> float:
        """Root mean square level in dB below full scale; -inf for digital silence."""
        return _decibels(_power(self.samples))

    @property
    def loudest_dbfs(self) -> float:
        """The level of the loudest tenth of a second."""
        n = round(0.1 * SAMPLE_RATE_HZ)
        pieces = self.samples[: len(self.samples) // n * n].reshape(-1, n)
        powers = np.einsum("ij,ij->i", pieces, pieces, dtype=np.float64) / n
        # The last piece is whole, too: it begins where the one before has not yet ended.
        return _decibels(max(float(powers.max(initial=0)), _power(self.samples[-n:])))


def read_waveform(
    path: Path, *, max_s: float = 600.0, keep: Path | None = None, loudness: bool = False
) -> Waveform:
    """Decode a file's audio track, mixed to mono at 16 kHz, at most `max_s` of it.

    The track is the default one, else the first. Two channels that extinguish each other in the
    mix are not mixed: the louder one is heard, and `taken` says so.

    keep: a .wav to write the sound to; it is read in place of the file where it is still right.
    loudness: measure that too, in the same run; then the file is decoded even where `keep` is
    right. The samples are the same, to the bit.
    Raises MissingInput, NoAudioTrack, TooShort (under 0.1 s) or Undecodable.
    """
    if not path.is_file():
        raise MissingInput(f"{path}: no such file")
    track = read_header(path) or Track()
    origin = origin_of(path, max_s)
    kept = None if keep is None else read_kept(keep, SAMPLE_RATE_HZ, origin)
    found = None if kept is None or loudness else (kept, None)
    mono, measured = found or _decode(path, track, max_s, loudness)
    if keep is not None and kept is None and len(mono.samples):
        write_kept(keep, mono, SAMPLE_RATE_HZ, origin)
    n_max = round(max_s * SAMPLE_RATE_HZ)
    capped = len(mono.samples) > n_max
    samples = mono.samples[:n_max]
    duration_s = len(samples) / SAMPLE_RATE_HZ
    promise = None if track.promised_s is None else min(track.promised_s, max_s)
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
    return Waveform(
        clipped, duration_s, capped, n_nonfinite, promise, track.layout, mono.taken, measured
    )


def _is_cut_off(duration_s: float, promise_s: float) -> bool:
    return promise_s - duration_s > max(_SLACK_S, _SLACK_SHARE * promise_s)


def _decode(path: Path, track: Track, max_s: float, measure: bool) -> tuple[Mono, Loudness | None]:
    # Stereo is mixed here, where it can be seen whether the channels extinguish each other.
    stereo = track.layout in ("stereo", "2 channels")
    # Float samples, not 16-bit ones: a NaN in the file must stay visible to be counted.
    mono = (
        f"aresample={SAMPLE_RATE_HZ}:rematrix_maxval=1,"
        f"aformat=sample_fmts=flt:channel_layouts={'stereo' if stereo else 'mono'}"
    )
    # Half a second past the limit is read, so that "longer than allowed" is seen without a probe.
    command = ["ffmpeg", "-nostdin", "-v", "error", "-filter_complex_threads", "1"]
    command += ["-protocol_whitelist", "file", "-threads", "1", "-t", repr(max_s + 0.5)]
    command += ["-i", f"file:{path.resolve()}"]
    raw = ["-f", "f32le", "-threads", "1", "pipe:1"]
    with ExitStack() as stack:
        report = stack.enter_context(tempfile.TemporaryFile()) if measure else None
        if report is None:
            command += ["-map", f"0:a:{track.place}", "-af", mono, *raw]
        else:
            graph = f"[0:a:{track.place}]asplit[a][b];[a]{mono}[mono];"
            graph += f"[b]{_measuring(max_s, report.fileno())}[measured]"
            command += ["-filter_complex", graph, "-map", "[mono]", *raw]
            command += ["-map", "[measured]", "-f", "null", "-"]
        descriptors = () if report is None else (report.fileno(),)
        done = subprocess.run(command, capture_output=True, pass_fds=descriptors, check=False)
        if done.returncode:
            reason = _last_line(done.stderr).removeprefix(f"file:{path.resolve()}: ")
            raise Undecodable(f"{path}: {reason}")
        samples = np.frombuffer(done.stdout, dtype="<f4")
        heard = _mixed(samples.reshape(-1, 2)) if stereo else Mono(samples)
        if report is None:
            return heard, None
        report.seek(0)
        return heard, _loudness(report.read().decode("ascii"))


def _mixed(channels: NDArray[np.float32]) -> Mono:
    """Mix two channels (T, 2), or take the louder one where next to nothing would be left."""
    mix = 0.5 * (channels[:, 0] + channels[:, 1])
    left, right = (_power(channels[:, n]) for n in (0, 1))
    if _power(mix) >= CANCELLED_BELOW * (left + right) / 2 or not left + right > 0:
        return Mono(mix)
    louder = 0 if left >= right else 1
    return Mono(np.ascontiguousarray(channels[:, louder]), "right" if louder else "left")


def _decibels(power: float) -> float:
    return 10.0 * math.log10(power) if power > 0 else -math.inf


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _measuring(max_s: float, descriptor: int) -> str:
    # A converter of its own: else the format that R128 wants would be that of both branches.
    return (
        f"aresample,atrim=duration={max_s!r},ebur128=metadata=1,"
        "astats=metadata=1:measure_perchannel=none:measure_overall=Peak_level,"
        rf"ametadata=print:file=pipe\\:{descriptor}"
    )


def _loudness(report: str) -> Loudness:
    """Read what the filters print for each tenth of a second; all but M is of all so far."""
    lines = (line.partition("=")[::2] for line in report.splitlines())
    found: dict[str, list[float]] = {}
    for key, value in lines:
        if value:
            found.setdefault(key, []).append(float(value))
    momentary = found.get("lavfi.r128.M", [])
    integrated, spread, peak = (
        found.get(key, [math.nan])[-1]
        for key in ("lavfi.r128.I", "lavfi.r128.LRA", "lavfi.astats.Overall.Peak_level")
    )
    # Where the format changes on the way FFmpeg begins anew, and knows nothing of before.
    loud = integrated > _UNMEASURED_LUFS and report.count("frame:0 ") == 1
    long = len(momentary) >= _RANGE_FROM_S * MOMENTARY_HZ
    return Loudness(
        np.asarray(momentary[_MOMENTARY_BLOCKS - 1 :], np.float32),
        integrated if loud else None,
        spread if loud and long else None,
        peak if math.isfinite(peak) else -math.inf,
    )


def _last_line(stderr: bytes) -> str:
    lines = os.fsdecode(stderr).strip().splitlines()
    return lines[-1] if lines else "ffmpeg does not say why"
