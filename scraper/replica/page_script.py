"""What pages load: a style sheet, and a script that lists a hashtag's videos as one scrolls."""

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
