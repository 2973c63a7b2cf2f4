"""Rows that say something of themselves: facts, small features, and views that follow from them."""

from datetime import UTC, datetime, timedelta

import numpy as np

from catalog.facts import KnownAccount, PostFacts, Traits
from model.batches import Example
from model.targets import TargetTransform

TAGS = ("cats", "dogs", "dance", "news", "fyp", "gym")
WORDS = ("morning", "kitten", "recipe", "dancing", "challenge", "friends", "funny", "training")
START = datetime(2024, 1, 1, tzinfo=UTC)


def told(n: int = 80, *, seed: int = 0, media: bool = False) -> list[Example]:
    """n rows in order of posting; tag "cats" and author 1 do well; every seventh says little."""
    draw = np.random.default_rng(seed)
    rows = []
    for video_id in range(1, n + 1):
        tags = tuple(draw.choice(TAGS, size=int(draw.integers(0, 4)), replace=False).tolist())
        author = int(draw.integers(1, 12))
        loud = 1.5 * ("cats" in tags) + 1.0 * (author == 1) + draw.normal(0, 0.4)
        caption = " ".join(draw.choice(WORDS, size=int(draw.integers(1, 7))).tolist())
        facts = PostFacts(
            caption=f"{caption} #{tags[0]}" if tags else caption,
            hashtags=tags,
            author=author,
            posted_at=START + timedelta(hours=5 * video_id),
            duration_s=float(draw.integers(5, 60)),
            width_px=576,
            height_px=1024,
            transcript=caption if video_id % 2 else "",
            language="en",
            speech_s=3.0,
            screen=WORDS[author % len(WORDS)] if video_id % 3 else None,
            topics=("pets",) if "cats" in tags else (),
            traits=Traits(language="en", is_ad=author == 2, n_mentions=len(tags)),
            account=KnownAccount(100 * author, 50, author, author == 1, 20, "SE"),
            sound=1 + author % 3,
            is_sound_original=author % 3 == 0,
            n_sound_videos=author,
        )
        if video_id % 7 == 0:
            facts = PostFacts(hashtags=tags)
        rows.append(
            Example(
                video_id,
                visual=draw.normal(loud, 1, (4, 3, 3)).astype(np.float16) if media else None,
                audio=draw.normal(size=(2, 6)).astype(np.float32) if media else None,
                frames=draw.normal(size=10).astype(np.float32) if media else None,
                views_k=float(np.exp(3 + loud)),
                facts=facts,
                opening=_opening(video_id) if media else None,
                sentence=np.full(9, loud, np.float32) + np.arange(9) if media else None,
            )
        )
    return rows


def log_target(rows: list[Example]) -> TargetTransform:
    """The log target of the rows' views."""
    return TargetTransform.fit([row.views_k or 0.0 for row in rows], "log1p")


def _opening(video_id: int) -> np.ndarray:
    """Numbers of the first seconds, one of which could not be measured of every fourth."""
    numbers = np.array([video_id % 5, 2.0, video_id], dtype=np.float32)
    numbers[0] = np.nan if video_id % 4 == 0 else numbers[0]
    return numbers
