"""Read a video's own page: what it shows, and where the video's file is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scraper.errors import (
    Blocked,
    NoMedia,
    PageChanged,
    PrivateVideo,
    RegionLocked,
    ScrapeError,
    VideoGone,
    VideoUnavailable,
)
from scraper.items import Json, Rejected, Sighting, child, read_item
from scraper.replies import CAPTCHA_STATUS, read_hydration

NO_SUCH_ACCOUNT = 10221
PRIVATE_POST, PRIVATE_ACCOUNT, REGION_LOCKED = 10216, 10222, 10231
# Deleted, but also how the site answers an address that it has blocked; only the words tell.
NOT_AVAILABLE = 10204
DELETED_WORDS = ("doesn't exist", "not exist", "deleted", "removed")


@dataclass(frozen=True)
class PlayUrl:
    """An address of a video's file; n_bytes is what the site announces, None if it does not."""

    url: str
    codec: str
    n_bytes: int | None


@dataclass(frozen=True)
class VideoPage:
    """A video's own page; play_urls is best first and good for this visitor, for hours."""

    tiktok_id: str
    url: str
    sighting: Sighting
    play_urls: tuple[PlayUrl, ...]


def read_video_page(html: str, tiktok_id: str, url: str, *, observed_at: datetime) -> VideoPage:
    """Read a video's page and where its file is; no play_urls where it names no file.

    Raises VideoGone, VideoUnavailable, NoMedia, Blocked, PageChanged.
    """
    detail = child(read_hydration(html), "webapp.video-detail")
    if not detail:
        raise PageChanged(f"the page of video {tiktok_id} has no webapp.video-detail")
    code = detail.get("statusCode", 0)
    raw = child(child(detail, "itemInfo"), "itemStruct")
    if code not in (0, "0") or not raw:
        raise _refusal(tiktok_id, code, str(detail.get("statusMsg", "")))
    if raw.get("id") != tiktok_id:
        raise PageChanged(f"the page of video {tiktok_id} shows {str(raw.get('id'))[:40]!r}")
    sighting = read_item(raw, source="hydration", observed_at=observed_at)
    if isinstance(sighting, Rejected):
        raise _rejection(tiktok_id, sighting.reason)
    return VideoPage(tiktok_id, url, sighting, _read_play_urls(child(raw, "video")))


def _rejection(tiktok_id: str, reason: str) -> ScrapeError:
    if reason == "emptied":
        words = f"video {tiktok_id} is only shown to who has signed in"
        return Blocked(words, mark="login")
    words = f"video {tiktok_id} is not public: {reason}"
    if reason == "private":
        return PrivateVideo(words)
    if reason == "taken_down":
        return VideoUnavailable(words)
    return NoMedia(f"video {tiktok_id} is no plain video: {reason}")


def _refusal(tiktok_id: str, code: object, words: str) -> ScrapeError:
    status = f"status {str(code)[:40]!r}"
    if code == CAPTCHA_STATUS:
        where = f"the page of video {tiktok_id}"
        return Blocked(f"{where} asks for a captcha ({status})", mark="captcha")
    is_deleted = code == NOT_AVAILABLE and any(w in words.lower() for w in DELETED_WORDS)
    if code == NO_SUCH_ACCOUNT or is_deleted:
        return VideoGone(f"video {tiktok_id} is gone ({status})")
    if code in (PRIVATE_POST, PRIVATE_ACCOUNT):
        return PrivateVideo(f"video {tiktok_id} is private ({status})")
    if code == REGION_LOCKED:
        return RegionLocked(f"video {tiktok_id} is not shown in this part of the world ({status})")
    if code in (0, "0"):
        return PageChanged(f"the page of video {tiktok_id} has status 0 and no itemStruct")
    return VideoUnavailable(f"video {tiktok_id} is not shown to us ({status})")


def _read_play_urls(video: Json) -> tuple[PlayUrl, ...]:
    found: list[PlayUrl] = []
    qualities = video.get("bitrateInfo")
    for quality in qualities if isinstance(qualities, list) else []:
        if not isinstance(quality, Mapping):
            continue
        address = child(quality, "PlayAddr")
        urls = address.get("UrlList")
        codec, n_bytes = str(quality.get("CodecType")), _read_bytes(address.get("DataSize"))
        for url in urls if isinstance(urls, list) else []:
            if isinstance(url, str):
                found.append(PlayUrl(url, codec, n_bytes))
    if isinstance(play := video.get("playAddr"), str) and play:
        found.append(PlayUrl(play, str(video.get("codecType")), _read_bytes(video.get("size"))))
    # h264 plays everywhere; the site's own `bytevc2` plays nowhere. Else in the site's order.
    playable = [p for p in found if not p.codec.startswith("bytevc2")]
    first = sorted(playable, key=lambda p: p.codec != "h264")
    return tuple(
        {p.url: p for p in reversed(first)}[url] for url in dict.fromkeys(p.url for p in first)
    )


def _read_bytes(value: object) -> int | None:
    # A number on some pages and a text on others.
    text = str(value)
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,11}", text) else None
