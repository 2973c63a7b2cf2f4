"""The HTML of the site: a nearly empty tag page, and video and account pages with their data."""

import hashlib
import html
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scraper.replica.clips import colour
from scraper.replica.content import ReplicaAccount, ReplicaVideo
from scraper.replica.messages import HTML, JSON, Reply, SignedMedia


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


STYLE = """
body{font-family:sans-serif;margin:0;background:#fff;color:#161823}
#app>div{max-width:1200px;margin:auto;padding:16px}
[data-e2e=challenge-item-list]{display:grid;gap:18px;
grid-template-columns:repeat(auto-fill,minmax(180px,1fr))}
[data-e2e=challenge-item]{position:relative;background:#eee;border-radius:6px;overflow:hidden}
[data-e2e=challenge-item] a{position:absolute;inset:0}
img{width:100%;height:100%;object-fit:cover} canvas{display:none}
.video-count{position:absolute;bottom:8px;left:8px;color:#fff}
"""

# Class names come in through CSS_CLASS, because on the real site they change with each release.
TAG_SCRIPT = """
(() => {
  const state = JSON.parse(
    document.getElementById('__UNIVERSAL_DATA_FOR_REHYDRATION__').textContent);
  const page = state.__DEFAULT_SCOPE__['webapp.page-context'];
  const app = document.getElementById('app');
  const make = (name, marks, parent, text) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(marks)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  };
  const css = (name) => 'css-CSS_CLASS-' + name;
  const cookie = (name) => (document.cookie.split('; ')
    .find((c) => c.startsWith(name + '=')) || '').slice(name.length + 1);
  const common = () => 'aid=1988&app_language=en&app_name=tiktok_web&browser_language=en-US'
    + '&channel=tiktok_web&coverFormat=2&device_id=7300000000000000001&from_page=hashtag'
    + '&msToken=' + encodeURIComponent(cookie('msToken'));
  const shorten = (n) => {
    for (const [unit, suffix] of [[1e9, 'B'], [1e6, 'M'], [1e3, 'K']])
      if (n >= 1e4 && n >= unit)
        return (Math.round(n / unit * 10) / 10).toFixed(1).replace('.0', '') + suffix;
    return String(n);
  };
  const main = make('div', {id: 'main-content-challenge', class: css('DivMain')}, app);
  const fail = (title, text) => {
    const box = make('div', {class: css('DivErrorContainer')}, main);
    make('p', {class: css('PTitle')}, box, title);
    make('p', {class: css('PDesc')}, box, text);
  };
  let list, sentinel, challengeID, cursor = '0', hasMore = true, busy = false, shown = 0;

  // Some visitors get the whole listing with the page; then the page asks for nothing.
  const inlined = window.__LISTED__ || state.__DEFAULT_SCOPE__['webapp.updated-items'];

  const card = (item) => {
    const outer = make('div', {class: css('DivItemContainerV2')}, list);
    const box = make('div', {'data-e2e': 'challenge-item', role: 'button', tabindex: '0',
      'aria-label': 'Watch in full screen', class: css('StyledDivContainerV2')}, outer);
    const pad = make('div', {style: 'padding-top:132.653%'}, box);
    const wrapper = make('div', {class: css('DivWrapper')}, pad);
    const handle = item.author?.uniqueId ?? '', desc = item.desc ?? '';
    const path = item.liveRoomInfo ? '/live' : (item.imagePost ? '/photo/' : '/video/') + item.id;
    const link = make('a', {class: css('AVideoContainer'),
      href: location.origin + '/@' + handle + path}, wrapper);
    if (item.isPinnedItem) make('div', {'data-e2e': 'video-card-badge'}, wrapper, 'Pinned');
    make('canvas', {width: '75', height: '100'}, link);
    const picture = make('picture', {}, link);
    make('img', {loading: 'lazy', src: item.video?.cover ?? '', alt: desc + ' created by '
      + (item.author?.nickname ?? '') + ' with ' + (item.music?.title ?? '')}, picture);
    if (page.cardVariant === 'A') {
      const foot = make('div', {class: css('DivCardFooter')}, link);
      make('strong', {'data-e2e': 'video-views', class: 'video-count ' + css('StrongVideoCount')},
        foot, shorten(item.stats?.playCount ?? 0));
    } else {
      const foot = make('div', {class: css('DivCardAvatar')}, wrapper);
      make('a', {'data-e2e': 'challenge-item-avatar', href: '/@' + handle}, foot);
      make('p', {'data-e2e': 'challenge-item-username', class: 'user-name ' + css('PUserName')},
        foot, handle);
    }
    const words = make('div', {'data-e2e': 'challenge-item-desc', class: css('DivDesc')}, outer);
    const title = make('a', {title: desc, href: link.getAttribute('href')}, words);
    for (const part of desc.split(/(#[^ #]+)/)) {
      if (!part) continue;
      if (part[0] === '#') make('a', {'data-e2e': 'search-common-link',
        href: '/tag/' + part.slice(1)}, title, part);
      else make('span', {'data-e2e': 'new-desc-span'}, title, part);
    }
  };

  const draw = (item) => {
    try { card(item); } catch (error) { console.error(error); }
    shown += 1;
  };
  const ask = async () => {
    if (inlined) {
      const end = Number(cursor) + page.pageSize;
      return {itemList: inlined.slice(Number(cursor), end), cursor: end,
        hasMore: end < inlined.length};
    }
    const reply = await fetch('/api/challenge/item_list/?' + common() + '&challengeID='
      + challengeID + '&count=' + page.pageSize + '&cursor=' + cursor);
    const body = await reply.text();
    return body ? JSON.parse(body) : {};
  };
  const more = async () => {
    if (busy || !hasMore) return;
    busy = true;
    try {
      const answer = await ask();
      for (const item of answer.itemList || []) draw(item);
      if (answer.cursor !== undefined) cursor = String(answer.cursor);
      hasMore = Boolean(answer.hasMore);
    } catch (error) {
      hasMore = false;
      if (!shown) fail('Something went wrong', 'Sorry about that! Please try again later.');
    } finally {
      busy = false;
    }
    if (!shown && !hasMore) fail('No videos with this hashtag yet', '');
    check();
  };
  const check = () => {
    if (hasMore && sentinel.getBoundingClientRect().top < innerHeight + 200) more();
  };

  const begin = (title, nPosts) => {
    document.title = '#' + title + ' | TikTok';
    const head = make('div', {class: css('DivShareLayoutHeader')}, main);
    make('h1', {'data-e2e': 'challenge-title'}, head, '#' + title);
    make('h2', {'data-e2e': 'challenge-vvcount', title: 'posts'}, head,
      shorten(nPosts) + ' posts');
    list = make('div', {'data-e2e': 'challenge-item-list', class: css('DivVideoFeedV2')}, main);
    sentinel = make('div', {class: css('DivLoadMore')}, main);
    addEventListener('scroll', check, {passive: true});
    addEventListener('resize', check);
    more();
  };
  if (inlined) {
    begin(page.challengeName, inlined.length);
    return;
  }
  const detail = new XMLHttpRequest();
  detail.open('GET', '/api/challenge/detail/?' + common() + '&challengeName='
    + encodeURIComponent(page.challengeName));
  detail.onload = () => {
    let answer = {};
    try { answer = JSON.parse(detail.responseText || '{}'); } catch (error) { /* as if empty */ }
    if (answer.statusCode === 10205) {
      fail('Couldn\\u2019t find this hashtag', 'Check out trending videos on TikTok.');
    } else if (!answer.challengeInfo) {
      fail('Something went wrong', 'Sorry about that! Please try again later.');
    } else {
      challengeID = answer.challengeInfo.challenge.id;
      begin(answer.challengeInfo.challenge.title, answer.challengeInfo.stats.videoCount);
    }
  };
  detail.send();
})();
"""


