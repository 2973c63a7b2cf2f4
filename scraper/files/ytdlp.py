"""Fetch a video's file with yt-dlp: in a process of its own, within bounds, and checked.

yt-dlp knows other platforms and other forms of a file. It runs as a program that is ended with all
its children when the time or the bytes are over, and when we are.
"""

import errno
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catalog.files import put_in_place
from scraper.errors import (
    BadMedia,
    BadOption,
    Blocked,
    DownloadFailed,
    ExtraMissing,
    MediaTooLarge,
    NoMedia,
    NoSpace,
    PrivateVideo,
    RegionLocked,
    ScrapeError,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
    one_line,
)
from scraper.files.download import MediaFacts, media_facts
from scraper.files.http import parse_retry_after
from scraper.files.media import check_media
from scraper.files.transfer import hold_part
from scraper.politeness import PAUSES_S, Site
from scraper.settings import FetchConfig
from scraper.visit.chromium import guard_group

log = logging.getLogger(__name__)

CHILD = Path(__file__).with_name("ytdlp_child.py")
POLL_S = 0.1
# Of what is beside a file while it is being fetched.
PARTIAL = (".etag", ".lock", ".part")
# What is not the site's word but yt-dlp's own advice.
ADVICE = re.compile(
    r"[;.]? *(please report this issue on|Use --cookies|Confirm you are on).*", re.S
)


@dataclass(frozen=True)
class Wish:
    """A video to fetch: its address, its name there, and who asks.

    cookies: the text of a cookies.txt with the site's own, or empty. duration_s: what is known.
    """

    platform: str
    tiktok_id: str
    url: str
    duration_s: float | None
    cookies: str = field(repr=False)
    user_agent: str


def require_ytdlp() -> None:
    """Raise ExtraMissing where yt-dlp is not installed."""
    if importlib.util.find_spec("yt_dlp") is None:
        raise ExtraMissing("fetch.backend is yt-dlp: pip install 'viewcast[ytdlp]'")


