"""The site as a function from request to reply; knows no socket."""

import logging
import re
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import unquote

from scraper.replica import pages
from scraper.replica.clips import clip_path, make_clip
from scraper.replica.content import TOPICS, Content, ReplicaVideo, Timeline
from scraper.replica.faults import make_fault
from scraper.replica.messages import (
    HTML,
    MEDIA_PATH,
    Fault,
    Place,
    Reply,
    Request,
    SignedMedia,
    Visit,
    denied,
    may_read,
    new_cookies,
    object_key,
    serve_file,
    sign,
)
from scraper.replica.pages import STYLE, TAG_SCRIPT, json_reply, not_found, page_reply, redirect

log = logging.getLogger(__name__)


TAG_PATH = re.compile(r"/tag/([^/]+)/?")
VIDEO_PATH = re.compile(r"/@([\w.-]*)/(?:video|photo)/([0-9]{1,20})/?")
DETAIL_PATH = re.compile(r"/api/challenge/detail/?")
LISTING_PATH = re.compile(r"/api/challenge/item_list/?")


class HashtagVisits:
    """Tells requests about a hashtag from others."""

    def __init__(
        self,
        content: Content,
        tag_by_challenge: Mapping[str, str],
        video_by_object: Mapping[str, ReplicaVideo],
    ) -> None:
        self._content = content
        self._tag_by_challenge = tag_by_challenge
        self._video_by_object = video_by_object

    def read(self, request: Request, answer: Callable[[Request], Reply]) -> Visit | None:
        """Give the request with what a fault must know of it; None if it is about no hashtag."""
        place, hashtag, video = self._subject(request)
        if place is None or hashtag is None:
            return None
        listed = self._content.by_tag.get(hashtag, ())
        return Visit(
            **{field.name: getattr(request, field.name) for field in fields(Request)},
            place=place,
            hashtag=hashtag,
            video=video,
            page_size=self._content.config.page_size,
            positions={v.tiktok_id: i for i, v in enumerate(listed)},
            usual=lambda: answer(request),
            ask=answer,
        )

    def _subject(self, request: Request) -> tuple[Place | None, str | None, ReplicaVideo | None]:
        if match := TAG_PATH.fullmatch(request.path):
            return "page", unquote(match[1]).lower(), None
        if DETAIL_PATH.fullmatch(request.path):
            return "detail", request.query.get("challengeName", "").lower(), None
        if LISTING_PATH.fullmatch(request.path):
            number = request.query.get("challengeID", "")
            return "listing", self._tag_by_challenge.get(number), None
        place: Place = "video"
        if match := VIDEO_PATH.fullmatch(request.path):
            video = self._content.by_id.get(match[2])
        elif match := MEDIA_PATH.fullmatch(request.path):
            place, video = "file", self._video_by_object.get(match[2])
        else:
            return None, None, None
        return place, video.hashtags[0] if video and video.hashtags else None, video


