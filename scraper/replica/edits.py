"""A visit that a fault may spoil, and the edits of usual answers that faults are made of."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from scraper.replica.content import ReplicaVideo
from scraper.replica.items import Json
from scraper.replica.messages import JSON, FileSlice, Reply, Request

HYDRATION = re.compile(
    r'(<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__"[^>]*>)(.*?)(</script>)', re.DOTALL
)
# Makes an odd one of an item; gets the item's place in the hashtag's whole list.
ItemEdit = Callable[[Json, int], object]

STRUCK_EVERY = 5

Place = Literal["page", "detail", "listing", "video", "file"]


@dataclass(frozen=True)
class Feed:
    """What a page lists, and the path and parameter by which its parts are asked for.

    pinned: the ids of what stands first whatever its age; only an account's page has such.
    """

    path: str
    query: Mapping[str, str]
    videos: tuple[ReplicaVideo, ...]
    pinned: frozenset[str]


@dataclass(frozen=True)
class Visit(Request):
    """A request that concerns a hashtag: its page, detail or listing, or one of its videos.

    In place of a hashtag there may be an account ("@NAME") or a sound ("sound:ID"). A video's page
    and file belong to the video's first hashtag. `feed` is all that the page lists, and `start`
    where in it the part of a listing begins. `usual` is the site's own answer, `ask` that to any
    other request.
    """

    place: Place
    hashtag: str
    video: ReplicaVideo | None
    page_size: int
    feed: Feed
    start: int
    usual: Callable[[], Reply]
    ask: Callable[[Request], Reply]

    @property
    def part(self) -> int:
        """Which part of the listing is asked for, from 0; 0 for everything else."""
        return self.start // self.page_size

    @property
    def positions(self) -> Mapping[str, int]:
        """Where each video stands in the whole list."""
        return {video.tiktok_id: i for i, video in enumerate(self.feed.videos)}


# A fault answers in the site's place, or returns None to let the site answer.
Fault = Callable[[Visit], Reply | None]


def is_struck(position: int) -> bool:
    """Tell whether a fault that makes odd ones of some posts only does so to this one."""
    return position % STRUCK_EVERY == 0


def edit_struck(visit: Visit, edit: ItemEdit, raw: Mapping[str, str] | None = None) -> Reply | None:
    """Edit every fifth item, where it is listed and on its own page; n counts only these."""

    def edit_some(item: Json, position: int) -> None:
        if is_struck(position):
            edit(item, position // STRUCK_EVERY)

    return edit_items(visit, edit_some, raw)


def edit_items(visit: Visit, edit: ItemEdit, raw: Mapping[str, str] | None = None) -> Reply | None:
    """Edit every item, where it is listed and on its own page."""

    positions = visit.positions

    def edit_list(answer: Json) -> None:
        for item in answer.get("itemList", []):
            edit(item, positions[item["id"]])

    def edit_own(scope: Json) -> None:
        detail = scope["webapp.video-detail"]
        if visit.video is not None and "itemInfo" in detail:
            item = detail["itemInfo"]["itemStruct"]
            edit(item, positions[visit.video.tiktok_id])

    if visit.place == "listing":
        return edit_json(visit.usual(), edit_list, raw)
    if visit.place == "video":
        return edit_page(visit.usual(), edit_own, raw)
    return None


def edit_json(
    reply: Reply, edit: Callable[[Json], object], raw: Mapping[str, str] | None = None
) -> Reply:
    answer = json.loads(body_of(reply))
    edit(answer)
    return replace(reply, body=_dump_json(answer, raw).encode("ascii"), content_type=JSON)


def edit_page(
    reply: Reply, edit: Callable[[Json], object], raw: Mapping[str, str] | None = None
) -> Reply:
    """Edit a page's hydration data."""
    page = _edit_hydration(body_of(reply).decode("utf-8"), edit, raw)
    return replace(reply, body=page.encode("utf-8"))


def add_script(reply: Reply, script: str) -> Reply:
    """Have a page run a script before its own."""
    # "</" would end the element; within JavaScript the backslash changes nothing.
    safe = script.replace("</", "<\\/").encode("utf-8")
    body = body_of(reply).replace(b"<body>", b"<body><script>" + safe + b"</script>", 1)
    return replace(reply, body=body)


def whole_listing(visit: Visit) -> list[Json]:
    """Every item that the listing would show this visitor."""
    found: list[Json] = []
    query = {**visit.feed.query, "cursor": "0"}
    while True:
        reply = visit.ask(replace(visit, path=visit.feed.path, query=query))
        part = json.loads(body_of(reply))
        found += part.get("itemList", [])
        if not part.get("hasMore"):
            return found
        query["cursor"] = part["cursor"]


def announce(visit: Visit, size_of: Callable[[int], int]) -> Reply:
    """A video's page that promises a file of another size, made from the true one."""

    def edit(scope: Json) -> None:
        detail = scope["webapp.video-detail"]
        if "itemInfo" not in detail:
            return
        video = detail["itemInfo"]["itemStruct"]["video"]
        n_bytes = size_of(video["size"])
        video["size"] = n_bytes
        for address in (video["PlayAddrStruct"], video["bitrateInfo"][0]["PlayAddr"]):
            address["DataSize"] = n_bytes

    return edit_page(visit.usual(), edit)


def file_of(visit: Visit) -> FileSlice | None:
    """The whole file that the visitor may read; None where it may not."""
    headers = {k: v for k, v in visit.headers.items() if k not in ("range", "if-none-match")}
    reply = visit.ask(replace(visit, headers=headers))
    return reply.body if isinstance(reply.body, FileSlice) else None


def body_of(reply: Reply) -> bytes:
    """The bytes of a reply; none of a file's, or of one without end."""
    return reply.body if isinstance(reply.body, bytes) else b""


def without_item(visit: Visit, status: int, words: str) -> Reply:
    """A video's page that has a status code in place of the video."""

    def edit(scope: Json) -> None:
        scope["webapp.video-detail"] = {"statusCode": status, "statusMsg": words}

    return edit_page(visit.usual(), edit)


def _edit_hydration(
    page: str, edit: Callable[[Json], object], raw: Mapping[str, str] | None = None
) -> str:
    """Change a page's data in place; `raw` are texts for strings that JSON cannot be made from."""

    def rewrite(match: re.Match[str]) -> str:
        state = json.loads(match[2])
        edit(state["__DEFAULT_SCOPE__"])
        return match[1] + _dump_json(state, raw).replace("<", "\\u003c") + match[3]

    return HYDRATION.sub(rewrite, page, count=1)


def _dump_json(value: Any, raw: Mapping[str, str] | None = None) -> str:
    """Write JSON in ASCII, and in place of each string in `raw` the text that it stands for."""
    text = json.dumps(value)
    for name, instead in (raw or {}).items():
        text = text.replace(f'"{name}"', instead)
    return text
