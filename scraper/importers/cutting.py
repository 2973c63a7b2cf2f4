"""Cut one JSON document of any size into its rows, holding no more than one of them in memory.

A streaming parser would stop for good at the first NaN or oversized row. Here only the brackets
are followed; each row is then parsed by itself, so that a bad one costs one.
"""

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from scraper.importers.errors import RowRefused, shown

MAX_ROW_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
# Where the rows are in documents that are no plain list.
CONTAINERS = frozenset(
    {
        (b"collector",),
        (b"items",),
        (b"itemList",),
        (b"item_list",),
        (b"aweme_list",),
        (b"videos",),
        (b"data",),
        (b"data", b"videos"),
        (b"data", b"items"),
        (b"data", b"itemList"),
        (b"data", b"aweme_list"),
    }
)
# Deeper, and it is no document that anybody collects videos in.
MAX_DEPTH = 1_000
# All up to the next bracket outside of strings; a quote instead if the string is not all here.
TO_BRACKET = re.compile(
    rb'[^\[\]{}"]*+(?:"(?:[^"\\]++|\\.)*+"[^\[\]{}"]*+)*+([\[\]{}"])', re.DOTALL
)
REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
KEY = re.compile(rb'"([^"\\]{1,64})"\s*:\s*\Z')
WRONG_PARTNER = {b"[": b"}", b"{": b"]"}


@dataclass(frozen=True)
class JsonRow:
    """One row as it stands in the file, or why there is none that can be read."""

    line: int
    raw: bytes
    refusal: RowRefused | None = None


