"""A lock that one training at a time has, and that nobody has any more once its process is dead."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.errors import Busy


@contextmanager
def alone(lock_file: Path, what: str) -> Iterator[None]:
    """Hold the lock of that file; its end, by kill -9 too, gives it back. Raises Busy.

    Two that train the same from the same would share an unfinished state and a scratch folder.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"{what} is being trained on the same rows by another process: wait for it, or end "
                "it; the same command then goes on"
            ) from error
        try:
            yield
        finally:
            lock_file.unlink(missing_ok=True)
