"""How long the header of a media file says that its sound is.

ffmpeg ends well when half of a file is missing, so the promise is what a cut-off file is known by.
"""

import math
import struct
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream

#: These have no header with a length: what FFmpeg tells is guessed from the size of the file.
_WITHOUT_LENGTH: Final = frozenset({"aac", "ac3", "eac3", "amr", "dts"})
#: Sizes of a RIFF whose writer could not go back to fill them in.
_UNKNOWN_SIZES: Final = (0, 0xFFFFFFFF)


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