class Document:
    """Follow the brackets of a document, and cut the rows out of it."""

    def __init__(self, file: BinaryIO | io.BytesIO) -> None:
        """Read from where the file stands."""
        self._file = file
        self._buffer = b""
        self._at = 0  # read so far
        self._kept_from: int | None = None  # a row begins here, and is wanted whole
        self._line, self._counted = 1, 0
        self._gap = b""  # what stands before the bracket found last

    def rows(self) -> Iterator[JsonRow]:
        """Yield each row; at the end one that says so if the document is broken."""
        path: list[tuple[bytes, bytes]] = []  # (bracket, its key) of every open one
        n_lists = 0
        while bracket := self._next_bracket():
            if bracket in b"[{":
                key = self._key() if path and path[-1][0] == b"{" else b""
                path.append((bracket, key))
                if len(path) > MAX_DEPTH:
                    yield self._broken("brackets nested too deeply to be a list of videos")
                    return
                if bracket == b"{" and len(path) == 1:
                    # Perhaps a row by itself: known when it ends without a list of rows in it.
                    self._keep()
                    n_lists = 0
                if bracket == b"[" and _is_container(path):
                    self._forget()
                    n_lists += 1
                    path.pop()
                    if not (yield from self._list_rows()):
                        return
            elif not path or WRONG_PARTNER[path[-1][0]] == bracket:
                yield self._broken(f"a {bracket.decode()!r} that nothing opened")
                return
            else:
                path.pop()
                if not path and bracket == b"}":
                    line = self._line_here()
                    if n_lists == 0:
                        yield self._row(line)
                    self._forget()
        if path:
            yield self._broken("the file ends inside a document: it was cut off")
        elif self._gap.strip(b", \t\r\n\x1e"):
            what = shown(self._gap.strip()[:60].decode("utf-8", "replace"))
            yield self._broken(f"{what} where JSON was expected")

    def _list_rows(self) -> Generator[JsonRow, None, bool]:
        """Yield the rows of the list just opened. Returns False when it has no end."""
        while bracket := self._next_bracket():
            if self._gap.strip(b", \t\r\n"):
                what = shown(self._gap.strip(b", \t\r\n")[:60].decode("utf-8", "replace"))
                refusal = RowRefused("not_an_item", f"{what} where an object was expected")
                yield JsonRow(self._line_here(), self._gap, refusal)
            if bracket == b"]":
                return True
            if bracket == b"}":
                yield self._broken("a '}' that nothing opened")
                return False
            line = self._line_here()
            self._keep()
            if not self._end_of_row():
                yield self._broken("the file ends inside a row: it was cut off", line)
                return False
            yield self._row(line)
            self._forget()
        yield self._broken("the file ends inside a list: it was cut off")
        return False

    def _end_of_row(self) -> bool:
        """Go behind the bracket that closes the row just opened; False if there is none."""
        depth = 1
        while depth:
            # Most rows are whole in the buffer: follow them there without ceremony.
            match = TO_BRACKET.match(self._buffer, self._at)
            bracket = match[1] if match else b'"'
            if match and bracket != b'"':
                self._at = match.end()
            elif not (bracket := self._next_bracket()):
                return False
            depth += 1 if bracket in b"[{" else -1
        return True

    def _next_bracket(self) -> bytes:
        """Go behind the next bracket and return it; empty at the end of the file."""
        self._gap = b""
        while True:
            match = TO_BRACKET.match(self._buffer, self._at)
            if match is not None and match[1] != b'"':
                self._gap = (self._gap + self._buffer[self._at : match.start(1)])[-READ_BYTES:]
                self._at = match.end()
                return match[1]
            if match is None:
                # No string is open here, so all of it is done with.
                self._gap = (self._gap + self._buffer[self._at :])[-READ_BYTES:]
                self._at = len(self._buffer)
            elif len(self._buffer) - self._at > MAX_ROW_BYTES:
                self._at = match.end()
                if self._skip_string():
                    continue
            if not self._read():
                return b""

    def _skip_string(self) -> bool:
        """Go behind the end of a string that is too long to keep."""
        while True:
            match = REST_OF_STRING.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._buffer[self._at : self._at + 1] == b'"':
                self._at += 1
                return True
            if not self._read():
                return False

    def _read(self) -> bool:
        """Read on, dropping what is done with; more at a time for a row that is long."""
        if self._kept_from is not None and len(self._buffer) - self._kept_from > MAX_ROW_BYTES:
            self._kept_from = None
        start = self._at if self._kept_from is None else min(self._kept_from, self._at)
        more = self._file.read(max(READ_BYTES, len(self._buffer) - start))
        if not more:
            return False
        self._line += self._buffer.count(b"\n", self._counted, start)
        self._buffer = self._buffer[start:] + more
        self._counted = max(0, self._counted - start)
        self._at -= start
        if self._kept_from is not None:
            self._kept_from -= start
        return True

    def _line_here(self) -> int:
        """Return the line of what has been read so far, from 1."""
        end = self._at
        if end > self._counted:
            self._line += self._buffer.count(b"\n", self._counted, end)
            self._counted = end
        return self._line

    def _keep(self) -> None:
        self._kept_from = self._at - 1

    def _forget(self) -> None:
        self._kept_from = None

    def _key(self) -> bytes:
        match = KEY.search(self._gap[-200:])
        return match[1] if match else b""

    def _row(self, line: int) -> JsonRow:
        if self._kept_from is None or self._at - self._kept_from > MAX_ROW_BYTES:
            return JsonRow(line, f"too large at line {line}".encode(), too_large())
        raw = self._buffer[self._kept_from : self._at]
        if raw[:1] == b"[":
            refusal = RowRefused("not_an_item", "a list where an object was expected")
            return JsonRow(line, raw, refusal)
        return JsonRow(line, raw)

    def _broken(self, why: str, line: int | None = None) -> JsonRow:
        at = self._line_here() if line is None else line
        start = self._at if self._kept_from is None else self._kept_from
        refusal = RowRefused("broken_file", f"{why} (line {at}); the rows before it were read")
        return JsonRow(at, self._buffer[start : start + 200], refusal)


def _is_container(path: list[tuple[bytes, bytes]]) -> bool:
    keys = tuple(key for _, key in path[1:])
    if len(path) == 1:
        return True
    is_all_objects = all(bracket == b"{" for bracket, _ in path[:-1])
    return is_all_objects and keys in CONTAINERS


def too_large() -> RowRefused:
    """Refuse a row for its size."""
    return RowRefused("too_large", f"a row of more than {MAX_ROW_BYTES:,} bytes")
