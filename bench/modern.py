"""Training of the modern model on metadata alone: seconds and memory, at two sizes.

Rows are made as they are asked for and are nowhere kept, so the memory is the model's and that of
the posts' histories. Their views follow from hashtags, words, hour and account. `python -m
bench.modern ROWS…` runs other sizes, one after the other in one process, and prints what each took
and a hash of what was learned, which is the same for any number of threads.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import ONE_THREAD, Row, cost_of, peak_memory_mb, report

# Before torch is loaded, which reads them once. OMP_NUM_THREADS=2 may be given.
os.environ.update({**ONE_THREAD, **os.environ})

import numpy as np

from catalog.facts import PastPost, PostFacts
from model.base import SolveRequest
from model.batches import Example
from model.blocks.past import Histories
from model.modern.config import ModernConfig
from model.modern.model import ModernNetwork
from model.modern.solve import solve_modern
from model.steps.rows import attached
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
        self.past = Histories(_known(row) for page in self._pages() for row in page)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Example]:
        for page in self._pages():
            yield from attached(page, self.past)

    def _pages(self) -> Iterator[list[Example]]:
        for start in range(0, self.n, PAGE):
            generator = np.random.default_rng(start + 1)
            numbers = range(start, min(self.n, start + PAGE))
            yield [self._post(number, generator) for number in numbers]

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


def _known(row: Example) -> PastPost:
    facts, posted_at = row.facts, row.facts.posted_at or FIRST
    known_at = posted_at + timedelta(days=1)
    return PastPost(
        row.video_id, facts.author, None, facts.hashtags, posted_at, known_at, row.views_k or 0.0
    )


def hash_of(network: ModernNetwork) -> str:
    """Hash of all that was learned."""
    digest = hashlib.sha256(repr(network.config).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def train(n: int) -> ModernNetwork:
    """Train on n posts."""
    posts = Posts(n)
    target = TargetTransform.fit([post.views_k or 0.0 for post in posts], "log1p")
    with tempfile.TemporaryDirectory() as scratch:
        request = SolveRequest(
            posts,
            [],
            target,
            0,
            Path(scratch),
            lambda _code, _detail: None,
            lambda _text: None,
            posts.past,
        )
        return solve_modern(ModernConfig(), request)


def main(arguments: list[str]) -> int:
    """Print rows, seconds and peak memory of each size."""
    if arguments[:1] == ["--cost"]:
        report(lambda: train(int(arguments[1])))
        return 0
    for n in map(int, arguments or [str(SMALL)]):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        network = train(n)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        sys.stdout.write(
            f"{n:,} rows: {wall_s:.1f} s, {cpu_s:.1f} s of CPU, {peak_memory_mb():.0f} MB, "
            f"{hash_of(network)[:16]}\n"
        )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
