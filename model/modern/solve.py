"""Making of a modern model: rehearsals that forecast later rows, then all rows.

A rehearsal learns from older rows and forecasts newer ones, as the finished model will: the newest
of the training rows by those before them, then the validation rows by all training rows. Together
they tell the weight of each member, how many trees there are, how far the level has moved, and how
wide an 80 % interval has to be. Then everyone learns from train and validation together.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.base import SolveRequest
from model.blocks.encoder import MEDIA, BlockEncoder, with_sizes
from model.modern.config import MEMBERS, ModernConfig
from model.modern.gate import media_kept
from model.modern.growth import Growth, fit_growth, unequal_ages
from model.modern.members import Choices, Learned, choose, learn_members
from model.modern.model import ModernNetwork
from model.modern.stack import (
    Rehearsed,
    default_weights,
    interval_ends,
    joined,
    shift_of,
    stacked_weights,
)
from model.modern.table import (
    Table,
    add_neighbours,
    build_table,
    keep_blocks,
    neighbour_store,
    past_of,
)
from model.modern.trees import Trees
from model.training.world import one_thread

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
FEWEST_LATE: Final = 10  # rows that make a rehearsal
ENOUGH_VAL: Final = 100  # rows of val that tell how far the level has moved


@one_thread()
def solve_modern(config: ModernConfig, request: SolveRequest) -> ModernNetwork:
    """The finished model; two passes over train and val. A function of the rows and the seed.

    Raises NothingToTrain without rows, or where nothing is said of any.
    """
    table = build_table(request, config)
    table, growth, config = _at_the_horizon(table, config, request)
    spread = request.target.sd if request.target.kind == "log1p" else 1.0
    kept, added = media_kept(table, config, spread, request.progress)
    if added:
        request.note("media", {one.name: one.to_json() for one in added})
    table = _without_unkept(table, kept)
    request.progress("neighbours")
    table = add_neighbours(table, config)
    request.note("modalities", _shares(table))
    request.progress("choosing the penalties")
    choices = choose(table, ~table.is_val, config, request.seed)
    rehearsals, choices = _rehearse(config, request, table, choices)
    rehearsed = joined(rehearsals) if rehearsals else None
    weights, shift = default_weights(config), 0.0
    if rehearsed is not None:
        weights = stacked_weights(rehearsed, config)
        shift = _shift(table, rehearsals, rehearsed, weights)
        _tell(request, table, rehearsals, weights, shift, growth)
    request.progress("learning from all rows")
    everyone = np.ones(len(table), dtype=np.bool_)
    learned, _, _ = learn_members(table, everyone, config, choices, request.seed)
    network = _network(config, table, learned, kept)
    network.growth = growth
    network.weights.copy_(torch.from_numpy(weights))
    network.shift.fill_(shift + table.base)
    if request.histories is not None:
        network.levels.copy_(torch.from_numpy(request.histories.level_grid()))
    _set_interval(network, request, rehearsed, weights, shift)
    return network.eval()


def _at_the_horizon(
    table: Table, config: ModernConfig, request: SolveRequest
) -> tuple[Table, Growth | None, ModernConfig]:
    """The table with labels as if all had been seen at one age, where growth can be told."""
    said = unequal_ages(table, config)
    if not said["used"]:
        request.note("age", said)
        return table, None, config
    growth, horizon_s = fit_growth(table, config)
    grown = growth.read(table.ages)
    # An early count that a row's neighbours are known by has an age of its own.
    seen = table.seen if config.history == "observed" else table.seen - grown
    total = float(growth.heights[-1] - growth.heights[0]) * table.log_scale[1]
    request.note("age", {**said, "horizon_s": horizon_s, "growth": float(np.exp(total))})
    config = replace(config, n_growth=len(growth.knots), horizon_s=horizon_s)
    return replace(table, labels=table.labels - grown, seen=seen), growth, config


def _rehearse(
    config: ModernConfig, request: SolveRequest, table: Table, choices: Choices
) -> tuple[list[Rehearsed], Choices]:
    train = np.flatnonzero(~table.is_val)
    n_late = round(len(train) * config.rehearsal)
    late = np.zeros(len(table), dtype=np.bool_)
    late[train[len(train) - n_late :]] = True
    stages = [(~table.is_val & ~late, late), (~table.is_val, table.is_val)]
    found = []
    for number, (learn, ask) in enumerate(stages, 1):
        if learn.sum() < FEWEST_LATE or ask.sum() < FEWEST_LATE:
            continue
        request.progress(f"rehearsal {number}")
        learned, said, bare = learn_members(table, learn, config, choices, request.seed, ask=ask)
        choices = learned.choices
        _, n_known = past_of(table.x[ask], table.blocks, table.encoder)
        actual = table.labels[ask]
        found.append(Rehearsed(said, bare, actual, n_known, table.posted[ask]))
        errors = {
            name: float(np.abs(said[:, at] - actual).mean())
            for at, name in enumerate(MEMBERS)
            if name in config.member_names
        }
        middle = float(np.median(table.labels[learn]))
        request.note(
            "rehearsal",
            {
                "rows": int(learn.sum()),
                "later": int(ask.sum()),
                "error": {**errors, "median": float(np.abs(middle - actual).mean())},
                "trees": choices.n_trees,
            },
        )
    return found, choices


def _shift(
    table: Table, rehearsals: list[Rehearsed], rehearsed: Rehearsed, weights: Floats
) -> float:
    """How far the level has moved: by the rows of val, which are to train as later rows to val.

    By the newest of them where val is later than train; where the split is by author or at random,
    by all.
    """
    val, train = table.posted[table.is_val], table.posted[~table.is_val]
    late = rehearsed
    in_time = True
    if len(val) >= ENOUGH_VAL and len(val) == len(rehearsals[-1].actual):
        in_time = bool(np.quantile(val, 0.1) >= np.quantile(train, 0.9))
        late = rehearsed if in_time else rehearsals[-1]
    return shift_of(late.actual - late.said @ weights, in_time=in_time)


def _tell(
    request: SolveRequest,
    table: Table,
    rehearsals: list[Rehearsed],
    weights: Floats,
    shift: float,
    growth: Growth | None,
) -> None:
    """Tell what was forecast of the rows of val, if they were rehearsed."""
    ids, said = table.video_ids[table.is_val], rehearsals[-1].said
    if len(ids) and len(ids) == len(said):
        level = table.level[table.is_val]
        if growth is not None:
            level = level + growth.read(table.ages[table.is_val])
        request.foresaw(ids.tolist(), (said @ weights + shift + level).tolist())


def _without_unkept(table: Table, kept: tuple[str, ...]) -> Table:
    """The table without the features that did not earn their place, and an encoder to match."""
    names = [b.name for b in table.blocks if b.name not in MEDIA or b.name in kept]
    if len(names) == len(table.blocks):
        return table
    old = table.encoder
    widths: dict[str, int] = {}
    for name in MEDIA:
        if name not in kept:
            widths["opening_size" if name == "opening" else f"{name}_width"] = 0
    encoder = BlockEncoder(replace(old.config, **widths))  # type: ignore[arg-type]  # all are ints
    for part in ("scales", "texts", "wide"):
        made = getattr(encoder, part)
        for name in made:
            made[name] = getattr(old, part)[name]
    return keep_blocks(table, names, encoder)


def _network(
    config: ModernConfig, table: Table, learned: Learned, kept: tuple[str, ...]
) -> ModernNetwork:
    grown = learned.trees
    trees = Trees(0, 1) if grown is None else Trees.export(grown)
    store = neighbour_store(table, config)
    settings = replace(
        with_sizes(config, table.encoder),
        kept=",".join(kept),
        n_columns=0 if learned.line is None else len(learned.line.weights),
        n_trees=trees.column.shape[0],
        n_nodes=trees.column.shape[1],
        n_store=len(store.actual),
    )
    network = ModernNetwork(settings)
    network.encoder, network.neighbours, network.trees = table.encoder, store, trees
    network.grams.keep(learned.rarity, learned.gram_weights)
    if learned.line is not None:
        network.line.keep(learned.line)
    network.centre.fill_(learned.centre)
    network.log_scale.copy_(torch.tensor(table.log_scale, dtype=torch.float64))
    return network


def _set_interval(
    network: ModernNetwork,
    request: SolveRequest,
    rehearsed: Rehearsed | None,
    weights: Floats,
    shift: float,
) -> None:
    ends = None if rehearsed is None else interval_ends(rehearsed, weights, shift)
    request.note(
        "stacked",
        {
            "weights": dict(zip(MEMBERS, weights.tolist(), strict=True)),
            "shift": shift,
            "rows": 0 if rehearsed is None else len(rehearsed.actual),
            "has_interval": ends is not None,
            "drift": None if ends is None else ends.drift,
        },
    )
    if ends is not None:
        network.offsets.copy_(torch.from_numpy(ends.offsets))
        network.config = replace(network.config, has_interval=True)


def _shares(table: Table) -> dict[str, object]:
    """Share of the rows that have each block."""
    n_flags = len(table.blocks)
    shares = (table.x[:, -n_flags:] > 0).mean(axis=0)
    return {block.name: float(share) for block, share in zip(table.blocks, shares, strict=True)}
