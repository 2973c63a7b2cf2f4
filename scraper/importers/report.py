"""Count what an import does with each column or key: read, empty, unreadable, or left aside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scraper.errors import one_line, shown
from scraper.importers.fields import is_missing
from scraper.importers.tables.columns import SYNONYMS

MAX_NAMES = 200
# Of one field, in a folder of files that differ.
MAX_SOURCES = 8
# Empty in other words: of lists, and of the language of a caption.
SAYS_NOTHING: tuple[object, ...] = ([], {}, "[]", "un", "und")
# The first rows of a JSON file are watched for keys that nobody reads, then one in so many.
N_WATCHED, WATCH_EVERY = 200, 16
MAX_WATCHED_DEPTH = 4
# A time zone is at most so far from UTC; a stated time lies seconds behind its upload, or exactly
# as many half hours off as nobody thought of its zone.
MAX_STEPS = 28
HALF_HOUR_S = 1_800
NEAR_S = 120
# Few posts are scheduled for another day.
FAR_S, MOST_FAR = 86_400, 0.5
MIN_SHIFTED, MOST_SHIFTED = 3, 0.9
ZONES = {-8.0: "America/Los_Angeles", -5.0: "America/New_York", 1.0: "Europe/Berlin"}
ZONES |= {5.5: "Asia/Kolkata", 7.0: "Asia/Jakarta", 8.0: "Asia/Shanghai", 9.0: "Asia/Tokyo"}


@dataclass(slots=True)
class FieldCount:
    """What became of one field's cells in the rows taken, beside those that were read.

    sources: its column, or the keys it is looked for under; several where files differ.
    contradicting: could be read, and cannot be. example: the first cell that was not taken, with
    its line.
    """

    sources: list[str]
    n_empty: int = 0
    n_unreadable: int = 0
    n_contradicting: int = 0
    example: tuple[int, str] | None = None

    def unreadable(self, line: int, cell: object) -> None:
        """Count a cell that is there, and is nothing that the field can be."""
        self.n_unreadable += 1
        self.example = self.example or (line, one_line(shown(cell)))

    def contradicting(self, line: int, cell: object) -> None:
        """Count a cell that says what cannot be."""
        self.n_contradicting += 1
        self.example = self.example or (line, one_line(shown(cell)))


class Offsets:
    """By how many half hours the stated times of posts differ from the uploads in their ids."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.n = self._n_near = self._n_far = 0
        self._by_half_hour = Counter[int]()

    def add(self, offset_s: float) -> None:
        """Count one post: stated minus uploaded."""
        self.n += 1
        if 0 <= offset_s <= NEAR_S:
            self._n_near += 1  # as nearly all are
            return
        self._n_far += abs(offset_s) > FAR_S
        steps = round(offset_s / HALF_HOUR_S)
        if abs(offset_s - steps * HALF_HOUR_S) <= NEAR_S and -MAX_STEPS <= steps <= MAX_STEPS:
            self._by_half_hour[steps] += 1

    def format_error(self) -> str | None:
        """Say that most posts lie days off, as days and months read as each other do; else None."""
        if self.n < MIN_SHIFTED or self._n_far <= MOST_FAR * self.n:
            return None
        return (
            f"{self._n_far} of {self.n} stated times lie more than a day from the upload in the "
            "video's id: are days, months and years where they were read?"
        )

    def zone_error(self) -> str | None:
        """Name the offset that nearly all posts have, as a forgotten time zone makes; else None.

        Two offsets an hour apart are one zone and its summer time.
        """
        counts = self._by_half_hour + Counter({0: self._n_near})
        common = [steps for steps, _ in counts.most_common(2)]
        if not common or self.n < MIN_SHIFTED:
            return None
        if len(common) == 2 and abs(common[0] - common[1]) != 2:
            common.pop()
        n_shifted = sum(counts[steps] for steps in common)
        if common[0] == 0 or n_shifted < MOST_SHIFTED * self.n:
            return None
        hours = sorted(steps / 2 for steps in common)
        zone = ZONES.get(hours[0], f"Etc/GMT{-hours[0]:+.0f}" if hours[0] % 1 == 0 else "its name")
        said = " or ".join(map(_clock, hours))
        return (
            f"{n_shifted} of {self.n} stated times lie {said} h from the upload in the video's id, "
            f"an error of the time zone: say --timezone, such as {zone}"
        )


