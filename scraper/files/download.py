"""Fetch a video's file: streamed, resumed, checked, and only then put in its place."""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.files import put_in_place, sha256_of
from scraper.errors import BadMedia, DownloadFailed, NoMedia
from scraper.files.http import open_client
from scraper.files.media import Probe, check_media
from scraper.files.transfer import Transfer, hold_part
from scraper.items import check_id
from scraper.politeness import Site
from scraper.settings import FetchConfig
from scraper.visit.page import PlayUrl, VideoPage

log = logging.getLogger(__name__)

MEDIA_FOLDER = "media"  # in the data folder


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
    limits: FetchConfig,
) -> MediaFacts:
    """Download a video's file to `folder/<last two digits>/<id>.mp4`, as the page's visitor.

    A file that is there and whole is not fetched again; a part of one is continued. Raises
    DownloadFailed, UrlExpired, Blocked, NoMedia, BadMedia, MediaTooLarge, NoSpace, NotAllowed.
    """
    target = media_path(folder, page.tiktok_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        # From a run that ended between the rename and its note in the catalog.
        with suppress(BadMedia):
            return media_facts(target, check_media(target, duration_s=page.sighting.duration_s))
    if not page.play_urls:
        raise NoMedia(f"video {page.tiktok_id} has no address to play from")
    urls = [play for play in page.play_urls if site.is_allowed_media_url(play.url)]
    if not urls:
        raise DownloadFailed(f"video {page.tiktok_id}: none of its addresses is one of the site's")
    headers = {
        "User-Agent": user_agent,
        "Referer": f"{site.base_url}/",
        "Accept-Encoding": "identity",
    }
    with hold_part(target) as part:
        deadline_s = time.monotonic() + limits.max_s
        with open_client(
            limits.max_s,
            headers=headers,
            is_allowed_peer=site.is_allowed_peer,
            proxy=limits.proxy or site.proxy,
        ) as client:
            cookie = _cookie_header(cookies)
            play = Transfer(client, site, part, limits, deadline_s, cookie).any_of(urls)
        try:
            _check_size(part.path, play)
            probe = check_media(part.path, duration_s=page.sighting.duration_s)
        except BadMedia:
            # Nothing can be continued from here; the next try begins anew.
            part.discard()
            raise
        put_in_place(part.path, target)
        part.discard()
    log.debug("video %s: %d bytes", page.tiktok_id, target.stat().st_size)
    return media_facts(target, probe)


def media_path(folder: Path, tiktok_id: str) -> Path:
    """Give a file's place, made from nothing but the checked id. Raises BadId."""
    return folder / check_id(tiktok_id)[-2:] / f"{tiktok_id}.mp4"


def _cookie_header(cookies: Mapping[str, str]) -> str:
    # What is not plain text in a cookie can be no part of a header.
    pairs = (f"{name}={value}" for name, value in cookies.items())
    return "; ".join(pair for pair in pairs if pair.isascii() and pair.isprintable())


def _check_size(path: Path, play: PlayUrl) -> None:
    n_bytes = path.stat().st_size
    if play.n_bytes is not None and n_bytes != play.n_bytes:
        raise BadMedia(f"{path.name} has {n_bytes:,} bytes instead of {play.n_bytes:,}")


def media_facts(path: Path, probe: Probe) -> MediaFacts:
    """Describe a file that has been checked."""
    return MediaFacts(
        path=path,
        sha256=sha256_of(path),
        n_bytes=path.stat().st_size,
        duration_s=probe.duration_s,
        width_px=probe.width_px,
        height_px=probe.height_px,
        fps=probe.fps,
        has_audio=probe.has_audio,
        probe=probe.facts,
    )
