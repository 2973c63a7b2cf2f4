"""Who takes part in a forecast: each learns from some rows of the table and is asked for others."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from model.blocks.encoder import Block
from model.blocks.grams import best_penalty, out_of_fold, solve_grams
from model.modern.config import MEMBERS, ModernConfig
from model.modern.line import Solution, chosen_penalties, sums_of
from model.modern.table import Table, hidden_history, owners_of, past_of
from model.modern.trees import best_number, grow

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
GRAMS = Block("grams", 1)


@dataclass(frozen=True)
class Choices:
    """What is decided once and holds for every learning of the members.

    penalty: of the gram ridge. penalties: of the ridge, for each block. n_trees 0: not decided.
    """

    penalty: float
    penalties: Floats
    n_trees: int = 0


@dataclass(frozen=True)
class Learned:
    """Members that have learned from some rows.

    gram_weights (buckets,), None without grams. centre: mean label. line, trees: None where they
    do not take part.
    """

    choices: Choices
    centre: float
    rarity: NDArray[np.float32]
    gram_weights: Floats
    line: Solution | None
    trees: HistGradientBoostingRegressor | None


def gram_columns(
    table: Table, learn: Bools, choices: Choices | None = None
) -> tuple[Floats, NDArray[np.float32], Floats, float]:
    """What the words of each row say, of rows to learn from by the other folds'; (n,).

    With the rarity and weights that others are read with, and the penalty.
    """
    places = np.flatnonzero(learn)
    rarity = table.grams.take(places).rarity()
    grams = table.grams.matrix(rarity)
    known, labels, folds = grams[places], table.labels[places], table.folds[places]
    penalty = best_penalty(known, labels, folds) if choices is None else choices.penalty
    weights = solve_grams(known, labels, penalty)
    said = np.asarray(grams @ weights)
    said[places] = out_of_fold(known, labels, folds, penalty)
    return said, rarity, weights, penalty


def with_grams(x: Floats32, blocks: tuple[Block, ...], said: Floats) -> Floats32:
    """Rows with the column of their words behind the others, and its flag, which is always 1."""
    n_columns = sum(block.width for block in blocks)
    ones = np.ones((len(x), 1), dtype=np.float32)
    return np.concatenate(
        (x[:, :n_columns], said[:, None].astype(np.float32), x[:, n_columns:], ones), axis=1
    )


def with_gaps(rows: Floats32, blocks: tuple[Block, ...]) -> Floats32:
    """The rows with NaN where a block is not present, as trees ask for it."""
    n_flags = len(blocks)
    has = rows[:, -n_flags:] > 0
    lacks = np.repeat(~has, [block.width for block in blocks], axis=1)
    columns = np.where(lacks, np.float32(np.nan), rows[:, :-n_flags])
    return np.concatenate((columns, rows[:, -n_flags:]), axis=1, dtype=np.float32)


def hidden_blocks(table: Table, config: ModernConfig, seed: int) -> Bools:
    """What is hidden of each row in training, (n, columns and flags), a function of the seed.

    The author's past of some rows, so that unknown authors do not pay for it, and of fewer each
    other block: what every row has would else be missed for the first time when it counts.
    """
    generator = np.random.default_rng(seed)
    owners = owners_of(table.blocks)
    hidden = np.zeros(table.x.shape, dtype=np.bool_)
    for number, block in enumerate(table.blocks):
        share = config.history_drop if block.name == "author" else config.block_drop
        rows = generator.random(len(table)) < share
        hidden[np.ix_(rows, owners == number)] = True
    return hidden


def choose(table: Table, learn: Bools, config: ModernConfig, seed: int) -> Choices:
    """The penalties, by the rows to learn from, each fold held out in turn."""
    said, _, _, penalty = gram_columns(table, learn)
    x = _taught(table, said, learn, config, seed)
    blocks = (*table.blocks, GRAMS)
    sums = sums_of(x, table.labels[learn], table.folds[learn], config.folds)
    return Choices(penalty, chosen_penalties(sums, owners_of(blocks)))


def learn_members(
    table: Table,
    learn: Bools,
    config: ModernConfig,
    choices: Choices,
    seed: int,
    *,
    ask: Bools | None = None,
) -> tuple[Learned, Floats, Floats]:
    """Learn from the rows of `learn`; what the members say of those of `ask`, (n, MEMBERS).

    Twice: as they are, and as if nothing were known of their authors. The number of trees is
    chosen by the rows of `ask` where it is not decided yet. What does not take part says 0.
    """
    said, rarity, weights, _ = gram_columns(table, learn, choices)
    blocks = (*table.blocks, GRAMS)
    x = _taught(table, said, learn, config, seed)
    labels = table.labels[learn]
    line = trees = None
    if "ridge" in config.member_names:
        sums = sums_of(x, labels, table.folds[learn], config.folds)
        line = sums.solve(choices.penalties[owners_of(blocks)])
    asked = np.zeros((0, len(MEMBERS)))
    if "trees" in config.member_names:
        trees = grow(config, with_gaps(x, blocks), labels, seed, choices.n_trees or None)
    if ask is not None and ask.any() and trees is not None and not choices.n_trees:
        late = with_gaps(with_grams(table.x[ask], table.blocks, said[ask]), blocks)
        choices = replace(choices, n_trees=best_number(trees, late, table.labels[ask]))
    learned = Learned(choices, float(labels.mean()), rarity, weights, line, trees)
    if ask is None:
        return learned, asked, asked
    rows = table.x[ask]
    whole, bare = (
        _said(learned, with_grams(one, table.blocks, said[ask]), blocks, said[ask], table)
        for one in (rows, hidden_history(table, rows))
    )
    return learned, whole, bare


def _taught(table: Table, said: Floats, learn: Bools, config: ModernConfig, seed: int) -> Floats32:
    """The rows to learn from with their words' column, some without some of their blocks."""
    x = np.where(hidden_blocks(table, config, seed)[learn], np.float32(0.0), table.x[learn])
    return with_grams(x, table.blocks, said[learn])


def _said(
    learned: Learned,
    rows: Floats32,
    blocks: tuple[Block, ...],
    grams: Floats,
    table: Table,
) -> Floats:
    found = np.zeros((len(rows), len(MEMBERS)))
    if learned.line is not None:
        found[:, 0] = learned.line.read(rows)
    if learned.trees is not None:
        stages = learned.trees.staged_predict(with_gaps(rows, blocks))
        for number, stage in enumerate(stages, 1):
            if number == (learned.choices.n_trees or number):
                found[:, 1] = stage
    found[:, 2] = learned.centre + grams
    apart, _ = past_of(rows, blocks, table.encoder)
    found[:, 3] = learned.centre + apart / (table.log_scale[1] or np.inf)
    return found
