"""Read pages and replies of the site: a listing, its cards, a video, or why there is none.

A listing is a hashtag's, an account's or a sound's page; what is read of its videos is the same.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NoReturn

from catalog.facts import AccountFacts, SoundFacts
from catalog.files import clean_text
from scraper.errors import (
    BadId,
    Blocked,
    BlockMark,
    NoMedia,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    PageChanged,
    PrivateAccount,
    PrivateVideo,
    RegionLocked,
    ScrapeError,
    SiteFailed,
    VideoGone,
    VideoUnavailable,
)
from scraper.files.http import parse_retry_after
from scraper.items import (
    Json,
    Rejected,
    Sighting,
    Source,
    check_id,
    child,
    find_hashtags,
    load_json,
    page_handle,
    read_account,
    read_item,
    read_sound,
    read_text_count,
)
from scraper.visit.capture import Body, Card, PageLook

PageKind = Literal["hashtag", "account", "sound"]

HYDRATION = re.compile(
    # Programs that save pages leave out the quotes, or write others.
    r"<script\b[^>]*\bid=[\"']?__UNIVERSAL_DATA_FOR_REHYDRATION__\b[^>]*>(.*?)</script>",
    re.DOTALL,
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
NO_SUCH_ACCOUNT, NO_SUCH_SOUND = 10221, 10218
PRIVATE_POST, PRIVATE_ACCOUNT, REGION_LOCKED = 10216, 10222, 10231
# Deleted, but also how the site answers an address that it has blocked; only the words tell.
NOT_AVAILABLE = 10204
DELETED_WORDS = ("doesn't exist", "not exist", "deleted", "removed")
CARD_PATH = re.compile(r"/@([\w.-]*)/(video|photo)/([0-9]{15,20})/?(?:\?.*)?")
ENDS = (False, 0, "0", None)
# The part of the site's own address of requests for a kind of page, and of the page's own data.
API: dict[PageKind, str] = {
    "hashtag": "/api/challenge/",
    "account": "/api/post/",
    "sound": "/api/music/",
}
DETAILS: dict[PageKind, str] = {
    "hashtag": "/api/challenge/detail/",
    "account": "/api/user/detail/",
    "sound": "/api/music/detail/",
}
# What a page says in place of its videos.
WORDS: dict[str, type[ScrapeError]] = {
    "Couldn't find this hashtag": NoSuchHashtag,
    "Couldn't find this account": NoSuchAccount,
    "Couldn't find this sound": NoSuchSound,
    "This account is private": PrivateAccount,
}
STATUSES: dict[object, type[ScrapeError]] = {
    NO_SUCH_HASHTAG: NoSuchHashtag,
    NO_SUCH_ACCOUNT: NoSuchAccount,
    NO_SUCH_SOUND: NoSuchSound,
    PRIVATE_ACCOUNT: PrivateAccount,
}
REFUSED: dict[type[ScrapeError], str] = {
    NoSuchHashtag: "the site has no such hashtag",
    NoSuchAccount: "the site has no such account",
    NoSuchSound: "the site has no such sound",
    PrivateAccount: "the account is private",
}


@dataclass(frozen=True)
class ListingPage:
    """A page that lists videos; name: the hashtag, the account's name or the sound's id."""

    kind: PageKind
    name: str

    @property
    def where(self) -> str:
        """The page in a message. An account is not named: messages are kept."""
        if self.kind == "account":
            return "the account's page"
        return f"the page of {'#' if self.kind == 'hashtag' else 'sound '}{self.name}"


@dataclass(frozen=True)
class PageFacts:
    """What a page says of the account or the sound that it is about."""

    account: AccountFacts | None
    sound: SoundFacts | None
    source: Source
    observed_at: datetime


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


@dataclass(frozen=True)
class ItemList:
    """One part of a listing; oldest_at: when the oldest of it was posted that is not pinned."""

    sightings: tuple[Sighting, ...]
    rejected: tuple[Rejected, ...]
    has_more: bool
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class CardFacts:
    """A card that leads to a video; views_text is None where it shows no count."""

    tiktok_id: str
    handle: str | None
    caption: str
    views_text: str | None


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
    # Its title is a caption or somebody's name, and messages are kept.
    raise PageChanged(f"a page without hydration data, its title of {len(shown)} characters")


def read_answer(body: Body) -> Json:
    """Read a reply's JSON, and raise what its status says."""
    where = "the listing" if "item_list" in body.url else "the page's detail"
    check_status(body.status, where, body.retry_after)
    if not body.text.strip():
        raise Blocked(f"{where} came back empty", mark="empty")
    answer = load_json(body.text)
    code = answer.get("statusCode", answer.get("status_code", 0))
    if answer.get("type") == "verify":
        raise Blocked(f"{where} asks for a proof that we are no program", mark="verify")
    if code == CAPTCHA_STATUS:
        raise Blocked(f"{where} asks for a captcha (status {code})", mark="captcha")
    check_code(code)
    if code not in (0, "0"):
        raise SiteFailed(f"{where} has status {_shown(code)} instead of 0")
    return answer


