"""Making of a modern model: a rehearsal on the older training rows, then all of them.

The rehearsal learns from the older rows and forecasts the newest, as the finished model will
forecast rows that are newer still. It tells who of the members takes part with what weight, how
many trees there are, and how wide an 80 % interval has to be. Then everyone learns from all rows.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.base import SolveRequest
from model.blocks.encoder import with_sizes
from model.modern.model import (
    Floats,
    Line,
    Members,
    ModernNetwork,
    fewest_trees,
    fit_line,
    grow_trees,
    spread,
    with_gaps,
)
from model.modern.table import Ledger, Table, build_table, neighbour_store, read_ledger
from model.modern.tower import ModernConfig, Tower
from model.modern.tower_training import Lesson, train_tower
from model.quantiles import COVERAGE, calibrate
from model.solved.boosted import Trees
from model.training.world import one_thread

NAMES: Final = ("ridge", "boosted", "network")
ENOUGH_LATE: Final = 30  # rows of a rehearsal below which it tells nothing
# Validation rows that calibrate the interval alone. Of 225 one catalog's interval misses 80 % by
# 2.7 points (a standard deviation), of 500 by 1.8, whatever the model.
ENOUGH_VAL: Final = 500
MOST_VAL: Final = 5_000  # more would cost time and tell no more
QUARTERS: Final = 4  # weights are so many quarters


@dataclass(frozen=True)
class Rehearsed:
    """What the rehearsal decided. weights (3,) of NAMES; ends: what it saw of the interval's."""

    weights: Floats
    n_trees: int
    ends: "Ends"


@dataclass(frozen=True)
class Ends:
    """Rows that a model had not learned from: the interval's ends as they were, the truth, (n,)."""

    low: Floats
    high: Floats
    actual: Floats


NO_ENDS: Final = Ends(np.zeros(0), np.zeros(0), np.zeros(0))


@one_thread()
def solve_modern(config: ModernConfig, request: SolveRequest) -> ModernNetwork:
    """The finished model; six passes over train, one over val. A function of the seed.

    With few rows (`small_below`) no network is trained and ridge is the choice unless trees are
    clearly better, which the run notes. Raises NothingToTrain without rows, NotFinite for a loss
    that is no number.
    """
    ledger = read_ledger(request.train, request.target)
    is_small = len(ledger) < config.small_below
    rehearsed = _rehearse(config, request, ledger, is_small=is_small)
    if is_small:
        _note_small(request, len(ledger), config, rehearsed)
    with ExitStack() as stack:
        table = build_table(request, ledger, config, len(ledger), "all rows")
        stack.enter_context(table.rows)
        request.note("modalities", _modalities(table))
        return _finish(config, request, ledger, table, rehearsed)


def _rehearse(
    config: ModernConfig, request: SolveRequest, ledger: Ledger, *, is_small: bool
) -> Rehearsed:
    """Learn from the older rows, forecast the newest."""
    n = len(ledger)
    before = n - _n_newest(n, config)
    default = np.array([1.0, 0.0, 0.0]) if is_small else np.array([0.0, 0.5, 0.5])
    if n - before < ENOUGH_LATE:
        return Rehearsed(default, 0, NO_ENDS)
    with ExitStack() as stack:
        table = build_table(request, ledger, config, before, "rehearsal")
        stack.enter_context(table.rows)
        late = table.rows.read(before, n)
        actual = ledger.actual[before:]
        grown = grow_trees(table, ledger, config, request.seed)
        n_trees = fewest_trees(grown, with_gaps(late, table.blocks), actual)
        towers = [] if is_small else [_tower(config, request, ledger, table, 0)]
        trees = Trees.export(grown, n_trees)
        members = _members(config, table, fit_line(table, ledger), trees, towers)
    apart, quantiles = members.said(late)
    errors = {name: np.abs(apart[:, at] - actual) for at, name in enumerate(NAMES)}
    weights = choose_mixture(apart, actual, default, with_network=not is_small)
    members.weights.copy_(torch.from_numpy(weights))
    if weights[2] == 0:  # the finished model will have no networks, so no spread of theirs either
        quantiles = np.zeros_like(quantiles)
    low, point, high = members.calibrated(apart, quantiles).T
    below, above = spread(quantiles)
    request.note(
        "rehearsal",
        {
            "rows": before,
            "newest": n - before,
            "error": {
                **{name: float(error.mean()) for name, error in errors.items() if error.size},
                "all": float(np.abs(point - actual).mean()),
                "median": float(np.abs(np.median(ledger.actual[:before]) - actual).mean()),
            },
            "weights": dict(zip(NAMES, weights.tolist(), strict=True)),
            "trees": n_trees,
            "coverage_before": float(((low <= actual) & (actual <= high)).mean()),
        },
    )
    return Rehearsed(weights, n_trees, Ends(point - below, point + above, actual))


def _n_newest(n: int, config: ModernConfig) -> int:
    """How many of n rows the rehearsal forecasts."""
    # Each end of the interval rests on a tenth of them.
    share = max(config.calibration, min(1 / 3, config.calibration_rows / n))
    return round(n * share)


