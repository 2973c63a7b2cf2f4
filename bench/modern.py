"""Training of the modern model on metadata alone: seconds and memory, at two sizes.

Rows are made as they are asked for and are nowhere kept, so the memory is the model's. Their views
follow from hashtags, words, hour and account. `python -m bench.modern ROWS…` runs other sizes, one
after the other in one process, and prints what each took; 100,000 take some minutes.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import ONE_THREAD, Row, cost_of, peak_memory_mb, report

# Before torch is loaded, which reads them once.
os.environ.update(ONE_THREAD)

import numpy as np

from catalog.facts import PostFacts
from model.base import SolveRequest
from model.batches import Example
from model.modern.config import ModernConfig
from model.modern.solve import solve_modern
from model.targets import TargetTransform

SMALL, LARGE = 5_000, 20_000
N_TAGS, N_WORDS, N_AUTHORS = 300, 1_000, 2_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 1_000


class Posts:
    """n posts, the same each time they are gone through."""

    def __init__(self, n: int) -> None:
        self.n = n
        world = np.random.default_rng(0)
        self.tags, self.words, self.authors = (
            world.normal(size=size) for size in (N_TAGS, N_WORDS, N_AUTHORS)
        )

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, self.n, PAGE):
            generator = np.random.default_rng(start + 1)
            for number in range(start, min(self.n, start + PAGE)):
                yield self._post(number, generator)

    def _post(self, number: int, generator: np.random.Generator) -> Example:
        tags, words = generator.integers(N_TAGS, size=3), generator.integers(N_WORDS, size=8)
        author = int(generator.integers(N_AUTHORS))
        posted_at = FIRST + timedelta(minutes=5 * number)
        level = 4 + 0.8 * self.tags[tags].mean() + 0.8 * self.words[words].mean()
        level += 0.6 * self.authors[author] + 0.5 * np.sin(posted_at.hour * np.pi / 12)
        facts = PostFacts(
            caption=" ".join(f"word{word}" for word in words),
            hashtags=tuple(f"tag{tag}" for tag in tags),
            author=author,
            posted_at=posted_at,
            duration_s=float(generator.uniform(5, 60)),
            width_px=576,
            height_px=1024,
        )
        views_k = float(np.expm1(max(0.1, level + generator.normal())))
        return Example(number + 1, views_k=views_k, facts=facts)


def rows() -> list[Row]:
    """Train on two sizes, each in processes of its own."""
    small, large = (cost_of("bench.modern", "--cost", str(n)) for n in (SMALL, LARGE))
    return [
        Row(
            f"modern, training on metadata, {LARGE:,} rows beside {SMALL:,}, CPU a row",
            f"{large.cpu_s / LARGE * 1e3:.2f} ms",
            f"{small.cpu_s / SMALL * 1e3:.2f} ms",
            f"{small.cpu_s / SMALL / (large.cpu_s / LARGE):.2f}",
        ),
        Row(
            f"modern, training on metadata, {LARGE:,} rows beside {SMALL:,}, memory",
            f"{large.peak_mb:,.0f} MB",
            f"{small.peak_mb:,.0f} MB",
            f"{small.peak_mb / large.peak_mb:.2f}",
        ),
    ]


def train(n: int) -> None:
    """Train on n posts."""
    posts = Posts(n)
    target = TargetTransform.fit([post.views_k or 0.0 for post in posts], "log1p")
    with tempfile.TemporaryDirectory() as scratch:
        request = SolveRequest(
            posts, [], target, 0, Path(scratch), lambda _code, _detail: None, lambda _text: None
        )
        solve_modern(ModernConfig(), request)


def main(arguments: list[str]) -> int:
    """Print rows, seconds and peak memory of each size."""
    if arguments[:1] == ["--cost"]:
        report(lambda: train(int(arguments[1])))
        return 0
    for n in map(int, arguments or [str(SMALL)]):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        train(n)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        sys.stdout.write(
            f"{n:,} rows: {wall_s:.1f} s, {cpu_s:.1f} s of CPU, {peak_memory_mb():.0f} MB\n"
        )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
