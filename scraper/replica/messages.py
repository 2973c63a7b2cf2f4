"""A request and a reply as plain values, so that the site can be asked without a socket."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """`headers` has lower-case names; `origin` is the site as the client calls it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    origin: str


@dataclass(frozen=True)
class FileSlice:
    """`length` bytes of a file from `start` on, sent without reading the file whole."""

    path: Path
    start: int
    length: int


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes | FileSlice = b""
    content_type: str = HTML
    headers: tuple[tuple[str, str], ...] = field(default=())


# A fault answers in the site's place, or returns None to let the site answer.
Fault = Callable[[Request], Reply | None]
