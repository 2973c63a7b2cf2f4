"""The JSON formats of collecting tools and of the site itself, each as a table of its fields."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scraper.errors import RowRefused, shown
from scraper.importers.field_map import FieldMap, Refusal, Rule, count_seen, find
from scraper.importers.fields import (
    TIKTOK,
    is_missing,
    read_count,
    read_id,
    read_moment,
    read_platform,
)
from scraper.importers.video import ImportedFile, ImportedVideo, make_video, naming
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


def _is_of_douyin(row: Json) -> bool:
    shared = (row.get("share_url"), child(row, "share_info").get("share_url"))
    return row.get("platform") == "douyin" or any("douyin.com/" in str(url) for url in shared)


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
    more={
        "followers": ("authorMeta.fans",),
        "following": ("authorMeta.following",),
        "author_likes": ("authorMeta.heart",),
        "author_posts": ("authorMeta.video",),
        "verified": ("authorMeta.verified",),
        "bio": ("authorMeta.signature",),
        "author_region": ("authorMeta.region",),
        "sound_id": ("musicMeta.musicId",),
        "sound_title": ("musicMeta.musicName",),
        "sound_author": ("musicMeta.musicAuthor",),
        "sound_original": ("musicMeta.musicOriginal",),
        "sound_duration_s": ("musicMeta.duration",),
        "likes": ("diggCount",),
        "comments": ("commentCount",),
        "shares": ("shareCount",),
        "saves": ("collectCount",),
        "language": ("textLanguage",),
        "region": ("locationCreated", "locationMeta.countryCode"),
        "sponsored": ("isSponsored", "isAd"),
        "duet": ("isDuet",),
        "stitch": ("isStitch",),
        "mentions": ("mentions",),
    },
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
    hashtags_from="hashtag_names / hashtag_info_list",
    posted_at=("create_time",),
    observed_at=(
        *("collected_at", "request_time", "queried_at", "retrieved_at", "crawled_at"),
        "timestamp_collected",
    ),
    observed_as="the time of the request",
    duration=("video_duration",),
    more={
        "sound_id": ("music_id",),
        "likes": ("like_count",),
        "comments": ("comment_count",),
        "shares": ("share_count",),
        "saves": ("favorites_count", "favourites_count"),
        # Where the account was registered, not where the video was posted.
        "author_region": ("region_code",),
        "mentions": ("video_mention_list",),
    },
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
    hashtags_from="cha_list / text_extra",
    posted_at=("create_time",),
    observed_at=("timestamp_collected", "collected_at"),
    observed_as="the time of collecting",
    duration=("video.duration",),
    duration_per_s=1_000,
    width=("video.width",),
    height=("video.height",),
    more={
        "followers": ("author.follower_count",),
        "following": ("author.following_count",),
        "author_likes": ("author.total_favorited",),
        "author_posts": ("author.aweme_count",),
        "verified": Rule(
            "author.custom_verify / author.verification_type",
            lambda row: _is_verified(child(row, "author")),
        ),
        "bio": ("author.signature",),
        "author_region": ("author.region",),
        "sound_id": ("music.mid", "music.id_str", "music.id"),
        "sound_title": ("music.title",),
        "sound_author": ("music.author",),
        "sound_original": ("music.is_original_sound",),
        "sound_duration_s": ("music.duration",),
        "sound_uses": ("music.user_count",),
        "likes": ("statistics.digg_count",),
        "comments": ("statistics.comment_count",),
        "shares": ("statistics.share_count",),
        "saves": ("statistics.collect_count",),
        "language": ("desc_language",),
        "region": ("region",),
        "sponsored": ("is_paid_content", "is_ads", "is_ad"),
        "mentions": Rule("text_extra", lambda row: _n_named(row.get("text_extra"))),
    },
    refusals=(
        Refusal("other_site", "a post of douyin.com, which tells nobody its views", _is_of_douyin),
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
# The same as services that sell it write it, flat: tikwm's and their like. Theirs is another
# `aweme_id`, of a file.
FLAT = FieldMap(
    id=("video_id", "id"),
    views=("play_count",),
    exact=True,
    handle=("author.unique_id",),
    caption=("title",),
    posted_at=("create_time",),
    observed_at=("timestamp_collected", "collected_at"),
    observed_as="the time of collecting",
    duration=("duration",),
    more={
        "sound_id": ("music_info.id",),
        "sound_title": ("music_info.title",),
        "sound_author": ("music_info.author",),
        "sound_original": ("music_info.original",),
        "sound_duration_s": ("music_info.duration",),
        "likes": ("digg_count",),
        "comments": ("comment_count",),
        "shares": ("share_count",),
        "saves": ("collect_count",),
        "region": ("region",),
    },
    refusals=(
        Refusal("ad", WHY["ad"], lambda row: row.get("is_ad") is True),
        Refusal("photo", "pictures, not a video", lambda row: bool(row.get("images"))),
        Refusal("no_video", WHY["no_video"], lambda row: row.get("duration") == 0),
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
    observed_at=("observed_at", "collected_at", "timestamp_collected"),
    observed_as="observed_at",
    duration=("duration_s", "duration"),
    width=("width_px", "width"),
    height=("height_px", "height"),
    more={
        "followers": ("followers", "follower_count"),
        "following": ("following", "following_count"),
        "author_likes": ("author_likes",),
        "author_posts": ("author_posts", "video_count"),
        "verified": ("verified", "is_verified"),
        "bio": ("bio",),
        "bio_chars": ("bio_chars",),
        "author_region": ("author_region", "region_code"),
        "sound_id": ("sound_id", "music_id"),
        "sound_title": ("sound_title", "music_title"),
        "sound_author": ("sound_author", "music_author"),
        "sound_original": ("sound_original",),
        "sound_duration_s": ("sound_duration_s",),
        "sound_uses": ("sound_uses",),
        "likes": ("likes", "like_count"),
        "comments": ("comments", "comment_count"),
        "shares": ("shares", "share_count"),
        "saves": ("saves", "save_count"),
        "language": ("language",),
        "region": ("region",),
        "sponsored": ("sponsored",),
        "duet": ("duet",),
        "stitch": ("stitch",),
        "mentions": ("mentions",),
    },
)


# TikTok-Content-Scraper's: one file for each video, in parts, beside its tiktok_video_ID.mp4.
PARTS = FieldMap(
    id=("video_metadata.id",),
    exact_id=True,
    views=("video_metadata.playcount",),
    handle=("author_metadata.username",),
    caption=("video_metadata.description",),
    hashtags=lambda row: listed(child(row, "video_metadata"), "hashtags"),
    hashtags_from="video_metadata.hashtags",
    posted_at=("video_metadata.time_created",),
    observed_at=("timestamp_collected", "collected_at"),
    observed_as="the time of collecting",
    duration=("file_metadata.duration",),
    width=("file_metadata.width",),
    height=("file_metadata.height",),
    more={
        "verified": ("author_metadata.verified",),
        "bio": ("author_metadata.signature",),
        "sound_id": ("music_metadata.id",),
        "sound_title": ("music_metadata.title",),
        "sound_author": ("music_metadata.author_name",),
        "sound_original": ("music_metadata.original",),
        "likes": ("video_metadata.diggcount",),
        "comments": ("video_metadata.commentcount",),
        "shares": ("video_metadata.sharecount",),
        "saves": ("video_metadata.collectcount",),
        "language": ("video_metadata.text_language",),
        "region": ("video_metadata.location_created",),
        "mentions": ("video_metadata.mentions",),
    },
    refusals=(
        Refusal("ad", WHY["ad"], lambda row: find(row, ("video_metadata.is_ad",)) is True),
        Refusal(
            "photo",
            "pictures, not a video",
            lambda row: bool(find(row, ("file_metadata.picture_formats",))),
        ),
        Refusal(
            "private",
            "marked private",
            lambda row: any(
                find(row, (f"video_metadata.{mark}",)) is True
                for mark in ("private_item", "secret", "for_friend")
            ),
        ),
        Refusal(
            "no_video", WHY["no_video"], lambda row: find(row, ("file_metadata.duration",)) == 0
        ),
    ),
)


def read_actor(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an actor's item; where it failed to collect one, it leaves an error in its place."""
    if "id" not in row and ("error" in row or "errorCode" in row):
        said = shown(find(row, ("error", "errorCode")))
        raise RowRefused("not_an_item", f"the actor noted an error here: {said}")
    return ACTOR.read(row, line, source)


