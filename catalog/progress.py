"""Say how far a step has come: a bar with rate and ETA on a terminal, nothing in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What a step tells about its own course."""

    def expect(self, n_total: int) -> None:
        """Say how many units there are; may be corrected later."""

    def advance(self, n: int = 1) -> None:
        """Count finished units."""

    def note(self, text: str) -> None:
        """Replace the remark behind the bar, such as the loss."""


class Silent:
    """Progress that nobody watches."""

    def expect(self, n_total: int) -> None: ...

    def advance(self, n: int = 1) -> None: ...

    def note(self, text: str) -> None: ...


class _Bar:
    def __init__(self, label: str) -> None:
        # Late, because rich costs as much to import as the rest of `--help` together.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars  # noqa: PLC0415

        self.bars = Bars(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
            console=Console(stderr=True),
        )
        self.task = self.bars.add_task(label, total=None, remark="", rate="")

    def expect(self, n_total: int) -> None:
        self.bars.update(self.task, total=n_total)

    def advance(self, n: int = 1) -> None:
        self.bars.advance(self.task, n)
        speed = self.bars.tasks[0].speed
        self.bars.update(self.task, rate=f"{speed:.1f}/s" if speed else "")

    def note(self, text: str) -> None:
        self.bars.update(self.task, remark=text)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show a bar on standard error while the block runs, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    bar = _Bar(label)
    with bar.bars:
        yield bar
