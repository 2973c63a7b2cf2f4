"""Tell how many views a video had at an age, from the counts that were seen around it.

Pure rules, which every room may use: the reported ages, the labels of splits and the ledger of
forecasts all go by them. With them how ages and labels are written: "7d", "at:7d".
"""

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from catalog.facts import Observed

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST_S: Final = 20 * 365 * 86_400

#: Why there is no number. "not_yet": the video is too young, or a count near that age may still
#: come. "not_observed": the time for that is over.
NoCount = Literal["not_yet", "not_observed"]
TINY_S: Final = 1e-6  # the resolution of a time
Method = Literal["interpolated", "nearest"]


@dataclass(frozen=True)
class AgeRule:
    """How near to an age counts have to be, both as shares of the age.

    reach: of the two counts that it lies between; below 1, or the time before the post would count.
    Nearly 1, because a video that is seen once a night has its two counts around the age of one day
    up to a day away. tolerance: of one count alone.
    """

    reach: float = 0.9
    tolerance: float = 0.1


@dataclass(frozen=True, slots=True)
class CountAtAge:
    """Views at an age in thousands, and between which bounds they lie if counts only grow.

    before, after: the counts around that age. "nearest" has only one of them.
    """

    views_k: float
    low_k: float
    high_k: float
    method: Method
    before: Observed | None
    after: Observed | None


def count_at_age(
    seen: Sequence[Observed],
    posted_at: datetime,
    age_s: float,
    *,
    now: datetime,
    rule: AgeRule,
    after: datetime | None = None,
) -> CountAtAge | NoCount:
    """Return the views at an age, or why there is no number.

    seen: a video's readable counts, the oldest first. after: only counts seen later than this.

    Between two counts ln(1 + views) is taken to grow evenly with the logarithm of the age, which is
    near the best way to join them by whatever law views grow (docs/benchmarks.md). The bounds are
    what the two counts can stand for, however the site rounds, and hold wherever counts only grow.
    One count alone stands for the age when it is within the tolerance. It is then carried to the
    age between two assumptions, which are its bounds: that nothing came in between, and that views
    came at the mean rate since the post. They hold where views come ever slower. A count before the
    age stands alone only when no later one can come any more. What was seen before the post or in
    the same moment is left aside.
    """
    if after is not None:
        seen = seen[bisect_right(seen, after, key=lambda one: one.observed_at) :]
    ages = [(one.observed_at - posted_at).total_seconds() for one in seen]
    place = bisect_right(ages, age_s)
    first, last = max(age_s * (1 - rule.reach), TINY_S), age_s * (1 + rule.reach)
    below = seen[place - 1] if place and ages[place - 1] >= first else None
    above = seen[place] if place < len(seen) and ages[place] <= last else None
    if below is not None and ages[place - 1] == age_s:
        return CountAtAge(below.views_k, *_shown(below), "interpolated", below, None)
    if below is not None and above is not None:
        return _between(below, ages[place - 1], above, ages[place], age_s)
    if above is not None and ages[place] <= age_s * (1 + rule.tolerance):
        return _alone(above, ages[place], age_s)
    if (now - posted_at).total_seconds() < last:
        return "not_yet"
    if below is not None and ages[place - 1] >= age_s * (1 - rule.tolerance):
        return _alone(below, ages[place - 1], age_s)
    return "not_observed"


def comes_of_age(posted_at: datetime, age_s: float) -> datetime:
    """Return when a video reaches an age."""
    return posted_at + timedelta(seconds=age_s)


def _between(
    below: Observed, below_s: float, above: Observed, above_s: float, age_s: float
) -> CountAtAge:
    share = math.log(age_s / below_s) / math.log(above_s / below_s)
    ends = [math.log1p(one.views_k * 1_000) for one in (below, above)]
    views_k = math.expm1(ends[0] + share * (ends[1] - ends[0])) / 1_000
    # Of a count that fell the earlier one is the higher bound.
    bounds = (*_shown(below), *_shown(above))
    low_k, high_k = min(bounds), max(bounds)
    return CountAtAge(min(max(views_k, low_k), high_k), low_k, high_k, "interpolated", below, above)


def _alone(one: Observed, one_s: float, age_s: float) -> CountAtAge:
    low_k, high_k = _shown(one)
    # At the mean rate since the post; between this and the count itself lies what is likely.
    carried = age_s / one_s
    low_k, high_k = min(low_k, low_k * carried), max(high_k, high_k * carried)
    views_k = one.views_k * math.sqrt(carried)
    ends = (one, None) if one_s <= age_s else (None, one)
    return CountAtAge(views_k, low_k, high_k, "nearest", *ends)


def _shown(one: Observed) -> tuple[float, float]:
    """Return the bounds of what a shown count stands for, in thousands.

    The site's own pages round to the nearest step; others cut off what is less than a step. So the
    truth is at most half a step below what is shown, and at most one above.
    """
    return max(0.0, one.views_k - one.step_k / 2), one.views_k + one.step_k


def duration_s(text: str) -> float:
    """Read a length of time with its unit: 90s, 30m, 12h, 7d, 2w. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhdw])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no length of time: 90s, 30m, 12h, 7d, 2w")
    seconds = float(match[1]) * UNITS_S[match[2]]
    if seconds > MOST_S:
        raise ValueError(f"{text!r} is longer than 20 years: 1d, 12h, 30m")
    return seconds


def age_text(age_s: int) -> str:
    """Write an age in the largest unit that leaves no fraction: 7d, 36h; never in weeks."""
    unit = next(unit for unit in "dhms" if age_s % UNITS_S[unit] == 0)
    return f"{age_s // UNITS_S[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Label:
    """Which count of a video is its label.

    "latest": the newest one. "at": the views at the age age_s. "from": the first count that was
    seen at that age or later.
    """

    kind: Literal["latest", "at", "from"] = "latest"
    age_s: int = 0

    def __str__(self) -> str:
        """Write it the one way that is stored."""
        return self.kind if self.kind == "latest" else f"{self.kind}:{age_text(self.age_s)}"


def read_label(text: str) -> Label:
    """Read "latest", "at:7d" or "from:7d". Raises ValueError."""
    kind, _, age = text.strip().partition(":")
    if kind == "latest" and not age:
        return Label()
    if kind not in ("at", "from") or not age:
        raise ValueError(f"{text!r} is no label: latest, at:7d, from:7d")
    age_s = round(duration_s(age))
    if kind == "at" and age_s < 1:
        raise ValueError(f"{text!r}: a video has no views at the age of nothing: at:1d, at:12h")
    return Label("at" if kind == "at" else "from", age_s)


def label_of(params: Mapping[str, Any]) -> Label:
    """Return the label of a split by its stored settings.

    "from" is stored as before it had that name, so that its splits keep their hash.
    """
    if "label" in params:
        return read_label(params["label"])
    if (age_s := params.get("label_age_s")) is not None:
        return Label("from", round(age_s))
    return Label()
