"""Rows of videos whose views follow from what they show, say and when they were posted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from catalog.facts import PostFacts
from model.batches import Example

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
N_TAGS, N_WORDS = 12, 20


def planted(
    n: int, *, seed: int = 0, media: bool = False, n_authors: int = 40, noise: float = 0.4
) -> list[Example]:
    """n rows, oldest first: hashtags, words, hour, author and (media) sound and picture count."""
    generator = np.random.default_rng(seed)
    # What counts is the same for every seed: rows of two seeds are of one world.
    world = np.random.default_rng(99)
    tag_effects, word_effects = world.normal(size=N_TAGS), world.normal(size=N_WORDS)
    seen, heard, pictured = (world.normal(size=size) for size in (4, 6, 8))
    author_effects = world.normal(size=n_authors)
    rows = []
    for number in range(n):
        posted_at = FIRST + timedelta(minutes=47 * number)
        tags = generator.choice(N_TAGS, 2, replace=False)
        words = generator.choice(N_WORDS, 5)
        author = int(generator.integers(n_authors))
        visual, audio, frames = (generator.normal(size=size) for size in (4, 6, 8))
        level = 3 + 0.7 * tag_effects[tags].mean() + 0.5 * word_effects[words].mean()
        level += 0.5 * np.sin(2 * np.pi * posted_at.hour / 24) + 0.5 * author_effects[author]
        if media:
            level += 0.3 * (visual @ seen + audio @ heard + frames @ pictured) / 2
        facts = PostFacts(
            caption=" ".join(f"word{word}" for word in words),
            hashtags=tuple(f"tag{tag}" for tag in tags),
            author=author,
            posted_at=posted_at,
            duration_s=float(generator.uniform(5, 60)),
            width_px=576,
            height_px=1024,
        )
        rows.append(
            Example(
                1 + number,
                np.tile(visual[:, None, None], (1, 2, 2)).astype(np.float16) if media else None,
                np.tile(audio, (3, 1)).astype(np.float32) if media and number % 5 else None,
                float(np.expm1(max(0.1, level + noise * generator.normal()))),
                None,
                frames.astype(np.float32) if media else None,
                facts,
            )
        )
    return rows


def log_views(rows: Sequence[Example]) -> np.ndarray:
    """log(1 + thousands) of the rows, (n,)."""
    return np.log1p(np.array([row.views_k for row in rows], dtype=np.float64))
