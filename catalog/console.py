"""What every room's commands share: the application object, --json, tables, progress bars."""

import codecs
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from catalog.ages import duration_s
from catalog.errors import NO_UTF8, readable

if TYPE_CHECKING:
    from catalog.logs import LogFormat
    from catalog.schema.session import Catalog
    from catalog.settings import Loaded, Settings
    from catalog.work.runs import Outcome


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


JSON_FORMAT = 1  # the number in every JSON document; raised when a field changes its meaning

DEMO_FOLDER = Path("demo-data")
CATALOG_FILE = "catalog.db"

T = TypeVar("T")
CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


class Duration(click.ParamType[timedelta]):
    """A length of time with its unit: 90s, 30m, 12h, 1d, 2w."""

    name = "duration"

    def __init__(self, default_unit: str = "") -> None:
        """default_unit: what a number alone is of; without one it is refused."""
        self.default_unit = default_unit

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it. Raises BadParameter."""
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        if self.default_unit and text.replace(".", "", 1).isdecimal():
            text += self.default_unit
        try:
            return timedelta(seconds=duration_s(text))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


@dataclass
class App:
    """What cli.py hands to every command: settings and catalog, both opened on first use."""

    settings_file: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    debug: bool = False
    verbose: int = 0
    # The stages' settings by section; a function, because --help reads none.
    sections: Callable[[], Mapping[str, type[Any]]] = dict
    # Set by cli.py: starts a command in a child for one slot, so that the daemon can stop it;
    # takes the command's name, the slot's, and when it was due (UTC).
    start_job: Callable[[str, str, str], "subprocess.Popen[bytes]"] | None = None
    # Set by cli.py: the name that a text has for an author, and keys it may stand for.
    author_named: Callable[[str], tuple[str, tuple[str, ...]]] = lambda text: (text, (text,))

    @cached_property
    def loaded(self) -> "Loaded":
        """The merged settings with their origins. Raises BadSettings."""
        from catalog.settings import load_settings  # noqa: PLC0415 (--help reads no settings)

        return load_settings(self.settings_file, self.flags, self.sections())

    @property
    def settings(self) -> "Settings":
        """The merged settings."""
        return self.loaded.settings

    def log_format(self) -> "LogFormat":
        """The format of the log; by itself while the settings cannot be read."""
        from catalog.errors import BadSettings  # noqa: PLC0415 (--help reads no settings)

        try:
            return self.settings.log.format
        except BadSettings:
            return "auto"

    def settings_with(self, **flags: Mapping[str, Any]) -> "Settings":
        """The settings with flags of this command, by section; what is None was not given.

        Raises UsageError where a flag has a value that is not allowed.
        """
        from catalog.errors import BadSettings  # noqa: PLC0415 (as above)
        from catalog.settings import load_settings, merge  # noqa: PLC0415 (as above)

        given = {
            section: {name: value for name, value in values.items() if value is not None}
            for section, values in flags.items()
        }
        try:
            merged = merge(self.flags, given)
            return load_settings(self.settings_file, merged, self.sections()).settings
        except BadSettings as error:
            if error.origin == "flag":
                raise click.UsageError(str(error)) from error
            raise

    @cached_property
    def catalog(self) -> "Catalog":
        """The open catalog. Raises SchemaBehind."""
        from catalog.schema.session import open_catalog  # noqa: PLC0415 (--help loads no SQLAlchemy)

        return open_catalog(self.settings.db_url)

    @cached_property
    def catalog_to_read(self) -> "Catalog":
        """The catalog for a question: the demo's, and that is said, where there is no other yet."""
        from catalog.schema.session import open_catalog  # noqa: PLC0415 (as above)

        is_unnamed = {self.loaded.origins[name] for name in ("data", "db")} == {"default"}
        has_own = (self.settings.data_folder / CATALOG_FILE).exists()
        demo = (DEMO_FOLDER / CATALOG_FILE).resolve()
        if not is_unnamed or has_own or not demo.exists():
            return self.catalog
        said = f"viewcast: no catalog in {self.settings.data}, so --data {DEMO_FOLDER}"
        click.echo(said, err=True)
        return open_catalog(f"sqlite:///{demo}")


