"""Put together one imported video from fields that were read, and check them against each other."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path

from scraper.counts import ViewCount
from scraper.importers.errors import RowRefused
from scraper.importers.fields import N_CACHED, SLACK, plain_hashtags, plain_text, read_amount
from scraper.importers.ids import TIKTOK, posted_by_id
from scraper.importers.records import ImportedVideo, Source
from scraper.items import (
    HANDLE,
    HASHTAG,
    MAX_CAPTION_CHARS,
    MAX_DURATION_S,
    MAX_SIDE_PX,
    Sighting,
)

MAX_HANDLE_CHARS = 100
MAX_URL_CHARS = 2_000


def make_video(
    source: Source,
    line: int,
    *,
    tiktok_id: str,
    count: tuple[str, ViewCount | None],
    platform: str = TIKTOK,
    url: object = None,
    handle: object = None,
    caption: object = None,
    hashtags: tuple[str, ...] = (),
    posted_at: datetime | None = None,
    observed_at: datetime | None = None,
    duration_s: object = None,
    width_px: object = None,
    height_px: object = None,
    media: Path | None = None,
) -> ImportedVideo:
    """Return the video; where the row does not say when it was posted, a TikTok id does.

    Fields of type object are the row's own values; one that cannot be is as if not given.
    Refuses a count that was taken before the video was posted, or later than now.
    """
    words = plain_text(caption)[:MAX_CAPTION_CHARS]
    if posted_at is None and platform == TIKTOK:
        posted_at = posted_by_id(tiktok_id)
    seen_at, is_stated = source.observed_at(observed_at)
    _check_times(source, tiktok_id, posted_at, seen_at, is_stated=is_stated)
    display_text, views = count
    sighting = Sighting(
        tiktok_id=tiktok_id,
        handle=_read_handle(handle, platform),
        caption=words,
        hashtags=hashtags or (plain_hashtags(HASHTAG.findall(words)) if "#" in words else ()),
        posted_at=posted_at,
        duration_s=read_amount(duration_s, MAX_DURATION_S),
        width_px=_side(width_px),
        height_px=_side(height_px),
        display_text=display_text,
        views_k=views.views_k if views else None,
        step_k=views.step_k if views else None,
        source="import",
        observed_at=seen_at,
    )
    return ImportedVideo(
        sighting=sighting,
        platform=platform,
        # TikTok's address is made from the id: the one given names the author.
        url=None if platform == TIKTOK else _read_url(url),
        line=line,
        is_time_stated=is_stated,
        media=media,
    )


def _check_times(
    source: Source,
    tiktok_id: str,
    posted_at: datetime | None,
    seen_at: datetime,
    *,
    is_stated: bool,
) -> None:
    why = ""
    if seen_at > source.read_at + SLACK:
        why = "in the future"
    elif posted_at is not None and posted_at > seen_at + SLACK:
        why = f"before the video was posted on {posted_at:%Y-%m-%d}"
    if why:
        whose = "counted" if is_stated else "the file was written"
        hint = "" if is_stated else "; say when the counts were taken (--observed-at)"
        raise RowRefused("bad_time", f"{whose} on {seen_at:%Y-%m-%d}, {why}{hint}", tiktok_id)


def _read_handle(value: object, platform: str) -> str | None:
    return _handle_of_text(value, platform) if isinstance(value, str) else None


@lru_cache(maxsize=N_CACHED)
def _handle_of_text(value: str, platform: str) -> str | None:
    name = plain_text(value).strip().removeprefix("@")[:MAX_HANDLE_CHARS]
    if platform == TIKTOK:
        return name if HANDLE.fullmatch(name) else None
    return name or None


def _read_url(value: object) -> str | None:
    url = plain_text(value).strip()
    is_plain = url.startswith(("https://", "http://")) and len(url) <= MAX_URL_CHARS
    return url if is_plain and url.isprintable() and " " not in url else None


def _side(value: object) -> int | None:
    side_px = read_amount(value, MAX_SIDE_PX)
    return None if side_px is None else int(side_px)
