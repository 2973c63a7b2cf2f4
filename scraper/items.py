"""Turn one video of the site's JSON into what we keep of it, or say why we do not keep it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NoReturn

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.files import clean_text
from scraper.counts import ViewCount, count_from_json, parse_views_k
from scraper.errors import BadId, PageChanged, UnreadableCount

DEFAULT_TOPICS: dict[str, tuple[str, ...]] = {
    "Sports": ("sports", "football"),
    "Dance": ("dance", "dancechallenge"),
    "Entertainment": ("entertainment", "movietok"),
    "Comedy and Drama": ("comedy", "drama"),
    "Autos": ("autos", "cars"),
    "Fashion": ("fashion", "ootd"),
    "Lifestyle": ("lifestyle", "dayinmylife"),
    "Pets and Nature": ("pets", "nature", "cutepets"),
    "Relationships": ("relationships", "couplegoals"),
    "Society": ("society",),
    "Informative": ("informative", "howto", "learnsomething"),
    "Music": ("music", "newmusic"),
}

Source = Literal["xhr", "hydration", "dom", "import"]
Json = Mapping[str, Any]

ID = re.compile(r"[0-9]{15,20}")
# An id's upper half is the second of the upload. Nothing is older than the site; the upper bound
# is 2^63 (the year 2038) rather than now, so that a clock that is wrong loses no video.
FIRST_SECOND = int(datetime(2014, 1, 1, tzinfo=UTC).timestamp())
HANDLE = re.compile(r"[\w.-]{1,64}")
HASHTAG = re.compile(r"#([\w\u200d\ufe0f]{1,200})")
SOUND_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MENTION = re.compile(r"(?<![\w.])@(?:[\w.-]{1,64}|…)")
NUMBER = re.compile(r"[0-9]{1,15}")
# At most the 20 characters that the catalog has room for.
CODE = re.compile(r"(?=.{2,20}\Z)[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,2}")
MAX_TITLE_CHARS = 300
MAX_NAME_CHARS = 200
MAX_BODY_CHARS = 8 * 1024 * 1024
MAX_CAPTION_CHARS = 10_000
MAX_HASHTAG_CHARS = 200
MAX_HASHTAGS = 100
MAX_SIDE_PX = 16_384
MAX_DURATION_S = 6 * 3600
AMOUNT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
# Tables repeat few values many times: sizes, lengths, the hour of collecting, short counts.
N_CACHED = 8_192


@dataclass(frozen=True)
class Sighting:
    """A video as a page showed it at one moment.

    display_text is the count verbatim: the card's text, else the JSON's digits. views_k and
    step_k are None together when it cannot be read; step_k 0 means exact. is_posted_at_stated:
    False where posted_at was derived from the id or a bare date. author_key: of an export of ours,
    which has the keyed hash in place of the handle. Other None: not given.
    """

    tiktok_id: str
    handle: str | None
    caption: str
    hashtags: tuple[str, ...]
    posted_at: datetime | None
    duration_s: float | None
    width_px: int | None
    height_px: int | None
    display_text: str
    views_k: float | None
    step_k: float | None
    source: Source
    observed_at: datetime
    is_posted_at_stated: bool = True
    author_key: str | None = None
    account: AccountFacts | None = None
    sound: SoundFacts | None = None
    traits: Traits | None = None
    reactions: Reactions | None = None


@dataclass(frozen=True)
class Rejected:
    """Something in a listing that is no public video; tiktok_id is None if it has no valid id."""

    reason: str
    tiktok_id: str | None


def check_id(tiktok_id: str) -> str:
    """Return the id unchanged if a video can have it. Raises BadId."""
    if ID.fullmatch(tiktok_id) is None or not FIRST_SECOND <= int(tiktok_id) >> 32 < 2**31:
        raise BadId(
            f"{tiktok_id[:40]!r} is no video id: expected the like of '7571863205253778710'"
        )
    return tiktok_id


def page_id(value: object) -> str | None:
    """Return a page's id as text, or None if no video can have it."""
    try:
        return check_id(value) if isinstance(value, str) else None
    except BadId:
        return None


