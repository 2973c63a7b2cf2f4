"""The training rows as one table of numbers: blocks and neighbours, in a scratch file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.base import SolveRequest
from model.batches import Example
from model.blocks.encoder import Block, BlockConfig, BlockEncoder, Encoded
from model.errors import NothingToTrain
from model.modern.neighbours import BLOCK, Neighbours, block_of, directions, rounded, width_of
from model.modern.tower import ModernConfig
from model.targets import TargetTransform

PAGE = 256  # rows read at once
PAGES_MIXED = 32  # pages whose rows are shuffled among each other
Floats32 = NDArray[np.float32]
Item = TypeVar("Item")


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of up to `size` items, in order; no more than one of them is held."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


@dataclass(frozen=True)
class Ledger:
    """What is kept in memory of each training row, oldest first; 33 bytes a row.

    video_ids (n,) int64; actual (n,) float64, on the target's scale; posted (n,) float64, seconds
    since 1970, -inf where nobody said; named (n,) bool, who has an author and a time. ranks (n,)
    int64: at which place a row stands that comes as the i-th of the training rows.
    """

    video_ids: NDArray[np.int64]
    actual: NDArray[np.float64]
    posted: NDArray[np.float64]
    named: NDArray[np.bool_]
    ranks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.actual)


def posted_s(example: Example) -> float:
    """Seconds since 1970 at which it was posted, -inf where nobody said."""
    posted_at = example.facts.posted_at
    return -np.inf if posted_at is None else posted_at.timestamp()


def read_ledger(rows: Iterable[Example], target: TargetTransform) -> Ledger:
    """Go through the rows once. Raises NothingToTrain for a row without views, or for none."""
    ids, views, posted, authors = [], [], [], []
    for chunk in in_chunks(rows, 4096):
        if any(row.views_k is None for row in chunk):
            raise NothingToTrain("a training row has no view count; every one must")
        ids.append(np.array([row.video_id for row in chunk], dtype=np.int64))
        views.append(np.array([row.views_k for row in chunk], dtype=np.float64))
        posted.append(np.array([posted_s(row) for row in chunk], dtype=np.float64))
        authors.append(np.array([row.facts.author is not None for row in chunk], dtype=np.bool_))
    if not ids:
        raise NothingToTrain("there is no training row; there must be at least 1")
    video_ids, posted_at = np.concatenate(ids), np.concatenate(posted)
    order = np.lexsort((video_ids, posted_at))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return Ledger(
        video_ids[order],
        target.apply(np.concatenate(views)[order]),
        posted_at[order],
        (np.concatenate(authors) & np.isfinite(posted_at))[order],
        ranks,
    )


class Older:
    """Of the training rows those that stand before a place in the ledger; read anew each time."""

    def __init__(self, rows: Iterable[Example], ledger: Ledger, before: int) -> None:
        self._rows, self._ledger, self._before = rows, ledger, before

    def __iter__(self) -> Iterator[Example]:
        for row, rank in zip(self._rows, self._ledger.ranks, strict=True):
            if rank < self._before:
                yield row


class RowFile:
    """n rows of `width` float32 in a file that goes when it is closed.

    Read and not mapped: mapped pages count as the process's memory until the system wants them.
    """

    def __init__(self, path: Path, n: int, width: int) -> None:
        self.n, self.width = n, width
        self._path = path
        self._row_bytes = 4 * width
        self._file = path.open("w+b")
        self._file.truncate(n * self._row_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, places: Sequence[int] | NDArray[np.int64], rows: Floats32) -> None:
        """Put rows (m, width) at their places."""
        for place, row in zip(places, rows, strict=True):
            self.write_run(int(place), row)

    def write_run(self, start: int, rows: Floats32) -> None:
        """Put rows (m, width) at `start` and after."""
        self._file.seek(start * self._row_bytes)
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)

    def read(self, start: int, stop: int) -> Floats32:
        """Rows [start, stop) as (m, width)."""
        start, stop = max(0, start), min(self.n, stop)
        rows = np.empty((stop - start, self.width), dtype="<f4")
        self._file.seek(start * self._row_bytes)
        if self._file.readinto(rows.data) < rows.nbytes:
            raise EOFError(f"{self._path} ends before row {stop}")
        return rows

    def pages(self) -> Iterator[tuple[int, Floats32]]:
        """All rows, oldest first: the place of the first of a page, and (m, width)."""
        for start in range(0, self.n, PAGE):
            yield start, self.read(start, start + PAGE)

    def chosen(self, places: NDArray[np.int64]) -> Floats32:
        """Rows at ascending places, (m, width)."""
        found = np.empty((len(places), self.width), dtype=np.float32)
        for start in range(0, self.n, PAGE):
            first, last = np.searchsorted(places, (start, start + PAGE))
            if first < last:
                found[first:last] = self.read(start, start + PAGE)[places[first:last] - start]
        return found

    def shuffled(
        self, among: NDArray[np.bool_], batch: int, seed: int
    ) -> Iterator[tuple[NDArray[np.int64], Floats32]]:
        """Batches (places, rows) of an epoch over the rows marked in `among`, (n,) bool.

        Pages come in random order, and the rows of so many of them are shuffled together: all
        rows at once up to 8192, and never more in memory.
        """
        generator = np.random.default_rng(seed)
        starts = generator.permutation(np.arange(0, self.n, PAGE))
        waiting_places = np.empty(0, dtype=np.int64)
        waiting_rows = np.empty((0, self.width), dtype=np.float32)
        for mixed in in_chunks(starts.tolist(), PAGES_MIXED):
            held = [(start, self.read(start, start + PAGE)) for start in mixed]
            places = np.concatenate([np.arange(at, at + len(page)) for at, page in held])
            keep = among[places]
            places, rows = places[keep], np.concatenate([page for _, page in held])[keep]
            order = generator.permutation(len(places))
            waiting_places = np.concatenate((waiting_places, places[order]))
            waiting_rows = np.concatenate((waiting_rows, rows[order]))
            full = len(waiting_places) // batch * batch
            for at in range(0, full, batch):
                yield waiting_places[at : at + batch], waiting_rows[at : at + batch]
            waiting_places, waiting_rows = waiting_places[full:], waiting_rows[full:]
        if len(waiting_places):
            yield waiting_places, waiting_rows


def parted(rows: Floats32, blocks: Sequence[Block]) -> Encoded:
    """Rows as `Encoded.matrix` lays them out, back as blocks; (n, columns and then flags)."""
    values, present, at = {}, {}, 0
    flags = sum(block.width for block in blocks)
    for number, block in enumerate(blocks):
        values[block.name] = rows[:, at : at + block.width]
        present[block.name] = rows[:, flags + number] > 0
        at += block.width
    return Encoded(values, present)


ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class Table:
    """All training rows as a model sees them that learned from the `before` oldest only.

    rows: (n, columns and one flag per block) of `blocks`, which are the encoder's and neighbours'.
    folds: (n,) int8, the encoder's; all rows of an author are in one.
    """

    encoder: BlockEncoder
    blocks: tuple[Block, ...]
    rows: RowFile
    folds: NDArray[np.int8]
    before: int


def build_table(
    request: SolveRequest, ledger: Ledger, config: ModernConfig, before: int, name: str
) -> Table:
    """Fit the encoder on the `before` oldest rows and encode all; the caller closes `rows`.

    A row it was fitted on is encoded without its own label; a later one as a new row would be.
    Two passes over the training rows.
    """
    request.progress(f"{name}: reading")
    encoder = BlockEncoder.fit(
        Older(request.train, ledger, before),
        target=request.target,
        seed=request.seed,
        use_author=config.use_author and bool(ledger.named[:before].any()),
        settings=encoder_settings(config),
    )
    width = sum(block.width for block in encoder.blocks) + len(encoder.blocks)
    blocks = (*encoder.blocks, BLOCK)
    rows = RowFile(request.scratch / f"{name}-rows", len(ledger), width + BLOCK.width + 1)
    with RowFile(request.scratch / f"{name}-encoded", len(ledger), width) as encoded:
        folds = _encode(request, ledger, encoder, before, encoded, name)
        request.progress(f"{name}: neighbours")
        _add_neighbours(encoded, rows, ledger, encoder.blocks, before, config)
    return Table(encoder, blocks, rows, folds, before)


def encoder_settings(config: ModernConfig) -> BlockConfig:
    """The part of the config that is the encoder's."""
    names = {field.name for field in fields(BlockConfig)}
    return BlockConfig(**{key: value for key, value in asdict(config).items() if key in names})


