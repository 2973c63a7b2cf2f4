"""What earlier labels say of a hashtag or an author: the rows that every model is beside."""

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.batches import Example

TAG_BUCKETS: Final = 2**18
MOST_TAGS: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Floats = NDArray[np.float64]


def fold_of(example: Example, *, seed: int, n_folds: int) -> int:
    """Fold of a training row: one for all videos of an author, by video where nobody is named."""
    author = example.facts.author
    name = f"{seed} video {example.video_id}" if author is None else f"{seed} author {author}"
    return zlib.crc32(name.encode()) % n_folds


def tag_bucket(tag: str) -> int:
    """Bucket of a hashtag, whatever its case."""
    return zlib.crc32(tag.lower().encode()) % TAG_BUCKETS


def posted_us(moment: datetime) -> int:
    """Microseconds since 1970, exact: two posts of one second stay apart."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class FoldMeans(nn.Module):
    """Mean scaled label of the training rows, by fold."""

    total: Tensor
    rows: Tensor

    def __init__(self, n_folds: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(n_folds, dtype=torch.float64))
        self.register_buffer("rows", torch.zeros(n_folds, dtype=torch.int64))

    def mean(self) -> float:
        """Mean over all rows; 0 where there are none."""
        return float(self.total.numpy().sum() / max(1, self.rows.numpy().sum()))


class LabelSums:
    """Sums of labels by fold while the rows stream by."""

    def __init__(self, n_folds: int) -> None:
        self.total = np.zeros(n_folds)
        self.rows = np.zeros(n_folds, dtype=np.int64)

    def add(self, scaled: float, fold: int) -> None:
        """Count in one training row; scaled: its label on the target's scale."""
        self.total[fold] += scaled
        self.rows[fold] += 1

    def finish(self) -> FoldMeans:
        """The means of what was added."""
        means = FoldMeans(len(self.total))
        means.total.copy_(torch.from_numpy(self.total))
        means.rows.copy_(torch.from_numpy(self.rows))
        return means


class TagMeans(nn.Module):
    """How posts with a hashtag did against all posts, by fold of the training rows.

    Only tags that at least two folds saw are known, so that no single author makes one.
    """

    bucket: Tensor
    total: Tensor
    rows: Tensor

    def __init__(self, n_tags: int, n_folds: int, prior: float) -> None:
        super().__init__()
        self.prior = prior
        self.register_buffer("bucket", torch.zeros(n_tags, dtype=torch.int64))
        self.register_buffer("total", torch.zeros(n_tags, n_folds, dtype=torch.float64))
        self.register_buffer("rows", torch.zeros(n_tags, n_folds, dtype=torch.int64))

    def read(self, tags: Sequence[str], mean: float) -> float:
        """Mean difference of a post's known tags to `mean`, the general one; 0 where none is known.

        On the target's scale, each shrunk by the prior.
        """
        wanted = np.unique([tag_bucket(tag) for tag in tags])
        bucket = self.bucket.numpy()
        if len(bucket) == 0 or len(wanted) == 0:
            return 0.0
        at = np.minimum(np.searchsorted(bucket, wanted), len(bucket) - 1)
        at = at[bucket[at] == wanted]
        if not len(at):
            return 0.0
        total, rows = (sums.numpy()[at].sum(axis=-1) for sums in (self.total, self.rows))
        return float(((total - rows * mean) / (rows + self.prior)).mean())


class TagSums:
    """Sums per bucket of tags while the rows stream by; memory is the same for any number."""

    def __init__(self, n_folds: int) -> None:
        self.total = np.zeros((TAG_BUCKETS, n_folds))
        self.rows = np.zeros((TAG_BUCKETS, n_folds), dtype=np.int32)

    def add(self, tags: Sequence[str], scaled: float, fold: int) -> None:
        """Count in one training row."""
        for bucket in {tag_bucket(tag) for tag in tags}:
            self.total[bucket, fold] += scaled
            self.rows[bucket, fold] += 1

    def finish(self, prior: float) -> TagMeans:
        """The tags that two folds saw, at most the MOST_TAGS most frequent."""
        known = np.flatnonzero((self.rows > 0).sum(axis=1) >= 2)
        frequent = known[np.argsort(-self.rows[known].sum(axis=1), kind="stable")]
        kept = np.sort(frequent[:MOST_TAGS])
        means = TagMeans(len(kept), self.total.shape[1], prior)
        means.bucket.copy_(torch.from_numpy(kept))
        means.total.copy_(torch.from_numpy(self.total[kept]))
        means.rows.copy_(torch.from_numpy(self.rows[kept]))
        return means


class AuthorHistory(nn.Module):
    """Every author's training videos in the order of posting, with running sums of labels."""

    author: Tensor
    posted: Tensor
    running: Tensor

    def __init__(self, n_history: int, prior: float) -> None:
        super().__init__()
        self.prior = prior
        self.register_buffer("author", torch.zeros(n_history, dtype=torch.int64))
        self.register_buffer("posted", torch.zeros(n_history, dtype=torch.int64))
        self.register_buffer("running", torch.zeros(n_history, dtype=torch.float64))

    def before(self, author: int, moment: datetime) -> tuple[int, float]:
        """Number of the author's videos posted strictly before, and the sum of their labels."""
        authors = self.author.numpy()
        start, end = np.searchsorted(authors, [author, author + 1])
        now = posted_us(moment)
        n = int(np.searchsorted(self.posted.numpy()[start:end], now, side="left"))
        if n == 0:
            return 0, 0.0
        return n, float(self.running[int(start) + n - 1])

    def read(self, author: int, moment: datetime, mean: float) -> float:
        """Shrunk difference of the author's earlier videos to `mean`; 0 where there is none."""
        n, total = self.before(author, moment)
        return (total - n * mean) / (n + self.prior)


class AuthorRows:
    """Labels by author and time while the rows stream by: 24 bytes a row."""

    def __init__(self) -> None:
        self._packed_keys: list[NDArray[np.int64]] = []
        self._packed_labels: list[Floats] = []
        self._keys: list[tuple[int, int]] = []
        self._labels: list[float] = []

    def add(self, author: int, moment: datetime, scaled: float) -> None:
        """Count in one training row."""
        self._keys.append((author, posted_us(moment)))
        self._labels.append(scaled)
        if len(self._keys) == 4096:
            self._pack()

    def finish(self, prior: float) -> AuthorHistory:
        """The history that was added."""
        self._pack()
        keys = np.concatenate(self._packed_keys)
        if not len(keys):  # no row has both an author and a time
            return AuthorHistory(0, prior)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        keys, labels = keys[order], np.concatenate(self._packed_labels)[order]
        running = labels.copy()
        starts = np.unique(keys[:, 0], return_index=True)[1].tolist()
        # Sums within one author alone, so that no other author's label can move their last digit.
        for start, end in pairwise([*starts, len(keys)]):
            running[start:end] = np.cumsum(labels[start:end])
        history = AuthorHistory(len(keys), prior)
        history.author.copy_(torch.from_numpy(np.ascontiguousarray(keys[:, 0])))
        history.posted.copy_(torch.from_numpy(np.ascontiguousarray(keys[:, 1])))
        history.running.copy_(torch.from_numpy(running))
        return history

    def _pack(self) -> None:
        self._packed_keys.append(np.array(self._keys, dtype=np.int64).reshape(-1, 2))
        self._packed_labels.append(np.array(self._labels, dtype=np.float64))
        self._keys.clear()
        self._labels.clear()
