"""The site as a function from request to reply, without a socket: its routes and their answers."""

import re
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import unquote

from scraper.replica import items, pages
from scraper.replica.accounts import ReplicaAccount, ReplicaSound
from scraper.replica.clips import clip_path, make_clip
from scraper.replica.content import TOPICS, Content, ReplicaVideo
from scraper.replica.edits import Fault, Feed, Place, Visit
from scraper.replica.faults import make_fault
from scraper.replica.growth import Timeline
from scraper.replica.messages import (
    HTML,
    MEDIA_PATH,
    Reply,
    Request,
    SignedMedia,
    denied,
    json_reply,
    may_read,
    new_cookies,
    object_key,
    page_reply,
    redirect,
    serve_file,
    sign,
)
from scraper.replica.pages import LISTING_SCRIPT, STYLE, not_found

TAG_PATH = re.compile(r"/tag/([^/]+)/?")
VIDEO_PATH = re.compile(r"/@([\w.-]*)/(?:video|photo)/([0-9]{1,20})/?")
ACCOUNT_PATH = re.compile(r"/@([\w.-]+)/?")
SOUND_PATH = re.compile(r"/music/(?:[^/]*-)?([0-9]{1,20})/?")
DETAIL_PATH = re.compile(r"/api/challenge/detail/?")
SOUND_DETAIL_PATH = re.compile(r"/api/music/detail/?")
LISTING_PATH = re.compile(r"/api/(challenge|post|music)/item_list/?")
# How a listing's request names what is listed.
LISTING_KEYS = {"challenge": "challengeID", "post": "secUid", "music": "musicID"}
NUMBER = re.compile(r"[0-9]{1,16}")
# An account's listing goes on from a moment, in milliseconds; less than this is a place in it.
FIRST_CURSOR_MS = 10**12
ROBOTS = """User-agent: *
Disallow: /api/
Disallow: /login
Disallow: /captcha/
Disallow: /@*/live$
Allow: /
"""


def card_variant(hashtag: str) -> str:
    """ "A" if the cards of this hashtag show view counts, "B" if not."""
    return "AB"[zlib.crc32(hashtag.encode()) % 2]