class ImportReport:
    """What an import did with every column or key that it met; its memory is bounded."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.n_taken = 0
        self.fields: dict[str, FieldCount] = {}
        self.offsets = Offsets()
        self.encoding: str | None = None
        # Set where the first rows show an error of the time zone: no stated time is then taken.
        self.is_shifted = False
        self._ignored: list[str] = []
        self._left: dict[str, None] = {}
        self._read: set[str] = set()
        self._top: set[str] = set()
        self._notes: list[str] = []
        self._has_more_names = False
        self._n_rows = 0

    def field(self, name: str, source: str = "") -> FieldCount:
        """Return the counts of one of our fields; source: its column or keys, where known."""
        count = self.fields.get(name)
        if count is None:
            # In the rows before, nobody had it.
            count = self.fields[name] = FieldCount([], n_empty=self.n_taken)
        if source and source not in count.sources and len(count.sources) < MAX_SOURCES:
            count.sources.append(source)
        return count

    def taken(self, line: int, missed: Iterable[tuple[FieldCount, object]]) -> None:
        """Count a row that gave a video; missed: its cells that gave nothing, each of its field."""
        self.n_taken += 1
        for count, cell in missed:
            if is_missing(cell) or cell in SAYS_NOTHING:
                count.n_empty += 1
            else:
                count.unreadable(line, cell)

    def ignore(self, names: Iterable[str]) -> None:
        """Note columns that the person wants to be left aside."""
        self._ignored += names

    def leave(self, names: Iterable[str]) -> None:
        """Note columns or keys that hold something and are read by nobody."""
        for name in names:
            if len(self._left) >= MAX_NAMES and name not in self._left:
                self._has_more_names = True
                return
            self._left[one_line(name)] = None

    def note(self, text: str) -> None:
        """Say something of the file as a whole, once."""
        if text not in self._notes:
            self._notes.append(text)

    def watched(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row of JSON that notes which of its keys are read, or the row itself."""
        self._n_rows += 1
        is_looked_at = self._n_rows <= N_WATCHED or self._n_rows % WATCH_EVERY == 0
        if not is_looked_at and self._top.issuperset(row):
            return row
        if len(self._top) < 10 * MAX_NAMES:
            self._top.update(row)
        return _Watched(row, "", self, MAX_WATCHED_DEPTH)

    def met(self, name: str) -> None:
        """Note that a key was asked for, whether or not the row has it."""
        self._read.add(name)

    def has(self, name: str) -> None:
        """Note a key that a row has; if it is never asked for, it is left aside."""
        if name not in self._left and name not in self._read:
            self.leave([name])

    def as_dict(self) -> dict[str, Any]:
        """Return it all as plain JSON."""
        zone_error = self.offsets.zone_error()
        if zone_error and self.is_shifted:
            zone_error += "; the ids' times were taken instead"
        errors = [error for error in (zone_error, self.offsets.format_error()) if error]
        left = {self._outermost(name): None for name in self._left if name not in self._read}
        order = {name: n for n, name in enumerate(SYNONYMS)}
        names = sorted(self.fields, key=lambda name: order.get(name, len(order)))
        return {
            "n_taken": self.n_taken,
            "encoding": self.encoding,
            "fields": [self._row(name, self.fields[name]) for name in names],
            "left_aside": list(left),
            "left_aside_capped": self._has_more_names,
            "ignored": self._ignored,
            "notes": [*self._notes, *errors],
        }

    def _outermost(self, name: str) -> str:
        """Return the object that a key lies in where nobody looked into it, else the key."""
        parts = name.split(".")
        outer = (".".join(parts[:n]) for n in range(1, len(parts)))
        return next((part for part in outer if self._top and part not in self._read), name)

    def _row(self, name: str, count: FieldCount) -> dict[str, Any]:
        n_not = count.n_empty + count.n_unreadable + count.n_contradicting
        line, cell = count.example or (None, None)
        return {
            "field": name,
            "from": "; ".join(count.sources),
            "n_read": self.n_taken - n_not,
            "n_empty": count.n_empty,
            "n_unreadable": count.n_unreadable,
            "n_contradicting": count.n_contradicting,
            "example_line": line,
            "example": cell,
        }


class _Watched(dict[str, Any]):
    """An object of JSON that notes which of its keys are asked for, and in the objects in it."""

    def __init__(
        self, row: Mapping[str, Any], prefix: str, report: ImportReport, depth: int
    ) -> None:
        super().__init__(row)
        self._prefix, self._report = prefix, report
        for name, value in row.items():
            if isinstance(value, dict) and value and depth:
                dict.__setitem__(self, name, _Watched(value, f"{prefix}{name}.", report, depth - 1))
            elif value is not None and value not in ("", [], {}):
                report.has(prefix + name)

    def get(self, name: str, default: Any = None) -> Any:
        self._report.met(self._prefix + name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self._report.met(self._prefix + name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._report.met(f"{self._prefix}{name}")
        return super().__contains__(name)


def _clock(hours: float) -> str:
    whole, part = divmod(abs(hours), 1)
    return f"{'-' if hours < 0 else '+'}{whole:.0f}:{part * 60:02.0f}"
