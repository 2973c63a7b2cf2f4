"""Read pages that a person saved, and HAR files that a browser recorded, into rows of videos."""

import base64
import binascii
import email
import email.policy
import json
import re
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path

from scraper.errors import Blocked, ImportRefused, PageChanged, RowRefused
from scraper.importers.envelopes import unfold, videos_of_state
from scraper.importers.opening import open_plain
from scraper.items import MAX_BODY_CHARS, Json, child, refuse_constant
from scraper.visit.capture import Card
from scraper.visit.page import CardFacts, read_cards, read_hydration

# A page is held in memory as a whole: the largest that were seen have some ten megabytes.
MAX_PAGE_BYTES = 64 * 1024 * 1024
STATES = frozenset({"SIGI_STATE", "__NEXT_DATA__"})
OLD_STATE = re.compile(r"\s*window(?:\.|\[['\"])SIGI_STATE(?:['\"]\])?\s*=\s*(?=\{)")
BOX = re.compile(
    r"(?:user-post|user-liked|challenge|music|favorites|explore|collection|playlist"
    r"|search_top|search_video)-item"
)
DESCRIPTION = re.compile(r"[a-z_-]+-item-desc")
SAVED_DATE = re.compile(r"saved date: \w{3} (\w{3} \d\d \d{4} [\d:]{8} GMT[+-]\d{4})", re.ASCII)
MHTML_MARKS = (b"From: <Saved by", b"Snapshot-Content-Location:", b"MIME-Version: 1.0")


def is_page(head: bytes) -> bool:
    """Say whether a file that begins so is an HTML page, or one packed as MHTML."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:2_000]
    is_packed = any(start.startswith(mark) for mark in MHTML_MARKS) and b"multipart/" in head
    return is_packed or re.match(rb"<(?:!doctype html|html|head|!--)", start, re.I) is not None


def read_page(path: Path) -> Iterator[Json | RowRefused]:
    """Give a saved page's videos as rows, and its cards that are none.

    Raises ImportRefused for a page without any.
    """
    with open_plain(path) as file:
        raw = file.read(MAX_PAGE_BYTES + 1)
    if len(raw) > MAX_PAGE_BYTES:
        raise ImportRefused(f"{path.name} has more than {MAX_PAGE_BYTES:,} bytes: no single page")
    html, saved_at = _html_of(raw)
    try:
        rows = list(videos_of_page(html))
    except (Blocked, PageChanged) as error:
        raise ImportRefused(f"{path.name}: {error}") from error
    for row in rows:
        if isinstance(row, RowRefused) or saved_at is None:
            yield row
        else:
            yield {"timestamp_collected": saved_at, **row}


def videos_of_page(html: str) -> Iterator[Json | RowRefused]:
    """Give the videos of a page: those of its state, and cards that are drawn beside them.

    Raises Blocked and PageChanged for a page that has none and says why.
    """
    parser = _PageParser()
    parser.feed(html)
    parser.close()
    problem: Blocked | PageChanged | None = None
    scope: Json = {}
    try:
        scope = read_hydration(html)
    except (Blocked, PageChanged) as error:
        problem = error
    videos = videos_of_state({"__DEFAULT_SCOPE__": scope})
    for text in parser.states:
        videos += _videos_of_old_state(text)
    cards, rejected = read_cards(parser.cards)
    if not (videos or cards or rejected):
        raise problem or PageChanged(f"a page {parser.title[:80]!r} without a video")
    yield from videos
    known = {_id_of(video) for video in videos}
    account = child(child(scope, "webapp.user-detail"), "userInfo")
    for card in cards:
        if card.tiktok_id not in known:
            known.add(card.tiktok_id)
            yield _row_of_card(card, account)
    for card_reject in rejected:
        if card_reject.tiktok_id not in known or card_reject.tiktok_id is None:
            words = f"a drawn card that leads to no video ({card_reject.reason})"
            yield RowRefused(card_reject.reason, words, card_reject.tiktok_id)


def read_har_entry(entry: Json) -> Iterator[Json | RowRefused]:
    """Give the videos in one answer that a browser recorded, told when it was asked for."""
    content = child(child(entry, "response"), "content")
    text = content.get("text")
    if not isinstance(text, str) or not text:
        return
    if content.get("encoding") == "base64":
        try:
            text = base64.b64decode(text, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return
    start = text[:200].lstrip("\ufeff \t\r\n")
    if len(text) > MAX_BODY_CHARS or start[:1] not in ("{", "[", "<"):
        return
    when = {"timestamp_collected": entry.get("startedDateTime")}
    if start[0] == "<":
        if "html" in str(content.get("mimeType")).lower():
            try:
                for row in videos_of_page(text):
                    yield row if isinstance(row, RowRefused) else {**when, **row}
            except (Blocked, PageChanged):
                return
        return
    try:
        answer = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return
    for row in unfold(answer if isinstance(answer, dict) else {"data": answer}) or []:
        yield {**when, **row}


def has_contents(entry: Json) -> bool:
    """Say whether a browser kept what was answered, which it does only where it is told to."""
    return bool(child(child(entry, "response"), "content").get("text"))


class _PageParser(HTMLParser):
    """Collect a page's states and drawn cards, whatever it is nested in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.states: list[str] = []
        self.title = ""
        self._cards: list[list[str | None]] = []  # address, count, caption
        self._text: list[str] | None = None  # of the element that is being read
        self._tag, self._depth, self._what = "", 0, ""
        self._is_in_description = False

    @property
    def cards(self) -> list[Card]:
        return [Card(href or "", views, caption or "") for href, views, caption in self._cards]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        mark = given.get("data-e2e") or ""
        if self._text is not None:
            self._depth += tag == self._tag
        elif tag == "script" and (given.get("id") in STATES or not given.get("src")):
            self._begin(tag, "state" if given.get("id") in STATES else "script")
        elif tag == "title":
            self._begin(tag, "title")
        elif mark == "video-views" and self._cards:
            self._begin(tag, "views")
        if BOX.fullmatch(mark):
            self._cards.append([None, None, None])
            self._is_in_description = False
        elif DESCRIPTION.fullmatch(mark):
            self._is_in_description = True
        if tag == "a" and self._cards:
            card, href = self._cards[-1], given.get("href") or ""
            if card[0] is None and ("/video/" in href or "/photo/" in href):
                card[0] = href
            if self._is_in_description and given.get("title"):
                card[2] = given["title"]
                self._is_in_description = False

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._text is None or tag != self._tag:
            return
        self._depth -= 1
        if self._depth:
            return
        text, self._text = "".join(self._text), None
        if self._what == "state":
            self.states.append(text)
        elif self._what == "script" and (old := OLD_STATE.match(text)):
            self.states.append(text[old.end() :])
        elif self._what == "title":
            self.title = text.strip()
        elif self._what == "views" and self._cards[-1][1] is None:
            self._cards[-1][1] = text

    def _begin(self, tag: str, what: str) -> None:
        self._text, self._tag, self._depth, self._what = [], tag, 1, what