pass_app = click.make_pass_decorator(App)


def json_option(function: CommandFunction) -> CommandFunction:
    """Add --json: one document on standard output, nothing else."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on standard output."
    )(function)


def dry_run_option(function: CommandFunction) -> CommandFunction:
    """Add --dry-run: say what would be done and change nothing."""
    return click.option(
        "-n", "--dry-run", is_flag=True, help="Say what would be done; change nothing."
    )(function)


def write_readably() -> None:
    """Let no text end this program, whatever names of files and whatever terminal there are.

    What standard output and error cannot write is written as `readable` does, or as in JSON.
    """
    codecs.register_error("readable", _unwritable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="readable")


def _unwritable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    escaped = (readable(char) if NO_UTF8.match(char) else json.dumps(char)[1:-1] for char in text)
    return "".join(escaped), error.end


def emit(payload: Mapping[str, Any], *, as_json: bool, text: str | None = None) -> None:
    """Print a result: as JSON, or as the given text (by default one `name: value` a line)."""
    if as_json:
        click.echo(_json({"format": JSON_FORMAT, **payload}))
    elif text is not None:
        click.echo(text)
    else:
        click.echo("\n".join(f"{name}: {_cell(value)}" for name, value in payload.items()))


def emit_rows(
    payload: Mapping[str, Any], rows: Iterator[Mapping[str, Any]], *, limit: int | None = None
) -> None:
    """Print one JSON document with `rows`, written as they are read, so that no number is too many.

    At most `limit` of them; `truncated` behind them says whether there were more, and so does
    standard error.
    """
    head = _json({"format": JSON_FORMAT, **payload})
    n_rows = 0
    # Not by echo, which flushes: a system call a row.
    sys.stdout.write(f'{head[:-1]}, "rows": [')
    for row in islice(rows, limit):
        sys.stdout.write(", " * (n_rows > 0) + _json(row))
        n_rows += 1
    # Exactly as many as were asked for, and no more there, is not cut.
    is_cut = next(rows, None) is not None
    click.echo(f'], "n_rows": {n_rows}, "truncated": {_json(is_cut)}}}')
    if is_cut:
        click.echo(f"viewcast: only the first {n_rows} rows; --limit 0 for all", err=True)


def first_of(rows: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """Return the first rows of a list that was asked for one more, and whether it is cut."""
    return rows[:limit], len(rows) > limit


def cut_note(n_rows: int, what: str) -> str:
    """Say below a table of which more rows were asked for that there are more of them."""
    return f"\n(first {n_rows} {what}; more with --limit)"


def _json(document: object) -> str:
    line = json.dumps(document, default=str, ensure_ascii=False, allow_nan=False)
    # A name's byte stands within a string, where a backslash is written twice.
    return NO_UTF8.sub(lambda byte: "\\" + readable(byte[0]), line)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> str:
    """Lay rows out under their columns; numbers to the right, NULL as a dash."""
    from rich.console import Console  # noqa: PLC0415 (costly to import; not for --help)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(title=title or None, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    # Wide in a pipe: a report that is read by grep must not be folded.
    width = None if sys.stdout.isatty() else 240
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def emit_outcome(
    outcome: "Outcome", *, as_json: bool, extra: Mapping[str, Any] | None = None
) -> None:
    """Print what a run did and leave with its exit code (0 ok, 1 failed, 4 partly failed)."""
    payload = {**outcome.as_dict(), **(extra or {})}
    line = (
        f"{outcome.kind}: {outcome.status}, {outcome.n_done} done, {outcome.n_skipped} skipped, "
        f"{outcome.n_failed} failed (run {outcome.run_id})"
    )
    if outcome.codes:
        line += "\n  " + ", ".join(f"{code}: {n}" for code, n in sorted(outcome.codes.items()))
    for name, value in (extra or {}).items():
        line += f"\n  {name}: {_cell(value)}"
    emit(payload, as_json=as_json, text=line)
    if outcome.exit_code:
        raise click.exceptions.Exit(outcome.exit_code)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(entry)}" for name, entry in value.items())
    return str(value)
