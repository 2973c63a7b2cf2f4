"""How the site changes after its snapshot: counts grow, now and then fall, and videos vanish.

All of it follows from a video's id: the same video has the same count on the same day, always.
"""

import math
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from scraper.replica.content import Content, ReplicaVideo

# Measured on public series of counts: 1.8 % of the steps go down.
FALL_RATE = 0.02
# What a fall takes away: enough to be seen in a count that is rounded to a tenth of its unit.
FALL_SHARE = (0.01, 0.03)
VANISH_RATE = 0.04
LAST_VANISHING_DAY = 30


class Timeline:
    """The content as it is now: `days` after the snapshot, of which day 0 is an exact copy."""

    def __init__(self, content: Content, days: Callable[[], float]) -> None:
        self._content = content
        self._days = days
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        self._vanishing = {
            video.tiktok_id: day
            for video in content.videos
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

    def _at_once(self, videos: Iterable[ReplicaVideo]) -> tuple[ReplicaVideo, ...]:
        day = self._days()
        if day <= 0:
            return tuple(videos)
        return tuple(
            replace(video, views=self._views(video, day))
            for video in videos
            if day < self._vanishing.get(video.tiktok_id, math.inf)
        )

    def _views(self, video: ReplicaVideo, day: float) -> int:
        midnight = math.floor(day)
        with self._lock:
            if video.tiktok_id not in self._courses:
                self._courses[video.tiktok_id] = _Course(video)
            course = self._courses[video.tiktok_id]
            before, after = course.level(midnight), course.level(midnight + 1)
        return round(before + (after - before) * (day - midnight))


def vanishing_day(video: ReplicaVideo) -> float | None:
    """Give the day on which a video is removed; None for the many that stay."""
    rng = random.Random(f"{video.tiktok_id}/vanish")
    return rng.uniform(1, LAST_VANISHING_DAY) if rng.random() < VANISH_RATE else None


class _Course:
    """One video's count at each midnight, as far as anybody asked."""

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
