"""Read yt-dlp's descriptions of videos: info documents, and the short ones of flat playlists."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scraper.errors import RowRefused, shown
from scraper.importers.field_map import FieldMap, Refusal, Rule, find
from scraper.importers.fields import TIKTOK, read_platform
from scraper.importers.video import ImportedFile, ImportedVideo
from scraper.items import Json, listed

SOUND_SUFFIXES = frozenset({"m4a", "mp3", "aac", "ogg", "opus", "wav"})
# The page of a list and of a single video have extractors of their own: "TikTokUser".
SITE = re.compile(r"(tiktok|youtube|instagram)")
HANDLE_IN_URL = re.compile(r"tiktok\.com/@([\w.-]{1,64})/")
# As they stand in a list that was not followed: `_type` is "url", and `url` is the video's.
SHORT = ("url", "url_transparent")


def is_slide_show(row: Json) -> bool:
    """Say whether a post has pictures and a sound, but no video; no one field always tells."""
    formats = [entry for entry in listed(row, "formats") if isinstance(entry, Mapping)]
    addresses = [row.get(name) for name in ("webpage_url", "original_url", "url")]
    return (
        row.get("vcodec") == "none"
        or bool(row.get("imagePost") or row.get("image_post_info"))
        or row.get("ext") in SOUND_SUFFIXES
        or (bool(formats) and all(_is_sound(entry) for entry in formats))
        or any(isinstance(url, str) and "/photo/" in url for url in addresses)
    )


def _is_sound(entry: Json) -> bool:
    return entry.get("vcodec") == "none" or (
        entry.get("ext") in SOUND_SUFFIXES and not entry.get("width")
    )


# For TikTok `uploader` is the handle and `channel` a nickname, and its counts are rounded.
INFO_OF_TIKTOK = FieldMap(
    id=("id",),
    url=("webpage_url",),
    views=("view_count",),
    handle=("uploader",),
    caption=("description", "title"),
    hashtags=lambda row: listed(row, "tags"),
    hashtags_from="tags",
    posted_at=("timestamp", "release_timestamp", "upload_date"),
    observed_at=("epoch",),
    observed_as="epoch",
    duration=("duration",),
    width=("width",),
    height=("height",),
    more={
        "followers": ("channel_follower_count",),
        "verified": ("channel_is_verified",),
        "sound_id": ("track_id",),
        # Without an id nobody can tell the sound from another of that name.
        "sound_title": Rule("track", lambda row: row.get("track_id") and row.get("track")),
        "sound_author": Rule("artist", lambda row: row.get("track_id") and row.get("artist")),
        "likes": ("like_count",),
        "comments": ("comment_count",),
        "shares": ("repost_count",),
        "saves": ("save_count",),
        "language": ("language",),
    },
    refusals=(
        Refusal(
            "live",
            "a live broadcast, not a video",
            lambda row: (
                row.get("is_live") is True or row.get("live_status") in ("is_live", "is_upcoming")
            ),
        ),
        Refusal(
            "private",
            "availability is private",
            lambda row: row.get("availability") == "private",
        ),
        Refusal("photo", "without a picture track, as a photo post", is_slide_show),
    ),
)
# Other sites' counts are not known to be rounded.
INFO_ELSEWHERE = replace(INFO_OF_TIKTOK, handle=("uploader_id", "channel_id"), exact=True)


# By whether it is of tiktok, and short: there `webpage_url` is the list's.
FORMS = {
    (True, False): INFO_OF_TIKTOK,
    (True, True): replace(INFO_OF_TIKTOK, url=("url",)),
    (False, False): INFO_ELSEWHERE,
    (False, True): replace(INFO_ELSEWHERE, url=("url",)),
}


def with_handle(row: Json) -> Json:
    """Return a list's short description with its author, whom only the address names."""
    if row.get("_type") not in SHORT or row.get("uploader"):
        return row
    named = HANDLE_IN_URL.search(str(row.get("url")))
    return {**row, "uploader": named[1]} if named else row


def read_info(
    row: Json, line: int, source: ImportedFile, media: Path | None = None
) -> ImportedVideo:
    """Read an info document, or a list's short one. With a media file it needs no count."""
    kind = row.get("_type")
    is_short = kind in SHORT
    if kind not in (None, "video") and not is_short:
        raise RowRefused("playlist", f"a {shown(kind)}'s own description, not a video's")
    keys = ("ie_key", "extractor_key", "extractor") if is_short else ("extractor_key", "extractor")
    platform = read_platform(_site(find(row, (*keys, "ie_key"))), source.options.platform)
    return FORMS[platform == TIKTOK, is_short].read(
        row, line, source, platform=platform, media=media
    )


def _site(extractor: object) -> object:
    """Return whose videos an extractor gives: tiktok for "TikTokUser" and "tiktok:user"."""
    if not isinstance(extractor, str):
        return extractor
    name = extractor.partition(":")[0]
    known = SITE.match(name.lower())
    return known[1] if known else name
