"""What the replica site shows: invented accounts and videos, all of them a function of one seed.

The planted rule (:func:`planted_log10_views`) is what a model can find out:

    log10(views) = 5.0
        + topic                              -0.15 .. +0.15, fixed per topic
        + 0.38 * (luma - 0.5) / 0.1732       SEEN   how bright the picture is    (sd 0.38)
        + 0.40 * cos(hue - WARM)             SEEN   warm colours beat cold ones  (sd 0.28)
        + 0.26 * (motion - 0.5) / 0.2887     SEEN   how fast the picture moves   (sd 0.26)
        + sound                              HEARD  speech +0.40, music +0.10, noise -0.25,
                                                    silence and no track -0.55   (sd 0.38)
        + 0.06 * cos(hour - 19 h)            posted in the evening
        + gaussian noise of sd 0.25, and for 3 % of the videos a lucky +0.5 .. +1.1

and is held within 500 and 30 million views. Seen and heard are drawn independently of each other
and of topic, account and time, and make up about four fifths of the variance of log views. Colour,
brightness and motion are properties of the whole picture, so they survive being shrunk to 32x18.

All of it follows from a video's id: the same video has the same count on the same day, always.
This is the site of the snapshot; what comes after it is in `growth.py`: how these counts go on, and
the posts that come later, of whom `views` is the level that their count grows to.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, get_args

from scraper.items import DEFAULT_TOPICS
from scraper.replica.accounts import (
    WORDS,
    ReplicaAccount,
    ReplicaSound,
    make_account,
    own_sound,
    published_sounds,
)

Sound = Literal["speech", "music", "noise", "silence", "none"]
Pattern = Literal["stripes", "rings", "checks", "plasma", "dots", "gradient", "life", "fractal"]

TOPICS = DEFAULT_TOPICS
SHARED_HASHTAGS = ("fyp", "foryou", "viral", "trending", "foryoupage", "weekend", "explore")

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
SOUND_WEIGHTS: dict[Sound, float] = {
    "speech": 0.36,
    "music": 0.28,
    "noise": 0.12,
    "silence": 0.12,
    "none": 0.12,
}
SOUND_EFFECTS: dict[Sound, float] = {
    "speech": 0.40,
    "music": 0.10,
    "noise": -0.25,
    "silence": -0.55,
    "none": -0.55,
}
# Mostly vertical, as the real site is; the odd ones are there so that letterboxing is exercised.
SIZES_PX: dict[tuple[int, int], float] = {
    (360, 640): 0.40,
    (480, 854): 0.18,
    (540, 960): 0.16,
    (576, 1024): 0.14,
    (720, 1280): 0.04,
    (640, 360): 0.04,
    (540, 540): 0.04,
}
FRAME_RATES_HZ = (24, 25, 30)
WARM_DEG = 30.0
LUMA_RANGE = (0.2, 0.8)
MIN_VIEWS, MAX_VIEWS = 500, 30_000_000
FIRST_POST = datetime(2026, 3, 1, tzinfo=UTC)
LAST_POST = datetime(2026, 10, 31, tzinfo=UTC)
# How many of an account's videos stand first on its page, once it has enough to choose from.
N_PINNED, PINS_FROM = 2, 4
# How many videos use a published piece; the others have the sound that they were filmed with.
PUBLISHED_SHARE = 0.4
DAY_S = 86_400


@dataclass(frozen=True)
class ReplicaConfig:
    """How much there is on the site, and the seed that it follows from.

    `videos_per_tag` counts the videos of each topic; all of them are listed under the topic's first
    hashtag, some under its others. Raising it adds videos and leaves those already there alone.
    """

    seed: int = 20260701
    videos_per_tag: int = 6
    n_accounts: int = 40
    page_size: int = 30
    media_lifetime_s: int = 48 * 3600
    topics: tuple[str, ...] = tuple(TOPICS)
    posts_per_day: int = 0
    n_days: int = 120
    snapshot_at: datetime = LAST_POST


@dataclass(frozen=True)
class Look:
    """What is seen: `luma` is the mean brightness in 0..1, `motion` 0 (still) to 1 (fast)."""

    pattern: Pattern
    luma: float
    hue_deg: float
    motion: float
    texture: int


@dataclass(frozen=True)
class ReplicaVideo:
    tiktok_id: str
    account: ReplicaAccount
    topic: str
    caption: str
    hashtags: tuple[str, ...]
    created_at: datetime
    duration_s: float
    width_px: int
    height_px: int
    rate_hz: int
    look: Look
    sound: Sound
    views: int
    music: ReplicaSound
    # Posted after the snapshot: its count starts from nothing, and `views` is what it grows to.
    is_new: bool = False

    @property
    def handle(self) -> str:
        return self.account.handle


@dataclass(frozen=True)
class Content:
    """Everything on the site; videos are in the order in which a listing shows them.

    accounts: the last one is private. videos: those of the snapshot. to_come: those posted later,
    the earliest first; what is found by a key are videos of both.
    """

    config: ReplicaConfig
    accounts: tuple[ReplicaAccount, ...]
    videos: tuple[ReplicaVideo, ...]
    by_tag: Mapping[str, tuple[ReplicaVideo, ...]] = field(repr=False)
    to_come: tuple[ReplicaVideo, ...] = field(default=(), repr=False)

    @property
    def all_videos(self) -> tuple[ReplicaVideo, ...]:
        """Those of the snapshot and those to come."""
        return (*self.videos, *self.to_come)

    @cached_property
    def by_id(self) -> Mapping[str, ReplicaVideo]:
        return {video.tiktok_id: video for video in self.all_videos}

    @cached_property
    def by_handle(self) -> Mapping[str, tuple[ReplicaVideo, ...]]:
        """An account's videos as its page shows them: the pinned ones, then the newest first."""
        found: dict[str, list[ReplicaVideo]] = {a.handle: [] for a in self.accounts}
        for video in self.all_videos:
            found[video.handle].append(video)
        return {handle: tuple(sorted(v, key=self._place)) for handle, v in found.items()}

    @cached_property
    def pinned(self) -> frozenset[str]:
        """The ids of the videos that stand first on their accounts' pages, none of them new."""
        of_account: dict[str, list[ReplicaVideo]] = {}
        for video in self.videos:
            of_account.setdefault(video.handle, []).append(video)
        chosen = (
            sorted(videos, key=lambda v: (-v.views, v.tiktok_id))[:N_PINNED]
            for videos in of_account.values()
            if len(videos) >= PINS_FROM
        )
        return frozenset(video.tiktok_id for videos in chosen for video in videos)

    @cached_property
    def by_sound(self) -> Mapping[str, tuple[ReplicaVideo, ...]]:
        found: dict[str, tuple[ReplicaVideo, ...]] = {}
        for video in self.all_videos:
            found[video.music.sound_id] = (*found.get(video.music.sound_id, ()), video)
        return found

    def _place(self, video: ReplicaVideo) -> tuple[bool, float]:
        return video.tiktok_id not in self.pinned, -video.created_at.timestamp()


