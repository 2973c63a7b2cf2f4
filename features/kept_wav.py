"""A media file's decoded sound kept as a .wav, so that it need not be decoded again.

Samples are floats, as they came out of the decoder: what is read back is what was heard, bit for
bit. A comment in the file says which media file it was made of, and how much of it.
"""

import os
import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: A comment of fixed length makes a header of fixed length.
_COMMENT_BYTES: Final = 256
_IEEE_FLOAT: Final = 3


def origin_of(path: Path, max_s: float) -> str:
    """Name the sound by its source's size and time of change, and by how much of it was asked."""
    stat = path.stat()
    return f"bytes={stat.st_size} mtime_ns={stat.st_mtime_ns} max_s={max_s!r}"


def write_kept(wav: Path, samples: NDArray[np.float32], rate_hz: int, origin: str) -> None:
    """Write mono samples, atomically; the folder is made."""
    wav.parent.mkdir(parents=True, exist_ok=True)
    temporary = wav.with_name(f".{wav.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(_header(len(samples), rate_hz, origin))
            file.write(samples.astype("<f4", copy=False).tobytes())
        temporary.replace(wav)
    finally:
        temporary.unlink(missing_ok=True)


def read_kept(wav: Path, rate_hz: int, origin: str) -> NDArray[np.float32] | None:
    """Read what `write_kept` wrote; None unless it is there, whole and of that origin."""
    try:
        content = wav.read_bytes()
    except OSError:
        return None
    n_samples, rest = divmod(len(content) - len(_header(0, rate_hz, origin)), 4)
    if rest or n_samples < 0:
        return None
    head = _header(n_samples, rate_hz, origin)
    if content[: len(head)] != head:
        return None
    return np.frombuffer(content, "<f4", offset=len(head)).astype(np.float32, copy=False)


def _header(n_samples: int, rate_hz: int, origin: str) -> bytes:
    comment = f"viewcast {origin}".encode().ljust(_COMMENT_BYTES, b"\0")
    form = struct.pack("<HHIIHHH", _IEEE_FLOAT, 1, rate_hz, 4 * rate_hz, 4, 32, 0)
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"fact", struct.pack("<I", n_samples))
    body += _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", comment))
    body += b"data" + struct.pack("<I", 4 * n_samples)
    return b"RIFF" + struct.pack("<I", len(body) + 4 * n_samples) + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
