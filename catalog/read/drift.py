"""Tell from the ledger whether forecasts have become worse: control charts of error and coverage.

The charts are the exponentially weighted moving average of NIST/SEMATECH e-Handbook of Statistical
Methods, 6.3.2.4, of nightly means with their own numbers of forecasts; that nights differ more than
forecasts within a night do is measured as in Laney, "Improved control charts for attributes",
Quality Engineering 14 (2002).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Literal

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from catalog.read.ledger import EVERY, Only
from catalog.schema.types import UtcDateTime

What = Literal["log_mae", "bias_log", "coverage_80"]

#: How much the newest night weighs, and how many standard deviations off the average may be.
#: docs/data.md has how often that is a false alarm, and how soon a shift is seen.
WEIGHT, LIMIT = 0.2, 3.5
#: Nights with fewer forecasts are taken together with those before them.
LEAST_FORECASTS = 20
LEAST_NIGHTS, MOST_NIGHTS = 14, 60
#: Coverage is of the newest nights that have so many intervals, and of so many nights at least.
INTERVALS, COVERED_NIGHTS = 200, 7
LEAST_INTERVALS = 50
COVERAGE, TAIL = 0.8, 5e-4
#: Nothing older is looked at, whatever there is.
SPAN = timedelta(days=180)
#: Of two numbers that differ at random the expected difference, in standard deviations.
MOVING_RANGE = 2 / math.sqrt(math.pi)


@dataclass(frozen=True, slots=True)
class Control:
    """A number of the ledger beside the limits that chance stays within.

    value: of log_mae and bias_log the weighted moving average up to the night, of coverage_80 the
    share. low, high: the limits; None: none on that side. n: forecasts of the newest night, or
    intervals. n_nights: nights before it that the limits are of.
    """

    model_name: str
    horizon_s: int
    night: date
    what: What
    value: float
    centre: float
    low: float | None
    high: float | None
    n: int
    n_nights: int
    is_out: bool

    @property
    def limit(self) -> float:
        """The limit that the value is nearest to, or has passed."""
        ends = [end for end in (self.low, self.high) if end is not None]
        return min(ends, key=lambda end: abs(end - self.value))


@dataclass(frozen=True, slots=True)
class Night:
    """The forecasts judged in a night, with sums of their errors in ln(1 + views).

    n_intervals, n_inside: how many stated an interval, and how many of these held the truth.
    """

    night: date
    n: int
    absolute: float
    error: float
    squared: float
    n_intervals: int
    n_inside: int

    def __add__(self, earlier: "Night") -> "Night":
        """Take an earlier night into this one."""
        return Night(
            self.night,
            self.n + earlier.n,
            self.absolute + earlier.absolute,
            self.error + earlier.error,
            self.squared + earlier.squared,
            self.n_intervals + earlier.n_intervals,
            self.n_inside + earlier.n_inside,
        )


def error_drift(session: Session, model_name: str, *, horizon_s: int) -> list[Control]:
    """Return the charts of error and of bias of a model's newest night.

    Of all its versions, and without what they were taught. Empty before there are enough nights.
    """
    found = controls(session, Only(model_name, horizon_s))
    return [one for one in found if one.what != "coverage_80"]


def coverage_off(session: Session, model_name: str, *, horizon_s: int) -> Control | None:
    """Return how many of a model's last intervals held the truth; None before there are enough."""
    found = controls(session, Only(model_name, horizon_s))
    return next((one for one in found if one.what == "coverage_80"), None)


def controls(session: Session, only: Only = EVERY) -> list[Control]:
    """Return every chart of each model and horizon that has enough judged forecasts."""
    found: list[Control] = []
    for (name, horizon_s), rows in groupby(_nights(session, only), key=lambda row: row[0]):
        nights = [night for _key, night in rows]
        found += error_charts(name, horizon_s, nights)
        if (chart := coverage_chart(name, horizon_s, nights)) is not None:
            found.append(chart)
    return found


def error_charts(model_name: str, horizon_s: int, nights: Sequence[Night]) -> list[Control]:
    """Set the newest of these nights, the oldest first, beside those before it."""
    nights = pooled(nights)[-MOST_NIGHTS - 1 :]
    if len(nights) <= LEAST_NIGHTS:
        return []
    ns = [night.n for night in nights]
    squares = [night.squared for night in nights]
    charts: list[Control] = []
    sums_of: tuple[tuple[What, list[float]], ...] = (
        ("log_mae", [night.absolute for night in nights]),
        ("bias_log", [night.error for night in nights]),
    )
    for what, sums in sums_of:
        value, centre, room = _moving_average(ns, sums, squares)
        # A smaller error is no alarm, a bias to either side is.
        low = centre - room if what == "bias_log" else None
        is_out = value > centre + room or (low is not None and value < low)
        charts.append(
            Control(
                model_name=model_name,
                horizon_s=horizon_s,
                night=nights[-1].night,
                what=what,
                value=value,
                centre=centre,
                low=low,
                high=centre + room,
                n=ns[-1],
                n_nights=len(nights) - 1,
                is_out=is_out,
            )
        )
    return charts


def pooled(nights: Sequence[Night]) -> list[Night]:
    """Take nights together, from the newest back, until each has enough forecasts for a mean."""
    groups: list[Night] = []
    for night in reversed(nights):
        if groups and groups[-1].n < LEAST_FORECASTS:
            night = groups.pop() + night
        groups.append(night)
    if groups and groups[-1].n < LEAST_FORECASTS:
        groups.pop()
    return groups[::-1]


