"""Numbers of what is known of a post's account, sound and kind before it is posted."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.facts import PostFacts

ACCOUNT_NAMES: Final = (
    "log_followers",
    "log_following",
    "log_posts",
    "verified",
    "log_bio_chars",
    "log_followers_per_post",
    "log_followers_per_following",
)
SOUND_NAMES: Final = ("log_videos", "is_original", "has_sound")
TRAIT_NAMES: Final = ("is_ad", "is_duet", "is_stitch", "log_mentions")
Floats = NDArray[np.float64]


def account_numbers(facts: PostFacts) -> Floats | None:
    """ACCOUNT_NAMES of the post's account, NaN where unknown; None where nothing is known."""
    account = facts.account
    if account is None:
        return None
    followers, following = _log(account.n_followers), _log(account.n_following)
    posts = _log(account.n_posts)
    numbers = np.array(
        (
            followers,
            following,
            posts,
            _flag(account.is_verified),
            _log(account.bio_chars),
            followers - posts,
            followers - following,
        )
    )
    return None if np.isnan(numbers).all() else numbers


def sound_numbers(facts: PostFacts) -> Floats | None:
    """SOUND_NAMES of the post's sound; None where none is named."""
    if facts.sound is None and facts.is_sound_original is None and facts.n_sound_videos is None:
        return None
    return np.array((_log(facts.n_sound_videos), _flag(facts.is_sound_original), 1.0))


def trait_numbers(facts: PostFacts) -> Floats | None:
    """TRAIT_NAMES of the post; None where nobody said."""
    traits = facts.traits
    if traits is None:
        return None
    flags = [_flag(one) for one in (traits.is_ad, traits.is_duet, traits.is_stitch)]
    numbers = np.array((*flags, _log(traits.n_mentions)))
    return None if np.isnan(numbers).all() else numbers


#: Blocks of plain numbers, by name: their columns, and what gives them.
KNOWN: Final[dict[str, tuple[tuple[str, ...], Callable[[PostFacts], Floats | None]]]] = {
    "account": (ACCOUNT_NAMES, account_numbers),
    "sound": (SOUND_NAMES, sound_numbers),
    "traits": (TRAIT_NAMES, trait_numbers),
}


def named_grams(facts: PostFacts) -> list[str]:
    """Names that a post has beside its words, each as one gram: language, region, topics, sound."""
    traits, account = facts.traits, facts.account
    found = [f"topic {name}" for name in facts.topics]
    if traits is not None:
        found += [f"language {traits.language}"] if traits.language else []
        found += [f"region {traits.region}"] if traits.region else []
    if account is not None and account.region:
        found.append(f"home {account.region}")
    if facts.sound is not None:
        found.append(f"sound {facts.sound}")
    return found


def _log(number: float | None) -> float:
    return math.nan if number is None else math.log1p(max(0.0, float(number)))


def _flag(value: bool | None) -> float:
    return math.nan if value is None else float(value)
