"""Views at an age from what a scrape sees, beside what the replica's own law says they were.

New posts of the replica grow from nothing by its law, with its falls. Each is looked at once every
night or every so many nights, at a time that wanders by three hours, as its pages show it. Beside
the rule of the catalog stands the count that was seen nearest to that age, taken as it is.
"""

import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from bench.measure import Row
from catalog.ages import AgeRule, CountAtAge, count_at_age
from catalog.facts import Observed
from scraper.counts import count_from_json
from scraper.replica.content import ReplicaConfig, ReplicaVideo, build_content
from scraper.replica.growth import views_at_age
from scraper.replica.items import round_count

N_PER_DAY, N_DAYS, LAST_AGE_D = 50, 60, 60
AGES_D = (1, 7, 30)
EVERY_NIGHTS = (1, 4)
NIGHT, WANDERS_S = time(3, 0), 3 * 3600.0
DAY_S = 86_400


@dataclass
class _Found:
    """Of one age: the errors of ln(1 + views) where it is known, and how often bounds hold."""

    n: int = 0
    n_interpolated: int = 0
    errors: list[float] = field(default_factory=list)
    errors_of_nearest: list[float] = field(default_factory=list)
    n_within: int = 0
    widths: list[float] = field(default_factory=list)


def rows() -> list[Row]:
    """Work out the views of 3,000 posts at each age, from nightly and from rarer counts."""
    config = ReplicaConfig(videos_per_tag=1, posts_per_day=N_PER_DAY, n_days=N_DAYS)
    posts = build_content(config).to_come
    return [
        row
        for every in EVERY_NIGHTS
        for age_d in AGES_D
        for row in _rows(every, age_d, _looked_at(posts, every, age_d * DAY_S))
    ]


def _looked_at(posts: tuple[ReplicaVideo, ...], every: int, age_s: int) -> _Found:
    found = _Found()
    for post in posts:
        found.n += 1
        seen = list(_seen(post, every))
        now = post.created_at + timedelta(days=LAST_AGE_D)
        count = count_at_age(seen, post.created_at, age_s, now=now, rule=AgeRule())
        if not isinstance(count, CountAtAge):
            continue
        truth_k = views_at_age(post, age_s) / 1_000
        due = post.created_at + timedelta(seconds=age_s)
        nearest = min(seen, key=lambda one: abs(one.observed_at - due))
        found.n_interpolated += count.method == "interpolated"
        found.errors.append(_error(count.views_k, truth_k))
        found.errors_of_nearest.append(_error(nearest.views_k, truth_k))
        found.n_within += count.low_k <= truth_k <= count.high_k
        found.widths.append(_error(count.high_k, count.low_k))
    return found


def _seen(post: ReplicaVideo, every: int) -> Iterator[Observed]:
    """Yield what a scrape sees of a post, night after night."""
    rng = random.Random(f"{post.tiktok_id}/seen")
    night = datetime.combine(post.created_at, NIGHT, post.created_at.tzinfo)
    night += timedelta(days=rng.randrange(every))
    while night < post.created_at + timedelta(days=LAST_AGE_D):
        at = night + timedelta(seconds=rng.uniform(0, WANDERS_S))
        if at > post.created_at:
            views = views_at_age(post, (at - post.created_at).total_seconds())
            shown = count_from_json(round_count(views))
            yield Observed(len(post.tiktok_id), at, shown.views_k, shown.step_k)
        night += timedelta(days=every)


def _error(one_k: float, other_k: float) -> float:
    return abs(math.log1p(one_k * 1_000) - math.log1p(other_k * 1_000))


def _rows(every: int, age_d: int, found: _Found) -> list[Row]:
    often = "every night" if every == 1 else f"every {every}th night"
    what = f"views at {age_d} d of {found.n:,} posts seen {often}: "
    ours, other = (_spread(errors) for errors in (found.errors, found.errors_of_nearest))
    n = len(found.errors)
    ratio = statistics.mean(found.errors_of_nearest) / statistics.mean(found.errors)
    return [
        Row(
            what + "error of ln views; median, 95th percentile, largest",
            ours,
            f"nearest count {other}",
            f"{ratio:.1f}",
        ),
        Row(
            what + "known; of these between two counts; truth within the bounds; their width",
            f"{n / found.n:.1%}; {found.n_interpolated / n:.1%}; {found.n_within / n:.2%};"
            f" {statistics.median(found.widths):.3f}",
            "–",
            "",
        ),
    ]


def _spread(errors: list[float]) -> str:
    ordered = sorted(errors)
    nearly_all = ordered[int(0.95 * len(ordered))]
    return f"{statistics.median(ordered):.4f}, {nearly_all:.4f}, {ordered[-1]:.3f}"
