"""Read the rows of JSON files: documents, several of them in one file, or a row on each line."""

import codecs
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from scraper.importers.cutting import (
    CONTAINERS,
    MAX_ROW_BYTES,
    READ_BYTES,
    Document,
    JsonRow,
    too_large,
)
from scraper.importers.errors import RowRefused, shown

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

Json = Mapping[str, Any]


def parse_row(raw: bytes) -> Json:
    """Parse one row. Raises RowRefused for all that is not a JSON object."""
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise RowRefused("bad_encoding", f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise RowRefused("not_json", "brackets nested too deeply to be a video") from error
    except ValueError as error:
        raise RowRefused("not_json", f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RowRefused("not_an_item", f"{shown(found)} where an object was expected")
    return found


def read_rows(path: Path) -> Iterator[JsonRow]:
    """Give the rows of a JSON document, of several one after another, or of JSON lines."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
        if encoding == "utf-8-sig":
            head = head[3:]
            file.seek(3)
        elif encoding is not None:
            with io.BufferedReader(_Recoded(file, encoding)) as recoded:
                head = recoded.peek(HEAD_BYTES)
                yield from (_lines(recoded) if is_lines(head) else Document(recoded).rows())
            return
        yield from (_lines(file) if is_lines(head) else Document(file).rows())


def is_json(path: Path) -> bool:
    """Say whether a file begins as a JSON list or object does."""
    with path.open("rb") as file:
        head = file.read(4096)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")
    return head.decode(encoding, "ignore").lstrip()[:1] in ("{", "[")


def is_lines(head: bytes) -> bool:
    """Say whether a file that begins so has a JSON object on every line."""
    lines = [line for line in head.split(b"\n")[:21] if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines[:-1]):
        return False
    # One that can be read is proof enough: the others may be damaged.
    return any(_is_object(line) for line in lines)


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

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._left:
            raw = self._file.read(READ_BYTES)
            try:
                text = self._decoder.decode(raw, final=not raw)
            except UnicodeDecodeError:
                text, raw = "\N{REPLACEMENT CHARACTER}", b""
                self._file.seek(0, io.SEEK_END)
                self._decoder.reset()
            self._left = text.encode("utf-8", "surrogatepass")
            if not raw:
                break
        part, self._left = self._left[: len(target)], self._left[len(target) :]
        target[: len(part)] = part
        return len(part)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
