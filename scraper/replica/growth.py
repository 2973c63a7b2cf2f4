"""What the replica site shows on a day after its snapshot: posts come and go, counts grow.

Day 0 is the moment of the snapshot (`ReplicaConfig.snapshot_at`), day 1.5 is 36 hours later. Who
has a clock gets the day from it by :func:`days_since`; then posts, pages and clock tell one time.

*A video of the snapshot* starts from its count there. From one midnight to the next it gains ever
less; 2 of 100 nights take 1 to 3 % away instead; within a day it goes straight on.

*A post that came later* (`ReplicaConfig.posts_per_day`) is on no page until the second at which it
was posted. From then on, so many seconds `age_s` later, it has (:func:`views_at_age`)

    views = V * (1 - exp(-age_s / slowing_s)) * (what each fall until then has left)

rounded to a whole number, where V is the level that the planted rule gives it, `slowing_s` is its
own and between half a day and eight days, as likely in each doubling, and a fall takes 1 to 3 %
away at once, at a moment of its own, on 2 of 100 days of its life. All of that follows from the
video's id, so anybody can work out what a post had at any age, and whether a count that somebody
read off the site, or worked out from two, was right.

Pages show counts of 10,000 and more rounded (:func:`scraper.replica.items.round_count`). 4 of 100
videos are removed, on a day from the 1st to the 30th after the snapshot or their post.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from scraper.replica.accounts import (
    AccountStats,
    ReplicaAccount,
    ReplicaSound,
    account_stats,
    uses_of,
)
from scraper.replica.content import DAY_S, Content, ReplicaVideo

# Measured on public series of counts: 1.8 % of the steps go down.
FALL_RATE = 0.02
# What a fall takes away: enough to be seen in a count that is rounded to a tenth of its unit.
FALL_SHARE = (0.01, 0.03)
# Of a new post: after so many days its count has done nearly all of its moving.
LAST_FALL_DAY = 90
SLOWING_DAYS = (0.5, 8.0)
VANISH_RATE = 0.04
LAST_VANISHING_DAY = 30


def days_since(
    snapshot_at: datetime, clock: Callable[[], float] = time.time
) -> Callable[[], float]:
    """Give the function that says the day by a clock, which tells Unix time in seconds."""
    began_s = snapshot_at.timestamp()
    return lambda: (clock() - began_s) / DAY_S


def views_at_age(video: ReplicaVideo, age_s: float) -> int:
    """Give the views of a new post so many seconds after it was posted, by the law; 0 before.

    Nothing is rounded as pages do. Raises ValueError for a video of the snapshot, whose beginnings
    are not known.
    """
    if not video.is_new:
        raise ValueError(f"{video.tiktok_id} was posted before the snapshot")
    if age_s <= 0:
        return 0
    _slowing_s, falls = _course_of_post(video.tiktok_id)
    left = math.prod(1 - share for at_s, share in falls if at_s <= age_s)
    return round(video.views * _share_of_views(age_s, video) * left)


def _share_of_views(age_s: float, video: ReplicaVideo) -> float:
    slowing_s, _falls = _course_of_post(video.tiktok_id)
    return -math.expm1(-max(age_s, 0.0) / slowing_s)


@lru_cache(maxsize=4096)
def _course_of_post(tiktok_id: str) -> tuple[float, tuple[tuple[float, float], ...]]:
    """Give a new post's slowing, s, and each of its falls: at which age, s, and what it takes."""
    rng = random.Random(f"{tiktok_id}/growth")
    low, high = SLOWING_DAYS
    slowing_s = low * (high / low) ** rng.random() * DAY_S
    falls = [
        ((day + rng.random()) * DAY_S, rng.uniform(*FALL_SHARE))
        for day in range(LAST_FALL_DAY)
        if rng.random() < FALL_RATE
    ]
    return slowing_s, tuple(falls)