Json = dict[str, Any]


def item_struct(video: ReplicaVideo, media: SignedMedia, *, detail: bool) -> Json:
    """A video as in a listing, or as on its own page, where some numbers are strings."""
    stats = _stats(video)
    created_s = int(video.created_at.timestamp())
    item: Json = {
        "id": video.tiktok_id,
        "desc": video.caption,
        "createTime": str(created_s) if detail else created_s,
        "scheduleTime": 0,
        "author": author(video.account, media.origin),
        "authorStats": {"followerCount": 1200, "heart": 88000, "videoCount": 40, "diggCount": 310},
        "stats": stats | {"collectCount": str(stats["collectCount"])} if detail else stats,
        "statsV2": {name: str(n) for name, n in stats.items()} | {"repostCount": "0"},
        "textExtra": text_extra(video.caption),
        "contents": [{"desc": video.caption, "textExtra": text_extra(video.caption)}],
        "music": _music(video, media.origin),
        "video": _video(video, media),
        "collected": False,
        "digged": False,
        "duetEnabled": True,
        "forFriend": False,
        "indexEnabled": True,
        "isAd": False,
        "isReviewing": False,
        "itemCommentStatus": 0,
        "locationCreated": "US",
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
        "signature": "",
        "verified": False,
        "privateAccount": False,
        "secret": False,
        "ftc": False,
        "relation": 0,
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


def _music(video: ReplicaVideo, origin: str) -> Json:
    return {
        "id": str(int(video.tiktok_id) - (5 << 32)),
        "title": f"original sound - {video.account.nickname}",
        "authorName": video.account.nickname,
        "original": True,
        "duration": round(video.duration_s),
        "isCopyrighted": False,
        "coverThumb": f"{origin}/obj/cover/{video.tiktok_id}.svg",
        "playUrl": "",
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


def account_page(shell: Shell, account: ReplicaAccount, videos: Sequence[ReplicaVideo]) -> str:
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


def page_reply(text: str, cookies: Mapping[str, str] | None = None, status: int = 200) -> Reply:
    """Reply with a page that sets cookies."""
    headers = []
    for name, value in (cookies or {}).items():
        # The page's own script must be able to read msToken; the others are none of its business.
        flags = "" if name == "msToken" else "; HttpOnly"
        headers.append(("Set-Cookie", f"{name}={value}; Path=/; Max-Age=15552000{flags}"))
    return Reply(status, text.encode("utf-8"), HTML, tuple(headers))


def json_reply(answer: Mapping[str, Any]) -> Reply:
    return Reply(200, json.dumps(answer, ensure_ascii=False).encode("utf-8"), JSON)


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status, headers=(("Location", location),))


def not_found() -> Reply:
    return page_reply(notice_page("Page not available", "Sorry about that!"), status=404)