def load_json(text: str) -> Json:
    """Parse an object that a page gave, which may be anything. Raises PageChanged."""
    if len(text) > MAX_BODY_CHARS:
        raise PageChanged(f"a JSON body of {len(text)} characters, more than {MAX_BODY_CHARS}")
    try:
        found = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PageChanged(f"a JSON body that cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise PageChanged(f"a JSON {type(found).__name__} where an object was expected")
    return found


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader would take."""
    raise ValueError(f"{name} is no JSON")


def read_item(raw: object, *, source: Source, observed_at: datetime) -> Sighting | Rejected:
    """Read an `itemStruct`. What is no plain public video is rejected with the reason."""
    if not isinstance(raw, Mapping):
        return Rejected("not_an_item", None)
    tiktok_id = page_id(raw.get("id"))
    if tiktok_id is None:
        return Rejected("bad_id", None)
    # Exports often leave an item's `video` out; a page never does for one that can be played.
    reason = _reason_to_reject(raw, needs_video=source != "import" or "video" in raw)
    if reason is not None:
        return Rejected(reason, tiktok_id)
    video, caption = child(raw, "video"), clean_text(raw.get("desc"))[:MAX_CAPTION_CHARS]
    text, count = _read_count(raw)
    return Sighting(
        tiktok_id=tiktok_id,
        handle=page_handle(raw.get("author")),
        caption=caption,
        hashtags=_read_hashtags(raw, caption),
        posted_at=_read_time(raw.get("createTime")),
        duration_s=read_amount(video.get("duration"), MAX_DURATION_S),
        width_px=read_side(video.get("width")),
        height_px=read_side(video.get("height")),
        display_text=text,
        views_k=count.views_k if count else None,
        step_k=count.step_k if count else None,
        source=source,
        observed_at=observed_at,
        account=read_account(raw.get("author"), raw.get("authorStatsV2"), raw.get("authorStats")),
        sound=read_sound(raw.get("music")),
        traits=_read_traits(raw, caption),
        reactions=_read_reactions(raw),
    )


def read_account(author: object, *stats: object) -> AccountFacts | None:
    """Read what is shown of an account, from its object and its counts; best counts first.

    None where nothing is: in old pages the author is only a name.
    """
    who: Json = author if isinstance(author, Mapping) else {}
    words, verified, region = (who.get(name) for name in ("signature", "verified", "region"))
    facts = AccountFacts(
        n_followers=_first_number(stats, "followerCount"),
        n_following=_first_number(stats, "followingCount"),
        n_likes=_first_number(stats, "heartCount", "heart"),
        n_posts=_first_number(stats, "videoCount"),
        is_verified=verified if isinstance(verified, bool) else None,
        bio_chars=len(words) if isinstance(words, str) else None,
        region=read_code(region),
    )
    return None if facts == AccountFacts() else facts


def read_sound(music: object, *stats: object) -> SoundFacts | None:
    """Read a video's music; None where it has none with an id."""
    if not isinstance(music, Mapping):
        return None
    platform_id = clean_text(music.get("id")).strip()
    if SOUND_ID.fullmatch(platform_id) is None or platform_id == "0":
        return None
    is_original = music.get("original")
    return SoundFacts(
        platform_id,
        title=clean_text(music.get("title")).strip()[:MAX_TITLE_CHARS] or None,
        author=clean_text(music.get("authorName")).strip()[:MAX_NAME_CHARS] or None,
        is_original=is_original if isinstance(is_original, bool) else None,
        duration_s=read_amount(music.get("duration"), MAX_DURATION_S),
        n_videos=_first_number(stats, "videoCount"),
    )


def count_mentions(caption: str) -> int:
    """Count the accounts that a caption names; one whose name an export left out counts."""
    return len(MENTION.findall(caption)) if "@" in caption else 0


def read_number(value: object) -> int | None:
    """Return a whole number that may be written as a text, None if it is none or cannot be."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return int(value) if NUMBER.fullmatch(str(value)) else None


def read_code(value: object) -> str | None:
    """Return the code of a language or a country, None if it is none; "un" is unknown."""
    code = value.strip() if isinstance(value, str) else ""
    return code if CODE.fullmatch(code) and code != "un" else None


def child(raw: Json, name: str) -> Json:
    """Return an object inside an object; empty if it is missing or something else."""
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(raw: Json, name: str) -> list[Any]:
    """Return a list inside an object; empty if it is missing or something else."""
    found = raw.get(name)
    return found if isinstance(found, list) else []


def page_handle(author: object) -> str | None:
    """Return an author's handle: an object's `uniqueId`, or the text itself in old pages."""
    handle = author.get("uniqueId") if isinstance(author, Mapping) else author
    return handle if isinstance(handle, str) and HANDLE.fullmatch(handle) else None


def find_hashtags(caption: str) -> tuple[str, ...]:
    """Return the hashtags written in a caption, lower case, each once, in order."""
    return plain_hashtags(HASHTAG.findall(caption))


def plain_hashtags(names: Iterable[object]) -> tuple[str, ...]:
    """Return hashtags in lower case, each once, in order."""
    kept = dict.fromkeys([clean_text(name).strip().lstrip("#").lower() for name in names])
    return tuple([name for name in kept if 0 < len(name) <= MAX_HASHTAG_CHARS][:MAX_HASHTAGS])


def read_amount(value: object, most: float) -> float | None:
    """Return a length or a size, None if there is none or it cannot be."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _amount_of_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value <= most else None


def read_side(value: object) -> int | None:
    """Return a width or height in whole pixels, None if there is none or it cannot be."""
    side_px = read_amount(value, MAX_SIDE_PX)
    return None if side_px is None else int(side_px)


def read_text_count(text: str) -> ViewCount | None:
    """Return a displayed count, or None where it cannot be read; the text is kept beside it."""
    try:
        return parse_views_k(text)
    except UnreadableCount:
        return None


def _reason_to_reject(raw: Json, *, needs_video: bool) -> str | None:
    if raw.get("isAd"):
        return "ad"
    if raw.get("imagePost"):
        return "photo"
    if raw.get("liveRoomInfo"):
        return "live"
    hidden = ("privateItem", "secret", "forFriend", "isReviewing")
    author = child(raw, "author")
    if any(raw.get(mark) for mark in hidden) or author.get("privateAccount"):
        return "private"
    if raw.get("takeDown") not in (None, 0, False, "0"):
        return "taken_down"
    if needs_video and child(raw, "video").get("duration") in (None, 0, "", "0"):
        return "no_video"
    if str(raw.get("createTime")) == "0" or not (child(raw, "stats") or child(raw, "statsV2")):
        # What a visitor gets who ought to sign in.
        return "emptied"
    return None


def _read_count(raw: Json) -> tuple[str, ViewCount | None]:
    # statsV2 is exact where stats is rounded; on many pages both are the same.
    given = [child(raw, name).get("playCount") for name in ("statsV2", "stats")]
    for value in given:
        text = str(value)
        if isinstance(value, (int, str)) and re.fullmatch(r"[0-9]{1,15}", text):
            try:
                return text, count_from_json(int(text))
            except UnreadableCount:
                continue
    text = next((str(value) for value in given if value is not None), "")
    return clean_text(text)[:100], None


def _read_reactions(raw: Json) -> Reactions | None:
    stats = raw.get("statsV2"), raw.get("stats")
    found = Reactions(
        n_likes=_first_number(stats, "diggCount"),
        n_comments=_first_number(stats, "commentCount"),
        n_shares=_first_number(stats, "shareCount"),
        n_saves=_first_number(stats, "collectCount"),
    )
    return None if found == Reactions() else found


def _read_traits(raw: Json, caption: str) -> Traits | None:
    named = raw.get("textExtra")
    is_paid = any(raw.get(mark) is True for mark in ("isSponsored", "isPaidPartnership"))
    found = Traits(
        language=read_code(raw.get("textLanguage")),
        region=read_code(raw.get("locationCreated")),
        is_ad=True if is_paid else False if raw.get("isAd") is False else None,
        is_duet=_is_made_from(raw, "duetInfo", "duetFromId"),
        is_stitch=_is_made_from(raw, "stitchInfo", "stitchFromId"),
        n_mentions=(
            sum(isinstance(e, Mapping) and bool(e.get("userUniqueId")) for e in named)
            if isinstance(named, list)
            else count_mentions(caption)
            if "desc" in raw
            else None
        ),
    )
    return None if found == Traits() else found


def _is_made_from(raw: Json, part: str, name: str) -> bool | None:
    """Say whether a post is made from another's; None where the item has no such part."""
    other = child(raw, part).get(name)
    return None if other is None else str(other) not in ("", "0")


def _first_number(stats: Iterable[object], *names: str) -> int | None:
    """Return the first count of some names that can be read, in one after another of some parts."""
    for part in stats:
        if not isinstance(part, Mapping):
            continue
        for name in names:
            if (number := read_number(part.get(name))) is not None:
                return number
    return None


def _read_hashtags(raw: Json, caption: str) -> tuple[str, ...]:
    names = [
        entry.get(key)
        for group, key in (("challenges", "title"), ("textExtra", "hashtagName"))
        for entry in listed(raw, group)
        if isinstance(entry, Mapping)
    ]
    return plain_hashtags(names) or find_hashtags(caption)


def _read_time(value: object) -> datetime | None:
    # A number in listings, a text on a video's own page.
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{9,10}", str(value)):
        return None
    seconds = int(str(value))
    return datetime.fromtimestamp(seconds, UTC) if seconds >= FIRST_SECOND else None


@lru_cache(maxsize=N_CACHED)
def _amount_of_text(text: str) -> float | None:
    return float(text) if AMOUNT.fullmatch(text) else None