class Timeline:
    """The content as it is now: `days` after the snapshot, of which day 0 is an exact copy."""

    def __init__(self, content: Content, days: Callable[[], float]) -> None:
        self._content = content
        self._days = days
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        began_s = content.config.snapshot_at.timestamp()
        self._out = {
            video.tiktok_id: (video.created_at.timestamp() - began_s) / DAY_S
            for video in content.to_come
        }
        self._vanishing = {
            video.tiktok_id: self._out.get(video.tiktok_id, 0.0) + day
            for video in content.all_videos
            if (day := vanishing_day(video)) is not None
        }

    def video(self, tiktok_id: str) -> ReplicaVideo | None:
        """Give a video with the views it has now; None if there never was one, or not any more."""
        video = self._content.by_id.get(tiktok_id)
        return next(iter(self._at_once([video])), None) if video else None

    def listed(self, hashtag: str) -> tuple[ReplicaVideo, ...]:
        """Give the videos under a hashtag, as a listing shows them now."""
        return self._at_once(self._content.by_tag.get(hashtag, ()))

    def posted_by(self, account: str) -> tuple[ReplicaVideo, ...]:
        """Give an account's videos by its name in addresses; none if there is no such account."""
        return self._at_once(self._content.by_handle.get(account, ()))

    def using(self, sound_id: str) -> tuple[ReplicaVideo, ...]:
        """Give the videos with a sound, as its page shows them now."""
        return self._at_once(self._content.by_sound.get(sound_id, ()))

    def account_stats(self, account: ReplicaAccount) -> AccountStats:
        """Give what an account's page counts now."""
        n_posts = len(self.posted_by(account.handle))
        return account_stats(account, self._days(), n_posts)

    def uses(self, sound: ReplicaSound) -> int:
        """Give how many videos have a sound now, those that are not listed included."""
        n_listed, day = len(self.using(sound.sound_id)), self._days()
        users = self._content.by_sound.get(sound.sound_id, ())
        if sound.is_original and users and users[0].is_new:
            # Made with its post, and taken up by others as that is seen.
            share = _share_of_views((day - self._out[users[0].tiktok_id]) * DAY_S, users[0])
            return max(n_listed, round(sound.n_uses * share))
        return uses_of(sound, day, n_listed)

    def sound(self, sound_id: str) -> ReplicaSound | None:
        """Give a sound that a video which is or was on the site has; None if there is none."""
        day = self._days()
        users = self._content.by_sound.get(sound_id, ())
        return next((v.music for v in users if self._is_posted(v, day)), None)

    def _at_once(self, videos: Iterable[ReplicaVideo]) -> tuple[ReplicaVideo, ...]:
        day = self._days()
        return tuple(
            # On day 0, and for whoever has no days, the very content.
            replace(video, views=self._views(video, day)) if day > 0 else video
            for video in videos
            if self._is_posted(video, day) and day < self._vanishing.get(video.tiktok_id, math.inf)
        )

    def _is_posted(self, video: ReplicaVideo, day: float) -> bool:
        return not video.is_new or self._out[video.tiktok_id] <= day

    def _views(self, video: ReplicaVideo, day: float) -> int:
        if video.is_new:
            return views_at_age(video, (day - self._out[video.tiktok_id]) * DAY_S)
        midnight = math.floor(day)
        with self._lock:
            if video.tiktok_id not in self._courses:
                self._courses[video.tiktok_id] = _Course(video)
            course = self._courses[video.tiktok_id]
            before, after = course.level(midnight), course.level(midnight + 1)
        return round(before + (after - before) * (day - midnight))


def vanishing_day(video: ReplicaVideo) -> float | None:
    """Give on which day after the snapshot or its post a video is removed; None: it stays."""
    rng = random.Random(f"{video.tiktok_id}/vanish")
    return rng.uniform(1, LAST_VANISHING_DAY) if rng.random() < VANISH_RATE else None


class _Course:
    """The count of a video of the snapshot at each midnight, as far as anybody asked."""

    def __init__(self, video: ReplicaVideo) -> None:
        self._rng = random.Random(f"{video.tiktok_id}/growth")
        # Most gain a little, a few a lot; all of them slow down within days or weeks.
        self._gain = video.views * min(self._rng.lognormvariate(-1.5, 1.0), 5.0)
        self._slowing_days = self._rng.uniform(2.0, 15.0)
        self._levels = [float(video.views)]

    def level(self, day: int) -> float:
        for k in range(len(self._levels), day + 1):
            last = self._levels[-1]
            left = math.exp(-(k - 1) / self._slowing_days) - math.exp(-k / self._slowing_days)
            step = self._gain * left
            if self._rng.random() < FALL_RATE:
                step = -last * self._rng.uniform(*FALL_SHARE)
            self._levels.append(last + step)
        return self._levels[day]