def build_content(config: ReplicaConfig) -> Content:
    """Make up the whole site; equal configs give equal content on every machine."""
    accounts = tuple(make_account(config.seed, i) for i in range(config.n_accounts))
    private = make_account(config.seed, config.n_accounts, is_private=True)
    sounds = published_sounds(config.seed)
    videos = [
        _make_video(config, accounts, sounds, topic, index)
        for topic in config.topics
        for index in range(config.videos_per_tag)
    ]
    new = (
        _make_post(config, accounts, sounds, day, index)
        for day in range(config.n_days)
        for index in range(config.posts_per_day)
    )
    to_come = tuple(sorted(new, key=lambda v: (v.created_at, v.tiktok_id)))
    listed: dict[str, list[ReplicaVideo]] = {}
    for video in _shuffled((*videos, *to_come)):
        for name in video.hashtags:
            listed.setdefault(name, []).append(video)
    by_tag = {name: tuple(v) for name, v in listed.items()}
    return Content(config, (*accounts, private), _shuffled(videos), by_tag, to_come)


def planted_log10_views(topic: str, look: Look, sound: Sound, created_at: datetime) -> float:
    """The planted rule without its noise: expected log10 of the views."""
    hour = created_at.hour + created_at.minute / 60
    return (
        5.0
        + (random.Random(f"topic/{topic}").random() - 0.5) * 0.3
        + 0.38 * (look.luma - 0.5) / 0.1732
        + 0.40 * math.cos(math.radians(look.hue_deg - WARM_DEG))
        + 0.26 * (look.motion - 0.5) / 0.2887
        + SOUND_EFFECTS[sound]
        + 0.06 * math.cos((hour - 19) / 24 * math.tau)
    )


def _shuffled(videos: Iterable[ReplicaVideo]) -> tuple[ReplicaVideo, ...]:
    # A listing is not sorted by anything one can see; it is only the same each time.
    return tuple(sorted(videos, key=lambda v: random.Random(v.tiktok_id).random()))


