"""Read single fields of a foreign row – an id, a count, a moment – or refuse it with words."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

from catalog.files import clean_text
from scraper.counts import MAX_VIEWS, ViewCount, count_from_json, parse_views_k
from scraper.errors import BadId, RowRefused, UnreadableCount, shown
from scraper.items import FIRST_SECOND, HANDLE, N_CACHED, check_id

TIKTOK = "tiktok"
PLATFORM = re.compile(r"[a-z0-9_]{1,40}")
OTHER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_ID_CHARS = 40  # of a video's, in the catalog
URL_ID = re.compile(
    r"tiktokv?\.com/(?:[^/?#\s]*/)?(video|photo|v|embed(?:/v[0-9])?|player/v[0-9])/"
    r"([0-9]{15,20})(?![0-9])"
)
SHORT_LINK = re.compile(r"//(?:v[mt]\.tiktok\.com|(?:www\.)?tiktok\.com/t)/")
YOUTUBE_ID = re.compile(
    r"(?:youtu\.be/|youtube(?:-nocookie)?\.com/(?:(?:shorts|embed|live|v)/|watch\?(?:[^#\s]*&)?v=))"
    r"([\w-]{11})(?![\w-])",
    re.ASCII,
)
# A spreadsheet keeps 15 digits: of an id that it rounded, the last four of 19 are zeros.
ROUNDED_TAIL = "0000"
# What a spreadsheet makes of a long number: its last digits are gone for ever.
ROUNDED_ID = re.compile(r"[0-9]+(?:[.,][0-9]*)?[eE]\+?[0-9]{1,3}|[0-9]{15,20}\.0*")
DIGITS = re.compile(r"[0-9]{1,15}")
# A whole number in a column with gaps, as programs for tables write it; no language groups so.
WHOLE_FLOAT = re.compile(r"([0-9]{1,15})\.0")
# R writes 100000 so, with all its digits; a spreadsheet, which rounds, writes a capital E.
R_NUMBER = re.compile(r"[1-9](?:\.[0-9]{1,14})?e\+[01][0-9]")
OTHER_FORM = re.compile(r"[0-9](?:[.,\s][0-9]|.*[^\W\d_])")
THOUSANDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
THOUSANDS_MARK = "views_k="
EPOCH = re.compile(r"[0-9]{9,13}(?:\.[0-9]{1,9})?")
DAY = re.compile(r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4})")
DAY_NUMBER = re.compile(r"20[0-9]{2}[01][0-9][0-3][0-9]")
HOUR_OF_FORMAT = re.compile(r"%-?[HIXcsT]")
NEVER_BEFORE = datetime(2005, 1, 1, tzinfo=UTC)
MISSING = frozenset({"", "na", "n/a", "nan", "nat", "<na>", "#n/a", "\\n", "null", "none", "-"})
MAX_HANDLE_CHARS = 100
MAX_URL_CHARS = 2_000


def is_missing(value: object) -> bool:
    """Say whether a value stands for nothing: null, an empty cell, the NaN of a table."""
    if value is None:
        return True
    if isinstance(value, str):
        return len(value) <= 4 and value.strip().casefold() in MISSING
    return isinstance(value, float) and math.isnan(value)


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
        # the nearest multiple of 1024: another video's id, or nobody's. Of 10,102 of tiktok's ids
        # none is one; other sites' ids end in a number that is mostly 0.
        if not exact_int and platform == TIKTOK and _is_rounded(value):
            raise RowRefused(
                "bad_id", f"id {shown(value)} is a number and was rounded; ids must be text"
            )
        value = str(value) if 0 <= value < 2**64 else shown(value)
    if is_missing(value):
        raise RowRefused("bad_id", "the row has no id")
    if not isinstance(value, str):
        raise RowRefused("bad_id", f"id {shown(value)}: expected e.g. '7571863205253778710'")
    plain = value.strip()
    # Digits around an "e" may be the id of another site.
    if ROUNDED_ID.fullmatch(plain) and (platform == TIKTOK or not plain.isalnum()):
        raise RowRefused(
            "bad_id",
            f"id {shown(plain)}: a spreadsheet or program made a number of it and its last digits "
            "are lost; export the column as text",
        )
    if platform != TIKTOK:
        if OTHER_ID.fullmatch(plain) is None or len(plain) > MAX_ID_CHARS:
            words = f"expected 1 to {MAX_ID_CHARS} of A-Z a-z 0-9 _ -"
            raise RowRefused("bad_id", f"id {shown(plain)}: {words}")
        return plain
    return _check_tiktok_id(plain)


def _is_rounded(n: int) -> bool:
    return 2**53 <= n < 2**63 and n % 1024 == 0


def rounding_of(value: object) -> str | None:
    """Say by which sign a program has rounded an id of tiktok's, None if there is none.

    Of 10,102 real ids two end in 0000 and none is a multiple of 1024.
    """
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    text = text.strip()
    if len(text) != 19 or text[-1] not in "02468" or not text.isdecimal():
        return None
    if text.endswith(ROUNDED_TAIL):
        return f"ends in {ROUNDED_TAIL}, as where a spreadsheet kept 15 digits"
    if int(text) % 1024 == 0:
        return "is a multiple of 1024, as where a program kept it as a floating-point number"
    return None


def is_scientific(value: object) -> bool:
    """Say whether an id was made 7.57E+18 by a spreadsheet."""
    return isinstance(value, str) and ROUNDED_ID.fullmatch(value.strip()) is not None


def names_video(url: object, platform: str) -> bool:
    """Say whether an address names a video of tiktok's, which its id can be taken from."""
    return platform == TIKTOK and isinstance(url, str) and URL_ID.search(url) is not None


