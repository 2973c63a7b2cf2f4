import numpy as np
import pytest
from sklearn.linear_model import Ridge as PeerRidge

from model.modern.line import PENALTIES, FoldSums, Line, chosen_penalties, sums_of

FOLDS = np.arange(90) % 3


@pytest.fixture(scope="module")
def rows():
    """Columns of several sizes, one of which never moves, and labels that follow from them."""
    draw = np.random.default_rng(0)
    x = (draw.normal(size=(90, 5)) * [1, 2, 3, 0, 9]).astype(np.float32)
    return x, x @ [1.0, -1.0, 0.5, 0.0, 0.1] + draw.normal(size=90) + 3


def peer_errors(x, y, penalty):
    """Squared errors of each fold by scikit-learn's ridge of the others, on columns of sd 1."""
    total = 0.0
    for fold in np.unique(FOLDS):
        out, kept = fold == FOLDS, fold != FOLDS
        sd = np.where(x[kept].std(axis=0) > 0, x[kept].std(axis=0), 1)
        share = kept.mean()
        peer = PeerRidge(alpha=penalty * share).fit(x[kept] / sd, y[kept])
        total += np.square(y[out] - peer.predict(x[out] / sd)).sum()
    return total


def test_sums_by_fold_solve_what_scikit_learn_does(rows):
    x, y = rows
    sums = FoldSums(5, 3)
    for half in (slice(0, 41), slice(41, 90)):
        sums.add(x[half], y[half], FOLDS[half])
    out, kept = FOLDS == 1, FOLDS != 1
    sd = np.where(x[kept].std(axis=0) > 0, x[kept].std(axis=0), 1)
    peer = PeerRidge(alpha=7.0 * 2 / 3).fit(x[kept] / sd, y[kept])
    solution = sums.solve(np.full(5, 7.0), without=1)
    np.testing.assert_allclose(solution.read(x[out]), peer.predict(x[out] / sd), atol=1e-4)
    assert sums.held_out_error(np.full(5, 7.0)) == pytest.approx(peer_errors(x, y, 7.0), rel=1e-4)


def test_no_label_of_a_fold_moves_the_ridge_that_has_not_seen_it(rows):
    x, y = rows
    moved = y + 100.0 * (FOLDS == 2)
    one, other = (sums_of(x, labels, FOLDS, 3).held_out(np.full(5, 7.0)) for labels in (y, moved))
    assert np.array_equal(one[2].weights, other[2].weights)
    assert one[2].centre == other[2].centre
    assert not np.array_equal(one[0].weights, other[0].weights)


def test_pages_add_up_to_the_whole(rows, monkeypatch):
    x, y = rows
    whole = sums_of(x, y, FOLDS, 3)
    monkeypatch.setattr("model.modern.line.PAGE", 7)
    paged = sums_of(x, y, FOLDS, 3)
    for name in ("n", "x", "xx", "y", "xy", "yy"):
        np.testing.assert_allclose(getattr(paged, name), getattr(whole, name), rtol=1e-12)


def test_a_block_of_noise_is_penalised_more_than_one_that_tells():
    draw = np.random.default_rng(2)
    x = draw.normal(size=(300, 33)).astype(np.float32)
    y = x[:, :3].sum(axis=1) + draw.normal(size=300)
    folds = np.arange(300) % 5
    telling, vague = chosen_penalties(sums_of(x, y, folds, 5), np.repeat([0, 1], [3, 30]))
    assert telling < 100 < vague


def test_a_fixed_penalty_stays_and_the_others_are_no_worse_than_one_for_all(rows):
    x, y = rows
    sums, group = sums_of(x, y, FOLDS, 3), np.array([0, 0, 1, 1, 2])
    chosen = chosen_penalties(sums, group, np.array([0.0, 5.5, 0.0]))
    assert chosen[1] == 5.5
    free = chosen_penalties(sums, group)
    one_for_all = min(sums.held_out_error(np.full(5, one)) for one in PENALTIES)
    assert sums.held_out_error(free[group]) <= one_for_all


def test_with_one_fold_there_is_nothing_to_hold_out(rows):
    x, y = rows
    sums = sums_of(x, y, np.zeros(90, np.int64), 3)
    assert chosen_penalties(sums, np.zeros(5, np.int64)).tolist() == [1e3]
    whole = sums.solve(np.full(5, 7.0))
    assert all(np.array_equal(one.weights, whole.weights) for one in sums.held_out(np.full(5, 7.0)))


def test_what_is_kept_reads_as_it_was_solved_alone_and_among_others(rows):
    x, y = rows
    solution = sums_of(x, y, FOLDS, 3).solve(np.full(5, 7.0))
    line = Line(5)
    line.keep(solution)
    together = line.read(x)
    np.testing.assert_allclose(together, solution.read(x), atol=1e-10)
    alone = np.concatenate([line.read(x[at : at + 1]) for at in range(len(x))])
    assert np.array_equal(together, alone)
