"""End the work of the program on a signal, but never half-way through a write.

Half a statement would be left in its connection, and the next write, that records how the work has
ended, would be refused (on SQLite, after INSERT … RETURNING). Loads nothing: it has to be there
from the first moment on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Open:
    """What the main thread, the only one that gets signals, must not be torn out of."""

    n: int = 0
    error: BaseException | None = None


_OPEN = _Open()


def stop_for(error: BaseException) -> None:
    """Raise, in a handler of a signal, what ends the work; in an unbroken block only at its end."""
    if not _OPEN.n:
        raise error
    _OPEN.error = error


@contextmanager
def unbroken() -> Iterator[None]:
    """Let what `stop_for` is told end the block's thread only after the block, which is short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _OPEN.n += 1
    try:
        yield
    finally:
        _OPEN.n -= 1
        if not _OPEN.n and (error := _OPEN.error) is not None:
            _OPEN.error = None
            raise error