def read_id_or_url(value: object, url: object, platform: str, *, exact_int: bool = False) -> str:
    """Return an id as text; where there is none, the one that the address names.

    Refuses an address of tiktok's that names another video, or a photo post.
    """
    known = None if is_missing(value) else read_id(value, platform, exact_int=exact_int)
    if platform == TIKTOK and url is not None:
        known = check_url_id(url, known)
    elif known is None and isinstance(url, str) and (match := YOUTUBE_ID.search(url)):
        known = match[1]
    if known is None and not is_missing(url):
        raise RowRefused("bad_id", f"no id in {shown(url)}: {_why_no_id(url, platform)}")
    return read_id(value, platform) if known is None else known


def _why_no_id(url: object, platform: str) -> str:
    address = url if isinstance(url, str) else ""
    if SHORT_LINK.search(address):
        return "it is a short link, which must be resolved first"
    if platform == TIKTOK and YOUTUBE_ID.search(address):
        return "it is of another site: say --platform youtube"
    return "it is no address of a video that we know"


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


def uploaded_s(tiktok_id: str) -> int:
    """Return the second of an upload, which a TikTok id's upper half is."""
    return int(tiktok_id) >> 32


def posted_by_id(tiktok_id: str) -> datetime:
    """Return the same as a moment."""
    return datetime.fromtimestamp(uploaded_s(tiktok_id), UTC)


def read_views(
    views: object, views_k: object, *, locale: str | None, exact: bool = False
) -> tuple[str, ViewCount]:
    """Return the count: the displayed one, which says how exact it is, else the thousands.

    exact: as in read_count. Refuses a row in which the two contradict each other.
    """
    if is_missing(views) or (isinstance(views, str) and views.startswith(THOUSANDS_MARK)):
        # The second is what an export has of a count that came as thousands.
        return read_thousands(views_k)
    text, count = read_count(views, exact=exact, locale=locale)
    if is_missing(views_k):
        return text, count
    _, thousands = read_thousands(views_k)
    # Thousands were often made from the text: within its step they are the same number.
    if abs(thousands.views_k - count.views_k) > max(count.step_k, 0.001) + 1e-9 * count.views_k:
        raise RowRefused(
            "bad_count", f"views {text!r} and views_k {views_k!r} contradict each other"
        )
    return text, count


def read_count(value: object, *, exact: bool, locale: str | None = None) -> tuple[str, ViewCount]:
    """Return a count's text and value.

    exact: the source gives true numbers; else whole numbers may be rounded as the site does.
    """
    if isinstance(value, str) and len(value) < 12 and value.isdecimal() and value.isascii():
        return value, _whole(int(value), exact)  # what nearly all tables have
    if is_missing(value):
        raise RowRefused("no_count", "there is no view count; without one a row says nothing")
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_VIEWS:
        value = int(value)  # what a table makes of a column with gaps
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value) if abs(value) <= MAX_VIEWS else shown(value), _whole(value, exact)
        if isinstance(value, str):
            text = value.strip()
            return clean_text(text), _count_of_text(text, exact, locale)
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


