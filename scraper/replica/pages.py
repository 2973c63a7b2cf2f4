"""The HTML of the site: nearly empty pages that list, video pages with their data, saved pages."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from scraper.replica.accounts import ReplicaAccount
from scraper.replica.clips import colour
from scraper.replica.content import ReplicaVideo
from scraper.replica.items import Json, show_count
from scraper.replica.messages import Reply, page_reply

STYLE = """
body{font-family:sans-serif;margin:0;background:#fff;color:#161823}
#app>div{max-width:1200px;margin:auto;padding:16px}
[data-e2e$=-item-list]{display:grid;gap:18px;
grid-template-columns:repeat(auto-fill,minmax(180px,1fr))}
[data-e2e$=-item]{position:relative;background:#eee;border-radius:6px;overflow:hidden}
[data-e2e$=-item] a{position:absolute;inset:0}
img{width:100%;height:100%;object-fit:cover} canvas{display:none}
.video-count{position:absolute;bottom:8px;left:8px;color:#fff}
"""

# Class names come in through CSS_CLASS, because on the real site they change with each release.
LISTING_SCRIPT = """
(() => {
  const state = JSON.parse(
    document.getElementById('__UNIVERSAL_DATA_FOR_REHYDRATION__').textContent);
  const scope = state.__DEFAULT_SCOPE__, page = scope['webapp.page-context'];
  const kind = {
    challenge: {mark: 'challenge-item', key: 'challengeID', from: 'hashtag',
      list: '/api/challenge/item_list/', none: 'No videos with this hashtag yet',
      missing: 'Couldn\\u2019t find this hashtag'},
    user: {mark: 'user-post-item', key: 'secUid', from: 'user',
      list: '/api/post/item_list/', none: 'No content',
      missing: 'Couldn\\u2019t find this account'},
    music: {mark: 'music-item', key: 'musicID', from: 'music',
      list: '/api/music/item_list/', none: 'No videos with this sound yet',
      missing: 'Couldn\\u2019t find this sound'},
  }[page.kind];
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
    + '&channel=tiktok_web&coverFormat=2&device_id=7300000000000000001&from_page=' + kind.from
    + '&msToken=' + encodeURIComponent(cookie('msToken'));
  const shorten = (n) => {
    for (const [unit, suffix] of [[1e9, 'B'], [1e6, 'M'], [1e3, 'K']])
      if (n >= 1e4 && n >= unit)
        return (Math.round(n / unit * 10) / 10).toFixed(1).replace('.0', '') + suffix;
    return String(n);
  };
  const main = make('div', {id: 'main-content-' + page.kind, class: css('DivMain')}, app);
  const fail = (title, text) => {
    const box = make('div', {class: css('DivErrorContainer')}, main);
    make('p', {class: css('PTitle')}, box, title);
    make('p', {class: css('PDesc')}, box, text);
  };
  let list, sentinel, listed, cursor = '0', hasMore = true, busy = false, shown = 0;

  // Some visitors get the whole listing with the page; then the page asks for nothing.
  const inlined = window.__LISTED__ || scope['webapp.updated-items'];

  const card = (item) => {
    const outer = make('div', {class: css('DivItemContainerV2'),
      id: 'grid-item-container-' + shown}, list);
    const box = make('div', {'data-e2e': kind.mark, role: 'button', tabindex: '0',
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
      make('a', {'data-e2e': kind.mark + '-avatar', href: '/@' + handle}, foot);
      make('p', {'data-e2e': kind.mark + '-username',
        class: 'user-name ' + css('PUserName')}, foot, handle);
    }
    const words = make('div', {'data-e2e': kind.mark + '-desc', class: css('DivDesc')}, outer);
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
    const reply = await fetch(kind.list + '?' + common() + '&' + kind.key + '='
      + listed + '&count=' + page.pageSize + '&cursor=' + cursor);
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
    if (!shown && !hasMore) fail(kind.none, '');
    check();
  };
  const check = () => {
    if (hasMore && sentinel.getBoundingClientRect().top < innerHeight + 200) more();
  };

  const begin = () => {
    list = make('div', {'data-e2e': kind.mark + '-list', id: kind.mark + '-list',
      class: css('DivVideoFeedV2')}, main);
    sentinel = make('div', {class: css('DivLoadMore')}, main);
    addEventListener('scroll', check, {passive: true});
    addEventListener('resize', check);
    more();
  };
  const top = () => make('div', {class: css('DivShareLayoutHeader')}, main);
  const unread = () => fail('Something went wrong', 'Sorry about that! Please try again later.');
  const ask_detail = (address, use) => {
    const detail = new XMLHttpRequest();
    detail.open('GET', address + '?' + common() + '&' + page.ask);
    detail.onload = () => {
      let answer = {};
      try { answer = JSON.parse(detail.responseText || '{}'); } catch (error) { /* as if empty */ }
      use(answer);
    };
    detail.send();
  };
  const begin_challenge = (title, nPosts) => {
    document.title = '#' + title + ' | TikTok';
    const head = top();
    make('h1', {'data-e2e': 'challenge-title'}, head, '#' + title);
    make('h2', {'data-e2e': 'challenge-vvcount', title: 'posts'}, head,
      shorten(nPosts) + ' posts');
    begin();
  };
  const begin_user = (detail) => {
    if (detail.statusCode === 10222) {
      fail('This account is private', 'Follow this account to see their contents and likes.');
      return;
    }
    if (!detail.userInfo) { fail(kind.missing, 'Looking for videos?'); return; }
    const {user, stats} = detail.userInfo, head = top();
    listed = user.secUid;
    document.title = user.nickname + ' (@' + user.uniqueId + ') | TikTok';
    make('h1', {'data-e2e': 'user-title'}, head, user.uniqueId);
    make('h2', {'data-e2e': 'user-subtitle'}, head, user.nickname);
    for (const [mark, n] of [['following', stats.followingCount],
      ['followers', stats.followerCount], ['likes', stats.heartCount]])
      make('strong', {'data-e2e': mark + '-count'}, head, shorten(n));
    make('h2', {'data-e2e': 'user-bio'}, head, user.signature || 'No bio yet.');
    begin();
  };
  const begin_music = (detail) => {
    if (!detail.musicInfo) {
      if (detail.statusCode) fail(kind.missing, 'Check out trending videos on TikTok.');
      else unread();
      return;
    }
    const {music, stats} = detail.musicInfo, head = top();
    listed = music.id;
    document.title = music.title + ' created by ' + music.authorName + ' | TikTok';
    make('h1', {'data-e2e': 'music-title'}, head, music.title);
    make('h2', {'data-e2e': 'music-creator'}, head, music.authorName);
    make('h2', {'data-e2e': 'music-video-count'}, head, shorten(stats.videoCount) + ' videos');
    begin();
  };
  if (page.kind === 'user') {
    begin_user(scope['webapp.user-detail']);
  } else if (page.kind === 'music') {
    if (scope['webapp.music-detail']) begin_music(scope['webapp.music-detail']);
    else ask_detail('/api/music/detail/', begin_music);
  } else if (inlined) {
    begin_challenge(page.challengeName, inlined.length);
  } else {
    ask_detail('/api/challenge/detail/', (answer) => {
      if (answer.statusCode === 10205) {
        fail(kind.missing, 'Check out trending videos on TikTok.');
      } else if (!answer.challengeInfo) {
        unread();
      } else {
        listed = answer.challengeInfo.challenge.id;
        begin_challenge(answer.challengeInfo.challenge.title,
          answer.challengeInfo.stats.videoCount);
      }
    });
  }
})();
"""


@dataclass(frozen=True)
class Shell:
    """What every page of one server start shares; the class hash differs from start to start."""

    origin: str
    css_class: str


def tag_page(shell: Shell, name: str, *, variant: str, page_size: int, detail: Json | None) -> str:
    """The shell of /tag/NAME; no video is in it. `detail` is inlined for some hashtags."""
    scope = _scope(shell, f"{shell.origin}/tag/{name}")
    scope["webapp.page-context"] = {
        "kind": "challenge",
        "challengeName": name,
        "ask": f"challengeName={quote(name, safe='')}",
        "cardVariant": variant,
        "pageSize": page_size,
    }
    if detail is not None:
        scope["webapp.challenge-detail"] = detail
    return _listing_page(shell, scope)


def account_page(shell: Shell, handle: str, *, page_size: int, detail: Json) -> str:
    """The shell of /@NAME with the account's data; its cards always show counts.

    detail: a status alone where there is no such account.
    """
    scope = _scope(shell, f"{shell.origin}/@{handle}")
    scope["webapp.page-context"] = {"kind": "user", "cardVariant": "A", "pageSize": page_size}
    scope["webapp.user-detail"] = detail
    return _listing_page(shell, scope)


def sound_page(shell: Shell, sound_id: str, *, page_size: int, detail: Json | None) -> str:
    """The shell of /music/TITLE-ID; `detail` is inlined for some sounds, and asked for else."""
    scope = _scope(shell, f"{shell.origin}/music/{sound_id}")
    ask = f"musicId={sound_id}"
    context = {"kind": "music", "ask": ask, "cardVariant": "B", "pageSize": page_size}
    scope["webapp.page-context"] = context
    if detail is not None:
        scope["webapp.music-detail"] = detail
    return _listing_page(shell, scope)


def video_page(
    shell: Shell,
    video: ReplicaVideo,
    item: Json,
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


def saved_account_page(
    shell: Shell, account: ReplicaAccount, videos: Sequence[ReplicaVideo], detail: Json
) -> str:
    """An account's page as a browser saves it once it is scrolled to its end.

    The cards are drawn and show their counts; the data that came by request is not in it.
    """
    scope = _scope(shell, f"{shell.origin}/@{account.handle}")
    scope["webapp.user-detail"] = detail
    cards = "".join(_saved_card(shell, i, video) for i, video in enumerate(videos))
    body = (
        f'<div id="app"><h1 data-e2e="user-title">{account.handle}</h1>'
        f'<div id="user-post-item-list" data-e2e="user-post-item-list">{cards}</div></div>'
    )
    title = f"{account.nickname} (@{account.handle}) | TikTok"
    return _document(title, "", body + _hydration(scope))


def _saved_card(shell: Shell, index: int, video: ReplicaVideo) -> str:
    url = f"{shell.origin}/@{video.handle}/video/{video.tiktok_id}"
    words = html.escape(video.caption)
    alt = html.escape(
        f"{video.caption} created by {video.account.nickname} with {video.music.title}"
    )
    return (
        f'<div id="grid-item-container-{index}" class="{shell.css_class}-DivItemContainerV2">'
        f'<div data-e2e="user-post-item" role="button" tabindex="0"><a href="{url}">'
        f'<picture><img alt="{alt}" src="/obj/cover/{video.tiktok_id}.svg"></picture>'
        f'<strong data-e2e="video-views" class="video-count">{show_count(video.views)}</strong>'
        f'</a></div><div data-e2e="user-post-item-desc"><a title="{words}" href="{url}">'
        f'<span data-e2e="new-desc-span">{words}</span></a></div></div>'
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


def not_found() -> Reply:
    return page_reply(notice_page("Page not available", "Sorry about that!"), status=404)


def _article(shell: Shell, index: int, video: ReplicaVideo, stats: Json) -> str:
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
        f'<a data-e2e="video-music" href="/music/{video.music.slug}">'
        f"{html.escape(video.music.title)}</a>{counts}</article>"
    )


def _search_copies(video: ReplicaVideo, stats: Json) -> str:
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


def _listing_page(shell: Shell, scope: Json) -> str:
    script = f'<script src="/static/listing.{shell.css_class}.js"></script>'
    body = f'<div id="app"></div>{_hydration(scope)}{script}'
    return _document("TikTok - Make Your Day", "", body)


def _scope(shell: Shell, canonical: str) -> Json:
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


def _hydration(scope: Json) -> str:
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
