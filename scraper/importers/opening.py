"""Open files as they are, or what is inside of compressed ones, as a stream that stays small."""

import io
import lzma
import zlib
from bz2 import BZ2File
from collections.abc import Callable
from gzip import GzipFile
from pathlib import Path
from typing import Any

from scraper.errors import ExtraMissing, RowRefused

# Of what is unpacked no more is held than is asked for; a window larger than this is no file's
# that a person made with the usual settings.
MAX_WINDOW_BYTES = 128 * 1024 * 1024
READ_BYTES = 256 * 1024


def open_zstd(path: Path) -> Any:
    """Open a file of Zstandard's. Raises ExtraMissing."""
    if zstandard is None:
        raise ExtraMissing(
            f"{path.name} is compressed (zstd), and zstandard is not installed: "
            "pip install 'viewcast[zstd]'"
        )
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    return reader.stream_reader(path.open("rb"), read_across_frames=True, closefd=True)


try:
    import zstandard
except ImportError:  # the `zstd` extra is not installed
    zstandard = None  # type: ignore[assignment]

BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, lzma.LZMAError)
if zstandard is not None:
    BROKEN = (*BROKEN, zstandard.ZstdError)

# How a compressed file begins, and what opens it.
PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": GzipFile,
    b"BZh": BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": open_zstd,
}


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file for reading, unpacked if it is compressed; it is read from front to back.

    Reading raises RowRefused where a compressed file is damaged or ends too soon.
    """
    with path.open("rb") as file:
        head = file.read(8)
    for mark, opened in PACKED.items():
        if head.startswith(mark):
            return io.BufferedReader(_Unpacked(opened(path), path.name), READ_BYTES)
    return path.open("rb")


def head_of(path: Path, n_bytes: int) -> bytes:
    """Return how a file begins, unpacked if it is compressed, as far as it is not damaged."""
    head = b""
    with open_plain(path) as file:
        while len(head) < n_bytes:
            try:
                part = file.read1(n_bytes - len(head))
            except RowRefused:
                if not head:
                    raise
                break
            if not part:
                break
            head += part
    return head


class _Unpacked(io.RawIOBase):
    """What is inside of a compressed file; its damage is a refusal like any other."""

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        super().__init__()
        self._file, self._name = file, name

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        try:
            # Only what is at hand: what comes before damage is given first.
            part = self._file.read1(len(target))
        except BROKEN as error:
            why = f"{self._name} is compressed and damaged: {error or type(error).__name__}"
            raise RowRefused("broken_file", why) from error
        target[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
