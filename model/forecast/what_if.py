"""The forecast of the same clip with another hour, other hashtags or another caption.

What comes of it is what the model has seen go together, and no cause: videos posted at night differ
in more than the hour.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final, Literal

from catalog.facts import PostFacts
from model.targets import ONE_VIEW_K

Sort = Literal["hour", "without hashtag", "with hashtag", "caption"]
HOURS: Final = 24
#: A change of the forecast by less is not shown: it is less than what any forecast is worth.
SMALLEST_SHARE: Final = 0.05


@dataclass(frozen=True)
class Change:
    """Another post of the same clip. what: the hour in UTC ("19"), the hashtag or the caption."""

    sort: Sort
    what: str
    facts: PostFacts


@dataclass(frozen=True)
class Alternative:
    """What a change makes of the forecast: thousands of views, and those over the forecast's."""

    sort: Sort
    what: str
    views_k: float
    factor: float

    @property
    def is_small(self) -> bool:
        """Whether it changes the forecast by less than SMALLEST_SHARE, up or down."""
        return abs(math.log(self.factor)) < math.log1p(SMALLEST_SHARE)


@dataclass(frozen=True)
class WhatIf:
    """Every change that was tried. error_factor: by which the model is off on average, upwards
    or downwards, on videos it had not seen; None: never measured. reads_post: whether the model
    reads anything of the post; where it does, there is nothing to change of one that says nothing.
    """

    alternatives: tuple[Alternative, ...]
    error_factor: float | None
    reads_post: bool = True

    def of(self, sort: Sort) -> tuple[Alternative, ...]:
        """The alternatives of one sort, that with the most views first."""
        found = (one for one in self.alternatives if one.sort == sort)
        return tuple(sorted(found, key=lambda one: (-one.factor, one.what)))

    @property
    def hours_factor(self) -> float | None:
        """The best hour's views over the worst one's; None where no hour is known."""
        hours = self.of("hour")
        return hours[0].factor / hours[-1].factor if hours else None


def changes_of(
    facts: PostFacts, *, try_hashtags: Sequence[str] = (), captioned: PostFacts | None = None
) -> list[Change]:
    """Every hour of the day it is posted on, each hashtag left out, and what is asked for.

    try_hashtags: as the catalog has them; each is added alone. captioned: the post with another
    caption. A hashtag that is left out is no word of the caption either.
    """
    changes = []
    if facts.posted_at is not None:
        day = facts.posted_at.astimezone(UTC)
        changes += [
            Change("hour", f"{hour:02d}", replace(facts, posted_at=day.replace(hour=hour)))
            for hour in range(HOURS)
        ]
    changes += [
        Change("without hashtag", tag, without_hashtag(facts, tag)) for tag in facts.hashtags
    ]
    changes += [
        Change("with hashtag", tag, replace(facts, hashtags=tuple(sorted((*facts.hashtags, tag)))))
        for tag in try_hashtags
        if tag not in facts.hashtags
    ]
    if captioned is not None:
        changes.append(Change("caption", captioned.caption, captioned))
    return changes


def what_if(
    changes: Sequence[Change],
    views_k: float,
    forecast: Callable[[PostFacts], float],
    log_mae: float | None,
) -> WhatIf:
    """Forecast each change; views_k: the forecast as it is, log_mae: the model's error."""
    base = max(views_k, ONE_VIEW_K)
    alternatives = []
    for change in changes:
        there = forecast(change.facts)
        factor = max(there, ONE_VIEW_K) / base
        alternatives.append(Alternative(change.sort, change.what, there, factor))
    return WhatIf(tuple(alternatives), None if log_mae is None else math.exp(log_mae))


def without_hashtag(facts: PostFacts, tag: str) -> PostFacts:
    """A post without a hashtag, also in its caption; tag: in lower case."""
    kept = tuple(one for one in facts.hashtags if one.lower() != tag)
    words = [word for word in facts.caption.split(" ") if word.lower() != f"#{tag}"]
    return replace(facts, hashtags=kept, caption=" ".join(words))