def _make_video(
    config: ReplicaConfig,
    accounts: tuple[ReplicaAccount, ...],
    sounds: tuple[ReplicaSound, ...],
    topic: str,
    index: int,
) -> ReplicaVideo:
    # One generator per video, so that a longer list keeps the videos of a shorter one.
    rng = random.Random(f"{config.seed}/video/{topic}/{index}")
    created_at = FIRST_POST + timedelta(
        seconds=rng.randrange(int((LAST_POST - FIRST_POST).total_seconds()))
    )
    return _make(rng, accounts, sounds, topic, created_at)


def _make_post(
    config: ReplicaConfig,
    accounts: tuple[ReplicaAccount, ...],
    sounds: tuple[ReplicaSound, ...],
    day: int,
    index: int,
) -> ReplicaVideo:
    """Make up a post of a day after the snapshot."""
    rng = random.Random(f"{config.seed}/post/{day}/{index}")
    created_at = config.snapshot_at + timedelta(days=day, seconds=rng.randrange(DAY_S))
    topic = rng.choice(config.topics)
    return replace(_make(rng, accounts, sounds, topic, created_at), is_new=True)


def _make(
    rng: random.Random,
    accounts: tuple[ReplicaAccount, ...],
    sounds: tuple[ReplicaSound, ...],
    topic: str,
    created_at: datetime,
) -> ReplicaVideo:
    # An id is stamped when the upload starts, a few seconds before the post is out.
    stamped_s = int(created_at.timestamp()) - 1 - min(int(rng.expovariate(1 / 5)), 200)
    tiktok_id = str(stamped_s << 32 | rng.getrandbits(32))
    look = Look(
        pattern=rng.choice(PATTERNS),
        luma=round(rng.uniform(*LUMA_RANGE), 4),
        hue_deg=round(rng.uniform(0, 360), 2),
        motion=round(rng.random(), 4),
        texture=rng.getrandbits(31),
    )
    sound = rng.choices(list(SOUND_WEIGHTS), list(SOUND_WEIGHTS.values()))[0]
    width_px, height_px = rng.choices(list(SIZES_PX), list(SIZES_PX.values()))[0]
    luck = rng.gauss(0.0, 0.25)
    if rng.random() < 0.03:
        luck += rng.uniform(0.5, 1.1)
    views = round(10 ** (planted_log10_views(topic, look, sound, created_at) + luck))
    hashtags = _choose_hashtags(rng, topic)
    account = rng.choice(accounts)
    caption = _write_caption(rng, topic, hashtags, accounts)
    duration_s = round(3 + 17 * rng.betavariate(1.1, 3.2), 1)
    return ReplicaVideo(
        tiktok_id=tiktok_id,
        account=account,
        topic=topic,
        caption=caption,
        hashtags=hashtags,
        created_at=created_at,
        duration_s=duration_s,
        width_px=width_px,
        height_px=height_px,
        rate_hz=rng.choice(FRAME_RATES_HZ),
        look=look,
        sound=sound,
        views=min(max(views, MIN_VIEWS), MAX_VIEWS),
        music=_choose_music(tiktok_id, account, sounds, duration_s),
    )


def _choose_music(
    tiktok_id: str, account: ReplicaAccount, sounds: tuple[ReplicaSound, ...], duration_s: float
) -> ReplicaSound:
    # A generator of its own, so that all the rest of the video is as it was without music.
    rng = random.Random(f"{tiktok_id}/music")
    if rng.random() < PUBLISHED_SHARE:
        # Few pieces are in fashion, and the others are hardly used.
        return rng.choices(sounds, [1 / (i + 1) for i in range(len(sounds))])[0]
    return own_sound(tiktok_id, account, duration_s)


def _choose_hashtags(rng: random.Random, topic: str) -> tuple[str, ...]:
    first, *others = TOPICS[topic]
    chosen = [first, *(name for name in others if rng.random() < 0.6)]
    return tuple(chosen + rng.sample(SHARED_HASHTAGS, rng.randrange(0, 4)))


def _write_caption(
    rng: random.Random, topic: str, hashtags: tuple[str, ...], accounts: tuple[ReplicaAccount, ...]
) -> str:
    sentence = rng.choice(WORDS["captions"][topic])
    for slot, words in WORDS["fillers"].items():
        while f"{{{slot}}}" in sentence:
            sentence = sentence.replace(f"{{{slot}}}", rng.choice(words), 1)
    parts = [sentence[0].upper() + sentence[1:]]
    if rng.random() < 0.5:
        parts.append(rng.choice(WORDS["extras"]))
    if rng.random() < 0.1:
        parts.append(f"@{rng.choice(accounts).handle}")
    tags = [f"#{name}" for name in hashtags]
    rng.shuffle(tags)
    return " ".join(parts + tags)
