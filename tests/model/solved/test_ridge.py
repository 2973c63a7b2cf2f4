from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge as PeerRidge

from catalog.facts import PostFacts
from model.batches import collate
from model.blocks.encoder import Chunk
from model.errors import NothingToTrain
from model.solved.ridge import FoldSums, RidgeConfig, solve_ridge
from tests.model.rows import log_target, told
from tests.model.solving import Solving, rebuilt, scored

ROWS = told(300)
TRAIN, VAL, LATER = ROWS[:220], told(480, seed=4)[280:], ROWS[220:]
CONFIG = RidgeConfig(text_buckets=512, use_author=True)


@pytest.fixture(scope="module")
def solved():
    solving = Solving(TRAIN)
    return solve_ridge(CONFIG, solving.request()), solving


def test_finds_what_the_views_follow_from(solved):
    network, _ = solved
    wanted = log_target(TRAIN).apply([row.views_k for row in LATER])
    said = scored(network, LATER)["point"]
    assert spearmanr(said, wanted)[0] > 0.5
    assert np.abs(said - wanted).mean() < 0.8 * np.abs(wanted).mean()


def test_shuffled_labels_teach_it_nothing():
    views = np.random.default_rng(1).permutation([row.views_k for row in TRAIN])
    rows = [replace(row, views_k=float(v)) for row, v in zip(TRAIN, views, strict=True)]
    said = scored(solve_ridge(CONFIG, Solving(rows).request()), LATER)["point"]
    wanted = log_target(TRAIN).apply([row.views_k for row in LATER])
    assert abs(spearmanr(said, wanted)[0]) < 0.35
    assert said.std() < 0.4


def test_a_row_scores_the_same_alone_and_among_others(solved):
    network, _ = solved
    together = network(collate(LATER, network.shapes)).numpy()
    assert np.array_equal(together, scored(network, LATER)["point"])


def test_its_config_and_tensors_give_the_same_scores(solved):
    network, _ = solved
    for name, value in scored(rebuilt(network), LATER).items():
        assert np.array_equal(value, scored(network, LATER)[name])


def test_two_runs_of_one_seed_are_identical(solved):
    network, _ = solved
    again = solve_ridge(CONFIG, Solving(TRAIN).request())
    assert np.array_equal(scored(again, LATER)["point"], scored(network, LATER)["point"])


def test_it_says_which_blocks_it_had_and_how_it_weighs_them(solved):
    _, solving = solved
    note = solving.notes["ridge_solved"]
    assert set(note["blocks"]) == {"form", "meta", "text", "words", "tags", "author"}
    assert set(note["penalties"]) == set(note["blocks"]) | {"tag_axes"}
    assert note["interval_from"] == "folds"


@pytest.mark.parametrize("val", [[], VAL])
def test_four_of_five_later_rows_lie_in_the_interval(val):
    solving = Solving(told(400, seed=2), val)
    network = solve_ridge(CONFIG, solving.request())
    later = told(900, seed=3)[400:]
    said = scored(network, later)
    wanted = log_target(solving.train).apply([row.views_k for row in later])
    assert (said["low"] <= said["point"]).all()
    assert (said["point"] <= said["high"]).all()
    inside = ((said["low"] <= wanted) & (wanted <= said["high"])).mean()
    assert 0.74 < inside < 0.88
    assert solving.notes["ridge_solved"]["interval_from"] == ("validation" if val else "folds")


def test_a_row_that_says_nothing_still_has_a_score(solved):
    network, _ = solved
    (said,) = scored(network, [replace(LATER[0], facts=PostFacts())])["point"]
    assert np.isfinite(said)


def test_sums_by_fold_solve_what_scikit_learn_does():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 5)).astype(np.float32) * [1, 2, 3, 0, 9]
    y = x @ [1.0, -1.0, 0.5, 0.0, 0.1] + draw.normal(size=90) + 3
    sums = FoldSums(5, 3)
    fold = np.arange(90) % 3
    for half in (slice(0, 41), slice(41, 90)):
        sums.add(Chunk(x[half].astype(np.float32), y[half], fold[half], np.zeros((0, 2), np.int64)))
    out, kept = fold == 1, fold != 1
    sd = np.where(x[kept].std(axis=0) > 0, x[kept].std(axis=0), 1)
    peer = PeerRidge(alpha=7.0 * 2 / 3).fit(x[kept] / sd, y[kept])
    weights, mean, centre = sums.solve(np.full(5, 7.0), without=1)
    predicted = (x[out] - mean) @ weights + centre
    np.testing.assert_allclose(predicted, peer.predict(x[out] / sd), atol=1e-4)
    errors = sum(
        np.square(y[fold == f] - ((x[fold == f] - m) @ w + c)).sum()
        for f in range(3)
        for w, m, c in [sums.solve(np.full(5, 7.0), without=f)]
    )
    assert sums.held_out_error(np.full(5, 7.0)) == pytest.approx(errors, rel=1e-4)


def test_rows_of_one_author_are_still_solved():
    rows = [replace(row, facts=replace(row.facts, author=1)) for row in TRAIN[:40]]
    network = solve_ridge(CONFIG, Solving(rows).request())
    assert np.isfinite(scored(network, rows)["point"]).all()


def test_no_rows_cannot_be_solved():
    solving = Solving(TRAIN)
    request = replace(solving.request(), train=[])
    with pytest.raises(NothingToTrain):
        solve_ridge(CONFIG, request)
