"""Read the text of pages and replies: hydration data, listings, cards, a video's own page."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from scraper.capture import Body, Card, Look
from scraper.errors import (
    BadId,
    Blocked,
    NoMedia,
    NoSuchHashtag,
    PageChanged,
    ScrapeError,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.items import (
    Json,
    Rejected,
    Sighting,
    Source,
    check_id,
    child,
    clean_text,
    find_hashtags,
    load_json,
    read_item,
    read_text_count,
)

HYDRATION = re.compile(
    r"<script\b[^>]*\bid=\"__UNIVERSAL_DATA_FOR_REHYDRATION__\"[^>]*>(.*?)</script>", re.DOTALL
)
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
CAPTCHA = re.compile(
    r"<div\b[^>]*\bid=\"tiktok-verify-ele\"|<div\b[^>]*\bclass=\"[^\"]*captcha|\bclass=\"BASE64\""
)
CARD_PATH = re.compile(r"/@([\w.-]*)/(video|photo)/([0-9]{15,20})/?(?:\?.*)?")
BLOCKED_TITLES = ("Access Denied", "Log in", "Please wait", "Verify to continue")
CAPTCHA_STATUS, NO_SUCH_HASHTAG = 10000, 10205
# By status code: private post, unknown or private account.
GONE = (10216, 10221, 10222)
# Deleted, but also how the site answers an address that it has blocked; only the words tell.
NOT_AVAILABLE = 10204
DELETED_WORDS = ("doesn't exist", "not exist", "deleted", "removed")


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


@dataclass(frozen=True)
class PlayUrl:
    """An address of a video's file; n_bytes is what the site announces, None if it does not."""

    url: str
    codec: str
    n_bytes: int | None


@dataclass(frozen=True)
class VideoPage:
    """A video's own page; play_urls is best first and good for this visitor, for hours."""

    tiktok_id: str
    url: str
    sighting: Sighting
    play_urls: tuple[PlayUrl, ...]


def check_status(status: int, where: str) -> None:
    """Raise Blocked or SiteFailed for an HTTP status that is no page; 0 means not known."""
    if status in (401, 403, 429):
        raise Blocked(f"{where} answered {status}")
    if status >= 400:
        raise SiteFailed(f"{where} answered {status} instead of 200")


def check_look(look: Look, name: str) -> None:
    """Raise Blocked, SiteFailed or NoSuchHashtag if the page tells us so in place of a listing."""
    where = f"the page of #{name}"
    check_status(look.status, where)
    if look.has_captcha:
        raise Blocked(f"{where} shows a captcha")
    if "/login" in look.url or (not look.cards and look.title.startswith(BLOCKED_TITLES)):
        raise Blocked(f"{where} is {look.title!r}")
    text = look.text.replace("\u2019", "'")
    if "Couldn't find this hashtag" in text:
        raise NoSuchHashtag(f"the site has no hashtag {name!r}")
    if "Something went wrong" in text or "Page not available" in text:
        raise SiteFailed(f"{where} says {text.strip()[:80]!r}")


def read_scope(text: str) -> Json:
    """Read the hydration script's text into the data by part of the page. Raises PageChanged."""
    scope = child(load_json(text), "__DEFAULT_SCOPE__")
    if not scope:
        raise PageChanged("hydration data without __DEFAULT_SCOPE__")
    return scope


def read_hydration(html: str) -> Json:
    """Find and read the hydration data of a page. Raises Blocked and PageChanged."""
    match = HYDRATION.search(html)
    if match is None:
        title = TITLE.search(html)
        shown = title[1].strip() if title else ""
        if CAPTCHA.search(html) or shown.startswith(BLOCKED_TITLES):
            raise Blocked(f"a page {shown!r} in place of the one asked for")
        raise PageChanged(f"a page {shown!r} without hydration data")
    return read_scope(match[1])


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
    more = answer.get("hasMore", answer.get("has_more", False))
    return _read_items(found, "xhr", observed_at, has_more=more not in (False, 0, "0", None))


