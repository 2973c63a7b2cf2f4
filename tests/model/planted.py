"""Rows of videos whose views follow from what they show, say and when they were posted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from catalog.facts import PastPost, PostFacts
from model.batches import Example
from model.blocks.past import Histories
from model.steps.rows import attached

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


def share_by(age_s: float) -> float:
    """Share of its views that a post of `seen_at_ages` has at an age: half at three days."""
    return age_s / (age_s + 3 * 86_400)


def seen_at_ages(rows: Sequence[Example], *, seed: int = 0) -> list[Example]:
    """The rows, each with one count of its growing ones, seen at 12 hours to 60 days.

    `at_age` gives what they have at another age.
    """
    generator = np.random.default_rng([7, seed])
    ages = np.exp(generator.uniform(np.log(0.5), np.log(60), len(rows))) * 86_400
    return [
        replace(row, views_k=row.views_k * share_by(age_s), age_s=age_s)
        for row, age_s in zip(rows, ages.tolist(), strict=True)
    ]


def at_age(rows: Sequence[Example], age_s: float) -> list[Example]:
    """The rows of `seen_at_ages` with the counts that they have at one age, and no age stated."""
    return [
        replace(row, views_k=row.views_k / share_by(row.age_s) * share_by(age_s), age_s=None)
        for row in rows
    ]


def small_counts(n: int, *, seed: int = 0, n_authors: int = 60) -> list[Example]:
    """n rows, oldest first, three quarters of them below 1,000 views; who posts decides."""
    generator = np.random.default_rng(seed)
    levels = generator.normal(5.3, 1.7, n_authors)
    return [
        _post(number, author, levels[author] + 0.6 * generator.normal())
        for number, author in enumerate(generator.integers(n_authors, size=n).tolist())
    ]


def walking(
    n: int, *, seed: int = 0, n_authors: int = 20, noise: float = 0.4, gap_h: int = 3
) -> list[Example]:
    """n rows, oldest first, of authors whose levels walk; nothing else tells of a row.

    A post every gap_h hours, so that an author's last one is mostly more than a day ago.
    """
    generator = np.random.default_rng(seed)
    levels = generator.normal(8.0, 0.5, n_authors)
    rows = []
    for number, author in enumerate(generator.integers(n_authors, size=n).tolist()):
        levels[author] += 0.3 * generator.normal()
        log_views = levels[author] + noise * generator.normal()
        rows.append(_post(number, author, log_views, gap_h=gap_h))
    return rows


def with_history(rows: Sequence[Example]) -> list[Example]:
    """The rows with what earlier ones got that were at least a day old when each was posted."""
    past = []
    for row in rows:
        facts = row.facts
        assert facts.posted_at is not None
        assert row.views_k is not None
        known_at = facts.posted_at + timedelta(days=1)
        past.append(
            PastPost(
                row.video_id,
                facts.author,
                facts.sound,
                facts.hashtags,
                facts.posted_at,
                known_at,
                row.views_k,
            )
        )
    return attached(rows, Histories(past))


def with_others_media(rows: Sequence[Example], *, seed: int = 0) -> list[Example]:
    """The rows, each with the picture and sound of another, drawn for each kind."""
    generator = np.random.default_rng(seed)
    given = [generator.permutation(len(rows)) for _ in range(3)]
    return [
        replace(row, visual=rows[v].visual, audio=rows[a].audio, frames=rows[f].frames)
        for row, v, a, f in zip(rows, *given, strict=True)
    ]


def _post(number: int, author: int, log_views: float, *, gap_h: int = 3) -> Example:
    facts = PostFacts(author=author + 1, posted_at=FIRST + timedelta(hours=gap_h * number))
    return Example(1 + number, views_k=float(np.floor(np.exp(log_views))) / 1000, facts=facts)
