"""Read the items of the site's app (`aweme`): true counts, durations in milliseconds."""

from collections.abc import Mapping
from typing import Any

from scraper.importers.errors import RowRefused
from scraper.importers.fields import (
    child,
    first_of,
    listed,
    naming,
    plain_hashtags,
    read_amount,
    read_count,
    read_moment,
)
from scraper.importers.ids import TIKTOK, read_id
from scraper.importers.records import ImportedVideo, Source
from scraper.importers.video import make_video
from scraper.items import MAX_DURATION_S

Json = Mapping[str, Any]


def read_app(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an `aweme`."""
    tiktok_id = read_id(row.get("aweme_id"), TIKTOK)
    with naming(tiktok_id):
        video, status = child(row, "video"), child(row, "status")
        _check_kind(row, video, status, tiktok_id)
        tags = [child({"tag": tag}, "tag").get("cha_name") for tag in listed(row, "cha_list")]
        tags += [
            child({"tag": tag}, "tag").get("hashtag_name") for tag in listed(row, "text_extra")
        ]
        length_ms = read_amount(video.get("duration"), MAX_DURATION_S * 1_000)
        return make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            count=read_count(child(row, "statistics").get("play_count"), exact=True),
            url=row.get("share_url"),
            handle=child(row, "author").get("unique_id"),
            caption=row.get("desc"),
            hashtags=plain_hashtags(tags),
            posted_at=read_moment(row.get("create_time"), "create_time"),
            observed_at=read_moment(
                first_of(row, "timestamp_collected", "collected_at"), "the time of collecting"
            ),
            duration_s=None if length_ms is None else length_ms / 1_000,
            width_px=video.get("width"),
            height_px=video.get("height"),
        )


def _check_kind(row: Json, video: Json, status: Json, tiktok_id: str) -> None:
    if row.get("is_ads") or row.get("is_ad"):
        raise RowRefused("ad", "is_ads is set: shown because it was paid for", tiktok_id)
    if row.get("image_infos") or row.get("image_post_info"):
        raise RowRefused("photo", "a photo post, not a video", tiktok_id)
    if status.get("private_status") not in (None, 0):
        raise RowRefused("private", "status.private_status is not 0", tiktok_id)
    if status.get("is_delete") is True:
        raise RowRefused("taken_down", "status.is_delete is set", tiktok_id)
    if "duration" in video and video["duration"] == 0:
        raise RowRefused("no_video", "without a video (a duration of 0)", tiktok_id)
