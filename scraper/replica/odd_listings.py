"""Faults of a listing as a whole: parts that repeat, never end, cannot be read, or come inlined."""

import json
from dataclasses import replace
from typing import Any

from scraper.replica.edits import add_script, edit_json, edit_page, whole_listing
from scraper.replica.messages import JSON, Reply, Visit


def repeated_page(visit: Visit, *, after: int) -> Reply | None:
    """Give one part twice; the rest follows, so that nothing is missing at the end."""
    if visit.place != "listing" or visit.part < after or after == 0:
        return None
    start = int(visit.query["cursor"])
    before = visit.ask(_at(visit, start - visit.page_size))

    def edit(answer: dict[str, Any]) -> None:
        answer["cursor"] = str(int(answer["cursor"]) + visit.page_size)

    return edit_json(before, edit)


def endless_more(visit: Visit, *, after: int) -> Reply | None:
    """Say for ever that there is more, and give the same part again."""
    if visit.place != "listing" or visit.part < after:
        return None
    last = max(after - 1, 0) * visit.page_size

    def edit(answer: dict[str, Any]) -> None:
        answer |= {"hasMore": True, "cursor": visit.query.get("cursor", "0")}

    return edit_json(visit.ask(_at(visit, last)), edit)


def deep_json(visit: Visit, *, depth: int, after: int) -> Reply | None:
    """Nest lists deeper than a parser that calls itself can follow."""
    deep = "[" * depth + "]" * depth
    if visit.place == "listing" and visit.part >= after:
        body = f'{{"statusCode":0,"cursor":"0","hasMore":true,"itemList":{deep}}}'
        return Reply(200, body.encode("ascii"), JSON)
    if visit.place == "video":
        return edit_page(visit.usual(), lambda scope: scope.update(deep="DEEP"), {"DEEP": deep})
    return None


def dom_only(visit: Visit) -> Reply | None:
    """List from a script in the page, so that nothing but the drawn cards can be read."""
    if visit.place != "page":
        return None
    text = json.dumps(whole_listing(visit))
    page = edit_page(visit.usual(), lambda scope: _context(scope).update(cardVariant="A"))
    return add_script(page, f"window.__LISTED__ = {text};")


def hydration_only(visit: Visit) -> Reply | None:
    """List from the page's own data; its cards show no counts, and it asks for nothing."""
    if visit.place != "page":
        return None
    listed = whole_listing(visit)

    def edit(scope: dict[str, Any]) -> None:
        scope["webapp.updated-items"] = listed
        _context(scope).update(cardVariant="B")

    return edit_page(visit.usual(), edit)


def _at(visit: Visit, cursor: int) -> Visit:
    return replace(visit, query={**visit.query, "cursor": str(cursor)})


def _context(scope: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = scope["webapp.page-context"]
    return found