def fetch_with_ytdlp(wish: Wish, target: Path, site: Site, limits: FetchConfig) -> MediaFacts:
    """Bring a video's file to `target`, with the suffix of what it is. site: its address's.

    A file that is there and whole is not fetched again; a part of one is begun anew. Raises
    VideoGone, VideoUnavailable, Blocked, NoMedia, SiteFailed, DownloadFailed, BadMedia,
    MediaTooLarge, NoSpace, NotAllowed, ExtraMissing, BadOption.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for found in sorted(target.parent.glob(f"{target.stem}.*")):
        # From a run that ended between the rename and its note in the catalog.
        if found.is_file() and found.suffix not in PARTIAL:
            with suppress(BadMedia):
                return media_facts(found, check_media(found, duration_s=wish.duration_s))
    proxy = limits.proxy or site.proxy
    site.check_proxy(proxy)
    site.require_allowed(wish.url)
    with hold_part(target) as part:
        # What a process that was killed has left; nothing of it can be gone on with.
        part.discard()
        _check_space(part.folder.parent, limits)
        part.folder.mkdir()
        job = {
            "url": wish.url,
            "folder": str(part.folder),
            "format": limits.format,
            "max_bytes": limits.max_bytes,
            # Names are looked up at the proxy: with the other spelling, here.
            "proxy": re.sub("^socks5:", "socks5h:", proxy),
            "cookies": wish.cookies if site.may_see_cookies(wish.url) else "",
            "user_agent": wish.user_agent,
            "pause_s": 0.0 if site.is_loopback else PAUSES_S["download"][0],
            "peers": "any" if proxy else "here" if site.is_loopback else "global",
        }
        site.pause("page")
        try:
            answer = _answer_of(job, wish, part.folder, limits)
            brought = part.folder / answer["name"]
            target = target.with_suffix(brought.suffix)
            brought.replace(part.path)
            n_bytes = part.n_bytes
            if n_bytes > limits.max_bytes:
                raise MediaTooLarge(f"{n_bytes:,} bytes, more than {limits.max_bytes:,}")
            probe = check_media(part.path, duration_s=wish.duration_s)
            put_in_place(part.path, target)
        finally:
            part.discard()
    return media_facts(target, probe)


def _answer_of(
    job: Mapping[str, Any], wish: Wish, folder: Path, limits: FetchConfig
) -> dict[str, Any]:
    """Run yt-dlp for one video and return its answer."""
    deadline_s = time.monotonic() + limits.max_s
    # Isolated: no path, no settings and no site folder of the user's.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-I", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(folder),
            cwd=folder,
            start_new_session=True,
        ) as child,
        guard_group(child.pid),
    ):
        try:
            said = _wait(child, json.dumps(job).encode(), wish, folder, limits, deadline_s)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        try:
            answer: dict[str, Any] = json.loads(said)
        except ValueError as error:
            errors.seek(0)
            words = errors.read()[-300:].decode("utf-8", "replace").strip()
            if "No module named" in words:
                raise ExtraMissing(
                    f"yt-dlp does not start: {one_line(words)!r}; pip install 'viewcast[ytdlp]'"
                ) from error
            raise DownloadFailed(
                f"{wish.tiktok_id}: yt-dlp ended with {child.returncode}: {one_line(words)!r}"
            ) from error
    if "error" in answer:
        raise error_of(answer["error"], wish)
    # The generic reader makes its ids up from addresses.
    is_known = answer["extractor"] == wish.platform != "generic"
    if is_known and answer["id"] != wish.tiktok_id:
        raise BadMedia(f"{wish.url[:200]} led to video {answer['id'][:80]!r}")
    return answer


def _wait(
    child: "subprocess.Popen[bytes]",
    job: bytes,
    wish: Wish,
    folder: Path,
    limits: FetchConfig,
    deadline_s: float,
) -> bytes:
    """Wait for the answer, looking at the clock and at what has come meanwhile."""
    message: bytes | None = job
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.communicate(message, timeout=POLL_S)[0]
        message = None  # it is on its way
        sizes = _sizes(folder)
        # Picture and sound come as two files and are put together in a third.
        if max(sizes, default=0) > limits.max_bytes or sum(sizes) > 3 * limits.max_bytes:
            raise MediaTooLarge(f"{max(sizes):,} bytes, more than {limits.max_bytes:,}")
        _check_space(folder, limits)
        if time.monotonic() > deadline_s:
            raise DownloadFailed(
                f"{wish.tiktok_id}: {sum(sizes):,} bytes in {limits.max_s:g} s of yt-dlp"
            )


def _sizes(folder: Path) -> list[int]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # renamed just now
            found.append(path.stat().st_size)
    return found


def _check_space(folder: Path, limits: FetchConfig) -> None:
    n_free = shutil.disk_usage(folder).free
    if n_free < limits.min_free_bytes:
        raise NoSpace(f"{n_free:,} bytes are free; {limits.min_free_bytes:,} must stay free")


def _environment(folder: Path) -> dict[str, str]:
    # Nothing of ours but the PATH, where ffmpeg is: no proxy, no key, no folder of the user's own.
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "YTDLP_NO_PLUGINS": "1",
    }


# --- what yt-dlp says, in our words

Make = Callable[[str], ScrapeError]


def _blocked(mark: Any) -> Make:
    return lambda words: Blocked(words, mark=mark)


# The first that is found in a message counts; of what a site says of a video, not of us, first.
MESSAGES: tuple[tuple[str, Make], ...] = (
    (r"challenge to be solved|extract challenge data", _blocked("waf")),
    (r"not a bot|captcha|verif(y|ication).*(human|robot)|unusual traffic", _blocked("captcha")),
    (r"rate.?limit|too many requests|try again later", _blocked("rate_limited")),
    (r"geo.?restrict|your (country|region|location)", RegionLocked),
    (r"\bprivate\b|permission to view|friends[- ]only|only (available|visible) to", PrivateVideo),
    (r"has been (removed|deleted|terminated)|no longer (available|exists)|does(n't| not) exist"
     r"|(was|been) (deleted|removed)|account .*(terminated|closed)", VideoGone),
    (r"confirm your age|age.restricted|inappropriate|members.only|subscriber", VideoUnavailable),
    (r"log ?in|sign ?in|logged.in|cookies|authenticat|registered users", _blocked("login")),
    (r"(?:video|post|content).{0,20}(?:unavailable|not available)|address is blocked from",
     VideoUnavailable),
    (r"no video formats|no video could be found|there'?s no video", NoMedia),
)  # fmt: skip


def error_of(told: Mapping[str, Any], wish: Wish) -> ScrapeError:
    """Return our error for what yt-dlp has told of its own."""
    kinds, text = told["kinds"], ADVICE.sub("", told["message"])
    words = one_line(f"{wish.platform} {wish.tiktok_id}: {text}")
    status = told.get("status")
    if told.get("errno") in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
        return NoSpace(words)
    if "TooLarge" in kinds:
        return MediaTooLarge(words)
    if "BadFormat" in kinds:
        return BadOption(f"fetch.format is not in yt-dlp's words: {text}")
    if "Untamed" in kinds:
        return ExtraMissing(
            f"this yt-dlp cannot be kept from evading refusals ({text}); pip install "
            "'viewcast[ytdlp]' under constraints.txt has one that can"
        )
    if "NotOne" in kinds:
        return NoMedia(words)
    if "UnsupportedError" in kinds:
        return DownloadFailed(words)  # another version of it may know how
    if "GeoRestrictedError" in kinds:
        return RegionLocked(words)
    if told["step"] == "page" or status == 429:
        wish_s = parse_retry_after(told.get("retry_after", ""), datetime.now(UTC))
        if status == 429 or (status == 503 and wish_s is not None):
            return Blocked(words, mark="rate_limited", retry_after_s=wish_s)
        if status in (401, 403):
            return Blocked(words, mark="forbidden", retry_after_s=wish_s)
        if status in (404, 410):
            # Only of the page itself: what else yt-dlp asks for may be missing for many reasons.
            is_page = urlsplit(told["address"]).path == urlsplit(wish.url).path
            return VideoGone(words) if is_page else VideoUnavailable(words)
        if status is not None and status >= 500:
            return SiteFailed(words)
        for pattern, make in MESSAGES:
            if status is None and re.search(pattern, text, re.I):
                return make(words)
    return DownloadFailed(words)