def coverage_chart(model_name: str, horizon_s: int, nights: Sequence[Night]) -> Control | None:
    """Set the share of the newest intervals that held the truth beside what chance makes of 0.8.

    The limits are binomial ones, of as many intervals as these are worth where nights differ more
    than chance lets them, and of INTERVALS at most: more would only find what matters to nobody.
    """
    nights = [one for one in pooled(nights)[-MOST_NIGHTS:] if one.n_intervals]
    n = n_inside = n_nights = 0
    for one in reversed(nights):
        if n >= INTERVALS and n_nights >= COVERED_NIGHTS:
            break
        n, n_inside, n_nights = n + one.n_intervals, n_inside + one.n_inside, n_nights + 1
    if n < LEAST_INTERVALS or n_nights < COVERED_NIGHTS:
        return None
    variance = COVERAGE * (1 - COVERAGE)
    scores = [
        (one.n_inside / one.n_intervals - COVERAGE) * math.sqrt(one.n_intervals / variance)
        for one in nights
    ]
    n_worth = max(1, min(INTERVALS, int(n / _between(scores) ** 2)))
    chances = [
        math.comb(n_worth, k) * COVERAGE**k * (1 - COVERAGE) ** (n_worth - k)
        for k in range(n_worth + 1)
    ]
    low, high = _within(chances) / n_worth, 1 - _within(chances[::-1]) / n_worth
    share = n_inside / n
    return Control(
        model_name=model_name,
        horizon_s=horizon_s,
        night=nights[-1].night,
        what="coverage_80",
        value=share,
        centre=COVERAGE,
        low=low,
        high=high,
        n=n,
        n_nights=n_nights,
        is_out=not low <= share <= high,
    )


def _within(chances: Sequence[float]) -> int:
    """Return the first place up to which the chances add up to more than the tail."""
    total = 0.0
    for place, chance in enumerate(chances):
        total += chance
        if total > TAIL:
            return place
    return len(chances) - 1


def _moving_average(
    ns: Sequence[int], sums: Sequence[float], squares: Sequence[float]
) -> tuple[float, float, float]:
    """Return the average up to the last night, the mean of those before it, and the limit's room.

    The room is exact for the numbers of forecasts, and for a mean that is itself of few nights.
    """
    means = [total / n for total, n in zip(sums, ns, strict=True)]
    n_before = sum(ns[:-1])
    centre = sum(sums[:-1]) / n_before
    within = sum(squares[:-1]) - sum(n * m * m for n, m in zip(ns[:-1], means[:-1], strict=True))
    variance = within / max(1, n_before - len(ns) + 1)
    if variance <= 0:
        return means[-1], centre, 0.0
    scores = [(m - centre) * math.sqrt(n / variance) for n, m in zip(ns, means, strict=True)][:-1]
    last = len(ns) - 1
    start = (1 - WEIGHT) ** (last + 1)  # what is left of where the average started: the centre
    weights = [WEIGHT * (1 - WEIGHT) ** (last - i) for i in range(last + 1)]
    value = start * centre + sum(w * m for w, m in zip(weights, means, strict=True))
    shares = [n / n_before for n in ns[:-1]] + [0.0]
    spread = sum(
        (w + (start - 1) * share) ** 2 / n for w, share, n in zip(weights, shares, ns, strict=True)
    )
    return value, centre, LIMIT * _between(scores) * math.sqrt(variance * spread)


def _between(scores: Sequence[float]) -> float:
    """Return how many times more nights differ than the forecasts within them let expect, from 1.

    Of what lies between neighbours: so a shift within these nights does not hide itself.
    """
    ranges = [abs(b - a) for a, b in pairwise(scores)]
    return max(1.0, sum(ranges) / len(ranges) / MOVING_RANGE)


def _nights(session: Session, only: Only) -> Iterator[tuple[tuple[str, int], Night]]:
    """Read the judged nights of each model and horizon, the oldest first."""
    given = {"model_name": only.model_name, "horizon_s": only.horizon_s}
    newest = text("SELECT MAX(judged_at) AS newest FROM judgement WHERE status = 'judged'")
    last: datetime | None = session.scalar(newest.columns(newest=UtcDateTime()))
    if last is None:
        return
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    day = "DATE(j.judged_at)" if is_sqlite else "CAST(j.judged_at AT TIME ZONE 'UTC' AS DATE)"
    statement = text(
        f"SELECT m.name, j.horizon_s, {day}, COUNT(*), SUM(ABS(j.error_log)), SUM(j.error_log),"
        " SUM(j.error_log * j.error_log), COUNT(j.is_inside),"
        " SUM(CASE WHEN j.is_inside THEN 1 ELSE 0 END)"
        " FROM judgement j JOIN model_version m ON m.id = j.model_version_id"
        " JOIN prediction p ON p.run_id = j.run_id AND p.video_id = j.video_id"
        " WHERE j.status = 'judged' AND p.part <> 'train' AND j.judged_at > :since"
        " AND (CAST(:model_name AS TEXT) IS NULL OR m.name = :model_name)"
        " AND (CAST(:horizon_s AS BIGINT) IS NULL OR j.horizon_s = :horizon_s)"
        f" GROUP BY m.name, j.horizon_s, {day} ORDER BY m.name, j.horizon_s, {day}"
    ).bindparams(bindparam("since", last - SPAN, UtcDateTime()))
    for name, horizon, night, *sums in session.execute(statement, given):
        yield (name, horizon), Night(date.fromisoformat(str(night)), *sums)
