"""Read view counts as pages and JSON give them, with how exact they are; English if not told."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import (
    NumberFormatError,
    UnsupportedNumberingSystemError,
    get_decimal_symbol,
    get_group_symbol,
    parse_decimal,
)

from scraper.errors import UnreadableCount

# Digits are [0-9]: \d would also take Arabic and other digits, whose grouping we do not know.
COUNT = re.compile(
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
    r"(?:(?:\.(?P<decimals>[0-9]{1,3}))? ?(?P<suffix>[KMB]))?"
    r"(?: (?:views?|posts?|plays?))?",
    re.IGNORECASE,
)
SUFFIX_K = {"K": 1, "M": 1_000, "B": 1_000_000}
MAX_CHARS = 32
MAX_VIEWS = 10**12
# Below the first bound the JSON is exact, then it is rounded to a multiple of the step.
JSON_BANDS = ((10**9, 10**8), (10**6, 10**5), (10**4, 100))
# Marks without width that text direction leaves behind, and a byte order mark.
INVISIBLE = dict.fromkeys(
    [0x061C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)
# Locales whose short form is the site's own English: K, M and B, groups of three.
ENGLISH = frozenset({"en", "en_US"})
# The zero of each set of digits that a locale may write its numbers with, beside [0-9].
ZERO = {
    "arab": 0x0660,
    "arabext": 0x06F0,
    "beng": 0x09E6,
    "deva": 0x0966,
    "gujr": 0x0AE6,
    "guru": 0x0A66,
    "khmr": 0x17E0,
    "knda": 0x0CE6,
    "laoo": 0x0ED0,
    "mlym": 0x0D66,
    "mymr": 0x1040,
    "orya": 0x0B66,
    "tamldec": 0x0BE6,
    "telu": 0x0C66,
    "thai": 0x0E50,
    "tibt": 0x0F20,
}


@dataclass(frozen=True)
class ViewCount:
    """Views in thousands; the truth is within half of `step_k` either way, 0 means exact."""

    views_k: float
    step_k: float


def parse_views_k(text: str, locale: str | None = None) -> ViewCount:
    """Read a displayed count: "30.58M" is 30,580.0 thousand in steps of 10.

    A ".0" is not displayed, so "2M" stands for anything that rounds to 2.0M. locale: whose form
    the text is in, such as "de" or "pt_BR"; None is the site's English. The same suffix means
    different things in different locales, so a locale is never guessed. Raises UnreadableCount
    for all that is not exactly in that form, or has two meanings in it.
    """
    plain = _plain(text[:MAX_CHARS])
    if len(text) > MAX_CHARS:
        raise UnreadableCount(f"{text[:MAX_CHARS]!r}… has more than {MAX_CHARS} characters")
    if locale is None or locale.replace("-", "_") in ENGLISH:
        return _parse_english(plain, text)
    return _grammar(locale).parse(plain, text)


def count_from_json(n: int) -> ViewCount:
    """Read an integer count of the site's JSON, which is rounded from 10,000 on.

    A count that is no multiple of its band's step cannot have been rounded and is exact.
    Raises UnreadableCount below 0 and above what there can be.
    """
    if isinstance(n, bool) or not 0 <= n <= MAX_VIEWS:
        raise UnreadableCount(f"{n!r} is no count: expected an integer in 0..{MAX_VIEWS:,}")
    step = next((step for bound, step in JSON_BANDS if n >= bound), 0)
    return ViewCount(n / 1_000, step / 1_000 if step and n % step == 0 else 0.0)


def _parse_english(plain: str, text: str) -> ViewCount:
    match = COUNT.fullmatch(plain)
    if match is None:
        raise UnreadableCount(f"{text!r} is no count: expected the like of '1635', '75.8K', '2M'")
    whole, decimals = match["whole"].replace(",", ""), match["decimals"] or ""
    unit = SUFFIX_K[match["suffix"].upper()] * 1_000 if match["suffix"] else 1
    return _shown(int(whole + decimals), len(decimals), unit, text)


def _shown(digits: int, n_decimals: int, unit: int, text: str) -> ViewCount:
    """Give the count that `digits` with so many decimals show in multiples of `unit` views."""
    if unit == 1:
        views_k, step_k = digits / 1_000, 0.0
    else:
        # One division of integers: no sum of inexact parts, so "30.58M" is 30580.0 to the bit.
        views_k = digits * unit / (1_000 * 10**n_decimals)
        step_k = unit / (1_000 * 10 ** max(1, n_decimals))
    if views_k * 1_000 > MAX_VIEWS:
        raise UnreadableCount(f"{text!r} is more views than there can be ({MAX_VIEWS:,})")
    return ViewCount(views_k, step_k)


@dataclass(frozen=True)
class _Grammar:
    """How one locale writes counts: what each pair of words around a number multiplies it by.

    A unit of None: the words have two meanings. systems: the digits in use, "latn" included.
    """

    locale: Locale
    units: Mapping[tuple[str, str], int | None]
    systems: tuple[str, ...]

    def parse(self, plain: str, text: str) -> ViewCount:
        for system in self.systems:
            digits = _ascii_digits(plain, system)
            match = _number(self.locale, system).fullmatch(digits)
            if match is not None:
                break
        else:
            raise UnreadableCount(f"{text!r} is no count as {self.locale} writes it")
        around = (match["before"].strip(), match["after"].strip())
        if around not in self.units:
            known = sorted({" … ".join(pair).strip(" …") for pair in self.units} - {""})
            raise UnreadableCount(
                f"{text!r}: {self.locale} has no such unit; it has {', '.join(known)}"[:300]
            )
        unit = self.units[around]
        if unit is None:
            raise UnreadableCount(f"{text!r} has two meanings in {self.locale}")
        group = get_group_symbol(self.locale, numbering_system=system)
        point = get_decimal_symbol(self.locale, numbering_system=system)
        number = match["number"].replace(" ", group) if group.isspace() else match["number"]
        try:
            value = parse_decimal(number, self.locale, strict=True, numbering_system=system)
        except NumberFormatError as error:
            raise UnreadableCount(f"{text!r} is no count in {self.locale}: {error}") from error
        n_decimals = len(number.partition(point)[2])
        if unit == 1 and n_decimals:
            raise UnreadableCount(f"{text!r}: a part of a view, in {self.locale}")
        return _shown(int(value.scaleb(n_decimals)), n_decimals, unit, text)


@lru_cache(maxsize=64)
def _grammar(name: str) -> _Grammar:
    """Build a locale's grammar from CLDR's compact forms. Raises UnreadableCount if unknown."""
    try:
        locale = Locale.parse(name, sep="-" if "-" in name else "_")
    except (ValueError, TypeError, UnknownLocaleError) as error:
        raise UnreadableCount(
            f"there is no locale {name!r}; expected the like of 'de' or 'pt_BR'"
        ) from error
    units: dict[tuple[str, str], int | None] = {("", ""): 1}
    for forms in locale.compact_decimal_formats.values():
        for patterns in forms.values():
            for magnitude, pattern in patterns.items():
                if pattern.pattern == "0":
                    continue  # not shortened at this size
                zeros = pattern.pattern.partition(";")[0].count("0")
                unit = int(magnitude) // 10 ** (zeros - 1)
                around = _words(pattern.prefix[0]), _words(pattern.suffix[0])
                units[around] = unit if units.get(around, unit) == unit else None
    own = {locale.default_numbering_system, *locale.other_numbering_systems.values()}
    systems = ("latn", *sorted(own & ZERO.keys()))
    return _Grammar(locale, units, systems)


@lru_cache(maxsize=256)
def _number(locale: Locale, system: str) -> re.Pattern[str]:
    try:
        symbols = [
            get_group_symbol(locale, numbering_system=system),
            get_decimal_symbol(locale, numbering_system=system),
        ]
    except UnsupportedNumberingSystemError:
        symbols = []
    inner = "".join(re.escape(" " if symbol.isspace() else symbol) for symbol in symbols)
    number = rf"[0-9](?:[0-9{inner}]*[0-9])?"
    return re.compile(rf"(?P<before>[^0-9]*)(?P<number>{number})(?P<after>[^0-9]*)")


def _ascii_digits(plain: str, system: str) -> str:
    zero = ZERO.get(system)
    if zero is None:
        return plain
    # Digits of two systems in one number are no number: [0-9] become what no pattern takes.
    own = {zero + digit: str(digit) for digit in range(10)}
    return plain.translate(own | dict.fromkeys(range(0x30, 0x3A), "\N{REPLACEMENT CHARACTER}"))


def _words(part: str) -> str:
    return _plain(part.replace("'", "")).strip()


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(INVISIBLE).split())
