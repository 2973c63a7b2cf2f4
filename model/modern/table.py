"""The training rows as one table of numbers, oldest first, with all that members learn from."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from model.base import SolveRequest
from model.batches import Example
from model.blocks.encoder import Block, BlockEncoder, Encoded
from model.blocks.grams import GramRows
from model.blocks.past import AUTHOR_NAMES, DAY_S, LEVEL_NAMES
from model.blocks.wide import Scale
from model.errors import NothingToTrain
from model.modern.config import ModernConfig
from model.modern.neighbours import BLOCK, Neighbours, block_of, directions, rounded, width_of
from model.targets import ONE_VIEW_K

PAGE = 256  # rows encoded, or compared with their neighbours, at once
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Ledger:
    """What is kept in memory of each of all rows, in the order they come.

    video_ids (n,) int64; labels (n,) on the target's scale; posted (n,) seconds since 1970, -inf
    where nobody said; authors (n,) int64, -1 where nobody is named; is_val (n,). ages (n,) seconds
    at which the labels were seen, NaN where that is not known.
    """

    video_ids: Ints
    labels: Floats
    posted: Floats
    authors: Ints
    is_val: Bools
    ages: Floats

    def newest(self, n: int) -> Ints:
        """Places of the n newest rows, oldest first; of equal times the lower id is older.

        Of val at most a third where train has the others: val is mostly newer, and without rows of
        train nothing could be rehearsed.
        """
        order = np.lexsort((self.video_ids, self.posted))
        is_val = self.is_val[order]
        n_train = min(int((~is_val).sum()), n - min(int(is_val.sum()), n // 3))
        keep = np.zeros(len(order), dtype=np.bool_)
        keep[np.flatnonzero(~is_val)[::-1][:n_train]] = True
        keep[np.flatnonzero(is_val)[::-1][: n - n_train]] = True
        return order[keep]


@dataclass(frozen=True)
class Table:
    """n training and validation rows, oldest first.

    blocks: of the columns, neighbours' last. x: (n, columns and one flag per block) float32; labels
    (n,) on the target's scale, less the level; level (n,), see `level_of`; folds (n,): rows of an
    author are in one; authors (n,): a number for each, a row without one has its own; is_val (n,).
    grams: of all rows. posted (n,) seconds since 1970, -inf where nobody said; known (n,): seconds
    from which a row's count may be known, inf: never; seen (n,): that count, as a label. ages (n,):
    seconds at which the labels were seen, NaN: unknown. log_scale: mean and sd of a target that is
    ln(1 + views) standardised; (0, 0) of any other. base: mean label of train where the target is
    raw, else 0; it is part of the level.
    """

    encoder: BlockEncoder
    blocks: tuple[Block, ...]
    x: Floats32
    labels: Floats
    level: Floats
    folds: Ints
    authors: Ints
    is_val: Bools
    grams: GramRows
    video_ids: Ints
    posted: Floats
    known: Floats
    seen: Floats
    ages: Floats
    log_scale: tuple[float, float]
    base: float = 0.0

    def __len__(self) -> int:
        return len(self.labels)

    def columns_of(self, names: Sequence[str]) -> Bools:
        """Which columns of x are those blocks', their flags too."""
        owners = owners_of(self.blocks)
        wanted = [at for at, block in enumerate(self.blocks) if block.name in names]
        return np.isin(owners, wanted)


def owners_of(blocks: Sequence[Block]) -> Ints:
    """Number of the block that each column and flag belongs to."""
    numbers = np.arange(len(blocks))
    return np.concatenate([np.repeat(numbers, [block.width for block in blocks]), numbers])


def posted_s(example: Example) -> float:
    """Seconds since 1970 at which it was posted, -inf where nobody said."""
    posted_at = example.facts.posted_at
    return -np.inf if posted_at is None else posted_at.timestamp()


