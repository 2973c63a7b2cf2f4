"""Read what a row says beside its id, count and times: shape, account, sound, traits, reactions."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import time, timedelta
from functools import cache, lru_cache, partial
from typing import Any

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.files import clean_text
from scraper.errors import RowRefused
from scraper.importers.fields import OTHER_ID, ROUNDED_TAIL, is_missing, read_count
from scraper.items import (
    CODE,
    MAX_DURATION_S,
    N_CACHED,
    find_hashtags,
    plain_hashtags,
    read_side,
)

Reader = Callable[[object], Any]

# Our name of a field -> the fact that it is.
ACCOUNT = {
    "followers": "n_followers",
    "following": "n_following",
    "author_likes": "n_likes",
    "author_posts": "n_posts",
    "verified": "is_verified",
    "bio": "bio_chars",
    "bio_chars": "bio_chars",
    "author_region": "region",
}
SOUND = {
    "sound_id": "platform_id",
    "sound_title": "title",
    "sound_author": "author",
    "sound_original": "is_original",
    "sound_duration_s": "duration_s",
    "sound_uses": "n_videos",
}
TRAITS = {
    "language": "language",
    "region": "region",
    "sponsored": "is_ad",
    "duet": "is_duet",
    "stitch": "is_stitch",
    "mentions": "n_mentions",
}
REACTIONS = {
    "likes": "n_likes",
    "comments": "n_comments",
    "shares": "n_shares",
    "saves": "n_saves",
}
GROUPS: tuple[tuple[str, type, Mapping[str, str]], ...] = (
    ("account", AccountFacts, ACCOUNT),
    ("sound", SoundFacts, SOUND),
    ("traits", Traits, TRAITS),
    ("reactions", Reactions, REACTIONS),
)
TRUE = frozenset({"true", "1", "1.0", "yes", "y", "t", "verified"})
FALSE = frozenset({"false", "0", "0.0", "no", "n", "f", "not verified", "unverified"})
CLOCK = re.compile(r"(?:([0-9]{1,2}):)?([0-9]{1,3}):([0-5]?[0-9](?:\.[0-9]{1,9})?)")
ISO_LENGTH = re.compile(
    r"P(?:0D)?T(?:([0-9]{1,3})H)?(?:([0-9]{1,4})M)?(?:([0-9]{1,6}(?:\.[0-9]{1,9})?)S)?",
    re.IGNORECASE,
)
WORDS = re.compile(
    r"(?:([0-9]{1,3}) ?(?:h|hrs?|hours?))? ?(?:([0-9]{1,4}) ?(?:m|mins?|minutes?))? ?"
    r"(?:([0-9]{1,6}(?:\.[0-9]{1,9})?) ?(?:s|secs?|seconds?))?",
    re.IGNORECASE,
)
MILLISECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?:ms|msecs?|milliseconds?)")
NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
# With three digits behind it the comma would be one between thousands.
DECIMAL_COMMA = re.compile(r"[0-9]{1,6},[0-9]{1,2}")
WORD = re.compile(r"[^\s,;|]+")
REGION = re.compile(r"[A-Za-z]{2,3}")
# How the site says that it does not know a caption's language.
UNKNOWN = ("un", "und")
MAX_TITLE_CHARS = 200


@cache
def readers(locale: str | None) -> Mapping[str, Reader]:
    """Return how each field's value is read; a reader gives None for what the field cannot be."""
    number = partial(read_number, locale=locale)
    counts = ("followers", "following", "author_likes", "author_posts", "bio_chars", "sound_uses")
    return {
        "caption": _text,
        "hashtags": lambda value: read_tags(value) or None,
        "duration_s": read_length,
        "duration_ms": partial(read_length, per_s=1_000),
        "width_px": read_side,
        "height_px": read_side,
        **dict.fromkeys((*counts, *REACTIONS), number),
        **dict.fromkeys(("verified", "sound_original", "sponsored", "duet", "stitch"), read_flag),
        "author_key": _author_key,
        "bio": _n_chars,
        "author_region": partial(_code, REGION),
        "region": partial(_code, REGION),
        "language": lambda value: None if value in UNKNOWN else _code(CODE, value),
        "mentions": partial(read_mentions, locale=locale),
        "sound_id": _sound_id,
        "sound_title": _title,
        "sound_author": _title,
        "sound_duration_s": read_length,
        "step_k": _step,
    }


