"""The two scripts that run inside a page that lists videos, and what they bring back.

Everything that comes back is under the page's control: it is read as text, never run or followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scraper.items import MAX_CAPTION_CHARS

# Runs before any script of the page: keeps the bodies of the page's own listing requests, which
# hold exact ids, times and counts. It changes no request and asks for nothing itself.
HOOK = """
(() => {
  const kept = [];
  let nPending = 0, nGone = 0;
  // A body is let go when it is known to have arrived: a dialog may cut off whoever fetches it.
  const take = (nKnown) => {
    nGone += kept.splice(0, Math.max(0, nKnown - nGone)).length;
    return {bodies: kept.slice(), nPending};
  };
  const wanted = /\\/api\\/((challenge|post|music)\\/item_list|(challenge|user|music)\\/detail)\\//;
  const keep = (url, status, body, retry) => {
    if (kept.length < 200 && body.length <= 8388608) kept.push({url, status, body, retry});
  };
  Object.defineProperty(window, KEY, {value: take});
  const fetched = window.fetch;
  window.fetch = async function (...given) {
    const isWanted = wanted.test(String((given[0] && given[0].url) || given[0]));
    const done = () => { nPending -= isWanted; };
    nPending += isWanted;
    let reply;
    try { reply = await fetched.apply(this, given); } catch (error) { done(); throw error; }
    try {
      if (wanted.test(reply.url)) {
        const url = reply.url, status = reply.status, retry = reply.headers.get('retry-after');
        reply.clone().text().then((body) => keep(url, status, body, retry)).then(done, done);
      } else done();
    } catch (error) { done(); /* the page must not notice */ }
    return reply;
  };
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...given) {
    this.addEventListener('load', () => {
      try {
        if (wanted.test(this.responseURL) && ['', 'text'].includes(this.responseType))
          keep(this.responseURL, this.status, this.responseText,
            this.getResponseHeader('retry-after'));
      } catch (error) { /* the page must not notice */ }
    });
    return send.apply(this, given);
  };
})();
"""

# Waits inside the page, so that one call over the wire does per step. The pause at the end lets
# the page draw the cards of a body that has just come.
LOOK = """
const [key, waitMs, nSeen, page, nKnown, done] = arguments;
const marked = (root, name) => root.querySelector('[data-e2e="' + name + '"]');
const boxes = () => document.querySelectorAll(
  '[data-e2e="challenge-item"], [data-e2e="user-post-item"], [data-e2e="music-item"]');
const deadline = performance.now() + waitMs;
let kept = [], nPending = 0;
const drain = () => {
  if (!window[key]) return;
  const found = window[key](page === performance.timeOrigin ? nKnown : 0);
  kept = found.bodies;
  nPending = found.nPending;
};
// Half of a character, whether written so or cut here, would not come through the wire.
const whole = (text) => text.toWellFormed ? text.toWellFormed() : text;
const plain = (text, most) => whole(text.slice(0, most));
const read = () => {
  drain();
  const cards = [...boxes()].slice(-1000).map((box) => {
    const link = box.querySelector('a[href*="/video/"], a[href*="/photo/"]');
    const views = marked(box, 'video-views');
    const title = (box.parentElement || box)
      .querySelector('[data-e2e$="-item-desc"] a[title]');
    return {
      href: link ? plain(link.getAttribute('href'), 500) : '',
      views: views ? plain(views.textContent, 100) : null,
      caption: title ? plain(title.getAttribute('title'), 10000) : '',
    };
  });
  const visit = performance.getEntriesByType('navigation')[0];
  const has = (selector) => document.querySelector(selector) !== null;
  const state = document.getElementById('__UNIVERSAL_DATA_FOR_REHYDRATION__');
  done({
    bodies: kept.map((body) => ({...body, body: whole(body.body)})),
    cards,
    pending: nPending,
    page: performance.timeOrigin,
    url: location.href,
    status: visit ? visit.responseStatus : 0,
    title: plain(document.title, 200),
    text: cards.length || !document.body ? '' : plain(document.body.innerText, 1000),
    captcha: has('#tiktok-verify-ele, div[class*="captcha"]'),
    waf: has('#cs.BASE64, #wci'),
    login: has('[data-e2e="modal-close-inner-button"], [data-e2e="login-modal"]'),
    hydration: state && nSeen === 0 ? plain(state.textContent, 8388608) : '',
  });
};
let soon = deadline;
const look = () => {
  drain();
  const now = performance.now();
  const isListed = kept.some((body) => body.url.includes('/item_list/'));
  if (isListed || boxes().length > nSeen) { setTimeout(read, 60); return; }
  // The page's detail comes first, and its listing at once after it, or never.
  if (kept.length) soon = Math.min(soon, now + 500);
  if (now >= soon) read();
  else setTimeout(look, 20);
};
look();
"""

SCROLL = "window.scrollTo(0, document.documentElement.scrollHeight);"
# A list that is at its end already gets no scroll event; a step back and forth gives it two.
NUDGE = "window.scrollBy(0, -400); setTimeout(() => {" + SCROLL + "}, 50);"


@dataclass(frozen=True)
class Body:
    """The reply to one of the page's own requests; retry_after is that header, or empty."""

    url: str
    status: int
    text: str
    retry_after: str = ""


@dataclass(frozen=True)
class Card:
    """A video as it is drawn; views_text is None on cards that show no count."""

    href: str
    views_text: str | None
    caption: str


@dataclass(frozen=True)
class PageLook:
    """What is to be seen on a page at one moment; `text` only where no card is.

    is_waiting: the page works on a proof that it wants; asks_login: it shows the sign-in dialog.
    n_pending: the page's own requests for more that have not been answered to their end.
    page: another number after each navigation.
    """

    bodies: tuple[Body, ...]
    cards: tuple[Card, ...]
    url: str
    status: int
    title: str
    text: str
    has_captcha: bool
    is_waiting: bool
    asks_login: bool
    n_pending: int
    page: float
    hydration: str


def read_look(found: object) -> PageLook:
    """Read what LOOK gave back, whatever the page made of it: it may have cut nothing."""
    raw: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return PageLook(
        bodies=tuple(
            Body(
                url=_text(body.get("url")),
                status=_number(body.get("status")),
                text=_text(body.get("body")),
                retry_after=_text(body.get("retry"))[:100],
            )
            for body in _objects(raw.get("bodies"))
        ),
        cards=tuple(
            Card(
                href=_text(card.get("href"))[:500],
                views_text=card["views"][:100] if isinstance(card.get("views"), str) else None,
                caption=_text(card.get("caption"))[:MAX_CAPTION_CHARS],
            )
            for card in _objects(raw.get("cards"))
        ),
        url=_text(raw.get("url")),
        status=_number(raw.get("status")),
        title=_text(raw.get("title"))[:200],
        text=_text(raw.get("text"))[:1_000],
        has_captcha=bool(raw.get("captcha")),
        is_waiting=bool(raw.get("waf")),
        asks_login=bool(raw.get("login")),
        n_pending=_number(raw.get("pending")),
        page=raw["page"] if isinstance(raw.get("page"), (int, float)) else 0.0,
        hydration=_text(raw.get("hydration")),
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