@dataclass(frozen=True)
class TimeForm:
    """How a file writes times, where that cannot be seen: strptime's form, and the zone."""

    date_format: str | None = None
    zone: tzinfo = UTC

    def moment_of_text(self, text: str) -> datetime | None:
        """Read a text in the stated form, or in one of those that can be seen."""
        try:
            return datetime.strptime(text, self.date_format or "")  # noqa: DTZ007 (its zone follows)
        except ValueError:
            return _moment_of_text(text)


USUAL_TIMES = TimeForm()


def read_moment(value: object, what: str, form: TimeForm = USUAL_TIMES) -> datetime | None:
    """Return a moment from epoch seconds or milliseconds, ISO 8601, or a table's own type.

    None if there is none. A time without a zone is UTC unless the form says another, as the tools
    that write it do mean it. Raises RowRefused.
    """
    if value is None or is_missing(value):
        return None
    moment: datetime | None = None
    try:
        if isinstance(value, str):
            if (
                len(value) == 10
                and value.isdecimal()
                and value.isascii()
                and form.date_format is None
            ):
                moment = _epoch(int(value))  # what most tools write, and nearly never twice
            elif len(value) <= 40:
                # Hashing a form costs as much as reading a time.
                read = _moment_of_text if form.date_format is None else form.moment_of_text
                moment = read(value.strip())
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day, tzinfo=form.zone)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            is_day = isinstance(value, int) and DAY_NUMBER.fullmatch(str(value))
            moment = datetime.fromisoformat(str(value)) if is_day else _epoch(value)
        moment = None if moment is None else _to_utc(moment, form.zone)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment < NEVER_BEFORE:
        raise RowRefused(
            "bad_time", f"{what} {shown(value)}: expected e.g. 1608214517 or '2020-12-17T14:15:17Z'"
        )
    return moment


def is_day_only(value: object, form: TimeForm = USUAL_TIMES) -> bool:
    """Say whether a time that can be read has a day and no hour."""
    if isinstance(value, str):
        if len(value) > 12 and form.date_format is None:
            return False
        if DAY.fullmatch(value.strip()):
            return True
        return form.date_format is not None and not HOUR_OF_FORMAT.search(form.date_format)
    if isinstance(value, int):
        return DAY_NUMBER.fullmatch(str(value)) is not None
    return isinstance(value, date) and not isinstance(value, datetime)


def read_handle(value: object, platform: str) -> str | None:
    """Return an author's name, None if it is none."""
    return _handle_of_text(value, platform) if isinstance(value, str) else None


def read_url(value: object) -> str | None:
    """Return an address that can be followed, None if it is none."""
    url = clean_text(value).strip()
    is_plain = url.startswith(("https://", "http://")) and len(url) <= MAX_URL_CHARS
    return url if is_plain and url.isprintable() and " " not in url else None


def _check_tiktok_id(text: str) -> str:
    try:
        return check_id(text)
    except BadId as error:
        hint = "" if text.isdecimal() and len(text) > 14 else "; of another site? say --platform"
        raise RowRefused("bad_id", f"{error}{hint}") from error


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
    if R_NUMBER.fullmatch(text) and (number := float(text)).is_integer():
        return _whole(int(number), exact)
    return parse_views_k(text, locale)


@lru_cache(maxsize=N_CACHED)
def _moment_of_text(text: str) -> datetime | None:
    return _epoch(float(text)) if EPOCH.fullmatch(text) else datetime.fromisoformat(text)


def _epoch(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    # From 2001 to 2286 seconds have ten digits at most, milliseconds more.
    seconds = number / 1_000 if number >= 1e11 else number
    return datetime.fromtimestamp(seconds, UTC) if FIRST_SECOND // 2 < seconds < 2**33 else None


def _to_utc(moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)


@lru_cache(maxsize=N_CACHED)
def _handle_of_text(value: str, platform: str) -> str | None:
    if len(value) <= 4 and is_missing(value):
        return None
    name = clean_text(value).strip().removeprefix("@")[:MAX_HANDLE_CHARS]
    if platform == TIKTOK:
        return name if HANDLE.fullmatch(name) else None
    return name or None
