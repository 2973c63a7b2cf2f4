"""Read what a row says of the account, the sound, the reactions and the post; drop what cannot be.

None of it is worth refusing a row for: a value that cannot be read is as if it were not given, and
whoever counts the fields of a file is told of it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from catalog.files import clean_text
from scraper.counts import MAX_VIEWS, parse_views_k
from scraper.errors import UnreadableCount
from scraper.importers.fields import is_missing
from scraper.items import MAX_DURATION_S, read_amount

Facts = TypeVar("Facts", AccountFacts, SoundFacts, Reactions, Traits)
# Told of each value: our name of the field, what was given, and whether it could be read; what is
# missing was given as None and is not unreadable.
Note = Callable[[str, object, bool], None]

MAX_TITLE_CHARS = 300
WHOLE = re.compile(r"[0-9]{1,15}(?:\.0+)?")
SOUND_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
REGION = re.compile(r"[A-Za-z]{2,3}")
# How the site says that it does not know a language.
UNKNOWN_LANGUAGE = frozenset({"un", "und"})
TRUE, FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
# How the site names a sound of somebody's own, in the languages that it shows most.
ORIGINAL = re.compile(
    r"(?:original sound|originalton|son original|sonido original|som original|suono originale"
    r"|suara asli|nhạc nền|orijinal ses|оригинальный звук|オリジナル楽曲|오리지널 사운드"
    r"|原聲|原声)",
    re.IGNORECASE,
)


def read_facts(
    kind: type[Facts], values: Mapping[str, object], note: Note | None = None
) -> Facts | None:
    """Return the record that the values make, by the names of its fields; None if they say nothing.

    A sound without an id is none: nobody could tell it from another.
    """
    known: dict[str, object] = {}
    for name, value in values.items():
        found = None if value is None else READ[name](value)
        # An account's own words may be none at all, and that is said.
        is_given = not is_missing(value) or (name == "bio_chars" and value == "")
        if note is not None:
            note(name, value if is_given else None, found is not None)
        if is_given and found is not None:
            known[name] = found
    if not known or (kind is SoundFacts and "platform_id" not in known):
        return None
    record = kind(**known)  # type: ignore[arg-type]  # READ gives each field its own type
    if isinstance(record, AccountFacts):
        return _without_filler(record)
    return _without_person(record) if isinstance(record, SoundFacts) else record


def read_whole(value: object) -> int | None:
    """Return a count of anything: a whole number, its digits, or as the site displays it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, str):
        value = _whole_of_text(value.strip())
    return value if isinstance(value, int) and 0 <= value <= MAX_VIEWS else None


def read_flag(value: object) -> bool | None:
    """Return what is plainly true or false."""
    text = str(value).strip().lower() if isinstance(value, (bool, int, str)) else ""
    return True if text in TRUE else False if text in FALSE else None


def _whole_of_text(text: str) -> int | None:
    if WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    try:
        return round(parse_views_k(text).views_k * 1_000)
    except UnreadableCount:
        return None


def _read_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        # What a program that keeps numbers as floats makes of a long id is another sound's.
        value = None if value >= 2**53 and value % 1024 == 0 else str(value)
    text = value.strip() if isinstance(value, str) else ""
    return text if SOUND_ID.fullmatch(text) and text.strip("0") else None


def _read_title(value: object) -> str | None:
    text = clean_text(value).strip()[:MAX_TITLE_CHARS] if isinstance(value, str) else ""
    return text or None


def _read_language(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    is_known = LANGUAGE.fullmatch(text) and text.lower() not in UNKNOWN_LANGUAGE
    return text if is_known else None


def _read_region(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return text.upper() if REGION.fullmatch(text) else None


def _n_chars(value: object) -> int | None:
    return len(clean_text(value)) if isinstance(value, str) else read_whole(value)


def _n_entries(value: object) -> int | None:
    return len(value) if isinstance(value, list) else read_whole(value)


def _seconds(value: object) -> float | None:
    return read_amount(value, MAX_DURATION_S)


def _without_filler(account: AccountFacts) -> AccountFacts | None:
    """Leave out the zeros that some answers have in place of an account's counts.

    Who posted this has one post at least.
    """
    if account.n_posts != 0 or account.n_followers:
        return account
    rest = replace(account, n_followers=None, n_following=None, n_likes=None, n_posts=None)
    return None if rest == AccountFacts() else rest


def _without_person(sound: SoundFacts) -> SoundFacts:
    """Leave out whose original sound it is: that is a person, and no maker of music."""
    if sound.is_original is None and sound.title and ORIGINAL.match(sound.title):
        sound = replace(sound, is_original=True)
    return replace(sound, author=None) if sound.is_original else sound


READ: Mapping[str, Callable[[object], object]] = {
    "n_followers": read_whole,
    "n_following": read_whole,
    "n_likes": read_whole,
    "n_posts": read_whole,
    "is_verified": read_flag,
    "bio_chars": _n_chars,
    "region": _read_region,
    "platform_id": _read_id,
    "title": _read_title,
    "author": _read_title,
    "is_original": read_flag,
    "duration_s": _seconds,
    "n_videos": read_whole,
    "n_comments": read_whole,
    "n_shares": read_whole,
    "n_saves": read_whole,
    "language": _read_language,
    "is_ad": read_flag,
    "is_duet": read_flag,
    "is_stitch": read_flag,
    "n_mentions": _n_entries,
}
