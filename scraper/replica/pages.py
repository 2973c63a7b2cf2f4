"""The HTML of the site: a nearly empty tag page, and video and account pages with their data."""

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scraper.replica.content import Account, ReplicaVideo
from scraper.replica.counts import show_count
from scraper.replica.pictures import colour

HYDRATION = re.compile(
    r'(<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__"[^>]*>)(.*?)(</script>)', re.DOTALL
)


@dataclass(frozen=True)
class Shell:
    """What every page of one server start shares; the class hash differs from start to start."""

    origin: str
    css_class: str


def tag_page(
    shell: Shell, name: str, *, variant: str, page_size: int, detail: dict[str, Any] | None
) -> str:
    """The shell of /tag/NAME; no video is in it. `detail` is inlined for some hashtags."""
    scope = _scope(shell, f"{shell.origin}/tag/{name}")
    scope["webapp.page-context"] = {
        "challengeName": name,
        "cardVariant": variant,
        "pageSize": page_size,
    }
    if detail is not None:
        scope["webapp.challenge-detail"] = detail
    script = f'<script src="/static/challenge.{shell.css_class}.js"></script>'
    body = f'<div id="app"></div>{_hydration(scope)}{script}'
    return _document("TikTok - Make Your Day", "", body)


def video_page(
    shell: Shell,
    video: ReplicaVideo,
    item: dict[str, Any],
    beside: ReplicaVideo | None,
) -> str:
    """A video's page: its data, a feed of it and another video, and copies for search engines."""
    url = f"{shell.origin}/@{video.handle}/video/{video.tiktok_id}"
    scope = _scope(shell, url)
    scope["webapp.video-detail"] = {
        "itemInfo": {"itemStruct": item},
        "shareMeta": {"title": f"{video.account.nickname} on TikTok", "desc": video.caption},
        "statusCode": 0,
        "statusMsg": "",
    }
    app_url = f"snssdk1233://aweme/detail/{video.tiktok_id}"
    head = (
        f'<link rel="canonical" href="{url}"><meta property="og:url" content="{url}">'
        f'<meta property="og:description" content="{html.escape(video.caption)}">'
        f'<meta property="al:ios:url" content="{app_url}">'
    )
    feed = _article(shell, 0, video, item["stats"])
    if beside is not None:
        feed += _article(shell, 1, beside, {"diggCount": 1, "commentCount": 0, "shareCount": 0})
    body = (
        '<div id="app"><div id="main-content-video_detail"><div id="column-list-container">'
        f"{feed}</div></div>{_search_copies(video, item['stats'])}</div>{_hydration(scope)}"
    )
    return _document(f"{video.caption} | TikTok", head, body)


def missing_video_page(shell: Shell, url: str, status: int) -> str:
    """The page of a video that is gone: a status code and no item."""
    scope = _scope(shell, url)
    scope["webapp.video-detail"] = {"statusCode": status, "statusMsg": "item doesn't exist"}
    text = '<div id="app"><p>Video currently unavailable</p></div>'
    return _document("TikTok - Make Your Day", "", text + _hydration(scope))


def account_page(shell: Shell, account: Account, videos: Sequence[ReplicaVideo]) -> str:
    """An account's page; its grid is the one place where cards always show counts."""
    scope = _scope(shell, f"{shell.origin}/@{account.handle}")
    user = {"id": account.account_id, "uniqueId": account.handle, "secUid": account.sec_uid}
    scope["webapp.user-detail"] = {"userInfo": {"user": user}, "statusCode": 0}
    cards = "".join(
        f'<div id="grid-item-container-{i}" class="{shell.css_class}-DivItemContainerV2">'
        f'<div data-e2e="user-post-item"><a href="{shell.origin}/@{account.handle}/video/'
        f'{v.tiktok_id}"><strong data-e2e="video-views" class="video-count">'
        f"{show_count(v.views)}</strong></a></div></div>"
        for i, v in enumerate(videos)
    )
    body = (
        f'<div id="app"><h1 data-e2e="user-title">{account.handle}</h1>'
        f'<div id="user-post-item-list" data-e2e="user-post-item-list">{cards}</div></div>'
    )
    return _document(
        f"{account.nickname} (@{account.handle}) | TikTok", "", body + _hydration(scope)
    )


def cover_image(video: ReplicaVideo | None) -> str:
    """An SVG in the video's mean colour; grey for an account's picture."""
    r, g, b = colour(video.look.luma, video.look.hue_deg) if video else (200, 200, 200)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 16">'
        f'<rect width="9" height="16" fill="rgb({r},{g},{b})"/></svg>'
    )