def _videos_of_old_state(text: str) -> list[Json]:
    try:
        # Older pages run on behind the object.
        state, _ = json.JSONDecoder().raw_decode(text.strip()[:MAX_BODY_CHARS])
    except (ValueError, RecursionError):
        return []
    return videos_of_state(state) if isinstance(state, dict) else []


def _row_of_card(card: CardFacts, account: Json) -> Json:
    row = {"id": card.tiktok_id, "views": card.views_text, "author": card.handle}
    row["caption"] = card.caption
    user = child(account, "user")
    if card.handle is None or user.get("uniqueId") != card.handle:
        return row
    stats = child(account, "statsV2") or child(account, "stats")
    return row | {
        "followers": stats.get("followerCount"),
        "following": stats.get("followingCount"),
        "author_likes": stats.get("heartCount", stats.get("heart")),
        "author_posts": stats.get("videoCount"),
        "verified": user.get("verified"),
        "bio": user.get("signature"),
    }


def _id_of(video: Json) -> object:
    struct = child(child(video, "itemInfo"), "itemStruct") or child(video, "itemStruct") or video
    return struct.get("id")


def _saved_by_singlefile(head: str) -> str | None:
    """Return when SingleFile says that it saved a page: in a comment, as JavaScript writes it."""
    found = SAVED_DATE.search(head)
    try:
        return found and datetime.strptime(found[1], "%b %d %Y %H:%M:%S GMT%z").isoformat()
    except ValueError:
        return None


def _html_of(raw: bytes) -> tuple[str, str | None]:
    """Return a page's text and when it was saved, if it says so."""
    if not raw.lstrip().startswith(tuple(mark[:5] for mark in MHTML_MARKS)):
        html = raw.decode("utf-8-sig", "replace")
        return html, _saved_by_singlefile(html[:4_000])
    message = email.message_from_bytes(raw, policy=email.policy.default)
    saved_at = None
    if message["Date"]:
        try:
            saved_at = parsedate_to_datetime(str(message["Date"])).isoformat()
        except ValueError:
            saved_at = None
    for part in message.walk():
        if isinstance(part, EmailMessage) and part.get_content_type() == "text/html":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content.decode("utf-8", "replace"), saved_at
    return "", saved_at
