"""Faults of listings, scripts and single posts: what comes is odd, or hostile to who reads it."""

import json
from dataclasses import replace
from typing import Any

from scraper.replica.edits import (
    Visit,
    add_script,
    edit_items,
    edit_json,
    edit_page,
    edit_struck,
    is_struck,
    whole_listing,
    without_item,
)
from scraper.replica.items import PRIVATE_POST, REGION_LOCKED, VIDEO_GONE, Json
from scraper.replica.messages import JSON, Reply, denied

# Runs ACTION at the AFTERth scroll: what came before has been listed, and could be read.
ON_SCROLL = """
(() => {
  let left = AFTER;
  const act = () => { ACTION };
  if (left <= 0) { act(); return; }
  addEventListener('scroll', () => { left -= 1; if (left <= 0) act(); }, {passive: true});
})();
"""
# An array longer than the engine's limit ends the whole renderer. In Chromium 156 it takes half a
# second and 130 MB; filling the heap would take all of the machine's memory first, and a page may
# not open chrome://crash.
CRASH = "'a'.repeat(2 ** 27 + 1).split('');"
STAY = (
    "addEventListener('beforeunload', (event) => "
    "{ event.preventDefault(); event.returnValue = 'Stay'; });"
)
# Every second item is whole; the others take turns.
MISSING: tuple[tuple[str, ...], ...] = (
    ("stats", "statsV2"),
    ("video",),
    ("author", "authorStats"),
    ("createTime",),
    ("challenges", "textExtra", "contents"),
    ("desc",),
    ("id",),
    ("music",),
)
BAD_IDS = (
    "../../x",
    "/etc/passwd",
    "7571863205253778710/../../x",
    "..%2f..%2fx",
    "C:\\x",
    "7.571863205253779e18",
    "",
    "٧٥٧١٨٦٣٢٠٥٢٥٣٧٧٨٧١٠",
)
SCRIPTS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "\t=1+1",
    "${7*7} {{7*7}} %s %n",
    "'; DROP TABLE video; --",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eevil\u202c \u2066x",
)


def repeated_page(visit: Visit, *, after: int) -> Reply | None:
    """Give one part twice; the rest follows, so that nothing is missing at the end."""
    if visit.place != "listing" or visit.part < after or after == 0:
        return None
    before = visit.ask(_at(visit, visit.start - visit.page_size))

    def edit(answer: Json) -> None:
        answer["cursor"] = str(visit.start + visit.page_size)

    return edit_json(before, edit)


def endless_more(visit: Visit, *, after: int) -> Reply | None:
    """Say for ever that there is more, and give the same part again."""
    if visit.place != "listing" or visit.part < after:
        return None
    last = max(after - 1, 0) * visit.page_size

    def edit(answer: Json) -> None:
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

    def edit(scope: Json) -> None:
        scope["webapp.updated-items"] = listed
        _context(scope).update(cardVariant="B")

    return edit_page(visit.usual(), edit)


def _at(visit: Visit, cursor: int) -> Visit:
    return replace(visit, query={**visit.query, "cursor": str(cursor)})


def _context(scope: Json) -> Json:
    found: Json = scope["webapp.page-context"]
    return found


def infinite_js(visit: Visit, *, after: int) -> Reply | None:
    """Never return from a script."""
    return _run(visit, "while (true) {}", after)


def alert(visit: Visit, *, after: int) -> Reply | None:
    """Open a dialog, which stops every other script until it is closed."""
    return _run(visit, "alert('Rate this page!');", after)


def beforeunload(visit: Visit) -> Reply | None:
    """Ask whether the visitor really wants to leave; WebDriver says yes by itself."""
    return _run(visit, STAY, 0)


def crash(visit: Visit, *, after: int) -> Reply | None:
    """End the process that draws the page."""
    return _run(visit, CRASH, after)


def _run(visit: Visit, action: str, after: int) -> Reply | None:
    if visit.place not in ("page", "video"):
        return None
    # A video's page is not scrolled: there it happens while the page loads.
    n_scrolls = after if visit.place == "page" else 0
    script = ON_SCROLL.replace("AFTER", str(n_scrolls)).replace("ACTION", action)
    return add_script(visit.usual(), script)


def photo_post(visit: Visit) -> Reply | None:
    """Make slideshows of some."""

    def edit(item: Json, _n: int) -> None:
        picture = {"urlList": [item["video"]["cover"]]}
        image = {"imageURL": picture, "imageWidth": 1080, "imageHeight": 1440}
        item["imagePost"] = {"images": [image, image], "cover": image, "title": ""}
        _without_film(item)

    return edit_struck(visit, edit)


def ad(visit: Visit) -> Reply | None:
    """Make advertisements of some."""
    return edit_struck(visit, lambda item, _: item.update(isAd=True, adAuthorization=True))


def pinned(visit: Visit) -> Reply | None:
    """Pin some to the top, which changes nothing about them."""
    return edit_struck(visit, lambda item, _: item.update(isPinnedItem=True))


