"""Read what a hashtag's page shows: parts of its listing, its cards, or why there are none."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from catalog.files import clean_text
from scraper.capture import Body, Card, Look
from scraper.errors import (
    BadId,
    Blocked,
    BlockMark,
    NoMedia,
    NoSuchHashtag,
    PageChanged,
    PrivateVideo,
    RegionLocked,
    ScrapeError,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.http import parse_retry_after
from scraper.items import (
    Json,
    Rejected,
    Sighting,
    Source,
    check_id,
    child,
    find_hashtags,
    load_json,
    read_item,
    read_text_count,
)

HYDRATION = re.compile(
    r"<script\b[^>]*\bid=\"__UNIVERSAL_DATA_FOR_REHYDRATION__\"[^>]*>(.*?)</script>", re.DOTALL
)
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
CAPTCHA = re.compile(r"<div\b[^>]*\bid=\"tiktok-verify-ele\"|<div\b[^>]*\bclass=\"[^\"]*captcha")
TAG = re.compile(r"<[^<>]*>")
WAITING = re.compile(r"\bclass=\"BASE64\"")
# How a page begins its title that is there in place of the one asked for.
BLOCKED_TITLES: dict[str, BlockMark] = {
    "Access Denied": "forbidden",
    "Log in": "login",
    "Please wait": "waf",
    "Verify to continue": "captcha",
}
CAPTCHA_STATUS, NO_SUCH_HASHTAG = 10000, 10205


def check_status(status: int, where: str, retry_after: str = "") -> None:
    """Raise Blocked or SiteFailed for an HTTP status that is no page; 0 means not known."""
    wish_s = parse_retry_after(retry_after, datetime.now(UTC))
    # A site that is busy and says when to come again is one that has too much of us.
    if status == 429 or (status == 503 and wish_s is not None):
        raise Blocked(f"{where} answered {status}", mark="rate_limited", retry_after_s=wish_s)
    if status in (401, 403):
        raise Blocked(f"{where} answered {status}", mark="forbidden", retry_after_s=wish_s)
    if status >= 400:
        raise SiteFailed(f"{where} answered {status} instead of 200")


def mark_of_title(title: str) -> BlockMark | None:
    """Tell by a page's title why it is there in place of the one asked for; None: it is not."""
    found = (mark for start, mark in BLOCKED_TITLES.items() if title.startswith(start))
    return next(found, None)


def read_scope(text: str) -> Json:
    """Read the hydration script's text into the data by part of the page. Raises PageChanged."""
    scope = child(load_json(text), "__DEFAULT_SCOPE__")
    if not scope:
        raise PageChanged("hydration data without __DEFAULT_SCOPE__")
    return scope


def read_hydration(html: str) -> Json:
    """Find and read the hydration data of a page. Raises Blocked and PageChanged."""
    match = HYDRATION.search(html)
    if match is not None:
        return read_scope(match[1])
    title = TITLE.search(html)
    shown = title[1].strip()[:80] if title else ""
    mark = mark_of_title(shown)
    if CAPTCHA.search(html):
        mark = "captcha"
    elif WAITING.search(html):
        mark = "waf"
    if mark is not None:
        raise Blocked(f"a page {shown!r} in place of the one asked for ({mark})", mark=mark)
    if not TAG.sub("", html).strip():
        raise Blocked("a page with nothing in it", mark="empty")
    raise PageChanged(f"a page {shown!r} without hydration data")


def read_answer(body: Body) -> Json:
    """Read a reply's JSON, and raise what its status says."""
    where = "the listing" if "item_list" in body.url else "the hashtag's detail"
    check_status(body.status, where, body.retry_after)
    if not body.text.strip():
        raise Blocked(f"{where} came back empty", mark="empty")
    answer = load_json(body.text)
    code = answer.get("statusCode", answer.get("status_code", 0))
    if answer.get("type") == "verify":
        raise Blocked(f"{where} asks for a proof that we are no program", mark="verify")
    if code == CAPTCHA_STATUS:
        raise Blocked(f"{where} asks for a captcha (status {code})", mark="captcha")
    if code == NO_SUCH_HASHTAG:
        raise NoSuchHashtag(f"the site has no such hashtag (status {code})")
    if code not in (0, "0"):
        raise SiteFailed(f"{where} has status {_shown(code)} instead of 0")
    return answer


def _shown(value: object) -> str:
    return repr(value)[:80]


NO_SUCH_ACCOUNT = 10221
PRIVATE_POST, PRIVATE_ACCOUNT, REGION_LOCKED = 10216, 10222, 10231
# Deleted, but also how the site answers an address that it has blocked; only the words tell.
NOT_AVAILABLE = 10204
DELETED_WORDS = ("doesn't exist", "not exist", "deleted", "removed")


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


def read_video_page(html: str, tiktok_id: str, url: str, *, observed_at: datetime) -> VideoPage:
    """Read a video's page and where its file is; no play_urls where it names no file.

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
    return VideoPage(tiktok_id, url, sighting, _read_play_urls(child(raw, "video")))


def _rejection(tiktok_id: str, reason: str) -> ScrapeError:
    if reason == "emptied":
        words = f"video {tiktok_id} is only shown to who has signed in"
        return Blocked(words, mark="login")
    words = f"video {tiktok_id} is not public: {reason}"
    if reason == "private":
        return PrivateVideo(words)
    if reason == "taken_down":
        return VideoUnavailable(words)
    return NoMedia(f"video {tiktok_id} is no plain video: {reason}")


def _refusal(tiktok_id: str, code: object, words: str) -> ScrapeError:
    status = f"status {str(code)[:40]!r}"
    if code == CAPTCHA_STATUS:
        where = f"the page of video {tiktok_id}"
        return Blocked(f"{where} asks for a captcha ({status})", mark="captcha")
    is_deleted = code == NOT_AVAILABLE and any(w in words.lower() for w in DELETED_WORDS)
    if code == NO_SUCH_ACCOUNT or is_deleted:
        return VideoGone(f"video {tiktok_id} is gone ({status})")
    if code in (PRIVATE_POST, PRIVATE_ACCOUNT):
        return PrivateVideo(f"video {tiktok_id} is private ({status})")
    if code == REGION_LOCKED:
        return RegionLocked(f"video {tiktok_id} is not shown in this part of the world ({status})")
    if code in (0, "0"):
        return PageChanged(f"the page of video {tiktok_id} has status 0 and no itemStruct")
    return VideoUnavailable(f"video {tiktok_id} is not shown to us ({status})")


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
