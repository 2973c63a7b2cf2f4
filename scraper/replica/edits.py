"""Change the site's own answer a little: the tools that faults are made with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scraper.replica.items import challenge
from scraper.replica.messages import JSON, FileSlice, Reply, Visit
from scraper.replica.pages import dump_json, edit_hydration

ItemJson = dict[str, Any]
# Makes an odd one of an item; gets the item's place in the hashtag's whole list.
ItemEdit = Callable[[ItemJson, int], object]

STRUCK_EVERY = 5


def is_struck(position: int) -> bool:
    """Tell whether a fault that makes odd ones of some posts only does so to this one."""
    return position % STRUCK_EVERY == 0


def edit_struck(visit: Visit, edit: ItemEdit, raw: Mapping[str, str] | None = None) -> Reply | None:
    """Edit every fifth item, where it is listed and on its own page; n counts only these."""

    def edit_some(item: ItemJson, position: int) -> None:
        if is_struck(position):
            edit(item, position // STRUCK_EVERY)

    return edit_items(visit, edit_some, raw)


def edit_items(visit: Visit, edit: ItemEdit, raw: Mapping[str, str] | None = None) -> Reply | None:
    """Edit every item, where it is listed and on its own page."""

    def edit_list(answer: dict[str, Any]) -> None:
        for item in answer.get("itemList", []):
            edit(item, visit.positions[item["id"]])

    def edit_own(scope: dict[str, Any]) -> None:
        detail = scope["webapp.video-detail"]
        if visit.video is not None and "itemInfo" in detail:
            item = detail["itemInfo"]["itemStruct"]
            edit(item, visit.positions[visit.video.tiktok_id])

    if visit.place == "listing":
        return edit_json(visit.usual(), edit_list, raw)
    if visit.place == "video":
        return edit_page(visit.usual(), edit_own, raw)
    return None


def edit_json(
    reply: Reply, edit: Callable[[dict[str, Any]], object], raw: Mapping[str, str] | None = None
) -> Reply:
    answer = json.loads(_bytes(reply))
    edit(answer)
    return replace(reply, body=dump_json(answer, raw).encode("ascii"), content_type=JSON)


def edit_page(
    reply: Reply, edit: Callable[[dict[str, Any]], object], raw: Mapping[str, str] | None = None
) -> Reply:
    """Edit a page's hydration data."""
    page = edit_hydration(_bytes(reply).decode("utf-8"), edit, raw)
    return replace(reply, body=page.encode("utf-8"))


def add_script(reply: Reply, script: str) -> Reply:
    """Have a page run a script before its own."""
    # "</" would end the element; within JavaScript the backslash changes nothing.
    safe = script.replace("</", "<\\/").encode("utf-8")
    body = _bytes(reply).replace(b"<body>", b"<body><script>" + safe + b"</script>", 1)
    return replace(reply, body=body)


def whole_listing(visit: Visit) -> list[ItemJson]:
    """Every item that the hashtag's listing would show this visitor."""
    found: list[ItemJson] = []
    query = {"challengeID": challenge(visit.hashtag)["id"], "cursor": "0"}
    while True:
        reply = visit.ask(replace(visit, path="/api/challenge/item_list/", query=query))
        part = json.loads(_bytes(reply))
        found += part.get("itemList", [])
        if not part.get("hasMore"):
            return found
        query["cursor"] = part["cursor"]


def announce(visit: Visit, size_of: Callable[[int], int]) -> Reply:
    """A video's page that promises a file of another size, made from the true one."""

    def edit(scope: dict[str, Any]) -> None:
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


def _bytes(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b""