NO_SUCH_HASHTAG, BAD_PARAMETERS, VIDEO_GONE = 10205, 10201, 10204
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

    `faults` maps a hashtag to a fault, by name or as a function, that may answer in the site's
    place: for its page, detail and listing, and for the pages and files of the videos whose first
    hashtag it is. `days` says how long ago the snapshot in `content` was; 0 is the snapshot.
    Raises UnknownFault.
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
        self._by_object = {object_key(v.tiktok_id): v for v in content.videos}
        known = {name for names in TOPICS.values() for name in names} | set(content.by_tag)
        self._tag_by_challenge = {pages.challenge(name)["id"]: name for name in sorted(known)}
        self._visits = HashtagVisits(content, self._tag_by_challenge, self._by_object)
        self._making: dict[str, threading.Lock] = {
            v.tiktok_id: threading.Lock() for v in content.videos
        }
        self._routes: tuple[tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Reply]], ...]
        self._routes = (
            (re.compile(r"/robots\.txt"), self._robots),
            (TAG_PATH, self._tag),
            (VIDEO_PATH, self._video),
            (re.compile(r"/@([\w.-]+)/?"), self._account),
            (DETAIL_PATH, self._challenge_detail),
            (LISTING_PATH, self._item_list),
            (MEDIA_PATH, self._media),
            (re.compile(r"/obj/(?:cover|avatar)/([0-9]{1,20})\.svg"), self._cover),
            (re.compile(r"/t/(\w+)/?"), self._short_link),
            (re.compile(r"/login/?"), self._login),
            (re.compile(r"/captcha/get"), self._captcha),
            (re.compile(r"/static/(challenge\.\w+\.js|site\.css)"), self._static),
            (re.compile(r"/favicon\.ico"), self._no_icon),
        )

    def answer(self, request: Request) -> Reply:
        """The reply to any request; 404 for what the site does not have."""
        if request.method not in ("GET", "HEAD"):
            return Reply(405, b"", HTML, (("Allow", "GET, HEAD"),))
        visit = self._visits.read(request, self._answer) if self._faults else None
        fault = self._faults.get(visit.hashtag) if visit else None
        instead = fault(visit) if fault and visit else None
        return instead or self._answer(request)

    def set_fault(self, hashtag: str, fault: Fault | str | None) -> None:
        """Switch a hashtag's fault while the site runs; None puts it right. Raises UnknownFault."""
        if fault is None:
            self._faults.pop(hashtag, None)
        else:
            self._faults[hashtag] = make_fault(fault) if isinstance(fault, str) else fault

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
            inlined = pages.challenge_detail(name, videos, self._clock())
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
            return page_reply(pages.missing_video_page(shell, url, VIDEO_GONE), cookies)
        self._clip(video)
        # Signed for the cookies that this very page brings.
        visitor = replace(request, cookies={**request.cookies, **cookies})
        signed = self._signed(video, visitor)
        item = pages.item_struct(video, signed, detail=True)
        others = [v.tiktok_id for v in self.content.by_tag[video.hashtags[0]]]
        beside = others[(others.index(video.tiktok_id) + 1) % len(others)]
        shown = self.timeline.video(beside) if beside != video.tiktok_id else None
        page = pages.video_page(shell, video, item, shown)
        return page_reply(page, cookies)

    def _account(self, request: Request, match: re.Match[str]) -> Reply:
        account = next((a for a in self.content.accounts if a.handle == match[1]), None)
        if account is None:
            page = pages.notice_page("Couldn't find this account", "")
            return page_reply(page, new_cookies(request), status=404)
        videos = self.timeline.posted_by(account.handle)
        page = pages.account_page(self._shell(request), account, videos)
        return page_reply(page, new_cookies(request))

    def _challenge_detail(self, request: Request, _match: re.Match[str]) -> Reply:
        name = request.query.get("challengeName", "").lower()
        videos = self._listing(name)
        if videos is None:
            return json_reply(pages.envelope(self._clock(), NO_SUCH_HASHTAG))
        return json_reply(pages.challenge_detail(name, videos, self._clock()))

    def _item_list(self, request: Request, _match: re.Match[str]) -> Reply:
        name = self._tag_by_challenge.get(request.query.get("challengeID", ""))
        numbers = (request.query.get("cursor", "0"), request.query.get("count", "30"))
        if name is None or not all(re.fullmatch(r"[0-9]{1,9}", n) for n in numbers):
            return json_reply(pages.envelope(self._clock(), BAD_PARAMETERS, "invalid parameters"))
        start, count = int(numbers[0]), min(int(numbers[1]), self.content.config.page_size)
        videos = self._listing(name) or ()
        shown = videos[start : start + count]
        listed = [pages.item_struct(v, self._signed(v, request), detail=False) for v in shown]
        cursor = start + len(shown)
        more = cursor < len(videos)
        return json_reply(pages.item_list(listed, cursor, has_more=more, now_s=self._clock()))

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
        script = TAG_SCRIPT.replace("CSS_CLASS", self._css_class)
        return Reply(200, script.encode(), "application/javascript; charset=utf-8")

    def _no_icon(self, _request: Request, _match: re.Match[str]) -> Reply:
        # Browsers always ask; a 404 would be an error in their log.
        return Reply(204)

    def _listing(self, name: str) -> tuple[ReplicaVideo, ...] | None:
        """Videos under a hashtag; None if there is no such hashtag."""
        if name in self.content.by_tag:
            return self.timeline.listed(name)
        return () if pages.challenge(name)["id"] in self._tag_by_challenge else None

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