def read_answer(body: Body) -> Json:
    """Read a reply's JSON, and raise what its status says."""
    where = "the listing" if "item_list" in body.url else "the hashtag's detail"
    check_status(body.status, where)
    if not body.text.strip():
        raise Blocked(f"{where} came back empty")
    answer = load_json(body.text)
    code = answer.get("statusCode", answer.get("status_code", 0))
    if answer.get("type") == "verify" or code == CAPTCHA_STATUS:
        raise Blocked(f"{where} asks for a captcha")
    if code == NO_SUCH_HASHTAG:
        raise NoSuchHashtag(f"the site has no such hashtag (status {code})")
    if code not in (0, "0"):
        raise SiteFailed(f"{where} has status {code!r} instead of 0")
    return answer


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


def read_video_page(html: str, tiktok_id: str, url: str, *, observed_at: datetime) -> VideoPage:
    """Read a video's page and where its file is.

    Raises VideoGone, VideoUnavailable, NoMedia, Blocked, PageChanged.
    """
    detail = child(read_hydration(html), "webapp.video-detail")
    if not detail:
        raise PageChanged(f"the page of video {tiktok_id} has no webapp.video-detail")
    code = detail.get("statusCode", 0)
    raw = child(child(detail, "itemInfo"), "itemStruct")
    if code not in (0, "0") or not raw:
        raise _refusal(tiktok_id, code, str(detail.get("statusMsg", "")))
    if raw.get("id") != tiktok_id:
        raise PageChanged(f"the page of video {tiktok_id} shows {str(raw.get('id'))[:40]!r}")
    sighting = read_item(raw, source="hydration", observed_at=observed_at)
    if isinstance(sighting, Rejected):
        raise _rejection(tiktok_id, sighting.reason)
    play_urls = _read_play_urls(child(raw, "video"))
    if not play_urls:
        raise NoMedia(f"video {tiktok_id} has no address to play from")
    return VideoPage(tiktok_id, url, sighting, play_urls)


def _rejection(tiktok_id: str, reason: str) -> ScrapeError:
    if reason == "emptied":
        return Blocked(f"video {tiktok_id} is only shown to who has signed in")
    if reason in ("private", "taken_down"):
        return VideoUnavailable(f"video {tiktok_id} is not public: {reason}")
    return NoMedia(f"video {tiktok_id} is no plain video: {reason}")


def _refusal(tiktok_id: str, code: object, words: str) -> ScrapeError:
    if code == CAPTCHA_STATUS:
        return Blocked(f"the page of video {tiktok_id} asks for a captcha")
    is_deleted = code == NOT_AVAILABLE and any(w in words.lower() for w in DELETED_WORDS)
    if code in GONE or is_deleted:
        return VideoGone(f"video {tiktok_id} is gone or private (status {code})")
    if code in (0, "0"):
        return PageChanged(f"the page of video {tiktok_id} has status 0 and no itemStruct")
    return VideoUnavailable(f"video {tiktok_id} is not shown to us (status {code!r})")


def _read_items(found: object, source: Source, at: datetime, *, has_more: bool) -> ItemList:
    items = found if isinstance(found, list) else []
    read = [read_item(raw, source=source, observed_at=at) for raw in items]
    return ItemList(
        sightings=tuple(item for item in read if isinstance(item, Sighting)),
        rejected=tuple(item for item in read if isinstance(item, Rejected)),
        has_more=has_more,
    )


def _read_play_urls(video: Json) -> tuple[PlayUrl, ...]:
    found: list[PlayUrl] = []
    qualities = video.get("bitrateInfo")
    for quality in qualities if isinstance(qualities, list) else []:
        if not isinstance(quality, Mapping):
            continue
        address = child(quality, "PlayAddr")
        urls = address.get("UrlList")
        codec, n_bytes = str(quality.get("CodecType")), _read_bytes(address.get("DataSize"))
        for url in urls if isinstance(urls, list) else []:
            if isinstance(url, str):
                found.append(PlayUrl(url, codec, n_bytes))
    if isinstance(play := video.get("playAddr"), str) and play:
        found.append(PlayUrl(play, str(video.get("codecType")), _read_bytes(video.get("size"))))
    # h264 plays everywhere; the site's own `bytevc2` plays nowhere. Else in the site's order.
    playable = [p for p in found if not p.codec.startswith("bytevc2")]
    first = sorted(playable, key=lambda p: p.codec != "h264")
    return tuple(
        {p.url: p for p in reversed(first)}[url] for url in dict.fromkeys(p.url for p in first)
    )


def _read_bytes(value: object) -> int | None:
    # A number on some pages and a text on others.
    text = str(value)
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,11}", text) else None