def grouped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of the account, the sound, the post and its reactions, where there are any.

    values: by our names, each as its reader gave it.
    """
    found: dict[str, Any] = {}
    for name, kind, facts in GROUPS:
        given = {fact: values[field] for field, fact in facts.items() if field in values}
        if given and (kind is not SoundFacts or "platform_id" in given):
            found[name] = kind(**given)
    if "account" in found:
        found["account"] = _without_filler(found["account"])
    return found


def _without_filler(account: AccountFacts) -> AccountFacts | None:
    """Leave out the zeros that some answers have in place of an account's counts.

    Who posted this has one post at least.
    """
    if account.n_posts != 0 or account.n_followers:
        return account
    rest = replace(account, n_followers=None, n_following=None, n_likes=None, n_posts=None)
    return None if rest == AccountFacts() else rest


def read_length(value: object, per_s: int = 1) -> float | None:
    """Return a length in seconds; per_s: 1000 where plain numbers are milliseconds.

    Reads 34, "34.0", "0:34", "1:02:03", "PT1M5S", "34s", "1m 5s", "500 ms", and tables' own types.
    """
    if isinstance(value, str):
        length = _length_of_text(value, per_s)
    elif isinstance(value, timedelta):
        length = value.total_seconds()
    elif isinstance(value, time):
        length = value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        length = value / per_s if abs(value) < 1e12 else None
    else:
        return None
    return float(length) if length is not None and 0 < length <= MAX_DURATION_S else None


def read_number(value: object, locale: str | None = None) -> int | None:
    """Return a count of anything, None if it is none; "1.2M" is 1,200,000."""
    if isinstance(value, str):
        return _number_of_text(value, locale)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    return _counted(value, locale)


def read_flag(value: object) -> bool | None:
    """Return whether something is so, None where that cannot be read."""
    if isinstance(value, bool) or value is None:
        return value
    plain = str(value).strip().lower()
    return True if plain in TRUE else False if plain in FALSE else None


def read_mentions(value: object, locale: str | None = None) -> int | None:
    """Return how many accounts are named: a number, or the length of any kind of list."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = re.findall(r"[^\s,;|\[\]'\"]+", str(value))
    if isinstance(value, list):
        return len(value)
    n = read_number(value, locale)
    return len(WORD.findall(value)) if n is None and isinstance(value, str) else n


def read_tags(cell: object) -> tuple[str, ...]:
    """Return the hashtags of a cell: a list, a list as JSON, or words with whatever between."""
    if isinstance(cell, str):
        text = cell.strip()
        if len(text) <= 6 and is_missing(text.strip("[]")):
            return ()
        if text.startswith("["):
            try:
                cell = json.loads(text)
            except (ValueError, RecursionError):
                cell = None
        elif "|" in text and "#" not in text:
            # YouTube's: tags of several words.
            return plain_hashtags(part.strip(' "') for part in text.split("|"))
        else:
            return plain_hashtags(re.split(r"[\s,;|#]+", text)) if text else ()
        if cell is None:
            return plain_hashtags(re.findall(r"[^\s,;|#\[\]'\"]+", text))
    if not isinstance(cell, list):
        return ()
    names = [tag.get("name", tag.get("title")) if isinstance(tag, dict) else tag for tag in cell]
    return plain_hashtags(names) or find_hashtags(" ".join(str(name) for name in names)[:1_000])


@lru_cache(maxsize=N_CACHED)
def _length_of_text(text: str, per_s: int) -> float | None:
    plain = text.strip()
    if NUMBER.fullmatch(plain):
        return float(plain) / per_s
    if DECIMAL_COMMA.fullmatch(plain):
        return float(plain.replace(",", ".")) / per_s
    if match := MILLISECONDS.fullmatch(plain.lower()):
        return float(match[1]) / 1_000
    plain = plain.removeprefix("0 days ")  # as pandas writes one
    match = CLOCK.fullmatch(plain) or ISO_LENGTH.fullmatch(plain) or WORDS.fullmatch(plain)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


@lru_cache(maxsize=N_CACHED)
def _number_of_text(text: str, locale: str | None) -> int | None:
    return _counted(text, locale)


def _counted(value: object, locale: str | None) -> int | None:
    try:
        return round(read_count(value, exact=True, locale=locale)[1].views_k * 1_000)
    except RowRefused:
        return None


def _text(value: object) -> str | None:
    if not value or not isinstance(value, str):
        return None
    # Nearly all are longer than a word for nothing.
    return value if len(value) > 4 or not is_missing(value) else None


def _title(value: object) -> str | None:
    text = _text(value)
    return text and (clean_text(text).strip()[:MAX_TITLE_CHARS] or None)


def _n_chars(value: object) -> int | None:
    # An empty bio has no characters; that of "NA" is not known.
    is_told = isinstance(value, str) and (not value or not is_missing(value))
    return len(clean_text(value)) if is_told else None


def _code(form: re.Pattern[str], value: object) -> str | None:
    plain = value.strip() if isinstance(value, str) else ""
    return plain if form.fullmatch(plain) and not is_missing(plain) else None


def _author_key(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) else None


def _sound_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        value = str(value)
    plain = value.strip() if isinstance(value, str) else ""
    # One that a spreadsheet has rounded is another sound's.
    is_rounded = len(plain) == 19 and plain.endswith(ROUNDED_TAIL)
    return plain if OTHER_ID.fullmatch(plain) and not is_missing(plain) and not is_rounded else None


def _step(value: object) -> float | None:
    try:
        step_k = float(value) if isinstance(value, (str, int, float)) else math.nan
    except ValueError:
        return None
    return step_k if 0 <= step_k <= 1e9 else None
