from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from catalog.facts import PostFacts
from model.batches import Example
from model.errors import NothingToTrain
from model.solved.author_recent import AuthorRecentConfig, solve_author_recent
from tests.model.rows import START, log_target
from tests.model.solving import Solving, rebuilt, scored

PRIOR = 1.0


def post(video_id: int, *, author: int | None = 1, days: float, views_k: float) -> Example:
    facts = PostFacts(author=author, posted_at=START + timedelta(days=days))
    return Example(video_id, views_k=views_k, facts=facts)


def posts(n: int, *, author: int = 1) -> list[Example]:
    """A post every two days, each with more views than the one before."""
    return [
        post(1000 * author + i, author=author, days=2 * i, views_k=float(i + 1)) for i in range(n)
    ]


def labels(rows) -> np.ndarray:
    return log_target(TRAIN).apply([row.views_k for row in rows])


TRAIN = [*posts(30), *posts(5, author=2)]
LATER = post(9, days=100, views_k=0)


def solved(train=TRAIN, val=(), **settings):
    request = replace(Solving(list(train), list(val)).request(), target=log_target(TRAIN))
    return solve_author_recent(AuthorRecentConfig(**settings), request)


def said(network, row) -> float:
    return float(scored(network, [row])["point"][0])


def test_the_last_posts_count_and_no_earlier_one():
    last = labels(TRAIN[10:30])
    assert said(solved(), LATER) == pytest.approx(last.sum() / (20 + PRIOR))
    last_three = labels(TRAIN[27:30])
    assert said(solved(n_posts=3), LATER) == pytest.approx(last_three.sum() / (3 + PRIOR))


@pytest.mark.parametrize(("days", "n_known"), [(0.0, 0), (1.0, 0), (1.001, 1), (3.0, 1), (3.1, 2)])
def test_a_post_is_known_a_day_after_it_was_posted(days, n_known):
    earlier = labels(TRAIN[:n_known])
    row = replace(LATER, facts=replace(LATER.facts, posted_at=START + timedelta(days=days)))
    assert said(solved(), row) == pytest.approx(earlier.sum() / (n_known + PRIOR), abs=1e-12)


def test_no_later_label_and_no_other_author_moves_a_score():
    row = TRAIN[12]
    others = [
        one
        if one.facts.author == 1 and one.facts.posted_at < row.facts.posted_at
        else replace(one, views_k=one.views_k * 50)
        for one in TRAIN
    ]
    network, other = solved(), solved(others)
    other.mean.copy_(network.mean)  # the general mean is of everybody
    assert said(other, row) == said(network, row)


def test_rows_of_val_are_history_of_what_comes_after_them():
    val = [post(7, days=70, views_k=90.0)]
    assert said(solved(val=val), LATER) > said(solved(), LATER)
    before = post(8, days=69, views_k=0)
    assert said(solved(val=val), before) == said(solved(), before)


@pytest.mark.parametrize(
    "facts", [PostFacts(), PostFacts(author=1), replace(LATER.facts, author=77)]
)
def test_without_an_earlier_post_it_is_the_mean_of_all(facts):
    assert said(solved(), replace(LATER, facts=facts)) == pytest.approx(0, abs=1e-12)


def test_it_is_a_model_of_config_and_tensors():
    network = solved()
    again = rebuilt(network)
    rows = [*TRAIN, LATER]
    assert np.array_equal(scored(again, rows)["point"], scored(network, rows)["point"])
    assert scored(network, rows)["point"].std() > 0


def test_rows_that_name_nobody_make_a_constant():
    train = [replace(row, facts=PostFacts()) for row in TRAIN]
    assert said(solved(train), LATER) == pytest.approx(0, abs=1e-12)


def test_no_rows_are_refused():
    for train in ([], [replace(LATER, views_k=None)]):
        with pytest.raises(NothingToTrain):
            solved(train)
