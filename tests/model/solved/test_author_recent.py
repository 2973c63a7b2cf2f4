from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from catalog.facts import PastPost, PostFacts
from model.batches import Example
from model.blocks.past import Asked, Histories
from model.errors import IncompatibleFeatures, NothingToTrain
from model.solved.author_recent import AuthorRecentConfig, solve_author_recent
from model.targets import TARGET_KINDS, TargetTransform
from tests.model.rows import START
from tests.model.solving import Solving, rebuilt, scored


def past(number: int, *, author: int, days: float, views_k: float) -> PastPost:
    at = START + timedelta(days=days)
    return PastPost(number, author, None, (), at, at + timedelta(days=1), views_k)


# Author 1 gets a thousandth of what author 2 gets; both have posted every two days.
PAST = [
    past(100 * author + i, author=author, days=2 * i, views_k=0.2 * 1000 ** (author - 1))
    for author in (1, 2)
    for i in range(30)
]


def post(author: int | None, *, days: float = 100, views_k: float = 5.0) -> Example:
    facts = PostFacts(author=author, posted_at=START + timedelta(days=days))
    asked = Asked(facts.author, None, (), facts.posted_at)
    return Example(9, views_k=views_k, facts=facts, history=Histories(PAST).columns([asked])[0])


TRAIN = [replace(post(1), video_id=i, views_k=float(i)) for i in range(1, 11)]
VIEWS = [row.views_k for row in TRAIN]


def solved(train=TRAIN, kind="log1p"):
    request = replace(Solving(list(train)).request(), target=TargetTransform.fit(VIEWS, kind))
    return solve_author_recent(AuthorRecentConfig(), request)


def said_k(row, kind="log1p") -> float:
    point = scored(solved(kind=kind), [row])["point"]
    return float(TargetTransform.fit(VIEWS, kind).invert(point)[0])


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_an_author_gets_what_the_last_posts_got_a_little_shrunk(kind):
    low, unknown, high = (said_k(post(author), kind) for author in (1, None, 2))
    assert 0.2 < low < 0.5
    assert 0.5 < unknown < 100
    assert 100 < high < 200


def test_an_author_nobody_knows_gets_what_all_get():
    assert said_k(post(77)) == pytest.approx(said_k(post(None)))


def test_nothing_is_known_before_the_first_post():
    assert said_k(post(2, days=0.5)) == pytest.approx(said_k(replace(post(2), history=None)))
    (mean,) = scored(solved(), [replace(post(2), history=None)])["point"]
    assert mean == pytest.approx(0, abs=1e-12)  # on a standardised scale


def test_it_is_a_model_of_config_and_tensors():
    network, rows = solved(), [post(1), post(2), post(None)]
    assert np.array_equal(scored(rebuilt(network), rows)["point"], scored(network, rows)["point"])
    assert scored(network, rows)["point"].std() > 0


def test_a_history_of_other_columns_is_refused():
    with pytest.raises(IncompatibleFeatures):
        scored(solved(), [replace(post(1), history=np.zeros(3))])


def test_no_rows_are_refused():
    for train in ([], [replace(TRAIN[0], views_k=None)]):
        with pytest.raises(NothingToTrain):
            solved(train)