def live_room(visit: Visit) -> Reply | None:
    """List some live rooms among the videos."""

    def edit(item: Json, _n: int) -> None:
        item["liveRoomInfo"] = {"roomId": item["id"], "status": 2, "title": item["desc"]}
        _without_film(item)

    return edit_struck(visit, edit)


def private(visit: Visit) -> Reply | None:
    """List some that only friends may see; their own pages say so."""
    marks: tuple[Json, ...] = ({"privateItem": True}, {"secret": True}, {"forFriend": True})
    return _withheld(visit, PRIVATE_POST, "") or edit_struck(
        visit, lambda item, n: item.update(marks[n % len(marks)])
    )


def removed(visit: Visit) -> Reply | None:
    """List some that were taken down; their own pages do not have them any more."""
    if visit.place == "file" and _is_struck_video(visit):
        return denied()
    return _withheld(visit, VIDEO_GONE, "item doesn't exist") or edit_struck(
        visit, lambda item, _: item.update(takeDown=1)
    )


def region_locked(visit: Visit) -> Reply | None:
    """List all as usual; the own pages of some are not for this country."""
    return _withheld(visit, REGION_LOCKED, "")


def missing_keys(visit: Visit) -> Reply | None:
    """Leave keys out, another group in every second item."""

    def edit(item: Json, position: int) -> None:
        if position % 2:
            for name in MISSING[position // 2 % len(MISSING)]:
                item.pop(name, None)

    return edit_items(visit, edit)


def string_numbers(visit: Visit) -> Reply | None:
    """Write every number as text."""

    def edit(item: Json, _position: int) -> None:
        for name in list(item):
            item[name] = _as_texts(item[name])

    edited = edit_items(visit, edit)
    if edited is None or visit.place != "listing":
        return edited
    return edit_json(edited, lambda answer: answer.update(statusCode="0", status_code="0"))


def huge_caption(visit: Visit, *, n_chars: int) -> Reply | None:
    """Give some a caption as long as a book."""

    def edit(item: Json, _n: int) -> None:
        item["desc"] = (item["desc"] + " ") * (n_chars // (len(item["desc"]) + 1) + 1)

    return edit_struck(visit, edit)


def path_id(visit: Visit) -> Reply | None:
    """Give some an id that leads out of a folder, or is no id."""
    return edit_struck(visit, lambda item, n: item.update(id=BAD_IDS[n % len(BAD_IDS)]))


def nul(visit: Visit) -> Reply | None:
    """Put NUL into some captions and hashtags."""
    return _spell(visit, "a\0b")


def lone_surrogate(visit: Visit) -> Reply | None:
    """Put half of an emoji into some captions and hashtags."""
    return _spell(visit, "a\ud83db")


def nan(visit: Visit, *, after: int) -> Reply | None:
    """Count some as NaN or Infinity, which is no JSON."""
    if visit.place == "listing" and visit.part < after:
        return None
    # Python's own writer makes these out of floats.
    values = (float("nan"), float("inf"), float("-inf"))
    return edit_struck(visit, lambda item, n: _count(item, values[n % len(values)]))


def huge_numbers(visit: Visit, *, n_digits: int) -> Reply | None:
    """Count some beyond every type, or below zero."""
    raw = {"MANY": "9" * n_digits, "FAR": "1e400"}
    values: tuple[Any, ...] = ("MANY", -5, 2**63, "FAR", 1.5, True)

    def edit(item: Json, n: int) -> None:
        _count(item, values[n % len(values)])
        item["createTime"] = 10**18
        item["video"] |= {"duration": "FAR", "width": 10**12, "height": -1}

    return edit_struck(visit, edit, raw)


def script_caption(visit: Visit) -> Reply | None:
    """Write captions that a page, a table or a terminal might obey."""

    def edit(item: Json, position: int) -> None:
        item["desc"] = SCRIPTS[position % len(SCRIPTS)]

    return edit_items(visit, edit)


def _is_struck_video(visit: Visit) -> bool:
    return visit.video is not None and is_struck(visit.positions[visit.video.tiktok_id])


def _withheld(visit: Visit, status: int, words: str) -> Reply | None:
    if visit.place != "video" or not _is_struck_video(visit):
        return None
    return without_item(visit, status, words)


def _without_film(item: Json) -> None:
    item["video"] |= {"duration": 0, "playAddr": "", "bitrateInfo": []}
    item["video"].pop("PlayAddrStruct", None)


def _spell(visit: Visit, letters: str) -> Reply | None:
    def edit(item: Json, _n: int) -> None:
        item["desc"] += f" {letters}"
        item["challenges"] = [*item.get("challenges", []), {"id": "1", "title": letters}]
        item["textExtra"].append({"hashtagName": letters, "start": 0, "end": 1, "type": 1})

    return edit_struck(visit, edit)


def _count(item: Json, value: Any) -> None:
    item["stats"]["playCount"] = value
    item["statsV2"]["playCount"] = value


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_texts(inner) for inner in value]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else value