def check_code(code: object) -> None:
    """Raise what a status says of the hashtag, account or sound that was asked for."""
    error = STATUSES.get(code) if isinstance(code, int) else None
    if error is not None:
        raise error(f"{REFUSED[error]} (status {code})")


def read_scope_facts(scope: Json, page: ListingPage, *, observed_at: datetime) -> PageFacts | None:
    """Read what a page's own data say of its account or sound; None where they say nothing.

    Raises Blocked, NoSuchAccount, NoSuchSound, PrivateAccount.
    """
    if page.kind == "hashtag":
        return None
    name = "webapp.user-detail" if page.kind == "account" else "webapp.music-detail"
    detail = child(scope, name)
    code = detail.get("statusCode", 0)
    if code == CAPTCHA_STATUS:
        raise Blocked(f"{page.where} asks for a captcha (status {code})", mark="captcha")
    check_code(code)
    return read_detail(detail, page, source="hydration", observed_at=observed_at)


def read_detail(
    detail: Json, page: ListingPage, *, source: Source, observed_at: datetime
) -> PageFacts | None:
    """Read the object of an account or a sound; None where it is another's or says nothing."""
    account, sound = None, None
    if page.kind == "account":
        info = child(detail, "userInfo")
        user = child(info, "user")
        if (page_handle(user) or "").casefold() == page.name.casefold():
            account = read_account(user, info.get("statsV2"), info.get("stats"))
    elif page.kind == "sound":
        info = child(detail, "musicInfo")
        music = child(info, "music")
        if str(music.get("id")) == page.name:
            sound = read_sound(music, info.get("statsV2"), info.get("stats"))
    return PageFacts(account, sound, source, observed_at) if account or sound else None


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


def check_look(look: PageLook, page: ListingPage) -> None:
    """Raise what the page tells us in place of a listing.

    Raises Blocked, SiteFailed, NoSuchHashtag, NoSuchAccount, NoSuchSound, PrivateAccount.
    """
    where = page.where
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
    for words, error in WORDS.items():
        if words in text:
            raise error(f"{REFUSED[error]}: {where} says {words!r}")
    # Only these words: before them the page of an account has its names, and messages are kept.
    for words in ("Something went wrong", "Page not available"):
        if words in text:
            raise SiteFailed(f"{where} says {words!r}")


def check_bare(look: PageLook, page: ListingPage) -> NoReturn:
    """Raise Blocked or PageChanged for a page that stays without videos and says nothing of it."""
    if not look.title.strip() and not look.text.strip():
        raise Blocked(f"{page.where} has nothing in it", mark="empty")
    raise PageChanged(f"{page.where} has neither videos nor a word why")


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


def read_cards(cards: Iterable[Card]) -> tuple[list[CardFacts], list[Rejected]]:
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
    times = [
        item.posted_at
        for raw, item in zip(items, read, strict=True)
        if isinstance(item, Sighting) and item.posted_at and not raw.get("isPinnedItem")
    ]
    return ItemList(
        sightings=tuple(item for item in read if isinstance(item, Sighting)),
        rejected=tuple(item for item in read if isinstance(item, Rejected)),
        has_more=has_more,
        oldest_at=min(times, default=None),
    )


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


def _shown(value: object) -> str:
    return repr(value)[:80]
