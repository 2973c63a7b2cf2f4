"""The JSON formats of collecting tools and of the site itself, each as a table of its fields."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scraper.errors import RowRefused, shown
from scraper.importers.fields import (
    TIKTOK,
    is_missing,
    read_count,
    read_id,
    read_moment,
    read_platform,
)
from scraper.importers.video import (
    FieldMap,
    ImportedFile,
    ImportedVideo,
    Refusal,
    find,
    make_video,
    naming,
)
from scraper.items import Json, Rejected, child, listed, read_item

WHY = {
    "ad": "isAd is set: shown because it was paid for",
    "photo": "a photo post (imagePost), not a video",
    "live": "a live room, not a video",
    "private": "marked private, secret, for friends or under review",
    "taken_down": "taken down by the site",
    "no_video": "without a video (a duration of 0)",
    "emptied": "no counts and no time, as a visitor gets who ought to sign in",
}
# Actors of Apify and their like: `authorMeta`, `videoMeta` and a flat `playCount`.
ACTOR = FieldMap(
    id=("id", "videoId"),
    url=("webVideoUrl",),
    url_id="same",
    views=("playCount",),
    handle=("authorMeta.name", "authorMeta.uniqueId", "author", "username"),
    caption=("text", "desc"),
    hashtags=lambda row: [
        tag.get("name") if isinstance(tag, Mapping) else tag for tag in listed(row, "hashtags")
    ],
    posted_at=("createTime", "createTimeISO"),
    observed_at=("scrapedAt", "collectedAt", "crawledAt", "scraped_at", "timestamp_collected"),
    observed_as="the time of collecting",
    duration=("videoMeta.duration",),
    width=("videoMeta.width",),
    height=("videoMeta.height",),
    refusals=(
        Refusal("ad", WHY["ad"], lambda row: row.get("isAd") is True),
        Refusal(
            "photo",
            "a slide show, not a video",
            lambda row: row.get("isSlideshow") is True or bool(row.get("slideshowImageLinks")),
        ),
        Refusal(
            "private",
            "marked private",
            lambda row: row.get("privateAccount") is True or row.get("secret") is True,
        ),
        Refusal("no_video", WHY["no_video"], lambda row: find(row, ("videoMeta.duration",)) == 0),
    ),
)
# One of the Research API's `data.videos`; its id is a whole number of 64 bits, kept exactly.
RESEARCH = FieldMap(
    id=("id", "video_id"),
    exact_id=True,
    views=("view_count",),
    exact=True,
    handle=("username",),
    caption=("video_description",),
    hashtags=lambda row: (
        listed(row, "hashtag_names") or _entries(listed(row, "hashtag_info_list"), "hashtag_name")
    ),
    posted_at=("create_time",),
    observed_at=("collected_at", "request_time", "queried_at", "retrieved_at", "crawled_at"),
    observed_as="the time of the request",
    duration=("video_duration",),
)
# An `aweme`, as the app gets it.
APP = FieldMap(
    id=("aweme_id",),
    views=("statistics.play_count",),
    exact=True,
    handle=("author.unique_id",),
    caption=("desc",),
    hashtags=lambda row: [
        *_entries(listed(row, "cha_list"), "cha_name"),
        *_entries(listed(row, "text_extra"), "hashtag_name"),
    ],
    posted_at=("create_time",),
    observed_at=("timestamp_collected", "collected_at"),
    observed_as="the time of collecting",
    duration=("video.duration",),
    duration_per_s=1_000,
    width=("video.width",),
    height=("video.height",),
    refusals=(
        Refusal(
            "ad",
            "is_ads is set: shown because it was paid for",
            lambda row: bool(row.get("is_ads") or row.get("is_ad")),
        ),
        Refusal(
            "photo",
            "a photo post, not a video",
            lambda row: bool(row.get("image_infos") or row.get("image_post_info")),
        ),
        Refusal(
            "private",
            "status.private_status is not 0",
            lambda row: find(row, ("status.private_status",)) not in (None, 0),
        ),
        Refusal(
            "taken_down",
            "status.is_delete is set",
            lambda row: find(row, ("status.is_delete",)) is True,
        ),
        Refusal("no_video", WHY["no_video"], lambda row: find(row, ("video.duration",)) == 0),
    ),
)
# `{"id", "url", "views"}` or `{"id", "views_k"}`, with what else may stand there.
PAIR = FieldMap(
    id=("id",),
    url=("url",),
    url_id="enough",
    views=("views",),
    views_k=("views_k",),
    handle=("author", "username"),
    caption=("caption", "desc", "text", "description"),
    posted_at=("posted_at", "createTime", "create_time"),
    observed_at=("observed_at", "collected_at"),
    observed_as="observed_at",
    duration=("duration_s", "duration"),
    width=("width_px", "width"),
    height=("height_px", "height"),
)


def read_actor(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an actor's item; where it failed to collect one, it leaves an error in its place."""
    if "id" not in row and ("error" in row or "errorCode" in row):
        said = shown(find(row, ("error", "errorCode")))
        raise RowRefused("not_an_item", f"the actor noted an error here: {said}")
    return ACTOR.read(row, line, source)


def read_pair(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an id or address with a count, of any platform."""
    platform = read_platform(row.get("platform"), source.options.platform)
    return PAIR.read(row, line, source, platform=platform)


def read_web(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an `itemStruct`, bare or in what a collecting tool wraps around it."""
    item, tag = _unwrap(row)
    site = _noted("source_platform", row, tag)
    if isinstance(site, str) and TIKTOK not in site.lower():
        raise RowRefused("other_site", f"an item of {shown(site)}: only tiktok.com's are read")
    raw_id = item.get("id")
    tiktok_id = read_id(None if is_missing(raw_id) else raw_id, TIKTOK)
    with naming(tiktok_id):
        stated = read_moment(_noted("timestamp_collected", row, tag), "timestamp_collected")
        found = read_item(
            item if raw_id == tiktok_id else {**item, "id": tiktok_id},
            source="import",
            observed_at=source.observed_at(stated)[0],
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
        times = made.sighting
        source.report.taken(line, [])
        return replace(
            made,
            sighting=replace(
                found,
                posted_at=times.posted_at,
                is_posted_at_stated=times.is_posted_at_stated,
            ),
        )


def _entries(entries: Iterable[object], key: str) -> list[object]:
    return [entry.get(key) for entry in entries if isinstance(entry, Mapping)]


def _unwrap(row: Json) -> tuple[Json, Json]:
    """Return the item and what a tool noted about it."""
    wrapped = row.get("data")
    if isinstance(wrapped, Mapping) and ("item_id" in row or "timestamp_collected" in row):
        return wrapped, row
    item = child(child(row, "itemInfo"), "itemStruct") or child(row, "itemStruct")
    return item or row, child(row, "__import_meta")


def _noted(name: str, row: Json, tag: Json) -> object:
    """Return what a tool noted beside the item, or else in a part of its own."""
    value = row.get(name)
    value = value if value and not is_missing(value) else tag.get(name)
    return None if is_missing(value) else value