def neighbour_store(table: Table, ledger: Ledger, config: ModernConfig) -> Neighbours:
    """The newest rows that the table learned from, to look among."""
    n = min(config.store_rows, table.before)
    store = Neighbours(n, width_of(table.blocks), config.neighbours)
    start = table.before - n
    for at in range(start, table.before, PAGE):
        stop = min(table.before, at + PAGE)
        vectors = directions(parted(table.rows.read(at, stop), table.blocks))
        store.keep(
            at - start,
            vectors,
            ledger.actual[at:stop],
            ledger.video_ids[at:stop],
            ledger.posted[at:stop],
        )
    return store


def with_neighbours(encoded: Encoded, values: Floats32, present: NDArray[np.bool_]) -> Encoded:
    """The blocks and the neighbours' behind them."""
    return Encoded({**encoded.values, BLOCK.name: values}, {**encoded.present, BLOCK.name: present})


def _encode(
    request: SolveRequest,
    ledger: Ledger,
    encoder: BlockEncoder,
    before: int,
    into: RowFile,
    name: str,
) -> NDArray[np.int8]:
    """Write the encoder's blocks of all rows to their places; their folds."""
    folds = np.zeros(len(ledger), dtype=np.int8)
    pairs = zip(request.train, ledger.ranks.tolist(), strict=True)
    done = 0
    for chunk in in_chunks(pairs, ENCODED_AT_ONCE):
        for training in (True, False):
            part = [(row, rank) for row, rank in chunk if (rank < before) == training]
            if part:
                examples: Sequence[Example] = [row for row, _ in part]
                matrix = encoder.encode(examples, training=training).matrix()
                places = [rank for _, rank in part]
                into.write(places, matrix)
                folds[places] = [encoder.fold_of(example) for example in examples]
        done += len(chunk)
        request.progress(f"{name}: encoded {done}/{len(ledger)}")
    return folds


def _add_neighbours(
    encoded: RowFile,
    into: RowFile,
    ledger: Ledger,
    blocks: Sequence[Block],
    before: int,
    config: ModernConfig,
) -> None:
    """Copy the rows with their neighbours among the `store_rows` that came before them."""
    window = np.zeros((0, width_of(blocks)), dtype=np.float32)
    stop = 0  # the window holds rows [stop - len(window), stop)
    for start, page in encoded.pages():
        blocked = parted(page, blocks)
        queries = rounded(directions(blocked))
        learned = queries[: max(0, before - start)]
        window = np.concatenate((window, learned))[-(config.store_rows + PAGE) :]
        stop += len(learned)
        among = slice(stop - len(window), stop)
        last = np.arange(start, start + len(page))
        allowed = ledger.posted[among] < ledger.posted[start : start + len(page), None]
        # As many as the finished store holds: the newest before each row.
        allowed &= (
            np.arange(stop - len(window), stop)
            >= (np.minimum(last, before) - config.store_rows)[:, None]
        )
        actual = ledger.actual[among].astype(np.float32)
        found = block_of(queries, window, allowed, actual, config.neighbours)
        into.write_run(start, with_neighbours(blocked, *found).matrix())