def notice_page(title: str, text: str) -> str:
    body = f'<div id="app"><h1>{html.escape(title)}</h1><p>{html.escape(text)}</p></div>'
    return _document(title, "", body)


def edit_hydration(
    page: str, edit: Callable[[dict[str, Any]], object], raw: Mapping[str, str] | None = None
) -> str:
    """Change a page's data in place; `raw` are texts for strings that JSON cannot be made from."""

    def rewrite(match: re.Match[str]) -> str:
        state = json.loads(match[2])
        edit(state["__DEFAULT_SCOPE__"])
        return match[1] + dump_json(state, raw).replace("<", "\\u003c") + match[3]

    return HYDRATION.sub(rewrite, page, count=1)


def dump_json(value: Any, raw: Mapping[str, str] | None = None) -> str:
    """Write JSON in ASCII, and in place of each string in `raw` the text that it stands for."""
    text = json.dumps(value)
    for name, instead in (raw or {}).items():
        text = text.replace(f'"{name}"', instead)
    return text


def _article(shell: Shell, index: int, video: ReplicaVideo, stats: dict[str, Any]) -> str:
    # `undefined-count` is the real site's own slip for the number of favourites.
    names = (
        ("like-count", "diggCount"),
        ("comment-count", "commentCount"),
        ("share-count", "shareCount"),
        ("undefined-count", "collectCount"),
    )
    counts = "".join(
        f'<strong data-e2e="{mark}">{show_count(int(stats.get(field, 0)))}</strong>'
        for mark, field in names
    )
    return (
        f'<article id="one-column-item-{index}" data-e2e="recommend-list-item-container" '
        f'data-scroll-index="{index}" class="{shell.css_class}-ArticleItemContainer">'
        f'<section id="media-card-{index}" data-e2e="feed-video">'
        '<video preload="none" playsinline></video></section>'
        f'<a data-e2e="video-author-avatar" href="/@{video.handle}">{video.handle}</a>'
        f'<div data-e2e="video-desc">{_description(video.caption)}</div>'
        f'<a data-e2e="video-music" href="/music/original-sound-{video.tiktok_id}">'
        f"original sound</a>{counts}</article>"
    )


def _search_copies(video: ReplicaVideo, stats: dict[str, Any]) -> str:
    """Hidden doubles of everything, so that no selector matches once."""
    return (
        '<div hidden><h1 data-e2e="v2t-title">About this video</h1>'
        f'<div data-e2e="v2t-desc">{html.escape(video.caption)}</div>'
        f'<div data-e2e="video-desc">{_description(video.caption)}</div>'
        f'<strong data-e2e="like-count">{show_count(int(stats["diggCount"]))}</strong>'
        f'<strong data-e2e="comment-count">{show_count(int(stats["commentCount"]))}</strong></div>'
    )


def _description(caption: str) -> str:
    parts = []
    for i, word in enumerate(caption.split(" ")):
        safe = html.escape(word)
        if word[:1] == "#":
            link = f'<a data-e2e="search-common-link" href="/tag/{safe[1:]}">{safe}</a>'
        elif word[:1] == "@":
            link = f'<a data-e2e="search-common-link" href="/{safe}">{safe}</a>'
        else:
            link = f'<span data-e2e="desc-span-0_{i}">{safe}</span>'
        parts.append(link)
    return " ".join(parts)


def _scope(shell: Shell, canonical: str) -> dict[str, Any]:
    return {
        "webapp.app-context": {
            "language": "en",
            "region": "US",
            "appId": 1233,
            "appType": "m",
            "user": None,
            "botType": "others",
            "host": shell.origin.removeprefix("http://"),
        },
        "webapp.biz-context": {"os": "linux", "isMobile": False, "domains": {}},
        "webapp.i18n-translation": {"Pinned": "Pinned", "Refresh": "Refresh"},
        "seo.abtest": {"canonical": canonical, "pageId": "", "vidList": []},
        "webapp.a-b": {},
    }


def _hydration(scope: dict[str, Any]) -> str:
    # No "<" may stand in a script element's text, or a caption could end it.
    text = json.dumps({"__DEFAULT_SCOPE__": scope}, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{text}</script>'
    )


def _document(title: str, head: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<link rel="stylesheet" href="/static/site.css">'
        f"<title>{html.escape(title)}</title>{head}</head>"
        f"<body>{body}</body></html>"
    )
