"""Run yt-dlp for one video, as a program of its own: a job comes in as JSON, an answer goes out.

It imports nothing of viewcast's, so that it starts quickly and in isolation (`python -I`).
"""

import io
import ipaddress
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import yt_dlp
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.tiktok import TikTokBaseIE
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import DownloadCancelled, ExtractorError, YoutubeDLError

SOCKET_S = 20.0
CHALLENGED = "the site asks for a challenge to be solved"
LIVE = ("is_live", "is_upcoming", "post_live")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Job(TypedDict):
    """What is wanted.

    max_bytes: of one file. cookies: the text of a cookies.txt, empty for none. pause_s: between two
    requests. peers: `here`, `global` or `any`, where the hosts may be. user_agent: empty for its
    own name.
    """

    url: str
    folder: str
    format: str
    max_bytes: int
    proxy: str
    cookies: str
    user_agent: str
    pause_s: float
    peers: str


class TooLarge(DownloadCancelled):  # type: ignore[misc]  # yt-dlp has no types
    """Say how many bytes were announced or have come."""


class _Silent:
    """Takes what yt-dlp says on the way; what counts is in its errors."""

    def debug(self, _text: str) -> None: ...

    def info(self, _text: str) -> None: ...

    def warning(self, _text: str) -> None: ...

    def error(self, _text: str) -> None: ...


def tame() -> None:
    """Take from yt-dlp what gets it past a site's refusals. Raises AttributeError if it cannot.

    It would work out the challenge of TikTok's firewall, draw headers by lot so as to look like
    nobody it knows, and shake hands as a browser does where curl_cffi is installed.
    """

    def refuse(_self: object, _webpage: str) -> None:
        raise ExtractorError(CHALLENGED, expected=True)

    for owner, name, instead in (
        (TikTokBaseIE, "_solve_challenge_and_set_cookies", refuse),
        (InfoExtractor, "_generate_blockbuster_headers", staticmethod(lambda **_: {})),
        (yt_dlp.YoutubeDL, "_impersonate_target_available", lambda *_: False),
    ):
        getattr(owner, name)  # under another name it would go on
        setattr(owner, name, instead)


def keep_to(peers: str) -> None:
    """Let names lead only to this machine (`here`), or only out of our network (`global`)."""
    look_up = socket.getaddrinfo

    def checked(host: Any, *more: Any, **options: Any) -> Any:
        found = look_up(host, *more, **options)
        for *_, address in found:
            ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if not (ip.is_loopback if peers == "here" else ip.is_global):
                raise OSError(f"the host is at {ip}, where the site cannot be")
        return found

    if peers != "any":
        socket.getaddrinfo = checked


def options_of(job: Job) -> dict[str, Any]:
    """Return yt-dlp's options; none of them is read from a file of the user's."""

    def check_size(progress: dict[str, Any]) -> None:
        n_bytes = max(progress.get("total_bytes") or 0, progress.get("downloaded_bytes") or 0)
        if n_bytes > job["max_bytes"]:
            raise TooLarge(f"{n_bytes:,} bytes, more than {job['max_bytes']:,}")

    agent = job["user_agent"] or f"yt-dlp/{yt_dlp.version.__version__}"
    return {
        "quiet": True,
        "noprogress": True,
        "logger": _Silent(),
        "cachedir": False,
        "format": job["format"],
        # Of the shorter side, which is what people call 1080.
        "format_sort": ["res:1080"],
        "merge_output_format": "mp4/mkv",
        "outtmpl": {"default": str(Path(job["folder"]) / "v.%(ext)s")},
        "noplaylist": True,
        "playlist_items": "1:2",  # two are enough to see that it is not one
        "continuedl": False,
        "progress_hooks": [check_size],
        # An empty one is none, whatever the environment says.
        "proxy": job["proxy"],
        "cookiefile": io.StringIO(job["cookies"]) if job["cookies"] else None,
        "http_headers": {"User-Agent": agent},
        "socket_timeout": SOCKET_S,
        "retries": 2,
        "fragment_retries": 2,
        "extractor_retries": 1,
        "sleep_interval_requests": job["pause_s"],
        "sleep_interval": job["pause_s"],
        "external_downloader": {"default": "native"},
        # A made-up address of a visitor elsewhere, and programs that run a site's own scripts.
        "geo_bypass": False,
        "js_runtimes": {},
        "remote_components": [],
    }


def fetch(job: Job) -> dict[str, Any]:
    """Bring one video; the answer has the file's name and whose it is, or an `error`."""
    step = "page"
    try:
        with yt_dlp.YoutubeDL(options_of(job)) as program:
            found = program.extract_info(job["url"], download=False)
            if found.get("_type") in ("playlist", "multi_video"):
                entries = [entry for entry in found.get("entries") or () if entry]
                if len(entries) != 1:
                    return _error(["NotOne"], f"{len(entries) or 'no'} videos at one address", step)
                found = entries[0]
            if found.get("live_status") in LIVE:
                return _error(["IsLive"], "a live stream", step)
            step = "file"
            found = program.process_ie_result(found, download=True)
    except SyntaxError as error:  # how yt-dlp says it of what is to be chosen
        return _error(["BadFormat"], str(error), step)
    except (YoutubeDLError, OSError) as error:
        return _describe(error, step)
    brought = found.get("requested_downloads") or [{}]
    name = Path(brought[0].get("filepath") or "").name
    if not (Path(job["folder"]) / name).is_file():
        return _error(["NoFile"], "yt-dlp ended without a file", step)
    return {
        "name": name,
        "id": str(found.get("id")),
        "extractor": str(found.get("extractor_key")).lower(),
    }


def _describe(error: BaseException, step: str) -> dict[str, Any]:
    chain = list(_causes(error))
    answer = _error([type(e).__name__ for e in chain], str(error), step)
    for cause in chain:
        if isinstance(cause, HTTPError):
            retry_after = str(cause.response.headers.get("retry-after") or "")[:100]
            address = str(cause.response.url)
            answer["error"] |= {
                "status": int(cause.status), "retry_after": retry_after, "address": address,
            }  # fmt: skip
            break
    answer["error"]["errno"] = next((e.errno for e in chain if isinstance(e, OSError)), None)
    return answer


def _error(kinds: list[str], message: str, step: str) -> dict[str, Any]:
    words = COLOUR.sub("", message).removeprefix("ERROR: ").strip()
    return {"error": {"kinds": kinds, "message": words[:2_000], "step": step}}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        info = getattr(one, "exc_info", None) or (None, None)
        waiting += [info[1], getattr(one, "cause", None), one.__cause__, one.__context__]


def main(run: Callable[[Job], dict[str, Any]] = fetch) -> None:
    """Answer the one job on standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever is printed on the way is no answer
    job: Job = json.load(sys.stdin)
    try:
        tame()
    except AttributeError as error:
        json.dump(_error(["Untamed"], str(error), "page"), answers)
    else:
        keep_to(job["peers"])
        json.dump(run(job), answers)
    answers.close()


if __name__ == "__main__":
    main()
