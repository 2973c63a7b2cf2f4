"""Invented accounts and sounds, and how their followers and uses grow."""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

# What names and captions are made of: nicknames, fillers, extras, captions by topic.
WORDS = json.loads(Path(__file__).with_name("captions.json").read_text(encoding="utf-8"))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
# The second half of 2020, as an account's or a sound's id tells.
OLDEST_S, SPAN_S = 1_600_000_000, 100_000_000
N_PUBLISHED = 12
# A sound's id is that of the upload it was made with, which began a few seconds before.
SOUND_LEAD_S = 5


@dataclass(frozen=True)
class ReplicaAccount:
    """An author; followers and likes are those of the snapshot. A private one has no videos."""

    account_id: str
    handle: str
    nickname: str
    sec_uid: str
    followers: int
    following: int
    likes: int
    is_verified: bool
    signature: str
    region: str
    is_private: bool = False


@dataclass(frozen=True)
class AccountStats:
    """What an account's page counts at one moment."""

    followers: int
    following: int
    likes: int
    n_posts: int


@dataclass(frozen=True)
class ReplicaSound:
    """A published piece, or the own sound of a video; n_uses is that of the snapshot."""

    sound_id: str
    title: str
    author: str
    is_original: bool
    duration_s: int
    n_uses: int

    @property
    def slug(self) -> str:
        """The last part of its page's address."""
        words = "".join(c if c.isalnum() else "-" for c in self.title)
        return f"{words}-{self.sound_id}"


def make_account(seed: int, index: int, *, is_private: bool = False) -> ReplicaAccount:
    """Make up an account; equal arguments give an equal one."""
    rng = random.Random(f"{seed}/account/{index}")
    first, second = WORDS["nicknames"]
    nickname = f"{rng.choice(first)} {rng.choice(second)}"
    joint = rng.choice((".", "_", ""))
    # The index makes it unique; the charset is the real one, [a-z0-9_.].
    handle = nickname.lower().replace(" ", joint) + str(10 + index)
    sec_uid = "MS4wLjABAAAA" + "".join(rng.choice(LETTERS) for _ in range(64))
    account_id = (OLDEST_S + rng.randrange(SPAN_S)) << 32 | rng.getrandbits(32)
    # From here on what came later, so that names and ids stay as they were.
    followers = round(10 ** rng.gauss(4.3, 0.9)) + 12
    return ReplicaAccount(
        account_id=str(account_id),
        handle=handle,
        nickname=nickname,
        sec_uid=sec_uid,
        followers=followers,
        following=rng.randrange(3, 2_000),
        likes=round(followers * rng.uniform(2, 40)),
        is_verified=followers > 150_000 and rng.random() < 0.7,
        signature=rng.choice(("", rng.choice(WORDS["extras"]))),
        region=rng.choices(("US", "GB", "CA", "AU"), (6, 2, 1, 1))[0],
        is_private=is_private,
    )


def account_stats(account: ReplicaAccount, day: float, n_posts: int) -> AccountStats:
    """Give what an account's page counts so many days after the snapshot."""
    growth = _growth(f"{account.account_id}/growth", day)
    followers, likes = round(account.followers * growth), round(account.likes * growth)
    return AccountStats(followers, account.following, likes, n_posts)


def published_sounds(seed: int) -> tuple[ReplicaSound, ...]:
    """Make up the pieces that many videos use."""
    return tuple(_make_published(seed, index) for index in range(N_PUBLISHED))


def own_sound(tiktok_id: str, account: ReplicaAccount, duration_s: float) -> ReplicaSound:
    """Make the sound that a video brings along, named after its author."""
    return ReplicaSound(
        sound_id=str(int(tiktok_id) - (SOUND_LEAD_S << 32)),
        title=f"original sound - {account.nickname}",
        author=account.nickname,
        is_original=True,
        duration_s=round(duration_s),
        n_uses=1 + int(random.Random(f"{tiktok_id}/uses").expovariate(1 / 4)),
    )


def uses_of(sound: ReplicaSound, day: float, n_listed: int) -> int:
    """Count the videos with a sound so many days after the snapshot; never fewer than listed."""
    return max(n_listed, round(sound.n_uses * _growth(f"{sound.sound_id}/growth", day)))


def _make_published(seed: int, index: int) -> ReplicaSound:
    rng = random.Random(f"{seed}/sound/{index}")
    first, second = WORDS["nicknames"]
    number = (OLDEST_S + rng.randrange(SPAN_S)) << 32 | rng.getrandbits(32)
    return ReplicaSound(
        sound_id=str(number),
        title=f"{rng.choice(second)} of {rng.choice(first)}",
        author=f"The {rng.choice(first)} {rng.choice(second)}",
        is_original=False,
        duration_s=rng.randrange(15, 61),
        n_uses=round(10 ** rng.uniform(2, 6)),
    )


def _growth(name: str, day: float) -> float:
    """Grow from 1 at the snapshot, quickly at first: by a few hundredths to a half in all."""
    if day <= 0:
        return 1.0
    rng = random.Random(name)
    most, slowing_days = rng.uniform(0.03, 0.5), rng.uniform(5.0, 40.0)
    return 1 + most * (1 - math.exp(-day / slowing_days))
