"""The JSON of the site: videos, accounts, hashtags and listings, written as the real site does."""

import hashlib
import random
import re
from collections.abc import Sequence
from typing import Any

from scraper.replica.accounts import AccountStats, ReplicaAccount, ReplicaSound, account_stats
from scraper.replica.content import ReplicaVideo
from scraper.replica.messages import SignedMedia

Json = dict[str, Any]
# Statuses in place of what was asked for.
CAPTCHA, NO_SUCH_HASHTAG, BAD_PARAMETERS = 10000, 10205, 10201
VIDEO_GONE, PRIVATE_POST, REGION_LOCKED = 10204, 10216, 10231
NO_SUCH_ACCOUNT, PRIVATE_ACCOUNT, NO_SUCH_SOUND = 10221, 10222, 10218


def round_count(count: int) -> int:
    """The integer in the JSON: exact below 10 000, then to the nearest 100, 100 000, 10^8."""
    for limit, step in ((10_000, 1), (1_000_000, 100), (1_000_000_000, 100_000)):
        if count < limit:
            return (count + step // 2) // step * step
    return (count + 5 * 10**7) // 10**8 * 10**8


def show_count(count: int) -> str:
    """The text on a card: "1635", "25.5K", "2M" – one decimal at most, and no ".0"."""
    count = round_count(count)
    if count < 10_000:
        return str(count)
    suffix, unit = next((s, u) for s, u in (("B", 10**9), ("M", 10**6), ("K", 10**3)) if count >= u)
    whole, tenth = divmod(count * 10 // unit, 10)
    return f"{whole}.{tenth}{suffix}" if tenth else f"{whole}{suffix}"


def item_struct(
    video: ReplicaVideo,
    media: SignedMedia,
    *,
    detail: bool,
    author_stats: AccountStats | None = None,
) -> Json:
    """A video as in a listing, or as on its own page, where some numbers are strings.

    author_stats: those of now; None: those of the snapshot.
    """
    stats = _stats(video)
    if author_stats is None:
        author_stats = account_stats(video.account, 0.0, 1)
    created_s = int(video.created_at.timestamp())
    item: Json = {
        "id": video.tiktok_id,
        "desc": video.caption,
        "createTime": str(created_s) if detail else created_s,
        "scheduleTime": 0,
        "author": author(video.account, media.origin),
        "authorStats": stats_of_account(author_stats),
        "stats": stats | {"collectCount": str(stats["collectCount"])} if detail else stats,
        "statsV2": {name: str(n) for name, n in stats.items()} | {"repostCount": "0"},
        "textExtra": text_extra(video.caption),
        "contents": [{"desc": video.caption, "textExtra": text_extra(video.caption)}],
        "music": music(video.music, media.origin),
        "video": _video(video, media),
        "collected": False,
        "digged": False,
        "duetEnabled": True,
        "forFriend": False,
        "indexEnabled": True,
        "isAd": False,
        "isReviewing": False,
        "itemCommentStatus": 0,
        "locationCreated": video.account.region,
        "originalItem": False,
        "officalItem": False,
        "privateItem": False,
        "secret": False,
        "shareEnabled": True,
        "stitchEnabled": True,
        "textLanguage": "en",
        "diversificationLabels": [video.topic],
        "CategoryType": 100 + len(video.topic),
    }
    if video.hashtags:
        item["challenges"] = [challenge(name) for name in video.hashtags]
    return item


def author(account: ReplicaAccount, origin: str) -> Json:
    avatar = f"{origin}/obj/avatar/{account.account_id}.svg"
    return {
        "id": account.account_id,
        "uniqueId": account.handle,
        "nickname": account.nickname,
        "secUid": account.sec_uid,
        "avatarThumb": avatar,
        "avatarMedium": avatar,
        "avatarLarger": avatar,
        "signature": account.signature,
        "verified": account.is_verified,
        "privateAccount": account.is_private,
        "secret": False,
        "ftc": False,
        "relation": 0,
    }


def stats_of_account(stats: AccountStats) -> dict[str, int]:
    """What an account's page and each of its videos say of it; rounded as all counts are."""
    return {
        "followerCount": round_count(stats.followers),
        "followingCount": stats.following,
        "heart": round_count(stats.likes),
        "heartCount": round_count(stats.likes),
        "videoCount": stats.n_posts,
        "diggCount": stats.following * 3,
        "friendCount": stats.following // 7,
    }


def user_detail(account: ReplicaAccount, stats: AccountStats, origin: str) -> Json:
    """An account's own page; a private one's says so, and counts all the same."""
    user = author(account, origin) | {
        "createTime": int(account.account_id) >> 32,
        "region": account.region,
        "language": "en",
        "roomId": "",
        "ttSeller": False,
        "commerceUserInfo": {"commerceUser": False},
    }
    counts = stats_of_account(stats)
    texts = {name: str(n) for name, n in counts.items()}
    status = PRIVATE_ACCOUNT if account.is_private else 0
    return {
        "userInfo": {"user": user, "stats": counts, "statsV2": texts, "itemList": []},
        "shareMeta": {"title": f"{account.nickname} on TikTok", "desc": f"@{account.handle}"},
        "statusCode": status,
        "statusMsg": "",
        "needFix": True,
    }


def music(sound: ReplicaSound, origin: str) -> Json:
    """A sound, as its page and each video with it have it."""
    return {
        "id": sound.sound_id,
        "title": sound.title,
        "authorName": sound.author,
        "original": sound.is_original,
        "duration": sound.duration_s,
        "isCopyrighted": False,
        "coverThumb": f"{origin}/obj/cover/{sound.sound_id}.svg",
        "playUrl": "",
    }


def music_detail(sound: ReplicaSound, n_uses: int, origin: str) -> Json:
    """What a sound's page is about, and how many videos have it; that count is exact."""
    info = {"music": music(sound, origin), "stats": {"videoCount": n_uses}}
    return {
        "musicInfo": info,
        "shareMeta": {"title": sound.title, "desc": f"{n_uses} videos"},
        "statusCode": 0,
        "statusMsg": "",
    }


def challenge(name: str) -> Json:
    """A hashtag; its id has nothing to do with those of videos."""
    number = int(hashlib.sha256(f"tag/{name}".encode()).hexdigest()[:8], 16)
    empty = {"profileThumb": "", "profileMedium": "", "profileLarger": ""}
    covers = {"coverThumb": "", "coverMedium": "", "coverLarger": ""}
    return {"id": str(number), "title": name, "desc": ""} | empty | covers


def challenge_detail(name: str, videos: Sequence[ReplicaVideo], now_s: float) -> Json:
    """What the page asks for first: the hashtag's id and how much there is under it."""
    views = round_count(sum(v.views for v in videos))
    info = challenge(name) | {"isCommerce": False, "splitTitle": name}
    return {
        "challengeInfo": {
            "challenge": info,
            "stats": {"videoCount": len(videos), "viewCount": views},
            "statsV2": {"videoCount": str(len(videos)), "viewCount": str(views)},
        },
        "shareMeta": {"title": f"#{name}", "desc": f"{len(videos)} posts"},
    } | envelope(now_s)


def item_list(items: Sequence[Json], cursor: int, *, has_more: bool, now_s: float) -> Json:
    """One page of a listing; past the end there is no `itemList` at all."""
    if not items:
        return {"statusCode": 0, "cursor": str(cursor), "hasMore": False}
    page: Json = {"cursor": str(cursor), "hasMore": has_more, "itemList": list(items)}
    return page | envelope(now_s)


def envelope(now_s: float, status: int = 0, message: str = "") -> Json:
    """The part that every answer has; errors have nothing else."""
    logid = f"{int(now_s)}{random.Random(now_s).getrandbits(48):012X}"
    return {
        "extra": {"fatal_item_ids": [], "logid": logid, "now": int(now_s * 1000)},
        "log_pb": {"impr_id": logid},
        "statusCode": status,
        "status_code": status,
        "status_msg": message,
    }


def text_extra(caption: str) -> list[Json]:
    """Hashtags and mentions in a caption, at positions counted in UTF-16 units."""
    found = []
    for match in re.finditer(r"([#@])([\w.]+)", caption):
        is_tag = match[1] == "#"
        start = len(caption[: match.start()].encode("utf-16-le")) // 2
        found.append(
            {
                "awemeId": "",
                "start": start,
                "end": start + len(match[0].encode("utf-16-le")) // 2,
                "hashtagName": match[2] if is_tag else "",
                "isCommerce": False,
                "subType": 0,
                "type": 1 if is_tag else 0,
                "userUniqueId": "" if is_tag else match[2],
            }
        )
    return found


def _stats(video: ReplicaVideo) -> dict[str, int]:
    rng = random.Random(f"{video.tiktok_id}/stats")
    likes = video.views * rng.uniform(0.03, 0.15)
    return {
        "playCount": round_count(video.views),
        "diggCount": round_count(int(likes)),
        "commentCount": round_count(int(likes * rng.uniform(0.004, 0.03))),
        "shareCount": round_count(int(likes * rng.uniform(0.005, 0.1))),
        "collectCount": round_count(int(likes * rng.uniform(0.02, 0.1))),
    }


def _video(video: ReplicaVideo, media: SignedMedia) -> Json:
    cover = f"{media.origin}/obj/cover/{video.tiktok_id}.svg"
    ratio = f"{min(video.width_px, video.height_px)}p"
    address: Json = {
        "FileCs": "",
        "Height": video.height_px,
        "Width": video.width_px,
        "Uri": media.uri,
        "UrlKey": f"{media.uri}_h264_{ratio}",
        "UrlList": list(media.urls),
    }
    quality: Json = {
        "GearName": f"normal_{ratio}_0",
        "CodecType": "h264",
        "Format": "mp4",
        "QualityType": 20,
        "PlayAddr": address,
    }
    found: Json = {
        "id": video.tiktok_id,
        "height": video.height_px,
        "width": video.width_px,
        "duration": round(video.duration_s),
        "ratio": ratio,
        "definition": ratio,
        "format": "mp4",
        "codecType": "h264",
        "videoQuality": "normal",
        "encodedType": "normal",
        "cover": cover,
        "originCover": cover,
        "dynamicCover": "",
        "playAddr": media.urls[0],
        "downloadAddr": "",
        "PlayAddrStruct": address,
        "bitrateInfo": [quality],
        "subtitleInfos": [],
        "claInfo": {"enableAutoCaption": False, "hasOriginalAudio": True},
        "volumeInfo": {"Loudness": -18.0, "Peak": 0.9},
    }
    if media.n_bytes is not None:
        # Known once the clip is made, which a listing does not wait for.
        bitrate = round(media.n_bytes * 8 / video.duration_s)
        address["DataSize"] = media.n_bytes
        quality["Bitrate"] = bitrate
        found |= {"size": media.n_bytes, "bitrate": bitrate}
    return found
