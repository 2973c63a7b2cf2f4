"""Faults of the files: cut off, something else, elsewhere, expired."""

import re
import struct
import threading
import zlib
from collections import Counter
from urllib.parse import urlsplit

from scraper.replica.edits import announce, file_of
from scraper.replica.media import DENIED
from scraper.replica.messages import Fault, FileSlice, Reply, Visit
from scraper.replica.replies import redirect

# An hour after the site's first video; long ago for every visitor.
LONG_AGO_S = 1_772_330_400


def truncated_mp4(visit: Visit, *, share: float) -> Reply | None:
    """Send the beginning of a file as if it were all, and announce no more on the page."""
    if visit.place == "video":
        return announce(visit, lambda n_bytes: int(n_bytes * share))
    whole = file_of(visit) if visit.place == "file" else None
    if whole is None:
        return None
    part = FileSlice(whole.path, 0, int(whole.length * share))
    return Reply(200, part, "video/mp4", (("ETag", f'"{part.length:x}"'),))


def html_as_mp4(visit: Visit) -> Reply | None:
    """Send a page under a film's content type."""
    return _instead(visit, DENIED)


def png_as_mp4(visit: Visit) -> Reply | None:
    """Send a picture under a film's content type."""
    return _instead(visit, PNG)


def redirect_file(visit: Visit) -> Reply | None:
    """Lead to a file on the visitor's own disk."""
    return redirect("file:///etc/hostname") if visit.place == "file" else None


def redirect_inner(visit: Visit) -> Reply | None:
    """Lead to the address at which clouds tell their secrets."""
    if visit.place != "file":
        return None
    return redirect("http://169.254.169.254/latest/meta-data/")


def redirect_port(visit: Visit, *, port: int) -> Reply | None:
    """Lead to another service on the visitor's machine; port 0 is the one beside ours."""
    if visit.place != "file":
        return None
    own = urlsplit(visit.origin).port or 80
    return redirect(f"http://127.0.0.1:{port or own ^ 1}{visit.path}")


def expired_url(times: int) -> Fault:
    """Sign files for the past, the first so many times that a video's page is asked for."""
    n_asked: Counter[str] = Counter()
    lock = threading.Lock()

    def answer(visit: Visit) -> Reply | None:
        if visit.place != "video" or visit.video is None:
            return None
        with lock:
            n_asked[visit.video.tiktok_id] += 1
            if n_asked[visit.video.tiktok_id] > times:
                return None
        usual = visit.usual()
        body = usual.body if isinstance(usual.body, bytes) else b""
        past = re.sub(rb"\bexpire=[0-9]+", b"expire=%d" % LONG_AGO_S, body)
        return Reply(usual.status, past, usual.content_type, usual.headers)

    return answer


def _instead(visit: Visit, content: bytes) -> Reply | None:
    if visit.place == "video":
        return announce(visit, lambda _: len(content))
    if visit.place != "file" or file_of(visit) is None:
        return None
    return Reply(200, content, "video/mp4", (("ETag", f'"{len(content):x}"'),))


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _grey_png(side_px: int) -> bytes:
    rows = (b"\0" + b"\x80" * side_px) * side_px
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


PNG = _grey_png(64)