def choose_mixture(apart: Floats, actual: Floats, default: Floats, *, with_network: bool) -> Floats:
    """Weights of the members, in quarters, with the lowest mean absolute error on (n,) rows.

    The default stays unless they beat it by more than one standard error of the difference:
    few rows make some mixture look better by luck. apart (n, 3), default (3,)
    """
    usual = np.abs(apart @ default - actual)
    best, gain = default, 0.0
    for quarters in product(range(QUARTERS + 1), repeat=3):
        if sum(quarters) != QUARTERS or (quarters[2] and not with_network):
            continue
        weights = np.array(quarters) / QUARTERS
        better = usual - np.abs(apart @ weights - actual)
        error = float(better.std(ddof=1)) / np.sqrt(len(better))
        if float(better.mean()) > max(gain, error):
            best, gain = weights, float(better.mean())
    return best


def _finish(
    config: ModernConfig, request: SolveRequest, ledger: Ledger, table: Table, rehearsed: Rehearsed
) -> ModernNetwork:
    """Everyone with a weight learns from all rows."""
    has_line, has_trees, has_towers = rehearsed.weights > 0
    line = fit_line(table, ledger) if has_line else Line(0)
    trees = Trees(0, 1)
    if has_trees:
        grown = grow_trees(table, ledger, config, request.seed)
        trees = Trees.export(grown, rehearsed.n_trees or config.trees // 2)
    towers = []
    if has_towers:
        towers = [_tower(config, request, ledger, table, at) for at in range(config.folds)]
    store = neighbour_store(table, ledger, config)
    members = _members(config, table, line, trees, towers)
    members.weights.copy_(torch.from_numpy(rehearsed.weights))
    settings = replace(
        with_sizes(config, table.encoder),
        n_columns=line.weights.numel(),
        n_trees=trees.column.shape[0],
        n_nodes=trees.column.shape[1],
        n_members=len(towers),
        n_store=len(store.actual),
    )
    network = ModernNetwork(settings)
    network.encoder, network.neighbours, network.members = table.encoder, store, members
    _calibrate(network, request, rehearsed.ends)
    return network.eval()


def _calibrate(network: ModernNetwork, request: SolveRequest, rehearsed: Ends) -> None:
    """Set how wide the 80 % interval is, by rows that nothing was learned from.

    The validation rows are such, are newer than train, and are forecast by the finished model; a
    rehearsal's model knew fewer rows and erred more. It joins in where they are few.
    """
    # Evenly thinned out, and not the first ones: rows come as the catalog learned of them,
    # a hashtag or an export after the other.
    step = max(1, -(-len(request.val) // MOST_VAL))
    found = []
    for example in islice(request.val, 0, None, step):
        assert example.views_k is not None  # the rows of a part are labelled
        apart, quantiles = network.members.said(network.encode_rows([example]).matrix())
        point = network.members.calibrated(apart, quantiles)[:, 1]
        below, above = spread(quantiles)
        actual = float(request.target.apply(example.views_k))
        found.append((float(point[0] - below[0]), float(point[0] + above[0]), actual))
    n_val = len(found)
    if n_val < ENOUGH_VAL:
        found += zip(rehearsed.low, rehearsed.high, rehearsed.actual, strict=True)
    low, high, truth = np.array(found).reshape(-1, 3).T
    offsets = calibrate(low, high, truth, coverage=COVERAGE)
    detail = {"val_rows": n_val, "rehearsed_rows": len(found) - n_val}
    request.note("calibration", {**detail, "has_interval": offsets is not None})
    if offsets is not None:
        widths = torch.tensor([offsets.low, offsets.high], dtype=torch.float64)
        network.members.offsets.copy_(widths)
        network.config = replace(network.config, has_interval=True)


def _members(
    config: ModernConfig, table: Table, line: Line, trees: Trees, towers: list[Tower]
) -> Members:
    members = Members(config, table.encoder)
    members.line, members.trees, members.towers = line, trees, nn.ModuleList(towers)
    return members


def _tower(
    config: ModernConfig, request: SolveRequest, ledger: Ledger, table: Table, number: int
) -> Tower:
    """The network that learns from all folds but one and is stopped on that one."""
    learned: NDArray[np.bool_] = np.arange(len(ledger)) < table.before
    filled = np.unique(table.folds[: table.before])
    stop = table.folds == filled[number % len(filled)]
    if len(filled) == 1:  # all of one author: every fifth row stops, the others teach
        stop = np.arange(len(ledger)) % 5 == number % 5
    lesson = Lesson(table.rows, ledger.actual, learned & ~stop, learned & stop)
    return train_tower(
        lesson,
        table.blocks,
        config,
        seed=request.seed * 101 + number,
        progress=lambda text: request.progress(f"network {number + 1}: {text}"),
    )


def _modalities(table: Table) -> Mapping[str, object]:
    """Share of the training rows that have each block; blocks that none has are not there."""
    n_flags = len(table.blocks)
    counts = np.zeros(n_flags)
    for _, page in table.rows.pages():
        counts += (page[:, -n_flags:] > 0).sum(axis=0)
    shares = counts / max(1, table.rows.n)
    return {block.name: float(share) for block, share in zip(table.blocks, shares, strict=True)}


def _note_small(request: SolveRequest, n: int, config: ModernConfig, rehearsed: Rehearsed) -> None:
    weights = dict(zip(NAMES, rehearsed.weights.tolist(), strict=True))
    request.note("small_data", {"rows": n, "below": config.small_below, "weights": weights})
