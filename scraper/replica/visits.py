"""Find out which hashtag or video a request is about, which is what faults are switched by."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from urllib.parse import unquote

from scraper.replica.content import Content, ReplicaVideo
from scraper.replica.media import MEDIA_PATH
from scraper.replica.messages import Place, Reply, Request, Visit

TAG_PATH = re.compile(r"/tag/([^/]+)/?")
VIDEO_PATH = re.compile(r"/@([\w.-]*)/(?:video|photo)/([0-9]{1,20})/?")
DETAIL_PATH = re.compile(r"/api/challenge/detail/?")
LISTING_PATH = re.compile(r"/api/challenge/item_list/?")


class Visits:
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
