"""The training rows as one table of numbers: blocks and neighbours, in a scratch file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from model.batches import Example
from model.blocks.encoder import Block, BlockConfig, BlockEncoder, Encoded
from model.modern.neighbours import BLOCK, Neighbours, block_of, directions, rounded, width_of
from model.modern.rows import PAGE, Floats32, Ledger, Older, RowFile, in_chunks, parted
from model.modern.tower import ModernConfig
from model.network import SolveRequest

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


def with_neighbours(
    encoded: Encoded, values: Floats32, present: NDArray[np.bool_]
) -> Encoded:
    """The blocks and the neighbours' behind them."""
    return Encoded(
        {**encoded.values, BLOCK.name: values}, {**encoded.present, BLOCK.name: present}
    )


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
        allowed &= np.arange(stop - len(window), stop) >= (
            np.minimum(last, before) - config.store_rows
        )[:, None]
        actual = ledger.actual[among].astype(np.float32)
        found = block_of(queries, window, allowed, actual, config.neighbours)
        into.write_run(start, with_neighbours(blocked, *found).matrix())
