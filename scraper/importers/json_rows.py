"""Read the rows of JSON files: documents, several of them in one file, or a row on each line.

A streaming parser would stop for good at the first NaN or oversized row. Here only the brackets
are followed; each row is then parsed by itself, so that a bad one costs one.
"""

import codecs
import hashlib
import io
import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from scraper.errors import RowRefused, shown
from scraper.importers.opening import head_of, open_plain
from scraper.items import Json

MAX_ROW_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
# Where the rows are in documents that are no plain list.
CONTAINERS = frozenset(
    {
        (b"collector",),
        (b"entries",),  # of yt-dlp's playlists
        (b"items",),
        (b"itemList",),
        (b"item_list",),
        (b"aweme_list",),
        (b"aweme_details",),
        (b"itemListData",),
        (b"body", b"itemListData"),
        (b"videos",),
        (b"data",),
        (b"data", b"videos"),
        (b"data", b"items"),
        (b"data", b"itemList"),
        (b"data", b"item_list"),
        (b"data", b"aweme_list"),
        (b"data", b"aweme_details"),
        (b"log", b"entries"),  # of HAR files
    }
)
# A row that has one of these is no row, but a list of some: a playlist's playlists, a list of
# answers. They may be far larger than a row.
NESTED = frozenset({b"entries", b"itemList", b"item_list", b"aweme_list", b"aweme_details"})
# Deeper, and it is no document that anybody collects videos in.
MAX_DEPTH = 1_000
MAX_LEVELS = 8
# All up to the next bracket outside of strings; a quote instead if the string is not all here.
TO_BRACKET = re.compile(
    rb'[^\[\]{}"]*+(?:"(?:[^"\\]++|\\.)*+"[^\[\]{}"]*+)*+([\[\]{}"])', re.DOTALL
)
REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
KEY = re.compile(rb'"([^"\\]{1,64})"\s*:\s*\Z')
WRONG_PARTNER = {b"[": b"}", b"{": b"]"}
HEAD_BYTES = 1024 * 1024
MAY_CONTAIN_ROWS = re.compile(
    rb'"(?:%b)"\s*:\s*\[' % b"|".join(sorted({path[-1] for path in CONTAINERS}))
)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


@dataclass(frozen=True)
class JsonRow:
    """One row as it stands in the file, or why there is none that can be read."""

    line: int
    raw: bytes
    refusal: RowRefused | None = None


def read_rows(path: Path) -> Iterator[JsonRow]:
    """Give the rows of a JSON document, of several one after another, or of JSON lines."""
    head = head_of(path, HEAD_BYTES)
    with open_plain(path) as file:
        encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
        if encoding == "utf-8-sig":
            head = head[3:]
            file.read(3)
        elif encoding is not None:
            with io.BufferedReader(_Recoded(file, encoding)) as recoded:
                head = recoded.peek(HEAD_BYTES)
                yield from (_lines(recoded) if is_lines(head) else Document(recoded).rows())
            return
        yield from (_lines(file) if is_lines(head) else Document(file).rows())


def is_json(path: Path) -> bool:
    """Say whether a file begins as a JSON list or object does."""
    head = head_of(path, 4096)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")
    return head.decode(encoding, "ignore").lstrip()[:1] in ("{", "[")


def is_lines(head: bytes) -> bool:
    """Say whether a file that begins so has a JSON object on every line."""
    lines = [line for line in head.split(b"\n")[:21] if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines[:-1]):
        return False
    # One that can be read is proof enough: the others may be damaged.
    return any(_is_object(line) for line in lines)


def parse_row(raw: bytes) -> Json:
    """Parse one row. Raises RowRefused for all that is not a JSON object.

    NaN and Infinity, which Python writes for a table's gaps, are null.
    """
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        raise RowRefused("bad_encoding", f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise RowRefused("not_json", "brackets nested too deeply to be a video") from error
    except ValueError as error:
        raise RowRefused("not_json", f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RowRefused("not_an_item", f"{shown(found)} where an object was expected")
    return found


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

    def _list_rows(self, n_levels: int = 0) -> Generator[JsonRow, None, bool]:
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
            is_row, depth = bracket == b"{", 1
            while depth := self._end_of_row(depth):
                if depth < 0:
                    yield self._broken("the file ends inside a row: it was cut off", line)
                    return False
                n_levels += 1
                if n_levels > MAX_LEVELS:
                    yield self._broken("lists in lists, too deep to be videos")
                    return False
                is_row = False
                self._forget()
                if not (yield from self._list_rows(n_levels)):
                    return False
                n_levels -= 1
            if is_row or bracket == b"[":
                yield self._row(line)
            self._forget()
        yield self._broken("the file ends inside a list: it was cut off")
        return False

    def _end_of_row(self, depth: int) -> int:
        """Go behind the bracket that closes the row just opened, and return 0.

        Returns -1 where the file ends before it, and 1 behind the bracket of a list of rows in it.
        depth: how many brackets are open.
        """
        while depth:
            # Most rows are whole in the buffer: follow them there without ceremony.
            match = TO_BRACKET.match(self._buffer, self._at)
            bracket = match[1] if match else b'"'
            if match and bracket != b'"':
                before, self._at = self._at, match.end()
                if bracket == b"[" and depth == 1:
                    self._gap = self._buffer[before : self._at - 1]
            elif not (bracket := self._next_bracket()):
                return -1
            if bracket == b"[" and depth == 1 and self._key() in NESTED:
                return 1
            depth += 1 if bracket in b"[{" else -1
        return 0

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
            why = "a list where an object was expected (of pandas: orient='records')"
            refusal = RowRefused("not_an_item", why)
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


def _is_object(line: bytes) -> bool:
    try:
        parse_row(line)
    except RowRefused:
        return False
    return True


def _lines(file: BinaryIO) -> Iterator[JsonRow]:
    number = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            digest = hashlib.sha256(raw)
            while (rest := file.readline(READ_BYTES)) and not rest.endswith(b"\n"):
                digest.update(rest)
            yield JsonRow(number, digest.digest(), too_large())
            continue
        row = raw.strip()
        if not row:
            continue
        if MAY_CONTAIN_ROWS.search(row) and _is_object(row):
            # A whole answer of the site on one line.
            parts = Document(io.BytesIO(row)).rows()
            yield from (JsonRow(number, part.raw, part.refusal) for part in parts)
        else:
            yield JsonRow(number, row)


class _Recoded(io.RawIOBase):
    """A file of another encoding as UTF-8; what cannot be decoded becomes no JSON at all."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._left = b""
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._left:
            raw = b"" if self._is_over else self._file.read(READ_BYTES)
            try:
                text = self._decoder.decode(raw, final=not raw)
            except UnicodeDecodeError:
                text, raw = "\N{REPLACEMENT CHARACTER}", b""
                self._is_over = True
                self._decoder.reset()
            self._left = text.encode("utf-8", "surrogatepass")
            if not raw:
                break
        part, self._left = self._left[: len(target)], self._left[len(target) :]
        target[: len(part)] = part
        return len(part)
