"""What models over encoded blocks share: streams of rows as matrices, and intervals from errors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.batches import Example
from model.blocks.encoder import BlockConfig, BlockEncoder
from model.blocks.history import posted_us
from model.errors import NothingToTrain
from model.targets import TargetTransform

CHUNK: Final = 512
ENOUGH_ROWS: Final = 200  # below, the ends of an 80 % interval rest on fewer than 20 errors each
Floats = NDArray[np.float64]
Config = TypeVar("Config", bound=BlockConfig)


@dataclass(frozen=True)
class Rows:
    """x (n, columns) float32, y (n,) on the target's scale, fold (n,)."""

    x: NDArray[np.float32]
    y: Floats
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class Chunk(Rows):
    """A few rows of a stream, and how old each is: (n, 2), to be compared column by column."""

    age: NDArray[np.int64]


def chunks(
    encoder: BlockEncoder,
    rows: Iterable[Example],
    target: TargetTransform,
    *,
    training: bool,
    missing: float,
) -> Iterator[Chunk]:
    """The rows as matrices, at most CHUNK at a time."""
    stream = iter(rows)
    while examples := list(islice(stream, CHUNK)):
        views_k = [example.views_k for example in examples]
        if None in views_k:
            raise NothingToTrain("a row to learn from has no view count; each must have one")
        yield Chunk(
            encoder.encode(examples, training=training).matrix(missing=missing),
            target.apply(np.array(views_k, dtype=np.float64)),
            np.array([encoder.fold_of(example) for example in examples], dtype=np.int64),
            np.array([_age(example) for example in examples], dtype=np.int64),
        )


def newest(stream: Iterable[Chunk], limit: int) -> tuple[Rows, int]:
    """The `limit` newest rows of a stream, oldest first, and how many it had in all.

    A row of unknown time is older than any other. At most twice `limit` are held at a time.
    """
    held: list[Chunk] = []
    n_seen = n_waiting = 0
    for chunk in stream:
        held.append(chunk)
        n_seen += len(chunk.y)
        n_waiting += len(chunk.y)
        if n_waiting >= limit:
            held, n_waiting = [_newest(held, limit)], 0
    if not held:
        return Rows(np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0, np.int64)), 0
    return _newest(held, limit), n_seen


def resolved(config: Config, encoder: BlockEncoder) -> Config:
    """A model's config with the sizes that its fitted encoder has."""
    sizes = {f.name: getattr(encoder.config, f.name) for f in fields(BlockConfig)}
    return replace(config, **sizes)


def offsets(errors: Floats) -> Floats:
    """What to add to a raw prediction for its point and the ends of its 80 % interval.

    errors: actual minus raw prediction, of rows it was not fitted on. The ends are widened as
    split conformal prediction does, so that few errors give a wider interval, not a bolder one.
    returns: (3,) median, low, high
    """
    tail = max(0.0, 0.1 * (len(errors) + 1) - 1) / max(1, len(errors) - 1)
    median, low, high = np.quantile(errors, (0.5, min(0.5, tail), max(0.5, 1 - tail)))
    return np.array([median, low, high])


def _newest(held: list[Chunk], limit: int) -> Chunk:
    age = np.concatenate([chunk.age for chunk in held])
    order = np.lexsort((age[:, 1], age[:, 0]))[-limit:]
    return Chunk(
        np.concatenate([chunk.x for chunk in held])[order],
        np.concatenate([chunk.y for chunk in held])[order],
        np.concatenate([chunk.fold for chunk in held])[order],
        age[order],
    )


def _age(example: Example) -> tuple[int, int]:
    posted_at = example.facts.posted_at
    unknown = int(np.iinfo(np.int64).min)
    return unknown if posted_at is None else posted_us(posted_at), example.video_id