def is_flat(row: Json) -> bool:
    """Say whether a post of the app has its counts beside its id, as some services write it."""
    return "play_count" in row and bool(row.keys() & {"music_info", "wmplay"})


def read_app(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read a post of the app's."""
    return (FLAT if is_flat(row) else APP).read(row, line, source)


def read_pair(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an id or address with a count, of any platform."""
    platform = read_platform(row.get("platform"), source.options.platform)
    return PAIR.read(row, line, source, platform=platform)


def read_web(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read an `itemStruct`, bare or in what a collecting tool wraps around it."""
    item, tag = _unwrap(row)
    site = _noted("source_platform", row, tag)
    if isinstance(site, str) and TIKTOK not in site.lower():
        raise RowRefused("other_site", f"an item of {shown(site)}; tiktok.com's are read here")
    raw_id = item.get("id")
    if "itemInfo" in row and item is row:
        status = shown(row.get("statusCode", row.get("status_code")))
        raise RowRefused("taken_down", f"the answer shows no video (status {status})")
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
        count_seen(source, line, item, found, when=stated)
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


def _is_verified(author: Json) -> bool | None:
    """Say whether the app calls an account verified; a kind of check is named beside the words."""
    words = author.get("custom_verify")
    if isinstance(words, str):
        return bool(words)
    kind = author.get("verification_type")
    return None if kind not in (0, 1) else kind == 1


def _n_named(extras: object) -> int | None:
    """Count the accounts that a caption names, among what it links to."""
    if not isinstance(extras, list):
        return None
    return sum(isinstance(entry, Mapping) and bool(entry.get("user_id")) for entry in extras)


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
