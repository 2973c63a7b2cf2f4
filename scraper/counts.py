"""Read view counts as the site's English pages and its JSON give them, with how exact they are."""

import re
import unicodedata
from dataclasses import dataclass

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
INVISIBLE = dict.fromkeys([0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2066, 0x2069, 0xFEFF])


@dataclass(frozen=True)
class ViewCount:
    """Views in thousands; the truth is within half of `step_k` either way, 0 means exact."""

    views_k: float
    step_k: float


def parse_views_k(text: str) -> ViewCount:
    """Read a displayed count: "30.58M" is 30,580.0 thousand in steps of 10.

    A ".0" is not displayed, so "2M" stands for anything that rounds to 2.0M. Raises
    UnreadableCount for all that is not exactly in the English form; never guesses.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text[:MAX_CHARS]).translate(INVISIBLE).split())
    match = COUNT.fullmatch(plain)
    if match is None or len(text) > MAX_CHARS:
        shown = text[:MAX_CHARS]
        raise UnreadableCount(f"{shown!r} is no count: expected the like of '1635', '75.8K', '2M'")
    whole, decimals = match["whole"].replace(",", ""), match["decimals"] or ""
    digits = int(whole + decimals)
    if match["suffix"] is None:
        views_k, step_k = digits / 1_000, 0.0
    else:
        unit_k = SUFFIX_K[match["suffix"].upper()]
        # One division of integers: no sum of inexact parts, so "30.58M" is 30580.0 to the bit.
        views_k = digits * unit_k / 10 ** len(decimals)
        step_k = unit_k / 10 ** max(1, len(decimals))
    if views_k * 1_000 > MAX_VIEWS:
        raise UnreadableCount(f"{text!r} is more views than there can be ({MAX_VIEWS:,})")
    return ViewCount(views_k, step_k)


def count_from_json(n: int) -> ViewCount:
    """Read an integer count of the site's JSON, which is rounded from 10,000 on.

    A count that is no multiple of its band's step cannot have been rounded and is exact.
    Raises UnreadableCount below 0 and above what there can be.
    """
    if isinstance(n, bool) or not 0 <= n <= MAX_VIEWS:
        raise UnreadableCount(f"{n!r} is no count: expected an integer in 0..{MAX_VIEWS:,}")
    step = next((step for bound, step in JSON_BANDS if n >= bound), 0)
    return ViewCount(n / 1_000, step / 1_000 if step and n % step == 0 else 0.0)
