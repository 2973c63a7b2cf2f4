"""Requests and replies as plain values, signed addresses of files, and parts of a file sent."""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
TOKEN_COOKIE = "tt_chain_token"
BUCKETS = ("tos-replica-ve-0068", "tos-replica-pve-0068")
MEDIA_PATH = re.compile(r"/video/tos/replica/([\w-]+)/(o[0-9a-f]{22})/")
DENIED = (
    b"<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n\n"
    b"You don't have permission to access this object on this server.<P>\n</BODY>\n</HTML>\n"
)


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


@dataclass(frozen=True)
class SignedMedia:
    """Where one visitor finds a video's file; `n_bytes` is None until the clip is made."""

    origin: str
    uri: str
    urls: tuple[str, ...]
    n_bytes: int | None


def page_reply(text: str, cookies: Mapping[str, str] | None = None, status: int = 200) -> Reply:
    """Reply with a page that sets cookies."""
    headers = []
    for name, value in (cookies or {}).items():
        # The page's own script must be able to read msToken; the others are none of its business.
        flags = "" if name == "msToken" else "; HttpOnly"
        headers.append(("Set-Cookie", f"{name}={value}; Path=/; Max-Age=15552000{flags}"))
    return Reply(status, text.encode("utf-8"), HTML, tuple(headers))


def json_reply(answer: Mapping[str, Any]) -> Reply:
    return Reply(200, json.dumps(answer, ensure_ascii=False).encode("utf-8"), JSON)


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status, headers=(("Location", location),))


def new_cookies(request: Request) -> dict[str, str]:
    """Cookies that a page sets for a visitor who does not have them yet."""
    made = {
        TOKEN_COOKIE: base64.b64encode(secrets.token_bytes(16)).decode(),
        "ttwid": f"1%7C{secrets.token_urlsafe(32)}",
        "tt_csrf_token": secrets.token_urlsafe(12),
        "msToken": secrets.token_urlsafe(64),
    }
    return {name: value for name, value in made.items() if name not in request.cookies}


def object_key(tiktok_id: str) -> str:
    """The name of a video's file in the store, from which its id cannot be read."""
    return "o" + hashlib.sha256(f"object/{tiktok_id}".encode()).hexdigest()[:22]


def sign(
    tiktok_id: str, request: Request, *, secret: bytes, now_s: float, lifetime_s: int
) -> tuple[str, ...]:
    """URLs of a video's file, good for the visitor who holds the cookie, for so many seconds."""
    key, expire = object_key(tiktok_id), int(now_s) + lifetime_s
    issued = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%d%H%M%S")
    query = {
        "a": "1988",
        "bti": "replica",
        "mime_type": "video_mp4",
        "expire": expire,
        "l": issued + hashlib.sha256(key.encode()).hexdigest()[:20].upper(),
        "policy": 2,
        "signature": _signature(secret, key, expire, request.cookies.get(TOKEN_COOKIE, "")),
        "tk": TOKEN_COOKIE,
    }
    return tuple(
        f"{request.origin}/video/tos/replica/{bucket}/{key}/?{urlencode(query)}"
        for bucket in BUCKETS
    )


def may_read(key: str, request: Request, *, secret: bytes, now_s: float) -> bool:
    """Whether signature, expiry, cookie and Referer are all as they must be."""
    token = request.cookies.get(TOKEN_COOKIE, "")
    expire = request.query.get("expire", "")
    if not token or not re.fullmatch(r"[0-9]{1,12}", expire) or int(expire) < now_s:
        return False
    if not request.headers.get("referer", "").startswith(f"{request.origin}/"):
        return False
    wanted = _signature(secret, key, int(expire), token)
    # As bytes: what a visitor sends as text may not be ASCII, which would raise.
    given = request.query.get("signature", "").encode("utf-8")
    return hmac.compare_digest(wanted.encode("ascii"), given)


def serve_file(path: Path, headers: Mapping[str, str]) -> Reply:
    """The file or the asked part of it: 200, 206, 304 or 416."""
    size = path.stat().st_size
    etag = f'"{path.stem}-{size:x}"'
    common = (("ETag", etag), ("Accept-Ranges", "bytes"), ("Cache-Control", "max-age=172800"))
    if headers.get("if-none-match") == etag:
        return Reply(304, b"", "video/mp4", common)
    wanted = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", headers.get("range", ""))
    # A part of another version would not fit what the client already has: send it all.
    if not wanted or wanted[0] == "bytes=-" or headers.get("if-range", etag) != etag:
        return Reply(200, FileSlice(path, 0, size), "video/mp4", common)
    if wanted[1]:
        start = int(wanted[1])
        end = min(int(wanted[2]), size - 1) if wanted[2] else size - 1
    else:
        start, end = max(size - int(wanted[2]), 0), size - 1
    if start >= size or end < start:
        return Reply(416, b"", HTML, (*common, ("Content-Range", f"bytes */{size}")))
    part = FileSlice(path, start, end - start + 1)
    return Reply(
        206, part, "video/mp4", (*common, ("Content-Range", f"bytes {start}-{end}/{size}"))
    )


def denied() -> Reply:
    return Reply(403, DENIED, "text/html")


def _signature(secret: bytes, key: str, expire: int, token: str) -> str:
    words = f"{key}|{expire}|{token}".encode()
    return hmac.new(secret, words, hashlib.sha256).hexdigest()[:32]
