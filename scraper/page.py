"""Read what a hashtag's page shows: parts of its listing, its cards, or why there are none."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from scraper.capture import Body, Card, Look
from scraper.errors import BadId, Blocked, NoSuchHashtag, PageChanged, SiteFailed
from scraper.items import (
    Json,
    Rejected,
    Sighting,
    Source,
    check_id,
    child,
    clean_text,
    find_hashtags,
    read_item,
    read_text_count,
)
from scraper.replies import check_status, mark_of_title, read_answer

CARD_PATH = re.compile(r"/@([\w.-]*)/(video|photo)/([0-9]{15,20})/?(?:\?.*)?")
ENDS = (False, 0, "0", None)


@dataclass(frozen=True)
class ItemList:
    """One part of a hashtag's listing."""

    sightings: tuple[Sighting, ...]
    rejected: tuple[Rejected, ...]
    has_more: bool


@dataclass(frozen=True)
class CardFacts:
    """A card that leads to a video; views_text is None where it shows no count."""

    tiktok_id: str
    handle: str | None
    caption: str
    views_text: str | None


def check_look(look: Look, name: str) -> None:
    """Raise Blocked, SiteFailed or NoSuchHashtag if the page tells us so in place of a listing."""
    where = f"the page of #{name}"
    check_status(look.status, where)
    if look.has_captcha:
        raise Blocked(f"{where} shows a captcha", mark="captcha")
    if look.is_waiting:
        raise Blocked(f"{where} waits for a proof that we are no program", mark="waf")
    mark = None if look.cards else mark_of_title(look.title)
    if "/login" in look.url:
        mark = "login"
    if mark is not None:
        raise Blocked(f"{where} is {look.title[:80]!r} ({mark})", mark=mark)
    text = look.text.replace("\u2019", "'")
    if "Couldn't find this hashtag" in text:
        raise NoSuchHashtag(f"the site has no hashtag {name!r}")
    if "Something went wrong" in text or "Page not available" in text:
        raise SiteFailed(f"{where} says {text.strip()[:80]!r}")


def check_bare(look: Look, name: str) -> NoReturn:
    """Raise Blocked or PageChanged for a page that stays without videos and says nothing of it."""
    if not look.title.strip() and not look.text.strip():
        raise Blocked(f"the page of #{name} has nothing in it", mark="empty")
    raise PageChanged(f"the page of #{name} has neither videos nor a word why")


def read_hydrated_items(scope: Json, *, observed_at: datetime) -> ItemList:
    """Read the videos that some visitors get with the page itself; often none."""
    found = scope.get("webapp.updated-items")
    if not isinstance(found, list):
        found = child(scope, "webapp.challenge-detail").get("itemList")
    return _read_items(found, "hydration", observed_at, has_more=True)


def read_item_list(body: Body, *, observed_at: datetime) -> ItemList:
    """Read one reply to the page's listing requests. Raises Blocked, SiteFailed, PageChanged."""
    answer = read_answer(body)
    found = next((answer[k] for k in ("itemList", "items", "item_list") if k in answer), None)
    more = next((answer[k] for k in ("hasMore", "has_more") if k in answer), found is not None)
    if found is None and more not in ENDS:
        raise PageChanged("the listing has neither itemList nor a word that it is at its end")
    return _read_items(found, "xhr", observed_at, has_more=more not in ENDS)


def read_tag_cards(cards: Iterable[Card]) -> tuple[list[CardFacts], list[Rejected]]:
    """Read the drawn cards: those that lead to a video, and the rest with the reason."""
    facts, rejected = [], []
    for card in cards:
        # The address may be absolute; only its path is looked at, and it is never followed.
        match = CARD_PATH.fullmatch(re.sub(r"^https?://[^/]+", "", card.href))
        if match is None:
            rejected.append(Rejected("no_link", None))
            continue
        handle, kind, tiktok_id = match.groups()
        try:
            check_id(tiktok_id)
        except BadId:
            rejected.append(Rejected("bad_id", None))
            continue
        if kind == "photo":
            rejected.append(Rejected("photo", tiktok_id))
            continue
        views = None if card.views_text is None else clean_text(card.views_text).strip()
        facts.append(CardFacts(tiktok_id, handle or None, clean_text(card.caption), views))
    return facts, rejected


def card_sighting(card: CardFacts, *, observed_at: datetime) -> Sighting | Rejected:
    """Make do with what a card shows, where no JSON came for it."""
    if card.views_text is None:
        return Rejected("no_count", card.tiktok_id)
    count = read_text_count(card.views_text)
    return Sighting(
        tiktok_id=card.tiktok_id,
        handle=card.handle,
        caption=card.caption,
        hashtags=find_hashtags(card.caption),
        posted_at=None,
        duration_s=None,
        width_px=None,
        height_px=None,
        display_text=card.views_text,
        views_k=count.views_k if count else None,
        step_k=count.step_k if count else None,
        source="dom",
        observed_at=observed_at,
    )


def _read_items(found: object, source: Source, at: datetime, *, has_more: bool) -> ItemList:
    items = found if isinstance(found, list) else []
    read = [read_item(raw, source=source, observed_at=at) for raw in items]
    return ItemList(
        sightings=tuple(item for item in read if isinstance(item, Sighting)),
        rejected=tuple(item for item in read if isinstance(item, Rejected)),
        has_more=has_more,
    )
