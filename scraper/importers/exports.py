"""Read the site's own items, as browsers, Zeeschuimer and 4CAT save them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scraper.importers.errors import RowRefused, shown
from scraper.importers.fields import (
    TIKTOK,
    ImportedVideo,
    Source,
    check_url_id,
    first_of,
    listed,
    make_video,
    naming,
    read_amount,
    read_count,
    read_id,
    read_moment,
)
from scraper.items import MAX_DURATION_S, Rejected, child, plain_hashtags, read_item

Json = Mapping[str, Any]

ACTOR_COLLECTED = ("scrapedAt", "collectedAt", "crawledAt", "scraped_at", "timestamp_collected")


def read_actor(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an item with `authorMeta`, `videoMeta` and a flat `playCount`."""
    if "id" not in row and ("error" in row or "errorCode" in row):
        said = shown(first_of(row, "error", "errorCode"))
        raise RowRefused("not_an_item", f"the actor noted an error here: {said}")
    tiktok_id = read_id(first_of(row, "id", "videoId"), TIKTOK)
    with naming(tiktok_id):
        check_url_id(row.get("webVideoUrl"), tiktok_id)
        author, video = child(row, "authorMeta"), child(row, "videoMeta")
        _check_actor_kind(row, video, tiktok_id)
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
            observed_at=read_moment(first_of(row, *ACTOR_COLLECTED), "the time of collecting"),
            duration_s=video.get("duration"),
            width_px=video.get("width"),
            height_px=video.get("height"),
        )


def _check_actor_kind(row: Json, video: Json, tiktok_id: str) -> None:
    if row.get("isAd") is True:
        raise RowRefused("ad", "isAd is set: shown because it was paid for", tiktok_id)
    if row.get("isSlideshow") is True or row.get("slideshowImageLinks"):
        raise RowRefused("photo", "a slide show, not a video", tiktok_id)
    if row.get("privateAccount") is True or row.get("secret") is True:
        raise RowRefused("private", "marked private", tiktok_id)
    if "duration" in video and video["duration"] == 0:
        raise RowRefused("no_video", "without a video (a duration of 0)", tiktok_id)


RESEARCH_COLLECTED = ("collected_at", "request_time", "queried_at", "retrieved_at", "crawled_at")


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
            observed_at=read_moment(first_of(row, *RESEARCH_COLLECTED), "the time of the request"),
            duration_s=row.get("video_duration"),
        )


def read_app(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an `aweme`."""
    tiktok_id = read_id(row.get("aweme_id"), TIKTOK)
    with naming(tiktok_id):
        video, status = child(row, "video"), child(row, "status")
        _check_app_kind(row, video, status, tiktok_id)
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


def _check_app_kind(row: Json, video: Json, status: Json, tiktok_id: str) -> None:
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


WHY = {
    "ad": "isAd is set: shown because it was paid for",
    "photo": "a photo post (imagePost), not a video",
    "live": "a live room, not a video",
    "private": "marked private, secret, for friends or under review",
    "taken_down": "taken down by the site",
    "no_video": "without a video (a duration of 0)",
    "emptied": "no counts and no time, as a visitor gets who ought to sign in",
}


def read_web(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an `itemStruct`, bare or in what a collecting tool wraps around it."""
    item, tag = _unwrap(row)
    site = first_of(row, "source_platform") or first_of(tag, "source_platform")
    if isinstance(site, str) and TIKTOK not in site.lower():
        raise RowRefused("other_site", f"an item of {shown(site)}: only tiktok.com's are read")
    raw_id = first_of(item, "id")
    tiktok_id = read_id(raw_id, TIKTOK)
    with naming(tiktok_id):
        collected = first_of(row, "timestamp_collected") or first_of(tag, "timestamp_collected")
        stated = read_moment(collected, "timestamp_collected")
        found = read_item(
            {**item, "id": tiktok_id}, source="import", observed_at=source.observed_at(stated)[0]
        )
        if isinstance(found, Rejected):
            raise RowRefused(found.reason, WHY.get(found.reason, found.reason), tiktok_id)
        if found.views_k is None or found.step_k is None:
            # Refuses with what is there instead; a count it can read is as good as the item's.
            counts = [child(item, name).get("playCount") for name in ("statsV2", "stats")]
            read_count(next((n for n in counts if n is not None), None), exact=False)
            raise RowRefused("bad_count", f"playCount {shown(found.display_text)}", tiktok_id)
        made = make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            count=(found.display_text, None),
            posted_at=found.posted_at,
            observed_at=stated,
        )
        # The site's own reader knows its items best; only the times may come from elsewhere.
        posted_at = made.sighting.posted_at
        return replace(made, sighting=replace(found, posted_at=posted_at))


def _unwrap(row: Json) -> tuple[Json, Json]:
    """Return the item and what a tool noted about it."""
    wrapped = row.get("data")
    if isinstance(wrapped, Mapping) and ("item_id" in row or "timestamp_collected" in row):
        return wrapped, row
    item = child(child(row, "itemInfo"), "itemStruct") or child(row, "itemStruct")
    return item or row, child(row, "__import_meta")
