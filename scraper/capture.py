"""The two scripts that run inside a hashtag's page, and what they bring back.

Everything that comes back is under the page's control: it is read as text, never run or followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Runs before any script of the page: keeps the bodies of the page's own listing requests, which
# hold exact ids, times and counts. It changes no request and asks for nothing itself.
HOOK = """
(() => {
  const kept = [];
  const wanted = /\\/api\\/challenge\\/(item_list|detail)\\//;
  const keep = (url, status, body) => {
    if (kept.length < 200 && body.length <= 8388608) kept.push({url, status, body});
  };
  Object.defineProperty(window, KEY, {value: () => kept.splice(0)});
  const fetched = window.fetch;
  window.fetch = async function (...given) {
    const reply = await fetched.apply(this, given);
    try {
      if (wanted.test(reply.url)) {
        const url = reply.url, status = reply.status;
        reply.clone().text().then((body) => keep(url, status, body), () => {});
      }
    } catch (error) { /* the page must not notice */ }
    return reply;
  };
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...given) {
    this.addEventListener('load', () => {
      try {
        if (wanted.test(this.responseURL) && ['', 'text'].includes(this.responseType))
          keep(this.responseURL, this.status, this.responseText);
      } catch (error) { /* the page must not notice */ }
    });
    return send.apply(this, given);
  };
})();
"""

# Waits inside the page, so that one call over the wire does per step. The pause at the end lets
# the page draw the cards of a body that has just come.
LOOK = """
const [key, waitMs, nSeen, done] = arguments;
const marked = (root, name) => root.querySelector('[data-e2e="' + name + '"]');
const boxes = () => document.querySelectorAll('[data-e2e="challenge-item"]');
const deadline = performance.now() + waitMs;
const kept = [];
const read = () => {
  kept.push(...(window[key] ? window[key]() : []));
  const cards = [...boxes()].slice(-1000).map((box) => {
    const link = box.querySelector('a[href*="/video/"], a[href*="/photo/"]');
    const views = marked(box, 'video-views');
    const title = (box.parentElement || box)
      .querySelector('[data-e2e="challenge-item-desc"] a[title]');
    return {
      href: link ? link.getAttribute('href').slice(0, 500) : '',
      views: views ? views.textContent.slice(0, 100) : null,
      caption: title ? title.getAttribute('title').slice(0, 10000) : '',
    };
  });
  const visit = performance.getEntriesByType('navigation')[0];
  const has = (selector) => document.querySelector(selector) !== null;
  const state = document.getElementById('__UNIVERSAL_DATA_FOR_REHYDRATION__');
  done({
    bodies: kept, cards,
    url: location.href,
    status: visit ? visit.responseStatus : 0,
    title: document.title.slice(0, 200),
    text: cards.length || !document.body ? '' : document.body.innerText.slice(0, 1000),
    captcha: has('#tiktok-verify-ele, div[class*="captcha"], #cs.BASE64'),
    hydration: state && nSeen === 0 ? state.textContent.slice(0, 8388608) : '',
  });
};
const look = () => {
  if (window[key]) kept.push(...window[key]());
  const late = performance.now() >= deadline;
  if (kept.length || boxes().length > nSeen) setTimeout(read, 60);
  else if (late) read();
  else setTimeout(look, 20);
};
look();
"""

SCROLL = "window.scrollTo(0, document.documentElement.scrollHeight);"
# A list that is at its end already gets no scroll event; a step back and forth gives it two.
NUDGE = "window.scrollBy(0, -400); setTimeout(() => {" + SCROLL + "}, 50);"


@dataclass(frozen=True)
class Body:
    """The reply to one of the page's own requests."""

    url: str
    status: int
    text: str


@dataclass(frozen=True)
class Card:
    """A video as it is drawn; views_text is None on cards that show no count."""

    href: str
    views_text: str | None
    caption: str


@dataclass(frozen=True)
class Look:
    """What is to be seen on a page at one moment; `text` only where no card is."""

    bodies: tuple[Body, ...]
    cards: tuple[Card, ...]
    url: str
    status: int
    title: str
    text: str
    has_captcha: bool
    hydration: str


def read_look(found: object) -> Look:
    """Read what LOOK gave back, whatever the page made of it."""
    raw: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return Look(
        bodies=tuple(
            Body(_text(body.get("url")), _number(body.get("status")), _text(body.get("body")))
            for body in _objects(raw.get("bodies"))
        ),
        cards=tuple(
            Card(
                href=_text(card.get("href")),
                views_text=card["views"] if isinstance(card.get("views"), str) else None,
                caption=_text(card.get("caption")),
            )
            for card in _objects(raw.get("cards"))
        ),
        url=_text(raw.get("url")),
        status=_number(raw.get("status")),
        title=_text(raw.get("title")),
        text=_text(raw.get("text")),
        has_captcha=bool(raw.get("captcha")),
        hydration=_text(raw.get("hydration")),
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
