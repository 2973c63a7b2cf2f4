"""The training videos most like a video and posted before it, and how those did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.blocks.encoder import Block, Encoded
from model.blocks.past import BLOCKS as PAST

NAME: Final = "neighbours"
BLOCK: Final = Block(NAME, 2)
# What is made of labels says nothing of likeness, and would let a row's own label find its way
# back to it: another row's hashtag mean holds it.
LABELLED: Final = frozenset({*PAST, NAME})
# What a post is about tells more of likeness than when, how long and in how many words.
WEIGHTS: Final[Mapping[str, float]] = {
    "meta": 0.25,
    "form": 0.25,
    "account": 0.25,
    "sound": 0.25,
    "traits": 0.25,
}
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A training video beside another. similarity: cosine, 1 for the same."""

    video_id: int
    similarity: float


def width_of(blocks: Sequence[Block]) -> int:
    """Length of a direction over these blocks."""
    return sum(block.width for block in blocks if block.name not in LABELLED)


def directions(encoded: Encoded) -> Floats32:
    """Unit vectors whose products are weighted means of the blocks' cosines; (n, width_of).

    A block that a row lacks is zeros: two rows are then alike only in the rest.
    """
    parts = []
    total = np.zeros(len(next(iter(encoded.present.values()), ())), dtype=np.float32)
    for name, value in encoded.values.items():
        if name in LABELLED:
            continue
        has = encoded.present[name].astype(np.float32)
        weight = WEIGHTS.get(name, 1.0)
        length = np.sqrt(np.einsum("nw,nw->n", value, value)).clip(1e-6)
        parts.append(value * (np.float32(weight**0.5) * has / length)[:, None])
        total += np.float32(weight) * has
    if not parts:
        return np.zeros((len(total), 0), dtype=np.float32)
    scale = 1 / np.sqrt(np.maximum(total, np.float32(1e-6)))
    return (np.concatenate(parts, axis=1) * scale[:, None]).astype(np.float32)


def rounded(vectors: Floats32) -> Floats32:
    """Vectors as 16 bits keep them, in training as later."""
    return vectors.astype(np.float16).astype(np.float32)


def block_of(
    queries: Floats32, candidates: Floats32, allowed: NDArray[np.bool_], actual: Floats32, k: int
) -> tuple[Floats32, NDArray[np.bool_]]:
    """The block of rows: median target of the k most like and their mean similarity.

    queries (n, E), candidates (m, E), allowed (n, m), actual (m,)    returns: (n, 2) and who has
    at least k candidates, (n,)
    """
    n, m = allowed.shape
    if m < k:
        return np.zeros((n, BLOCK.width), np.float32), np.zeros(n, np.bool_)
    alike = np.where(allowed, queries @ candidates.T, np.float32(-np.inf))
    nearest = torch.topk(torch.from_numpy(alike), k, dim=1)
    similarity, places = nearest.values.numpy(), nearest.indices.numpy()
    present = np.isfinite(similarity[:, -1])
    values = np.stack(
        (np.median(actual[places], axis=1), np.where(present, similarity.mean(axis=1), 0)), axis=1
    )
    return (values * present[:, None]).astype(np.float32), present


class Neighbours(nn.Module):
    """The newest training rows as directions of 16 bits, with what is needed to look among them.

    Stays on the CPU. vectors (N, E) float16, actual (N,) float32 on the target's scale,
    video_ids (N,) int64, known (N,) float64 seconds since 1970 from which a count may be known.
    """

    vectors: Tensor
    actual: Tensor
    video_ids: Tensor
    known: Tensor

    def __init__(self, n: int, width: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("vectors", torch.zeros(n, width, dtype=torch.float16))
        self.register_buffer("actual", torch.zeros(n))
        self.register_buffer("video_ids", torch.zeros(n, dtype=torch.int64))
        self.register_buffer("known", torch.zeros(n, dtype=torch.float64))
        self._candidates: Floats32 | None = None

    def keep(
        self,
        place: int,
        vectors: Floats32,
        actual: NDArray[np.float64],
        video_ids: NDArray[np.int64],
        known: NDArray[np.float64],
    ) -> None:
        """Put m rows at `place` and after: vectors (m, E), the others (m,)."""
        at = slice(place, place + len(vectors))
        self.vectors[at] = torch.from_numpy(vectors.astype(np.float16))
        self.actual[at] = torch.from_numpy(actual.astype(np.float32))
        self.video_ids[at] = torch.from_numpy(video_ids)
        self.known[at] = torch.from_numpy(known)
        self._candidates = None

    def block(
        self, encoded: Encoded, video_ids: Sequence[int], posted: NDArray[np.float64]
    ) -> tuple[Floats32, NDArray[np.bool_]]:
        """The rows' block, (n, 2) and (n,); no row counts itself or what came after it."""
        allowed = self._allowed(video_ids, posted)
        queries = rounded(directions(encoded))
        return block_of(queries, self._floats(), allowed, self.actual.numpy(), self.k)

    def nearest(
        self, encoded: Encoded, video_id: int, posted: float, n: int = 5
    ) -> list[Neighbour]:
        """The n most alike of one row, most alike first; fewer where there are no more.

        posted: -inf where no time is known: then any other row may be one.
        """
        until = np.inf if np.isneginf(posted) else posted
        allowed = self._allowed([video_id], np.array([until]))[0]
        alike = self._floats() @ rounded(directions(encoded))[0]
        ids = self.video_ids.numpy()
        found = [place for place in np.lexsort((ids, -alike)) if allowed[place]][:n]
        return [Neighbour(int(ids[place]), float(alike[place])) for place in found]

    def _allowed(self, video_ids: Sequence[int], posted: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n, N): those known strictly before, none for a row of which no time is known."""
        ids = np.asarray(video_ids, dtype=np.int64)
        earlier = self.known.numpy()[None, :] < posted[:, None]
        others = self.video_ids.numpy()[None, :] != ids[:, None]
        allowed: NDArray[np.bool_] = earlier & others
        return allowed

    def _floats(self) -> Floats32:
        # Made at first use and not a buffer: half the size in the file and in a model that waits.
        if self._candidates is None or len(self._candidates) != len(self.vectors):
            self._candidates = self.vectors.float().numpy()
        return self._candidates
