"""Tell how many views a video had at an age, from the counts that were seen around it.

A pure rule, which every room may use: the reported ages, the labels of splits and the ledger of
forecasts all go by it.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from catalog.facts import Observed

#: Why there is no number. "not_yet": the video is too young, or a count near that age may still
#: come. "not_observed": the time for that is over.
NoCount = Literal["not_yet", "not_observed"]
Method = Literal["interpolated", "nearest"]


@dataclass(frozen=True)
class AgeRule:
    """How near to an age counts have to be, both as shares of the age.

    reach: of the two counts that it lies between. tolerance: of one count alone.
    """

    reach: float = 0.5
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

    Between two counts ln(1 + views) is taken to grow evenly with the logarithm of the age, and the
    bounds are what the two counts can stand for by the resolution they were shown at. One count
    alone stands for the age when it is within the tolerance: a count is then carried to the age
    between two assumptions, which are its bounds: that nothing came in between, and that views came
    at the mean rate since the post; views mostly come slower and slower.
    """
    if after is not None:
        seen = seen[bisect_right(seen, after, key=lambda one: one.observed_at) :]
    ages = [(one.observed_at - posted_at).total_seconds() for one in seen]
    place = bisect_right(ages, age_s)
    first, second = age_s * (1 - rule.reach), age_s * (1 + rule.reach)
    below = seen[place - 1] if place and ages[place - 1] >= first else None
    above = seen[place] if place < len(seen) and ages[place] <= second else None
    age_now = (now - posted_at).total_seconds()
    if below is not None and (above is not None or ages[place - 1] == age_s):
        if above is None:
            low_k, high_k = _shown(below)
            return CountAtAge(below.views_k, low_k, high_k, "interpolated", below, None)
        return _between(below, ages[place - 1], above, ages[place], age_s)
    if above is not None and ages[place] <= age_s * (1 + rule.tolerance):
        return _alone(above, ages[place], age_s)
    if age_now < second:
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
    share = math.log(age_s / below_s) / math.log(above_s / below_s) if below_s > 0 else 1.0
    ends = [math.log1p(one.views_k * 1_000) for one in (below, above)]
    views_k = math.expm1(ends[0] + share * (ends[1] - ends[0])) / 1_000
    bounds = (*_shown(below), *_shown(above))
    return CountAtAge(
        views_k, min(*bounds, views_k), max(*bounds, views_k), "interpolated", below, above
    )


def _alone(one: Observed, one_s: float, age_s: float) -> CountAtAge:
    low_k, high_k = _shown(one)
    # At the mean rate since the post; between this and the count itself lies what is likely.
    carried = age_s / one_s
    low_k, high_k = min(low_k, low_k * carried), max(high_k, high_k * carried)
    views_k = one.views_k * math.sqrt(carried)
    is_before = one_s <= age_s
    return CountAtAge(
        views_k,
        low_k,
        high_k,
        "nearest",
        one if is_before else None,
        None if is_before else one,
    )


def _shown(one: Observed) -> tuple[float, float]:
    """Return the bounds of a count by the resolution that it was shown at, in thousands."""
    return max(0.0, one.views_k - one.step_k), one.views_k + one.step_k
