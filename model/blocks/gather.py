"""What the block encoder keeps of a stream of training rows: a sample, and sums over all."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.batches import Example
from model.blocks.history import AuthorRows, LabelSums, TagSums, fold_of
from model.blocks.parts import SAMPLE_BYTES, SAMPLE_ROWS, WIDE, Reservoir, wide_feature


@dataclass(frozen=True)
class Sampled:
    """One row of the sample without its tensors, and its fold."""

    example: Example
    fold: int


class Gathered:
    """Training rows as they stream by; its memory does not grow but for authors' histories."""

    def __init__(self, *, n_folds: int, seed: int, use_author: bool) -> None:
        self.n_rows = 0
        self.n_folds = n_folds
        self.seed = seed
        self.sample: Reservoir[Sampled] = Reservoir(SAMPLE_ROWS, seed)
        self.wide: dict[str, Reservoir[NDArray[np.float32]]] = {}
        self.tags = TagSums(n_folds)
        self.authors = AuthorRows() if use_author else None
        self.labels = LabelSums(n_folds)

    def add(self, example: Example, scaled: float) -> None:
        """Count in one row; scaled: its label on the target's scale."""
        fold = fold_of(example, seed=self.seed, n_folds=self.n_folds)
        facts = example.facts
        self.n_rows += 1
        self.labels.add(scaled, fold)
        self.tags.add(facts.hashtags, scaled, fold)
        if self.authors is not None and facts.author is not None and facts.posted_at is not None:
            self.authors.add(facts.author, facts.posted_at, scaled)
        for name in WIDE:
            kept = self.wide.get(name)
            size = None if kept is None else kept.items[0].size
            value = wide_feature(name, example, size)
            if value is None:
                continue
            if kept is None:
                limit = min(SAMPLE_ROWS, SAMPLE_BYTES // value.nbytes)
                kept = self.wide[name] = Reservoir(limit, self.seed)
            kept.add(value)
        bare = replace(example, visual=None, audio=None, clip=None, frames=None)
        self.sample.add(Sampled(bare, fold))
