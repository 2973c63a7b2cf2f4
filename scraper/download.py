"""Fetch a video's file: streamed, resumed, checked, and only then put in its place."""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from scraper.errors import BadMedia, DownloadFailed, MediaTooLarge, NoSpace
from scraper.items import check_id
from scraper.media import Probe, check_media
from scraper.page import PlayUrl, VideoPage
from scraper.politeness import Site

log = logging.getLogger(__name__)

CONNECT_S = 10.0
READ_S = 20.0
MAX_REDIRECTS = 3
TRIES_PER_URL = 3
MEDIA_TYPES = ("video/mp4", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True)
class DownloadLimits:
    """What one file may cost: its bytes, the seconds until it is here, the disk left free."""

    max_bytes: int = 200_000_000
    max_s: float = 120.0
    min_free_bytes: int = 1_000_000_000


@dataclass(frozen=True)
class MediaFacts:
    """A verified file; probe is what of its header is worth keeping in SQL."""

    path: Path
    sha256: str
    n_bytes: int
    duration_s: float
    width_px: int
    height_px: int
    fps: float
    has_audio: bool
    probe: dict[str, Any]


def fetch_media(
    page: VideoPage,
    *,
    cookies: Mapping[str, str],
    user_agent: str,
    site: Site,
    folder: Path,
    limits: DownloadLimits,
) -> MediaFacts:
    """Download a video's file to `folder/<last two digits>/<id>.mp4`, as the page's visitor.

    A file that is there and whole is not fetched again; a part of one is continued. Raises
    DownloadFailed, BadMedia, MediaTooLarge, NoSpace, NotAllowed.
    """
    target = media_path(folder, page.tiktok_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        # From a run that ended between the rename and its note in the catalog.
        with suppress(BadMedia):
            return _facts(target, check_media(target, duration_s=page.sighting.duration_s))
    urls = [play for play in page.play_urls if site.is_allowed_media_url(play.url)]
    if not urls:
        raise DownloadFailed(f"video {page.tiktok_id}: none of its addresses is one of the site's")
    headers = {
        "User-Agent": user_agent,
        "Referer": f"{site.base_url}/",
        "Accept-Encoding": "identity",
    }
    part = _Part(target.with_suffix(".mp4.part"))
    deadline_s = time.monotonic() + limits.max_s
    with httpx.Client(
        trust_env=False, headers=headers, timeout=httpx.Timeout(READ_S, connect=CONNECT_S)
    ) as client:
        download = _Download(client, site, part, limits, deadline_s, _cookie_header(cookies))
        play = download.any_of(urls)
    try:
        _check_size(part.path, play)
        probe = check_media(part.path, duration_s=page.sighting.duration_s)
    except BadMedia:
        # Nothing can be continued from here; the next try begins anew.
        part.discard()
        raise
    part.path.replace(target)
    part.discard()
    _sync_folder(target.parent)
    log.debug("video %s: %d bytes", page.tiktok_id, target.stat().st_size)
    return _facts(target, probe)


def media_path(folder: Path, tiktok_id: str) -> Path:
    """Give a file's place, made from nothing but the checked id. Raises BadId."""
    return folder / check_id(tiktok_id)[-2:] / f"{tiktok_id}.mp4"


class _Part:
    """An unfinished file, and beside it the ETag of the version that it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._etag_path = path.with_suffix(".etag")

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def etag(self) -> str | None:
        # A weak one does not vouch for the bytes.
        found = self._etag_path.read_text() if self._etag_path.is_file() else ""
        return found if found and not found.startswith("W/") else None

    def open(self, *, append: bool) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.path, flags | (os.O_APPEND if append else os.O_TRUNC), 0o644)

    def remember(self, etag: str) -> None:
        self._etag_path.write_text(etag)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Download:
    client: httpx.Client
    site: Site
    part: _Part
    limits: DownloadLimits
    deadline_s: float
    cookie: str

    def any_of(self, urls: list[PlayUrl]) -> PlayUrl:
        """Try each address a few times; return the one that gave the file."""
        last: Exception | None = None
        for play in urls:
            for _ in range(TRIES_PER_URL):
                self.site.pause("download")
                try:
                    self._get(play.url)
                except httpx.TransportError as error:
                    # What has come stays, and the next try goes on from there.
                    last = error
                    self._check_time()
                except (_Refused, httpx.InvalidURL) as error:
                    last = error
                    break
                else:
                    return play
        raise DownloadFailed(f"{self.part.path.stem}: {last or 'no address'}") from last

    def _get(self, url: str) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            self._check_url(url)
            n_have, etag = self.part.n_bytes, self.part.etag
            headers = {"Cookie": self.cookie} if self.site.may_see_cookies(url) else {}
            if n_have and etag:
                headers |= {"Range": f"bytes={n_have}-", "If-Range": etag}
            with self.client.stream("GET", url, headers=headers) as reply:
                self._check_peer(reply)
                if reply.is_redirect:
                    url = _next_url(url, reply.headers.get("location", ""))
                    continue
                if reply.status_code == 416:
                    self.part.discard()
                    continue
                self._receive(reply, n_have)
                return
        raise _Refused(f"more than {MAX_REDIRECTS} redirects")

    def _receive(self, reply: httpx.Response, n_have: int) -> None:
        if reply.status_code not in (200, 206):
            raise _Refused(f"status {reply.status_code} instead of 200")
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if (
            kind not in MEDIA_TYPES
            or reply.headers.get("content-encoding", "identity") != "identity"
        ):
            raise _Refused(f"{kind or 'no content type'} instead of video/mp4")
        goes_on = reply.status_code == 206
        wanted = f"bytes {n_have}-"
        if goes_on and not reply.headers.get("content-range", "").startswith(wanted):
            self.part.discard()
            raise _Refused(f"range {reply.headers.get('content-range')!r} instead of {wanted}")
        n_done = n_have if goes_on else 0
        n_announced = int(reply.headers.get("content-length") or 0)
        self._check_size(n_done + n_announced)
        self._check_space(n_announced)
        if not goes_on:
            # Before the bytes: a part must never stand beside another version's ETag.
            self.part.discard()
            self.part.remember(reply.headers.get("etag", ""))
        with os.fdopen(self.part.open(append=goes_on), "ab" if goes_on else "wb") as file:
            # As it comes: gathered to larger blocks, a break would lose what was not full yet.
            for block in reply.iter_raw():
                n_done += len(block)
                self._check_size(n_done)
                self._check_time()
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    def _check_url(self, url: str) -> None:
        if not self.site.is_allowed_media_url(url):
            raise _Refused(f"{url[:200]!r} is not one of the site's addresses")
        if self.site.is_own_url(url):
            self.site.require_allowed(url)

    def _check_peer(self, reply: httpx.Response) -> None:
        stream = reply.extensions.get("network_stream")
        address = stream.get_extra_info("server_addr") if stream is not None else None
        # A name under the site's domain could still lead into our own network.
        if not address or not self.site.is_allowed_peer(str(address[0])):
            raise _Refused(f"{reply.url.host} led to {address}")

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self.limits.max_bytes:
            self.part.discard()
            raise MediaTooLarge(f"{n_bytes:,} bytes, more than {self.limits.max_bytes:,}")

    def _check_space(self, n_bytes: int) -> None:
        n_free = shutil.disk_usage(self.part.path.parent).free
        if n_free - n_bytes < self.limits.min_free_bytes:
            raise NoSpace(
                f"{n_free:,} bytes are free for a file of {n_bytes:,}; "
                f"{self.limits.min_free_bytes:,} must stay free"
            )

    def _check_time(self) -> None:
        # A reader's timeout alone would wait forever for a byte a second.
        if time.monotonic() > self.deadline_s:
            raise DownloadFailed(
                f"{self.part.path.stem}: {self.part.n_bytes:,} bytes in {self.limits.max_s:g} s"
            )


def _next_url(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _Refused(f"a redirect to {location[:200]!r}") from error


def _cookie_header(cookies: Mapping[str, str]) -> str:
    # What is not plain text in a cookie can be no part of a header.
    pairs = (f"{name}={value}" for name, value in cookies.items())
    return "; ".join(pair for pair in pairs if pair.isascii() and pair.isprintable())


class _Refused(Exception):
    """This address gives no file; another may."""


def _check_size(path: Path, play: PlayUrl) -> None:
    n_bytes = path.stat().st_size
    if play.n_bytes is not None and n_bytes != play.n_bytes:
        raise BadMedia(f"{path.name} has {n_bytes:,} bytes instead of {play.n_bytes:,}")


def _facts(path: Path, probe: Probe) -> MediaFacts:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return MediaFacts(
        path=path,
        sha256=sha256,
        n_bytes=path.stat().st_size,
        duration_s=probe.duration_s,
        width_px=probe.width_px,
        height_px=probe.height_px,
        fps=probe.fps,
        has_audio=probe.has_audio,
        probe=probe.facts,
    )


def _sync_folder(folder: Path) -> None:
    # A rename is safe from a power cut only when its folder is written.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
