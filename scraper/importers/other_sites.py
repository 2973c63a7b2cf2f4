"""The JSON formats of other sites' videos: YouTube's Data API, and Instagram's posts."""

from collections.abc import Mapping
from dataclasses import replace

from scraper.errors import RowRefused, shown
from scraper.importers.field_map import FieldMap, Refusal, find
from scraper.importers.video import ImportedFile, ImportedVideo
from scraper.items import Json, child, listed

# A video of the YouTube Data API's `videos.list`; of `search.list` only without counts.
YOUTUBE = FieldMap(
    id=("id.videoId", "contentDetails.videoId", "id"),
    views=("statistics.viewCount",),
    exact=True,
    handle=("snippet.channelId",),
    caption=("snippet.description", "snippet.title"),
    hashtags=lambda row: listed(child(row, "snippet"), "tags"),
    hashtags_from="snippet.tags",
    posted_at=("snippet.publishedAt",),
    observed_at=("timestamp_collected", "collected_at", "retrieved_at", "request_time"),
    observed_as="the time of the request",
    duration=("contentDetails.duration",),
    more={
        "likes": ("statistics.likeCount",),
        "comments": ("statistics.commentCount",),
        "language": ("snippet.defaultAudioLanguage", "snippet.defaultLanguage"),
        "sponsored": ("paidProductPlacementDetails.hasPaidProductPlacement",),
    },
    refusals=(
        Refusal(
            "live",
            "a live broadcast, not a video",
            lambda row: find(row, ("snippet.liveBroadcastContent",)) in ("live", "upcoming"),
        ),
        Refusal(
            "private",
            "privacyStatus is private",
            lambda row: find(row, ("status.privacyStatus",)) == "private",
        ),
    ),
)
# A post of Instagram's, as Zeeschuimer takes it from the site; its address has `code`.
INSTAGRAM = FieldMap(
    id=("code", "shortcode"),
    views=("play_count", "view_count", "ig_play_count", "video_view_count", "video_play_count"),
    handle=("user.username", "owner.username"),
    caption=("caption.text",),
    posted_at=("taken_at", "taken_at_timestamp"),
    observed_at=("timestamp_collected",),
    observed_as="timestamp_collected",
    duration=("video_duration",),
    width=("original_width", "dimensions.width"),
    height=("original_height", "dimensions.height"),
    more={
        "followers": ("user.follower_count",),
        "verified": ("user.is_verified",),
        "likes": ("like_count", "edge_media_preview_like.count", "edge_liked_by.count"),
        "comments": ("comment_count", "edge_media_to_comment.count"),
        "shares": ("reshare_count", "media_repost_count"),
        "sponsored": ("is_paid_partnership",),
    },
    refusals=(
        Refusal(
            "ad",
            "an advertisement",
            lambda row: bool(row.get("ad_id") or row.get("is_ad") or row.get("injected")),
        ),
        Refusal("photo", "pictures, not a video", lambda row: not _is_reel(row)),
    ),
)
INSTAGRAM_VIDEO = 2


def read_youtube(row: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read a video of an answer of the YouTube Data API."""
    kind = child(row, "id").get("kind", row.get("kind"))
    if isinstance(kind, str) and kind.endswith(("#channel", "#playlist", "#comment")):
        raise RowRefused("no_video", f"a {shown(kind)}, not a video")
    if "statistics" not in row:
        raise RowRefused(
            "no_count",
            "a list without statistics; ask for them by these ids with "
            "videos.list?part=snippet,contentDetails,statistics",
        )
    return YOUTUBE.read(row, line, source, platform="youtube")


def post_of(row: Json) -> Json:
    """Return a post of Instagram's without what Zeeschuimer, or 4CAT, wraps around it."""
    post = dict(child(row, "data") or row)
    edges = listed(child(post, "edge_media_to_caption"), "edges")
    nodes = [child(edge, "node") for edge in edges if isinstance(edge, Mapping)]
    if any(nodes) and "caption" not in post:
        post["caption"] = next(node for node in nodes if node)
    when = row.get("timestamp_collected", child(row, "__import_meta").get("timestamp_collected"))
    return post if when is None else {**post, "timestamp_collected": when}


def read_instagram(post: Json, line: int, source: ImportedFile) -> ImportedVideo:
    """Read a post of Instagram's."""
    made = INSTAGRAM.read(post, line, source, platform="instagram")
    return replace(made, url=f"https://www.instagram.com/reel/{made.sighting.tiktok_id}/")


def _is_reel(post: Json) -> bool:
    """Say whether a post is one video; a carousel has several pictures or videos."""
    kind = post.get("media_type")
    if kind is not None:
        return bool(kind == INSTAGRAM_VIDEO)
    return post.get("is_video") is True or bool(post.get("video_duration"))
