"""Read one field of a foreign row – a count, a moment – or refuse the row with words."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from scraper.counts import MAX_VIEWS, ViewCount, count_from_json, parse_views_k
from scraper.errors import UnreadableCount
from scraper.importers.errors import RowRefused, shown
from scraper.items import (
    FIRST_SECOND,
    MAX_HASHTAG_CHARS,
    MAX_HASHTAGS,
    clean_text,
)

DIGITS = re.compile(r"[0-9]{1,15}")
# A whole number in a column with gaps, as programs for tables write it; no language groups so.
WHOLE_FLOAT = re.compile(r"([0-9]{1,15})\.0")
OTHER_FORM = re.compile(r"[0-9](?:[.,\s][0-9]|.*[^\W\d_])")
AMOUNT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
THOUSANDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
EPOCH = re.compile(r"[0-9]{9,13}(?:\.[0-9]{1,9})?")
THOUSANDS_MARK = "views_k="
# Tables repeat few values many times: sizes, lengths, the hour of collecting, short counts.
N_CACHED = 8_192
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
NEVER_BEFORE = datetime(2005, 1, 1, tzinfo=UTC)
# Clocks differ, and a time without its zone may be another day's.
SLACK = timedelta(days=1)


class naming:  # noqa: N801 (used as a statement, like contextlib.suppress)
    """Let a refusal of the block say which video it is about."""

    def __init__(self, tiktok_id: str) -> None:
        """Know the video."""
        self._tiktok_id = tiktok_id

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Name the video if the block refused it without doing so."""
        if isinstance(error, RowRefused) and error.tiktok_id is None:
            error.tiktok_id = self._tiktok_id


def is_missing(value: object) -> bool:
    """Say whether a value stands for nothing: null, an empty cell, the NaN of a table."""
    if value is None:
        return True
    if isinstance(value, str):
        return len(value) <= 4 and value.strip().casefold() in MISSING
    return isinstance(value, float) and math.isnan(value)


def plain_text(value: object) -> str:
    """Return a text that every database takes; empty if it is none."""
    if isinstance(value, str) and value.isascii() and "\0" not in value:
        return value
    return clean_text(value)


def first_of(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of some keys that has a value."""
    for name in names:
        value = row.get(name)
        if not is_missing(value):
            return value
    return None


def read_count(value: object, *, exact: bool, locale: str | None = None) -> tuple[str, ViewCount]:
    """Return a count's text and value.

    exact: the source gives true numbers; else whole numbers may be rounded as the site does.
    """
    if is_missing(value):
        raise RowRefused("no_count", "there is no view count; without one a row says nothing")
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_VIEWS:
        value = int(value)  # what a table makes of a column with gaps
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value) if abs(value) <= MAX_VIEWS else shown(value), _whole(value, exact)
        if isinstance(value, str):
            text = value.strip()
            return plain_text(text), _count_of_text(text, exact, locale)
    except UnreadableCount as error:
        is_foreign = locale is None and isinstance(value, str) and OTHER_FORM.search(value)
        hint = "; if that is another language's form, say --locale" if is_foreign else ""
        raise RowRefused("bad_count", f"views: {error}{hint}") from error
    raise RowRefused("bad_count", f"views {shown(value)}: expected e.g. 44800 or '30.58M'")


def read_thousands(value: object) -> tuple[str, ViewCount]:
    """Return a count that is given in thousands. Its text says so, lest it be read as views."""
    if is_missing(value):
        raise RowRefused("no_count", "there is no view count; without one a row says nothing")
    number = value
    if isinstance(value, str):
        number = float(value) if THOUSANDS.fullmatch(value.strip()) else None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise RowRefused(
            "bad_count",
            f"views_k {shown(value)}: expected thousands such as 30580.0; "
            "a text such as '30.58M' belongs in a column 'views'",
        )
    if not 0 <= number <= MAX_VIEWS / 1_000:
        raise RowRefused("bad_count", f"views_k {shown(value)}: expected 0 to {MAX_VIEWS // 1000}")
    return f"{THOUSANDS_MARK}{value}", ViewCount(float(number), 0.0)


def read_moment(value: object, what: str) -> datetime | None:
    """Return a moment from epoch seconds or milliseconds, ISO 8601, or a table's own type.

    None if there is none. A time without a zone is UTC, as the tools that write it do mean it.
    """
    if is_missing(value):
        return None
    moment: datetime | None = None
    try:
        if isinstance(value, str):
            moment = _moment_of_text(value.strip()) if len(value) <= 40 else None
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = _epoch(value)
        moment = None if moment is None else _to_utc(moment)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment < NEVER_BEFORE:
        raise RowRefused(
            "bad_time", f"{what} {shown(value)}: expected e.g. 1608214517 or '2020-12-17T14:15:17Z'"
        )
    return moment


def read_amount(value: object, most: float) -> float | None:
    """Return a length or a size, None if there is none or it cannot be."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _amount_of_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value <= most else None


def plain_hashtags(names: Iterable[object]) -> tuple[str, ...]:
    """Return hashtags in lower case, each once, in order."""
    kept = dict.fromkeys([plain_text(name).strip().lstrip("#").lower() for name in names])
    return tuple([name for name in kept if 0 < len(name) <= MAX_HASHTAG_CHARS][:MAX_HASHTAGS])


def child(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object inside an object; empty if it is missing or something else."""
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(row: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list inside an object; empty if it is missing or something else."""
    found = row.get(name)
    return found if isinstance(found, list) else []


def _whole(n: int, exact: bool) -> ViewCount:
    if exact and 0 <= n <= MAX_VIEWS:
        return ViewCount(n / 1_000, 0.0)
    return count_from_json(n)


@lru_cache(maxsize=N_CACHED)
def _count_of_text(text: str, exact: bool, locale: str | None) -> ViewCount:
    if DIGITS.fullmatch(text):
        return _whole(int(text), exact)
    if match := WHOLE_FLOAT.fullmatch(text):
        return _whole(int(match[1]), exact)
    return parse_views_k(text, locale)


@lru_cache(maxsize=N_CACHED)
def _amount_of_text(text: str) -> float | None:
    return float(text) if AMOUNT.fullmatch(text) else None


@lru_cache(maxsize=N_CACHED)
def _moment_of_text(text: str) -> datetime | None:
    return _epoch(float(text)) if EPOCH.fullmatch(text) else datetime.fromisoformat(text)


def _epoch(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    # From 2001 to 2286 seconds have ten digits at most, milliseconds more.
    seconds = number / 1_000 if number >= 1e11 else number
    return datetime.fromtimestamp(seconds, UTC) if FIRST_SECOND // 2 < seconds < 2**33 else None


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
