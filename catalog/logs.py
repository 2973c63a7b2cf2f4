"""The log on standard error: text on a terminal, else JSON lines, each with its run's id."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Literal

LogFormat = Literal["auto", "text", "json"]

TEXT = "%(asctime)s %(name)s: %(message)s"
FIELDS = {"levelname": "level", "name": "logger", "exc_info": "trace"}

# The innermost run and the slot it belongs to: its own, or that of the night around it.
_run: ContextVar[tuple[int | None, str | None]] = ContextVar("run", default=(None, None))


@contextmanager
def in_run(run_id: int, slot: str | None) -> Iterator[None]:
    """Name a run in every line that the block logs.

    A thread that it starts logs so too if it is begun in a copy of the block's context.
    """
    outer = _run.get()
    _run.set((run_id, slot or outer[1]))
    try:
        yield
    finally:
        # Not by a token: a generator that is closed late may end in another context.
        _run.set(outer)


def set_up(level: int, chosen: Callable[[], LogFormat]) -> None:
    """Log to standard error from now on. `chosen` is asked at the first line, and not before.

    What a host program has set up stays.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Chosen(chosen))
    handler.addFilter(_name_run)
    logging.basicConfig(level=level, handlers=[handler])
    # It lists its own parts each time that it is loaded.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)


def _name_run(record: logging.LogRecord) -> bool:
    record.run, record.slot = _run.get()
    return True


class _Chosen(logging.Formatter):
    """The format that the settings name; they are read late, because `--help` reads none."""

    def __init__(self, chosen: Callable[[], LogFormat]) -> None:
        super().__init__()
        self._chosen = chosen

    def format(self, record: logging.LogRecord) -> str:
        return self._inner.format(record)

    @cached_property
    def _inner(self) -> logging.Formatter:
        found = self._chosen()
        if found == "auto":
            found = "text" if sys.stderr.isatty() else "json"
        return logging.Formatter(TEXT) if found == "text" else json_lines()


def json_lines() -> logging.Formatter:
    """Return the formatter of one JSON document a line, its time in UTC."""
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 (a terminal needs none)

    return JsonFormatter(
        ["levelname", "name", "message", "run", "slot"],
        rename_fields=FIELDS,
        timestamp="time",
        json_ensure_ascii=False,
    )


@contextmanager
def muted(*names: str) -> Iterator[None]:
    """Keep the lines of libraries that log the addresses they call from every log of ours."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.propagate for logger in loggers]
    silence = logging.NullHandler()  # without any, warnings go to standard error all the same
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(silence)
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.propagate = propagate
            logger.removeHandler(silence)
