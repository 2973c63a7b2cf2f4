"""Bring the bytes of a file from one of several addresses, within bounds, and no others."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx

from catalog.errors import Busy
from catalog.files import locked
from scraper.errors import DownloadFailed, MediaTooLarge, NoSpace, UrlExpired
from scraper.files.http import PeerRefused
from scraper.politeness import Site
from scraper.settings import FetchConfig
from scraper.visit.page import PlayUrl, check_status


class PartialFile:
    """An unfinished file, and beside it the ETag of the version that it is a part of.

    `folder` is where another program may work on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._etag_path = path.with_suffix(".etag")
        self.folder = path.with_suffix(".parts")

    @property
    def n_bytes(self) -> int:
        """How much of it is here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def etag(self) -> str | None:
        """What vouches for the bytes that are here; None: nothing does."""
        # A weak one does not vouch for the bytes.
        found = self._etag_path.read_text() if self._etag_path.is_file() else ""
        return found if found and not found.startswith("W/") else None

    def open(self, *, append: bool) -> int:
        """Open it for writing, through no link; returns the descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.path, flags | (os.O_APPEND if append else os.O_TRUNC), 0o644)

    def remember(self, etag: str) -> None:
        """Note which version the bytes are of."""
        # Not atomic: half an ETag matches nothing, which costs one download anew.
        self._etag_path.write_text(etag)

    def discard(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)
        if self.folder.exists():
            shutil.rmtree(self.folder)


@contextmanager
def hold_part(target: Path) -> Iterator[PartialFile]:
    """Hold a file's part for this process alone, also what one that was killed has left of it.

    Raises DownloadFailed while somebody else has it: two leases can overlap when a machine sleeps.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(target.with_suffix(f"{target.suffix}.lock"), target.name))
        except Busy as error:
            raise DownloadFailed(f"{target.name}: another process is fetching it") from error
        yield PartialFile(target.with_suffix(f"{target.suffix}.part"))


def drop_part(target: Path) -> None:
    """Remove what is left of a file that nobody will go on with."""
    if target.parent.is_dir():
        with suppress(DownloadFailed), hold_part(target) as part:
            part.discard()


MAX_REDIRECTS = 3
TRIES_PER_URL = 3
SPACE_EVERY_BYTES = 16_000_000
MEDIA_TYPES = ("video/mp4", "application/octet-stream", "binary/octet-stream")
# How the store answers an address whose signature is over or not for this visitor.
EXPIRED = (403, 410)


@dataclass(frozen=True)
class Transfer:
    """One file on its way; deadline_s is a time of the monotonic clock."""

    client: httpx.Client
    site: Site
    part: PartialFile
    limits: FetchConfig
    deadline_s: float
    cookie: str

    def any_of(self, urls: list[PlayUrl]) -> PlayUrl:
        """Try each address a few times; return the one that gave the file."""
        last: Exception | None = None
        n_expired = 0
        for play in urls:
            for _ in range(TRIES_PER_URL):
                self.site.pause("download")
                try:
                    self._get(play.url)
                except httpx.TransportError as error:
                    # What has come stays, and the next try goes on from there.
                    last = error
                    self._check_time()
                except (_Refused, PeerRefused, httpx.InvalidURL) as error:
                    last = error
                    n_expired += isinstance(error, _Expired)
                    break
                else:
                    return play
        raised = UrlExpired if n_expired == len(urls) else DownloadFailed
        raise raised(f"{self.part.path.stem}: {last or 'no address'}") from last

    def _get(self, url: str) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            self._check_url(url)
            n_have, etag = self.part.n_bytes, self.part.etag
            headers = {"Cookie": self.cookie} if self.site.may_see_cookies(url) else {}
            if n_have and etag:
                headers |= {"Range": f"bytes={n_have}-", "If-Range": etag}
            with self.client.stream("GET", url, headers=headers) as reply:
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
        retry_after = str(reply.headers.get("retry-after", ""))[:100]
        if reply.status_code == 429 or (reply.status_code == 503 and retry_after):
            check_status(reply.status_code, f"the file {self.part.path.stem}", retry_after)
        if reply.status_code in EXPIRED:
            raise _Expired(f"status {reply.status_code} instead of 200")
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
        try:
            self._write(reply, n_done, append=goes_on)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoSpace(f"{self.part.path.parent}: {error.strerror}") from error

    def _write(self, reply: httpx.Response, n_done: int, *, append: bool) -> None:
        n_checked = n_done
        with os.fdopen(self.part.open(append=append), "ab" if append else "wb") as file:
            # As it comes: gathered to larger blocks, a break would lose what was not full yet.
            for block in reply.iter_raw():
                n_done += len(block)
                self._check_size(n_done)
                self._check_time()
                if n_done - n_checked > SPACE_EVERY_BYTES:
                    # Others write to the disk too, and not every file says how long it is.
                    self._check_space(0)
                    n_checked = n_done
                file.write(block)
            file.flush()
            os.fsync(file.fileno())  # some disks say only now that they are full

    def _check_url(self, url: str) -> None:
        if not self.site.is_allowed_media_url(url):
            raise _Refused(f"{url[:200]!r} is not one of the site's addresses")
        if self.site.is_own_url(url):
            self.site.require_allowed(url)

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


class _Refused(Exception):
    """This address gives no file; another may."""


class _Expired(_Refused):
    """This address gives no file any more; the one that the page gives now may."""
