"""An unfinished file that one process at a time goes on with, whoever began it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scraper.errors import DownloadFailed


class Part:
    """An unfinished file, and beside it the ETag of the version that it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._etag_path = path.with_suffix(".etag")

    @property
    def n_bytes(self) -> int:
        """How much of it is here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def etag(self) -> str | None:
        """What vouches for the bytes that are here; None: nothing does."""
        # A weak one does not vouch for the bytes.
        found = self._etag_path.read_text() if self._etag_path.is_file() else ""
        return found if found and not found.startswith("W/") else None

    def open(self, *, append: bool) -> int:
        """Open it for writing, through no link; returns the descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.path, flags | (os.O_APPEND if append else os.O_TRUNC), 0o644)

    def remember(self, etag: str) -> None:
        """Note which version the bytes are of."""
        self._etag_path.write_text(etag)

    def discard(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)


@contextmanager
def hold_part(target: Path) -> Iterator[Part]:
    """Hold a file's part for this process alone, also what one that was killed has left of it.

    Raises DownloadFailed while somebody else has it: two leases can overlap when a machine sleeps.
    """
    lock_path = target.with_suffix(f"{target.suffix}.lock")
    descriptor = _lock(lock_path)
    try:
        yield Part(target.with_suffix(f"{target.suffix}.part"))
    finally:
        # While it is held: who opens it afterwards makes a new one.
        lock_path.unlink(missing_ok=True)
        os.close(descriptor)


def drop_part(target: Path) -> None:
    """Remove what is left of a file that nobody will go on with."""
    if target.parent.is_dir():
        with suppress(DownloadFailed), hold_part(target) as part:
            part.discard()


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            # The kernel lets go of it when we die, however that happens.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise DownloadFailed(f"{path.stem}: another process is fetching it") from error
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the last owner has removed it between our two steps


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