def build_table(request: SolveRequest, config: ModernConfig) -> Table:
    """Fit the encoder on all rows, which are read once for it, and encode the newest of them.

    Memory is that of `newest_rows` rows of numbers and of a sample of rows with their features.
    Raises NothingToTrain for a row without views, or for none.
    """
    request.progress("reading the rows")
    ledger, encoder = _read(request, config)
    kept = ledger.newest(config.newest_rows)
    if len(kept) < len(ledger.labels):
        request.note("newest_rows", {"rows": len(kept), "of": len(ledger.labels)})
    place = np.full(len(ledger.labels), -1)
    place[kept] = np.arange(len(kept))
    width = sum(block.width for block in encoder.blocks) + len(encoder.blocks)
    x = np.empty((len(kept), width), dtype=np.float32)
    grams: list[GramRows] = []
    order: list[Ints] = []
    places = iter(place.tolist())
    for page in in_pages(chain(request.train, request.val), PAGE):
        chosen = [(at, row) for at, row in zip(islice(places, len(page)), page, strict=True)]
        chosen = [(at, row) for at, row in chosen if at >= 0]
        if not chosen:
            continue
        at = np.array([one for one, _ in chosen], dtype=np.int64)
        rows = [row for _, row in chosen]
        x[at] = encoder.encode(rows).matrix()
        found = GramRows(config.gram_buckets)
        for row in rows:
            found.add(row.facts)
        grams.append(found)
        order.append(at)
    together = GramRows(config.gram_buckets)
    together.rows = [row for found in grams for row in found.rows]
    authors = _author_numbers(ledger)[kept]
    target = request.target
    log_scale = (target.mean, target.sd) if target.kind == "log1p" else (0.0, 0.0)
    is_val = ledger.is_val[kept]
    # Any other target is about 0 on average, which is where members that tell little stay.
    base = float(ledger.labels[kept][~is_val].mean()) if target.kind == "raw" else 0.0
    level = level_of(x, encoder.blocks, encoder, log_scale) + base
    labels = ledger.labels[kept] - level
    return Table(
        encoder,
        encoder.blocks,
        x,
        labels,
        level,
        _folds(ledger.video_ids, authors, config.folds, request.seed),
        authors,
        is_val,
        together.take(np.argsort(np.concatenate(order))),
        ledger.video_ids[kept],
        ledger.posted[kept],
        *_known(request, ledger.video_ids[kept], ledger.posted[kept], labels, log_scale, base),
        ledger.ages[kept],
        log_scale,
        base,
    )


def in_pages(rows: Iterator[Example] | chain[Example], size: int) -> Iterator[list[Example]]:
    """Lists of up to `size` rows, in order; no more than one of them is held."""
    while page := list(islice(rows, size)):
        yield page


def past_of(rows: Floats32, blocks: Sequence[Block], encoder: BlockEncoder) -> tuple[Floats, Ints]:
    """What the author's last posts got beside the level of their time, in ln; 0 where unknown.

    With how many of the author's posts were known. rows (n, columns and flags), both (n,).
    """
    author, has = _columns_at("author", rows, blocks, encoder)
    if author is None:
        return np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    n_known = np.expm1(author[:, AUTHOR_NAMES.index("log_posts")])
    apart = np.where(has, author[:, AUTHOR_NAMES.index("recent_20")], 0.0)
    return apart, np.where(has, np.rint(n_known), 0).astype(np.int64)


def level_of(
    rows: Floats32,
    blocks: Sequence[Block],
    encoder: BlockEncoder,
    log_scale: tuple[float, float],
) -> Floats:
    """The catalog's level when each row was posted, on the target's scale; 0 where unknown.

    Members learn what a post gets beside it, so that a forecast moves with the catalog.
    """
    mean, sd = log_scale
    level, has = _columns_at("level", rows, blocks, encoder)
    if level is None or not sd:
        return np.zeros(len(rows))
    found: Floats = np.where(has, (level[:, LEVEL_NAMES.index("level")] - mean) / sd, 0.0)
    return found


def _columns_at(
    name: str, rows: Floats32, blocks: Sequence[Block], encoder: BlockEncoder
) -> tuple[Floats | None, Bools]:
    """Columns of a block as they were before scaling, None without it; and who has it."""
    names = [block.name for block in blocks]
    if name not in names:
        return None, np.zeros(len(rows), dtype=np.bool_)
    number = names.index(name)
    start = sum(block.width for block in blocks[:number])
    scale = encoder.scales[name]
    assert isinstance(scale, Scale)
    columns = rows[:, start : start + blocks[number].width] * scale.sd.numpy() + scale.mean.numpy()
    return columns, rows[:, number - len(blocks)] > 0


def with_neighbours(encoded: Encoded, values: Floats32, present: Bools) -> Encoded:
    """The blocks and the neighbours' behind them."""
    return Encoded({**encoded.values, BLOCK.name: values}, {**encoded.present, BLOCK.name: present})


def parted(rows: Floats32, blocks: Sequence[Block]) -> Encoded:
    """Rows as `Encoded.matrix` lays them out, back as blocks; (n, columns and then flags)."""
    values, present, at = {}, {}, 0
    flags = sum(block.width for block in blocks)
    for number, block in enumerate(blocks):
        values[block.name] = rows[:, at : at + block.width]
        present[block.name] = rows[:, flags + number] > 0
        at += block.width
    return Encoded(values, present)


def add_neighbours(table: Table, config: ModernConfig) -> Table:
    """The table with what the most similar of the `store_rows` rows before each got.

    Only of rows whose count was known before a row was posted.
    """
    window = np.empty((len(table), width_of(table.blocks)), dtype=np.float32)
    for at in range(0, len(table), PAGE):
        window[at : at + PAGE] = rounded(directions(parted(table.x[at : at + PAGE], table.blocks)))
    actual = table.seen.astype(np.float32)
    pages = []
    for at in range(0, len(table), PAGE):
        stop = min(at + PAGE, len(table))
        first = max(0, at - config.store_rows)
        allowed = table.known[None, first:stop] < table.posted[at:stop, None]
        found = block_of(
            window[at:stop],
            window[first:stop],
            allowed,
            actual[first:stop],
            config.neighbours,
        )
        encoded = parted(table.x[at:stop], table.blocks)
        pages.append(with_neighbours(encoded, *found).matrix())
    return replace(table, x=np.concatenate(pages), blocks=(*table.blocks, BLOCK))


