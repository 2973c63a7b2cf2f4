"""Read which video of which platform a foreign row is about, or refuse the row with words."""

import re
from datetime import UTC, datetime

from scraper.errors import BadId
from scraper.importers.errors import RowRefused, shown
from scraper.importers.fields import is_missing
from scraper.items import check_id

TIKTOK = "tiktok"
PLATFORM = re.compile(r"[a-z0-9_]{1,40}")
OTHER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
URL_ID = re.compile(r"tiktokv?\.com/(?:[^/?#\s]*/)?(video|photo|v)/([0-9]{15,20})(?![0-9])")
# What a spreadsheet makes of a long number: its last digits are gone for ever.
ROUNDED_ID = re.compile(r"[0-9]+(?:[.,][0-9]*)?[eE]\+?[0-9]{1,3}|[0-9]{15,20}\.0*")


def read_platform(stated: object, wanted: str | None) -> str:
    """Return the platform a row is from: what the person says, else the row, else tiktok."""
    if stated is None and wanted is None:
        return TIKTOK
    name = wanted if wanted is not None else TIKTOK if is_missing(stated) else stated
    plain = name.strip().lower() if isinstance(name, str) else ""
    if PLATFORM.fullmatch(plain) is None:
        raise RowRefused("bad_platform", f"{shown(name)} is no platform: expected e.g. 'youtube'")
    return plain


def read_id(value: object, platform: str, *, exact_int: bool = False) -> str:
    """Return an id as text. exact_int: whole numbers here never went through a float."""
    if platform == TIKTOK and isinstance(value, str) and value.isdecimal():
        return _check_tiktok_id(value)
    if isinstance(value, float):
        raise RowRefused("bad_id", f"id {value!r} is a float: its last digits are lost; keep text")
    if isinstance(value, int) and not isinstance(value, bool):
        # A program that keeps numbers as floats (JavaScript, a spreadsheet) makes of a long id
        # the nearest multiple of 1024: another video's id, or nobody's.
        if not exact_int and 2**53 <= value < 2**63 and value % 1024 == 0:
            raise RowRefused(
                "bad_id", f"id {shown(value)} is a number and was rounded; ids must be text"
            )
        value = str(value) if 0 <= value < 2**63 else shown(value)
    if not isinstance(value, str) or is_missing(value):
        raise RowRefused("bad_id", f"id {shown(value)}: expected e.g. '7571863205253778710'")
    plain = value.strip()
    if ROUNDED_ID.fullmatch(plain):
        raise RowRefused(
            "bad_id",
            f"id {shown(plain)}: a spreadsheet or program made a number of it and its last digits "
            "are lost; export the column as text",
        )
    if platform != TIKTOK:
        if OTHER_ID.fullmatch(plain) is None:
            raise RowRefused("bad_id", f"id {shown(plain)}: expected 1 to 64 of A-Z a-z 0-9 _ -")
        return plain
    return _check_tiktok_id(plain)


def check_url_id(url: object, tiktok_id: str | None) -> str | None:
    """Return the id that a TikTok address names. Refuses photo posts, and another video's."""
    match = URL_ID.search(url) if isinstance(url, str) else None
    if match is None:
        return tiktok_id
    if tiktok_id is not None and match[2] != tiktok_id:
        raise RowRefused("bad_id", f"id {tiktok_id}, but the address names {match[2]}", tiktok_id)
    if match[1] == "photo":
        raise RowRefused("photo", "the address is a photo post's", match[2])
    return match[2]


def posted_by_id(tiktok_id: str) -> datetime:
    """Return the second of an upload, which a TikTok id's upper half is."""
    return datetime.fromtimestamp(int(tiktok_id) >> 32, UTC)


def _check_tiktok_id(text: str) -> str:
    try:
        return check_id(text)
    except BadId as error:
        hint = "" if text.isdecimal() and len(text) > 14 else "; of another site? say --platform"
        raise RowRefused("bad_id", f"{error}{hint}") from error
