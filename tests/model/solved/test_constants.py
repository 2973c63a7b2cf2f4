from dataclasses import replace

import numpy as np
import pytest

from catalog.facts import PostFacts
from model.errors import NotFinite, NothingToTrain
from model.solved.constants import (
    CONSTANTS,
    AuthorMeanConfig,
    Constants,
    HashtagMeanConfig,
    solve_author_mean,
    solve_constant,
    solve_hashtag_mean,
)
from model.targets import TargetTransform
from tests.model.factories import examples, scored_k
from tests.model.rows import log_target, told
from tests.model.solving import Solving, rebuilt, scored

VIEWS_K = [1.0, 3.0, 7.0, 1000.0]
GEOMETRIC_K = ((1001 * 3001 * 7001 * 1_000_001) ** 0.25 - 1) / 1000


@pytest.mark.parametrize(
    ("name", "constant_k"),
    [("mean", 252.75), ("median", 5.0), ("geometric_mean", GEOMETRIC_K)],
)
def test_says_the_same_of_every_row(name, constant_k):
    network = solve_constant(name, VIEWS_K)
    scores = scored_k(network, examples(3), TargetTransform("raw"))
    assert scores == {i: pytest.approx(constant_k, rel=1e-12) for i in (1, 2, 3)}


def test_a_video_without_views_does_not_make_the_geometric_mean_zero():
    assert solve_constant("geometric_mean", [0.0, 0.008]).constant_k.item() == pytest.approx(0.002)


@pytest.mark.parametrize("name", CONSTANTS)
def test_no_rows_have_no_constant(name):
    with pytest.raises(NothingToTrain):
        solve_constant(name, [])


def test_the_constants_beside_each_model():
    found = Constants.fit(VIEWS_K)
    assert (found.train_mean_k, found.train_median_k) == (252.75, 5.0)
    assert found.geometric_mean_k == pytest.approx(GEOMETRIC_K)
    with pytest.raises(NotFinite):
        Constants.fit([1.0, np.nan])


TRAIN = told(120)
MEANS = {
    "hashtag_mean": (solve_hashtag_mean, HashtagMeanConfig()),
    "author_mean": (solve_author_mean, AuthorMeanConfig()),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_is_a_model_of_config_and_tensors(name):
    solve, config = MEANS[name]
    network = solve(config, Solving(TRAIN).request())
    later = told(160)[120:]
    said = scored(network, later)["point"]
    assert said.std() > 0
    assert np.array_equal(scored(rebuilt(network), later)["point"], said)


@pytest.mark.parametrize("name", MEANS)
def test_a_row_that_says_nothing_gets_the_mean_of_all_logs(name):
    solve, config = MEANS[name]
    network = solve(config, Solving(TRAIN).request())
    (said,) = scored(network, [replace(TRAIN[0], facts=PostFacts())])["point"]
    assert said == pytest.approx(0, abs=1e-12)  # on a standardised scale


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_of_no_rows_is_refused(name):
    solve, config = MEANS[name]
    request = Solving(TRAIN).request()
    for train in ([], [replace(TRAIN[0], views_k=None)]):
        with pytest.raises(NothingToTrain):
            solve(config, replace(request, train=train))


def test_the_hashtag_mean_is_shrunk_to_the_mean_of_all():
    network = solve_hashtag_mean(HashtagMeanConfig(prior=5.0), Solving(TRAIN).request())
    labels = log_target(TRAIN).apply([row.views_k for row in TRAIN])
    cats = [y for row, y in zip(TRAIN, labels, strict=True) if "cats" in row.facts.hashtags]
    row = replace(TRAIN[0], facts=PostFacts(hashtags=("Cats",)))
    (said,) = scored(network, [row])["point"]
    assert said == pytest.approx(np.sum(cats) / (len(cats) + 5.0))


def test_the_author_mean_counts_only_what_was_posted_before():
    network = solve_author_mean(AuthorMeanConfig(prior=3.0), Solving(TRAIN).request())
    labels = log_target(TRAIN).apply([row.views_k for row in TRAIN])
    own = [i for i, row in enumerate(TRAIN) if row.facts.author == 1]
    earlier = labels[own[:2]]
    (said,) = scored(network, [TRAIN[own[2]]])["point"]
    assert said == pytest.approx(earlier.sum() / (2 + 3.0))
    unknown_time = replace(TRAIN[own[2]], facts=PostFacts(author=1))
    assert scored(network, [unknown_time])["point"][0] == pytest.approx(0, abs=1e-12)