def neighbour_store(table: Table, config: ModernConfig) -> Neighbours:
    """The newest rows whose counts are known at some time, to look among."""
    places = np.flatnonzero(np.isfinite(table.known))[-config.store_rows :]
    blocks = table.blocks[:-1]
    store = Neighbours(len(places), width_of(blocks), config.neighbours)
    for at in range(0, len(places), PAGE):
        some = places[at : at + PAGE]
        rows = table.x[some]
        vectors = directions(parted(_without_last(rows, table.blocks), blocks))
        store.keep(at, vectors, table.seen[some], table.video_ids[some], table.known[some])
    return store


def keep_blocks(table: Table, names: Sequence[str], encoder: BlockEncoder) -> Table:
    """The table with these blocks alone; encoder: the one that gives them."""
    columns = table.columns_of(names)
    blocks = tuple(block for block in table.blocks if block.name in names)
    return replace(table, x=table.x[:, columns], blocks=blocks, encoder=encoder)


def hidden_history(table: Table, rows: Floats32) -> Floats32:
    """The rows as those of an author of whom nothing is known."""
    bare = rows.copy()
    bare[:, table.columns_of(["author"])] = 0.0
    return bare


def _without_last(rows: Floats32, blocks: Sequence[Block]) -> Floats32:
    n_columns = sum(block.width for block in blocks)
    last = blocks[-1].width
    return np.concatenate((rows[:, : n_columns - last], rows[:, n_columns:-1]), axis=1)


def _read(request: SolveRequest, config: ModernConfig) -> tuple[Ledger, BlockEncoder]:
    ids, views, posted, authors, is_val, ages = [], [], [], [], [], []

    def noted(rows: Iterator[Example], *, val: bool) -> Iterator[Example]:
        for row in rows:
            if row.views_k is None:
                raise NothingToTrain(f"training video {row.video_id} has no view count")
            ids.append(row.video_id)
            views.append(row.views_k)
            posted.append(posted_s(row))
            authors.append(-1 if row.facts.author is None else row.facts.author)
            is_val.append(val)
            ages.append(np.nan if row.age_s is None else row.age_s)
            yield row

    if not len(request.train):
        raise NothingToTrain("the train part has no row; training needs at least 1")
    rows = chain(noted(iter(request.train), val=False), noted(iter(request.val), val=True))
    encoder = BlockEncoder.fit(rows, seed=request.seed, settings=config)
    ledger = Ledger(
        np.array(ids, dtype=np.int64),
        request.target.apply(np.array(views, dtype=np.float64)),
        np.array(posted),
        np.array(authors, dtype=np.int64),
        np.array(is_val, dtype=np.bool_),
        np.array(ages),
    )
    return ledger, encoder


def _author_numbers(ledger: Ledger) -> Ints:
    """A number for each author: the lowest video id of theirs. A row without one has its own.

    Not the account's id, which follows from a salted hash: folds must not move with the salt.
    """
    names, inverse = np.unique(ledger.authors, return_inverse=True)
    lowest = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(lowest, inverse.reshape(-1), ledger.video_ids)
    return np.where(ledger.authors < 0, ledger.video_ids, lowest[inverse.reshape(-1)])


def _folds(video_ids: Ints, authors: Ints, n_folds: int, seed: int) -> Ints:
    """Fold of each row by its author, so that the forecasts of a fold meet none they know.

    Where one author has most of the rows, or all came into one fold, by row: there would be nothing
    to learn from.
    """

    def folds(names: Ints) -> Ints:
        crc = [zlib.crc32(f"{seed} {name}".encode()) for name in names.tolist()]
        return np.array(crc, dtype=np.int64) % n_folds

    _, n_of = np.unique(authors, return_counts=True)
    by_author = folds(authors)
    is_fair = n_of.max() * 2 <= len(authors) and by_author.min() < by_author.max()
    return by_author if is_fair else folds(video_ids)


def _known(
    request: SolveRequest,
    video_ids: Ints,
    posted: Floats,
    labels: Floats,
    log_scale: tuple[float, float],
    base: float,
) -> tuple[Floats, Floats]:
    """Seconds from which each row's count may be known (inf: never), and that count as a label."""
    if request.histories is None:
        return np.where(np.isfinite(posted), posted + DAY_S, np.inf), labels
    known_s, apart = request.histories.known(video_ids)
    never = known_s < 0
    if log_scale[1]:
        seen = apart / log_scale[1]
    else:  # not the label, which may be of a later count than the one known then
        views_k = np.expm1(request.histories.counted(video_ids)) * ONE_VIEW_K
        seen = request.target.apply(views_k) - base
    return np.where(never, np.inf, known_s.astype(np.float64)), np.where(never, labels, seen)
