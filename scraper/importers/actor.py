"""Read the family of tiktok-scraper: its own JSON, and the data sets of actors like it."""

from collections.abc import Mapping
from typing import Any

from scraper.importers.errors import RowRefused, shown
from scraper.importers.fields import (
    child,
    first_of,
    listed,
    naming,
    plain_hashtags,
    read_count,
    read_moment,
)
from scraper.importers.ids import TIKTOK, check_url_id, read_id
from scraper.importers.records import ImportedVideo, Source
from scraper.importers.video import make_video

Json = Mapping[str, Any]

COLLECTED = ("scrapedAt", "collectedAt", "crawledAt", "scraped_at", "timestamp_collected")


def read_actor(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an item with `authorMeta`, `videoMeta` and a flat `playCount`."""
    if "id" not in row and ("error" in row or "errorCode" in row):
        said = shown(first_of(row, "error", "errorCode"))
        raise RowRefused("not_an_item", f"the actor noted an error here: {said}")
    tiktok_id = read_id(first_of(row, "id", "videoId"), TIKTOK)
    with naming(tiktok_id):
        check_url_id(row.get("webVideoUrl"), tiktok_id)
        author, video = child(row, "authorMeta"), child(row, "videoMeta")
        _check_kind(row, video, tiktok_id)
        tags = [child({"tag": tag}, "tag").get("name", tag) for tag in listed(row, "hashtags")]
        return make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            count=read_count(row.get("playCount"), exact=False),
            url=row.get("webVideoUrl"),
            handle=first_of(author, "name", "uniqueId") or first_of(row, "author", "username"),
            caption=first_of(row, "text", "desc"),
            hashtags=plain_hashtags(tags),
            posted_at=read_moment(first_of(row, "createTime", "createTimeISO"), "createTime"),
            observed_at=read_moment(first_of(row, *COLLECTED), "the time of collecting"),
            duration_s=video.get("duration"),
            width_px=video.get("width"),
            height_px=video.get("height"),
        )


def _check_kind(row: Json, video: Json, tiktok_id: str) -> None:
    if row.get("isAd") is True:
        raise RowRefused("ad", "isAd is set: shown because it was paid for", tiktok_id)
    if row.get("isSlideshow") is True or row.get("slideshowImageLinks"):
        raise RowRefused("photo", "a slide show, not a video", tiktok_id)
    if row.get("privateAccount") is True or row.get("secret") is True:
        raise RowRefused("private", "marked private", tiktok_id)
    if "duration" in video and video["duration"] == 0:
        raise RowRefused("no_video", "without a video (a duration of 0)", tiktok_id)
