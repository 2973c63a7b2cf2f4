"""Read what the site's Research API answers: true counts, and no media."""

from collections.abc import Mapping
from typing import Any

from scraper.importers.fields import (
    child,
    first_of,
    listed,
    naming,
    plain_hashtags,
    read_count,
    read_moment,
)
from scraper.importers.ids import TIKTOK, read_id
from scraper.importers.records import ImportedVideo, Source
from scraper.importers.video import make_video

Json = Mapping[str, Any]

COLLECTED = ("collected_at", "request_time", "queried_at", "retrieved_at", "crawled_at")


def read_research(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read one of `data.videos`; its id is a whole number of 64 bits, which JSON keeps exactly."""
    tiktok_id = read_id(first_of(row, "id", "video_id"), TIKTOK, exact_int=True)
    tags: list[object] = list(listed(row, "hashtag_names"))
    if not tags:
        listing = [child({"tag": tag}, "tag") for tag in listed(row, "hashtag_info_list")]
        tags = [tag.get("hashtag_name") for tag in listing]
    with naming(tiktok_id):
        return make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            count=read_count(row.get("view_count"), exact=True),
            handle=row.get("username"),
            caption=row.get("video_description"),
            hashtags=plain_hashtags(tags),
            posted_at=read_moment(row.get("create_time"), "create_time"),
            observed_at=read_moment(first_of(row, *COLLECTED), "the time of the request"),
            duration_s=row.get("video_duration"),
        )
