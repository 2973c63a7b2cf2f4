"""How long a site that refuses is left alone: as it asks, or longer each time that it refuses."""

import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_PAUSE_S = 15 * 60.0
MAX_PAUSE_S = 24 * 3600.0
# Jitter alone could make a pause of nothing.
MIN_PAUSE_S = 60.0
# More than this is no request but a mistake, or a way to be rid of us for good.
MAX_RETRY_AFTER_S = 7 * 24 * 3600.0


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date; None where it is neither."""
    plain = text.strip()
    if re.fullmatch(r"[0-9]{1,10}", plain):
        return min(float(plain), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(plain)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is the standard's, which is Greenwich.
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def pause_s(
    n_before: int,
    retry_after_s: float | None,
    rng: random.Random,
    first_s: float = FIRST_PAUSE_S,
    max_s: float = MAX_PAUSE_S,
) -> float:
    """Say for how long to stay away: twice as long each time, with full jitter.

    n_before: the refusals in a row so far. A wish of the site's that is longer is granted.
    """
    most_s = min(first_s * 2.0 ** min(n_before, 20), max_s)
    return max(rng.uniform(0.0, most_s), MIN_PAUSE_S, retry_after_s or 0.0)