class ReplicaSite:
    """Answers requests from `content`; makes a clip the first time that it is asked for.

    `faults` maps a hashtag, "@NAME" or "sound:ID" to a fault, by name or as a function, that may
    answer in the site's place: for its page, detail and listing, and for the pages and files of the
    videos whose first hashtag it is. `days` says how long ago the snapshot in `content` was; 0 is
    the snapshot. Raises UnknownFault.
    """

    def __init__(
        self,
        content: Content,
        media_folder: Path,
        *,
        faults: Mapping[str, Fault | str] | None = None,
        clock: Callable[[], float] = time.time,
        days: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.content = content
        self._folder = media_folder
        self._faults: dict[str, Fault] = {}
        for hashtag, fault in (faults or {}).items():
            self.set_fault(hashtag, fault)
        self._clock = clock
        self.timeline = Timeline(content, days)
        self._secret = secrets.token_bytes(32)
        self._css_class = secrets.token_hex(4)
        self._by_object = {object_key(v.tiktok_id): v for v in content.all_videos}
        known = {name for names in TOPICS.values() for name in names} | set(content.by_tag)
        self._tag_by_challenge = {items.challenge(name)["id"]: name for name in sorted(known)}
        self._by_handle = {account.handle: account for account in content.accounts}
        self._by_sec_uid = {account.sec_uid: account for account in content.accounts}
        self._making: dict[str, threading.Lock] = {
            v.tiktok_id: threading.Lock() for v in content.all_videos
        }
        self._routes: tuple[tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Reply]], ...]
        self._routes = (
            (re.compile(r"/robots\.txt"), self._robots),
            (TAG_PATH, self._tag),
            (VIDEO_PATH, self._video),
            (ACCOUNT_PATH, self._account),
            (SOUND_PATH, self._sound),
            (SOUND_DETAIL_PATH, self._sound_detail),
            (DETAIL_PATH, self._challenge_detail),
            (LISTING_PATH, self._item_list),
            (MEDIA_PATH, self._media),
            (re.compile(r"/obj/(?:cover|avatar)/([0-9]{1,20})\.svg"), self._cover),
            (re.compile(r"/t/(\w+)/?"), self._short_link),
            (re.compile(r"/login/?"), self._login),
            (re.compile(r"/captcha/get"), self._captcha),
            (re.compile(r"/static/(listing\.\w+\.js|site\.css)"), self._static),
            (re.compile(r"/favicon\.ico"), self._no_icon),
        )

    def answer(self, request: Request) -> Reply:
        """The reply to any request; 404 for what the site does not have."""
        if request.method not in ("GET", "HEAD"):
            return Reply(405, b"", HTML, (("Allow", "GET, HEAD"),))
        visit = self._visit(request) if self._faults else None
        fault = self._faults.get(visit.hashtag) if visit else None
        instead = fault(visit) if fault and visit else None
        return instead or self._answer(request)

    def set_fault(self, hashtag: str, fault: Fault | str | None) -> None:
        """Switch a hashtag's fault while the site runs; None puts it right. Raises UnknownFault."""
        if fault is None:
            self._faults.pop(hashtag, None)
        else:
            self._faults[hashtag] = make_fault(fault) if isinstance(fault, str) else fault

    def _visit(self, request: Request) -> Visit | None:
        """Give the request with what a fault must know of it; None if it is about no listing."""
        place, subject, video = self._subject(request)
        if place is None or subject is None:
            return None
        feed = self._feed(subject)
        return Visit(
            **{field.name: getattr(request, field.name) for field in fields(Request)},
            place=place,
            hashtag=subject,
            video=video,
            page_size=self.content.config.page_size,
            feed=feed,
            start=_start_of(feed, request.query.get("cursor", "0")) if place == "listing" else 0,
            usual=lambda: self._answer(request),
            ask=self._answer,
        )

    def _subject(self, request: Request) -> tuple[Place | None, str | None, ReplicaVideo | None]:
        if match := TAG_PATH.fullmatch(request.path):
            return "page", unquote(match[1]).lower(), None
        if DETAIL_PATH.fullmatch(request.path):
            return "detail", request.query.get("challengeName", "").lower(), None
        if match := LISTING_PATH.fullmatch(request.path):
            return "listing", self._listed_subject(match[1], request), None
        if match := ACCOUNT_PATH.fullmatch(request.path):
            return "page", f"@{match[1].lower()}", None
        if match := SOUND_PATH.fullmatch(request.path):
            return "page", f"sound:{match[1]}", None
        if SOUND_DETAIL_PATH.fullmatch(request.path):
            return "detail", f"sound:{request.query.get('musicId', '')}", None
        place: Place = "video"
        if match := VIDEO_PATH.fullmatch(request.path):
            video = self.content.by_id.get(match[2])
        elif match := MEDIA_PATH.fullmatch(request.path):
            place, video = "file", self._by_object.get(match[2])
        else:
            return None, None, None
        return place, video.hashtags[0] if video and video.hashtags else None, video

    def _listed_subject(self, kind: str, request: Request) -> str | None:
        """Tell whose listing is asked for; None if there is nothing of that number."""
        number = request.query.get(LISTING_KEYS[kind], "")
        if kind == "challenge":
            return self._tag_by_challenge.get(number)
        if kind == "music":
            return f"sound:{number}" if self.timeline.sound(number) else None
        account = self._by_sec_uid.get(number)
        return None if account is None or account.is_private else f"@{account.handle}"

    def _feed(self, subject: str) -> Feed:
        """Give what a page lists and how its parts are asked for; nothing of what is not there."""
        if subject.startswith("@"):
            account = self._by_handle.get(subject[1:])
            number, kind = account.sec_uid if account else "", "post"
            videos = self.timeline.posted_by(subject[1:])
        elif subject.startswith("sound:"):
            number, kind = subject.removeprefix("sound:"), "music"
            videos = self.timeline.using(number)
        else:
            number, kind = items.challenge(subject)["id"], "challenge"
            videos = self.timeline.listed(subject)
        pinned = self.content.pinned if kind == "post" else frozenset()
        return Feed(f"/api/{kind}/item_list/", {LISTING_KEYS[kind]: number}, videos, pinned)

    def _answer(self, request: Request) -> Reply:
        for pattern, route in self._routes:
            match = pattern.fullmatch(request.path)
            if match:
                return route(request, match)
        return not_found()

    def _robots(self, _request: Request, _match: re.Match[str]) -> Reply:
        return Reply(200, ROBOTS.encode(), "text/plain; charset=utf-8")

    def _tag(self, request: Request, match: re.Match[str]) -> Reply:
        name = unquote(match[1]).lower()
        videos = self._listing(name)
        inlined = None
        if videos is not None and zlib.crc32(name.encode()) % 5 == 0:
            # The real site does this for some visitors; the page's script asks all the same.
            inlined = items.challenge_detail(name, videos, self._clock())
        page = pages.tag_page(
            self._shell(request),
            name,
            variant=card_variant(name),
            page_size=self.content.config.page_size,
            detail=inlined,
        )
        return page_reply(page, new_cookies(request))

    def _video(self, request: Request, match: re.Match[str]) -> Reply:
        # The handle is not looked at: the real site finds a video by its id alone.
        shell = self._shell(request)
        video = self.timeline.video(match[2])
        cookies = new_cookies(request)
        if video is None:
            url = f"{request.origin}{request.path}"
            return page_reply(pages.missing_video_page(shell, url, items.VIDEO_GONE), cookies)
        self._clip(video)
        # Signed for the cookies that this very page brings.
        visitor = replace(request, cookies={**request.cookies, **cookies})
        signed = self._signed(video, visitor)
        item = self._item(video, signed, detail=True)
        others = [v.tiktok_id for v in self.content.by_tag[video.hashtags[0]]]
        beside = others[(others.index(video.tiktok_id) + 1) % len(others)]
        shown = self.timeline.video(beside) if beside != video.tiktok_id else None
        page = pages.video_page(shell, video, item, shown)
        return page_reply(page, cookies)

    def _account(self, request: Request, match: re.Match[str]) -> Reply:
        account = self._by_handle.get(match[1].lower())
        detail: items.Json = {"statusCode": items.NO_SUCH_ACCOUNT, "statusMsg": ""}
        if account is not None:
            detail = self._user_detail(account, request.origin)
        page = pages.account_page(
            self._shell(request),
            match[1],
            page_size=self.content.config.page_size,
            detail=detail,
        )
        return page_reply(page, new_cookies(request))

    def saved_account_page(self, handle: str, origin: str = "https://www.tiktok.com") -> str:
        """Give an account's page as a browser saves it, all of its videos drawn.

        Raises KeyError for a name that is nobody's.
        """
        account = self._by_handle[handle]
        shell = pages.Shell(origin, self._css_class)
        videos = self.timeline.posted_by(handle)
        return pages.saved_account_page(shell, account, videos, self._user_detail(account, origin))

    def _user_detail(self, account: ReplicaAccount, origin: str) -> items.Json:
        return items.user_detail(account, self.timeline.account_stats(account), origin)

    def _sound(self, request: Request, match: re.Match[str]) -> Reply:
        sound = self.timeline.sound(match[1])
        detail = None
        if sound is not None and zlib.crc32(match[1].encode()) % 2 == 0:
            detail = self._music_detail(sound, request.origin)
        page = pages.sound_page(
            self._shell(request),
            match[1],
            page_size=self.content.config.page_size,
            detail=detail,
        )
        return page_reply(page, new_cookies(request))

    def _sound_detail(self, request: Request, _match: re.Match[str]) -> Reply:
        sound = self.timeline.sound(request.query.get("musicId", ""))
        if sound is None:
            return json_reply(items.envelope(self._clock(), items.NO_SUCH_SOUND))
        detail = self._music_detail(sound, request.origin)
        return json_reply(items.envelope(self._clock()) | detail)

    def _music_detail(self, sound: ReplicaSound, origin: str) -> items.Json:
        return items.music_detail(sound, self.timeline.uses(sound), origin)

    def _challenge_detail(self, request: Request, _match: re.Match[str]) -> Reply:
        name = request.query.get("challengeName", "").lower()
        videos = self._listing(name)
        if videos is None:
            return json_reply(items.envelope(self._clock(), items.NO_SUCH_HASHTAG))
        return json_reply(items.challenge_detail(name, videos, self._clock()))

    def _item_list(self, request: Request, match: re.Match[str]) -> Reply:
        subject = self._listed_subject(match[1], request)
        numbers = (request.query.get("cursor", "0"), request.query.get("count", "30"))
        if subject is None or not all(NUMBER.fullmatch(n) for n in numbers):
            return json_reply(
                items.envelope(self._clock(), items.BAD_PARAMETERS, "invalid parameters")
            )
        feed = self._feed(subject)
        start, count = _start_of(feed, numbers[0]), int(numbers[1])
        shown = feed.videos[start : start + min(count, self.content.config.page_size)]
        listed = [self._item(v, self._signed(v, request), detail=False) for v in shown]
        if match[1] == "post":
            for item in listed:
                item["isPinnedItem"] = item["id"] in feed.pinned
        more = start + len(shown) < len(feed.videos)
        cursor = _cursor_behind(feed, start + len(shown))
        return json_reply(items.item_list(listed, cursor, has_more=more, now_s=self._clock()))

    def _item(self, video: ReplicaVideo, signed: SignedMedia, *, detail: bool) -> items.Json:
        stats = self.timeline.account_stats(video.account)
        return items.item_struct(video, signed, detail=detail, author_stats=stats)

    def _media(self, request: Request, match: re.Match[str]) -> Reply:
        found = self._by_object.get(match[2])
        video = self.timeline.video(found.tiktok_id) if found else None
        allowed = may_read(match[2], request, secret=self._secret, now_s=self._clock())
        if video is None or not allowed:
            return denied()
        return serve_file(self._clip(video), request.headers)

    def _cover(self, _request: Request, match: re.Match[str]) -> Reply:
        video = self.content.by_id.get(match[1])
        return Reply(200, pages.cover_image(video).encode(), "image/svg+xml")

    def _short_link(self, request: Request, match: re.Match[str]) -> Reply:
        video = self._by_object.get(f"o{match[1]}")
        if video is None:
            return not_found()
        to = f"{request.origin}/@{video.handle}/video/{video.tiktok_id}?_r=1&_t=replica"
        return redirect(to, 301)

    def _login(self, _request: Request, _match: re.Match[str]) -> Reply:
        return page_reply(pages.notice_page("Log in to TikTok", "Continue as guest"))

    def _captcha(self, _request: Request, _match: re.Match[str]) -> Reply:
        return json_reply({"type": "verify"})

    def _static(self, _request: Request, match: re.Match[str]) -> Reply:
        if match[1].endswith(".css"):
            return Reply(200, STYLE.encode(), "text/css")
        script = LISTING_SCRIPT.replace("CSS_CLASS", self._css_class)
        return Reply(200, script.encode(), "application/javascript; charset=utf-8")

    def _no_icon(self, _request: Request, _match: re.Match[str]) -> Reply:
        # Browsers always ask; a 404 would be an error in their log.
        return Reply(204)

    def _listing(self, name: str) -> tuple[ReplicaVideo, ...] | None:
        """Videos under a hashtag; None if there is no such hashtag."""
        if name in self.content.by_tag:
            return self.timeline.listed(name)
        return () if items.challenge(name)["id"] in self._tag_by_challenge else None

    def _shell(self, request: Request) -> pages.Shell:
        return pages.Shell(request.origin, self._css_class)

    def _clip(self, video: ReplicaVideo) -> Path:
        # Two visitors at once: the second waits for the file that the first is making.
        with self._making[video.tiktok_id]:
            return make_clip(video, self._folder)

    def _signed(self, video: ReplicaVideo, request: Request) -> SignedMedia:
        path = clip_path(video, self._folder)
        urls = sign(
            video.tiktok_id,
            request,
            secret=self._secret,
            now_s=self._clock(),
            lifetime_s=self.content.config.media_lifetime_s,
        )
        n_bytes = path.stat().st_size if path.exists() else None
        return SignedMedia(request.origin, object_key(video.tiktok_id), urls, n_bytes)


def _start_of(feed: Feed, cursor: str) -> int:
    """Tell where in a listing a part begins."""
    at = int(cursor) if cursor.isascii() and cursor.isdigit() else 0
    if not feed.pinned or at < FIRST_CURSOR_MS:
        return at
    return sum(v.tiktok_id in feed.pinned or _posted_ms(v) >= at for v in feed.videos)


def _cursor_behind(feed: Feed, n_shown: int) -> int:
    """Give what the next part is asked for with: of an account the last moment that was shown."""
    if not feed.pinned or n_shown <= len(feed.pinned):
        return n_shown
    return _posted_ms(feed.videos[min(n_shown, len(feed.videos)) - 1])


def _posted_ms(video: ReplicaVideo) -> int:
    return int(video.created_at.timestamp()) * 1_000
