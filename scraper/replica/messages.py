"""A request and a reply as plain values, so that the site can be asked without a socket."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scraper.replica.content import ReplicaVideo

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
class Endless:
    """A body without end: `head`, then `block` again and again, so many bytes a second."""

    head: bytes
    block: bytes
    bytes_per_s: float


@dataclass(frozen=True)
class Reply:
    """`delay_s` is how long the server waits before the first byte."""

    status: int
    body: bytes | FileSlice | Endless = b""
    content_type: str = HTML
    headers: tuple[tuple[str, str], ...] = field(default=())
    delay_s: float = 0.0


Place = Literal["page", "detail", "listing", "video", "file"]


@dataclass(frozen=True)
class Visit(Request):
    """A request that concerns a hashtag: its page, detail or listing, or one of its videos.

    A video's page and file belong to the video's first hashtag. `positions` has where each video
    stands in the hashtag's whole list. `usual` is the site's own answer, `ask` that to any other
    request.
    """

    place: Place
    hashtag: str
    video: "ReplicaVideo | None"
    page_size: int
    positions: Mapping[str, int]
    usual: Callable[[], Reply]
    ask: Callable[[Request], Reply]

    @property
    def part(self) -> int:
        """Which part of the listing is asked for, from 0; 0 for everything else."""
        cursor = self.query.get("cursor", "0") if self.place == "listing" else "0"
        return int(cursor) // self.page_size if cursor.isascii() and cursor.isdigit() else 0


# A fault answers in the site's place, or returns None to let the site answer.
Fault = Callable[[Visit], Reply | None]
