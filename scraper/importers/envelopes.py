"""Find the videos in what they come in: answers of the site and its app, the state of a page."""

from collections.abc import Iterable, Iterator, Mapping

from scraper.items import Json, child, listed

# An answer with one video.
ONE = ("aweme_detail", "aweme_info", "awemeInfo", "item", "videoData")
MANY = (
    "aweme_details",
    "aweme_list",
    "collector",
    "entries",
    "itemList",
    "itemListData",
    "item_list",
    "items",
    "videos",
    "data",
)
INNER = ("body", "props", "pageProps")
# Nobody but the site has these; one of the others beside an id of its own is a tool's row.
PLAIN = frozenset(
    {
        *("aweme_detail", "aweme_details", "aweme_info", "aweme_list", "itemInfos", "ItemModule"),
        "__DEFAULT_SCOPE__",
    }
)
MARKS = PLAIN | {*ONE, *MANY, *INNER}
OWN_ID = frozenset(
    {
        *("aweme_id", "id", "item_id", "video_id", "tiktok_id", "url", "views", "views_k"),
        "timestamp_collected",
    }
)
VIDEO = frozenset({"aweme_id", "id", "video_id", "itemInfo", "itemStruct", "_type", "ie_key"})
LISTS_OF_A_PAGE = ("itemList", "item_list")
# An answer in an answer in an answer: nobody wraps a video deeper.
MAX_DEPTH = 8


def unfold(row: Json, depth: int = 0) -> list[Json] | None:
    """Return the videos of an answer as rows of their own; None if the row is no answer.

    Each is told when the answer came, where the answer says so.
    """
    if MARKS.isdisjoint(row):
        return by_number(row)
    if PLAIN.isdisjoint(row) and not OWN_ID.isdisjoint(row) and not _is_playlist(row):
        return None
    if depth >= MAX_DEPTH:
        return []
    found = list(_videos(row, depth))
    if not found and not (PLAIN & row.keys()) and not _is_answer(row):
        return None
    now = child(row, "extra").get("now") or row.get("timestamp_collected")
    return [_timed(video, now) for video in found] if now else found


def by_number(row: Json) -> list[Json] | None:
    """Return the rows of an object that has each under its number or id; None if it is none."""
    if not next(iter(row), "").isdecimal() or not all(name.isdecimal() for name in row):
        return None
    rows = [entry for entry in row.values() if isinstance(entry, Mapping)]
    return rows if len(rows) == len(row) else None


def by_column(row: Json) -> list[Json] | None:
    """Return the rows of an object that has them by columns, each cell under its row's number.

    So pandas writes a table where it is not told otherwise. None if it is none.
    """
    first = next(iter(row.values()), None)
    if not isinstance(first, Mapping) or not first or not all(n.isdecimal() for n in first):
        return None
    columns = {name: cells for name, cells in row.items() if isinstance(cells, Mapping)}
    if len(columns) < len(row) or any(cells.keys() != first.keys() for cells in columns.values()):
        return None
    return [{name: cells[number] for name, cells in columns.items()} for number in first]


def videos_of_state(state: Json) -> list[Json]:
    """Return the videos of a page's state, each with what the page has of its author."""
    return unfold(state) or []


def _videos(row: Json, depth: int) -> Iterator[Json]:
    if "itemInfos" in row:
        yield _of_2020(row)
        return
    if "ItemModule" in row:
        users = child(row, "UserModule")
        items = [item for item in child(row, "ItemModule").values() if isinstance(item, Mapping)]
        yield from _with_authors(items, child(users, "users"), child(users, "stats"))
        return
    if "__DEFAULT_SCOPE__" in row:
        yield from _of_scope(child(row, "__DEFAULT_SCOPE__"))
        return
    for name in (*ONE, *MANY, *INNER):
        yield from _inside(row.get(name), depth)


def _inside(value: object, depth: int) -> Iterator[Json]:
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, Mapping):
            inner = unfold(entry, depth + 1)
            if inner is not None:
                yield from inner
            elif not VIDEO.isdisjoint(entry):
                yield entry


def _is_playlist(row: Json) -> bool:
    return isinstance(row.get("entries"), list) and row.get("_type") in ("playlist", "multi_video")


def _is_answer(row: Json) -> bool:
    """Say whether something is an answer, if only an empty one."""
    return any(isinstance(row.get(name), (list, Mapping)) for name in (*MANY, *ONE))


def _timed(video: Json, now: object) -> Json:
    return video if "timestamp_collected" in video else {**video, "timestamp_collected": now}


def _of_scope(scope: Json) -> Iterator[Json]:
    account = child(child(scope, "webapp.user-detail"), "userInfo")
    user = child(account, "user")
    stats = child(account, "stats") or child(account, "statsV2")
    handle = str(user.get("uniqueId"))
    for part in scope.values():
        if isinstance(part, list):
            yield from _with_authors(_items(part), {handle: user}, {handle: stats})
        elif isinstance(part, Mapping):
            if "itemInfo" in part:
                yield part
            for name in LISTS_OF_A_PAGE:
                found = _items(listed(part, name))
                yield from _with_authors(found, {handle: user}, {handle: stats})


def _items(entries: Iterable[object]) -> list[Json]:
    return [entry for entry in entries if isinstance(entry, Mapping) and "id" in entry]


def _with_authors(items: Iterable[Json], users: Json, stats: Json) -> Iterator[Json]:
    """Give each item what stands elsewhere of its author, whom older pages only name."""
    for item in items:
        author = item.get("author")
        handle = author.get("uniqueId") if isinstance(author, Mapping) else author
        if not isinstance(handle, str):
            yield item
            continue
        more = dict(item)
        if not isinstance(author, Mapping):
            more["author"] = {**child(users, handle), "uniqueId": handle}
        if "authorStats" not in more and child(stats, handle):
            more["authorStats"] = child(stats, handle)
        yield more


def _of_2020(row: Json) -> Json:
    """Return an item of 2020's pages and answers in the form that items have today."""
    item = child(row, "itemInfos")
    music, author = child(row, "musicInfos"), child(row, "authorInfos")
    video = child(child(item, "video"), "videoMeta")
    counts = ("playCount", "diggCount", "commentCount", "shareCount")
    return {
        **{name: item[name] for name in ("id", "createTime", "isAd", "secret") if name in item},
        "desc": item.get("text"),
        "author": author,
        "authorStats": child(row, "authorStats") or child(row, "authorStatsInfos"),
        "stats": {name: item[name] for name in counts if name in item},
        "music": {
            "id": music.get("musicId"),
            "title": music.get("musicName"),
            "authorName": music.get("authorName"),
            "original": music.get("original"),
        },
        "challenges": [
            {"title": tag.get("challengeName", tag.get("title"))}
            for tag in listed(row, "challengeInfoList")
            if isinstance(tag, Mapping)
        ],
        "textExtra": [
            {"hashtagName": tag.get("HashtagName", tag.get("hashtagName"))}
            for tag in listed(row, "textExtra")
            if isinstance(tag, Mapping)
        ],
        **({"video": video} if video else {}),
    }
